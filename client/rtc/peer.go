package rtc

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/pion/webrtc/v4"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/protocol"
)

// Config of a peer. Engine.Match fills what a match decides.
type Config struct {
	// Offerer starts the negotiation and is the impolite side of perfect
	// negotiation; the other side is polite and, here, never offers.
	Offerer bool

	ICE       protocol.ICE
	RelayOnly bool // media only through TURN

	// Spare is the connection to use, which is the peer's from now on; nil: a new one.
	Spare *Spare

	// Video sends the clip, where the offer has room for video, and takes video.
	Video bool
	Data  bool // open a data channel (the offerer does) or take one

	// Send passes a signal to the other side, in order, without waiting.
	Send func(kind protocol.SignalKind, d any) error

	Logger *slog.Logger // nil: discard
}

// ErrOverrun ends a peer whose signals came faster than it could take them.
var ErrOverrun = errors.New("rtc: too many signals at once")

// Peer is one side of a call. Its negotiation runs on one goroutine, so its
// methods never wait for the network.
type Peer struct {
	// Static after New.
	cfg  Config
	pc   *webrtc.PeerConnection
	clip *webrtc.TrackLocalStaticSample // nil without Video
	work chan func() error              // for the negotiation's goroutine
	wg   sync.WaitGroup

	connected chan struct{} // closed at the first connection
	once      sync.Once
	closed    chan struct{} // closed by Close
	closeOnce sync.Once
	keyframe  chan struct{} // the other side asks for a keyframe
	messages  chan string

	counts counts

	// Owned by the negotiation's goroutine.
	ignoreOffer bool
	waiting     []webrtc.ICECandidateInit // before the first remote description
	restarts    int                       // after failures, since it was connected
	restartDue  bool                      // when the negotiation is stable again

	data atomic.Pointer[webrtc.DataChannel] // nil while not open
	err  atomic.Pointer[error]              // the first failure
}

// New makes a peer and, if it is the offerer, starts to negotiate.
func (e *Engine) New(cfg Config) (*Peer, error) {
	if cfg.Send == nil {
		return nil, errors.New("rtc: Config.Send is missing")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	pc, err := e.connection(&cfg)
	if err != nil {
		return nil, err
	}
	p := &Peer{
		cfg: cfg, pc: pc,
		work:      make(chan func() error, 512),
		connected: make(chan struct{}), closed: make(chan struct{}),
		keyframe: make(chan struct{}, 1), messages: make(chan string, 64),
	}
	p.listen()
	if err := p.setUp(); err != nil {
		return nil, errors.Join(err, pc.Close())
	}
	p.wg.Go(p.negotiate)
	return p, nil
}

// listen connects pion's callbacks, which run on its goroutines.
func (p *Peer) listen() {
	p.pc.OnNegotiationNeeded(func() {
		// Else the other side offers; what we send goes into the answer.
		if p.cfg.Offerer {
			p.do(func() error { return p.offer(nil) })
		}
	})
	p.pc.OnICECandidate(func(c *webrtc.ICECandidate) { p.do(func() error { return p.sendCandidate(c) }) })
	p.pc.OnConnectionStateChange(p.changed)
	p.pc.OnTrack(func(t *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { p.wg.Go(func() { p.receive(t) }) })
	p.pc.OnDataChannel(p.adopt)
}

// changed takes a new state of the connection.
func (p *Peer) changed(s webrtc.PeerConnectionState) {
	p.cfg.Logger.Debug("connection", "state", s.String())
	switch s {
	case webrtc.PeerConnectionStateConnected:
		p.once.Do(func() { close(p.connected) })
		p.do(func() error { p.restarts = 0; return nil })
	case webrtc.PeerConnectionStateFailed:
		p.do(p.revive)
	}
}

// setUp adds what this side sends.
func (p *Peer) setUp() error {
	if p.cfg.Data && p.cfg.Offerer {
		ch, err := p.pc.CreateDataChannel("rondo", nil)
		if err != nil {
			return err
		}
		p.adopt(ch)
	}
	if p.cfg.Video {
		return p.addClip()
	}
	if !p.cfg.Data && p.cfg.Offerer {
		// Something must be negotiated: be ready to watch.
		_, err := p.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo,
			webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
		return err
	}
	return nil
}

// do queues f for the negotiation's goroutine.
func (p *Peer) do(f func() error) {
	select {
	case p.work <- f:
	case <-p.closed:
	default:
		p.fail(ErrOverrun)
	}
}

func (p *Peer) negotiate() {
	for {
		select {
		case f := <-p.work:
			if err := f(); err != nil && !p.isClosed() {
				p.cfg.Logger.Warn("negotiation", "err", err)
				p.fail(err)
			}
		case <-p.closed:
			return
		}
	}
}

func (p *Peer) isClosed() bool {
	select {
	case <-p.closed:
		return true
	default:
		return false
	}
}

// fail records the first failure. The call may still come to be: a bad candidate
// is no end.
func (p *Peer) fail(err error) { p.err.CompareAndSwap(nil, &err) }

// Err returns the first thing that went wrong in the negotiation, or nil.
func (p *Peer) Err() error {
	if e := p.err.Load(); e != nil {
		return *e
	}
	return nil
}

// Handle takes a signal of the other side. Signals of another room must not come
// here.
func (p *Peer) Handle(s client.Signal) {
	p.do(func() error {
		if err := p.handle(s); err != nil {
			return fmt.Errorf("rtc: %s: %w", s.Kind, err)
		}
		return nil
	})
}

func (p *Peer) handle(s client.Signal) error {
	switch s.Kind {
	case protocol.SignalOffer, protocol.SignalAnswer:
		var d struct{ SDP string }
		if err := json.Unmarshal(s.D, &d); err != nil {
			return err
		}
		return p.describe(webrtc.SessionDescription{Type: webrtc.NewSDPType(string(s.Kind)), SDP: d.SDP})
	case protocol.SignalCandidate:
		var d struct{ Candidate *webrtc.ICECandidateInit }
		if err := json.Unmarshal(s.D, &d); err != nil {
			return err
		}
		return p.candidate(d.Candidate)
	case protocol.SignalCandidates:
		var d struct{ Candidates []*webrtc.ICECandidateInit }
		if err := json.Unmarshal(s.D, &d); err != nil {
			return err
		}
		for _, c := range d.Candidates {
			if err := p.candidate(c); err != nil {
				return err
			}
		}
	case protocol.SignalRestart:
		return p.restart()
	}
	return nil // media and hangup: nothing to do here
}

// Connected is closed when media can flow for the first time.
func (p *Peer) Connected() <-chan struct{} { return p.connected }

// State returns the state of the connection now.
func (p *Peer) State() webrtc.PeerConnectionState { return p.pc.ConnectionState() }

// Restart restarts ICE, e.g. after a change of network.
func (p *Peer) Restart() { p.do(p.restart) }

// Hangup tells the other side that the call is over and closes the peer.
func (p *Peer) Hangup() error {
	return errors.Join(p.cfg.Send(protocol.SignalHangup, struct{}{}), p.Close())
}

// Close ends the peer and waits for its goroutines. It may be called again, but
// not from a callback.
func (p *Peer) Close() error {
	var err error
	p.closeOnce.Do(func() {
		close(p.closed)
		err = p.pc.GracefulClose()
	})
	p.wg.Wait()
	return err
}

// Pair describes the candidates that carry the call.
type Pair struct {
	Local, Remote         string // host, srflx, prflx or relay
	LocalAddr, RemoteAddr string // host:port
	Protocol              string // between the two: udp or tcp
}

// Pair returns the selected candidates; ok is false before there is a connection.
func (p *Peer) Pair() (pair Pair, ok bool) {
	got, err := p.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil || got == nil {
		return Pair{}, false
	}
	return Pair{
		Local: got.Local.Typ.String(), Remote: got.Remote.Typ.String(), Protocol: got.Local.Protocol.String(),
		LocalAddr:  fmt.Sprintf("%s:%d", got.Local.Address, got.Local.Port),
		RemoteAddr: fmt.Sprintf("%s:%d", got.Remote.Address, got.Remote.Port),
	}, true
}

// adopt takes a data channel, ours or theirs.
func (p *Peer) adopt(ch *webrtc.DataChannel) {
	ch.OnOpen(func() { p.data.Store(ch) })
	ch.OnMessage(func(m webrtc.DataChannelMessage) {
		select {
		case p.messages <- string(m.Data):
		default: // nobody reads; a data channel's reader must not wait
		}
	})
}

// SendText sends text over the data channel.
func (p *Peer) SendText(text string) error {
	ch := p.data.Load()
	if ch == nil {
		return io.ErrClosedPipe
	}
	return ch.SendText(text)
}

// DataOpen reports whether the data channel is open.
func (p *Peer) DataOpen() bool { return p.data.Load() != nil }

// Messages carries what came over the data channel; up to 64 wait, more are
// dropped.
func (p *Peer) Messages() <-chan string { return p.messages }
