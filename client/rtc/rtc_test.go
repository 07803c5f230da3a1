package rtc

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pipe carries signals from one peer to the other, in order, on one goroutine.
type pipe struct {
	ch   chan client.Signal
	hold chan struct{} // nothing passes before it is closed
}

func newPipe() *pipe { return &pipe{make(chan client.Signal, 1000), make(chan struct{})} }

func (p *pipe) send(kind protocol.SignalKind, d any) error {
	b, err := json.Marshal(d)
	if err != nil {
		return err
	}
	p.ch <- client.Signal{Kind: kind, D: b}
	return nil
}

func (p *pipe) run(t *testing.T, to *Peer) {
	done := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-p.hold:
		case <-stop:
			return
		}
		for {
			select {
			case s := <-p.ch:
				to.Handle(s)
			case <-stop:
				return
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done })
}

// pair makes two peers of one call and connects them by pipes that the test opens.
func pair(t *testing.T, a, b Config) (pa, pb *Peer, ab, ba *pipe) {
	t.Helper()
	e, err := NewEngine(EngineConfig{Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	ab, ba = newPipe(), newPipe()
	a.Offerer, a.Send = true, ab.send
	b.Send = ba.send
	if pa, err = e.New(a); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pa.Close() })
	if pb, err = e.New(b); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pb.Close() })
	ab.run(t, pb)
	ba.run(t, pa)
	return pa, pb, ab, ba
}

func connect(t *testing.T, peers ...*Peer) {
	t.Helper()
	for _, p := range peers {
		select {
		case <-p.Connected():
		case <-time.After(20 * time.Second):
			for _, q := range peers {
				t.Logf("%v %v %v err %v", q.cfg.Offerer, q.State(), q.pc.SignalingState(), q.Err())
			}
			t.FailNow()
		}
	}
}

func TestVideoBothWays(t *testing.T) {
	a, b, ab, ba := pair(t, Config{Video: true}, Config{Video: true})
	close(ab.hold)
	close(ba.hold)
	connect(t, a, b)
	for _, p := range []*Peer{a, b} {
		testenv.Eventually(t, 20*time.Second, func() bool {
			c := p.Counts()
			return c.Frames >= 5 && c.Keyframes >= 1 && c.Packets >= c.Frames && c.FramesSent >= 5
		}, "frames: %+v", p.Counts())
		got, ok := p.Pair()
		if !ok || got.Local == "" || got.Protocol != "udp" {
			t.Fatalf("pair %+v, %v", got, ok)
		}
		if err := p.Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSpare: what was gathered before the match stands in the first descriptions, and is used.
func TestSpare(t *testing.T) {
	e, err := NewEngine(EngineConfig{Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	spare := func() *Spare {
		s, err := e.Prepare(protocol.ICE{Policy: "all"}, false)
		if err != nil {
			t.Fatal(err)
		}
		testenv.Eventually(t, 10*time.Second, func() bool { return s.pc.ICEGatheringState() == webrtc.ICEGatheringStateComplete }, "gathered")
		return s
	}
	a, b, ab, ba := pair(t, Config{Video: true, Spare: spare()}, Config{Video: true, Spare: spare()})
	first := <-ab.ch
	if first.Kind != protocol.SignalOffer || !strings.Contains(string(first.D), "a=candidate:") {
		t.Errorf("the first signal is %s without candidates: %s", first.Kind, first.D)
	}
	b.Handle(first)
	close(ab.hold)
	close(ba.hold)
	connect(t, a, b)
	testenv.Eventually(t, 20*time.Second, func() bool { return a.Counts().Frames >= 5 && b.Counts().Frames >= 5 }, "frames")
	for _, p := range []*Peer{a, b} {
		if err := p.Err(); err != nil {
			t.Error(err)
		}
	}
}

// TestSpareOfAnotherPolicy: a match that must be relayed does not tell what was
// gathered for any path.
func TestSpareOfAnotherPolicy(t *testing.T) {
	e, err := NewEngine(EngineConfig{Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	s, err := e.Prepare(protocol.ICE{Policy: "all"}, false)
	if err != nil {
		t.Fatal(err)
	}
	sent := newPipe()
	p, err := e.New(Config{Offerer: true, Video: true, RelayOnly: true, Spare: s, Send: sent.send})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if s.pc.ConnectionState() != webrtc.PeerConnectionStateClosed {
		t.Errorf("the spare is %v", s.pc.ConnectionState())
	}
	if first := <-sent.ch; first.Kind != protocol.SignalOffer || strings.Contains(string(first.D), "a=candidate:") {
		t.Errorf("%s: %s", first.Kind, first.D)
	}
	unused, err := e.Prepare(protocol.ICE{Policy: "relay"}, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := unused.Close(); err != nil || !unused.relay {
		t.Errorf("relay %v, %v", unused.relay, err)
	}
}

func TestDataBothWays(t *testing.T) {
	a, b, ab, ba := pair(t, Config{Data: true}, Config{Data: true})
	close(ab.hold)
	close(ba.hold)
	connect(t, a, b)
	say := func(from, to *Peer, text string) {
		t.Helper()
		testenv.Eventually(t, 10*time.Second, from.DataOpen, "data channel")
		if err := from.SendText(text); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-to.Messages():
			if got != text {
				t.Fatalf("got %q, want %q", got, text)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%q did not come", text)
		}
	}
	say(a, b, "hello")
	say(b, a, "and back")
}

func TestWatchOnly(t *testing.T) {
	a, b, ab, ba := pair(t, Config{}, Config{Video: true})
	close(ab.hold)
	close(ba.hold)
	connect(t, a, b)
	testenv.Eventually(t, 20*time.Second, func() bool { return a.Counts().Frames >= 3 }, "frames")
	if n := b.Counts().Packets; n != 0 {
		t.Fatalf("%d packets from who sends nothing", n)
	}
}

// TestGlare: the impolite side has offered when an offer comes: its own stands.
func TestGlare(t *testing.T) {
	a, b, ab, ba := pair(t, Config{Video: true}, Config{Video: true})
	other, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.CreateDataChannel("x", nil); err != nil {
		t.Fatal(err)
	}
	offer, err := other.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 10*time.Second, func() bool {
		return a.pc.SignalingState() == webrtc.SignalingStateHaveLocalOffer
	}, "an offer")
	d, _ := json.Marshal(description{offer.SDP})
	a.Handle(client.Signal{Kind: protocol.SignalOffer, D: d})
	close(ab.hold)
	close(ba.hold)
	connect(t, a, b)
	testenv.Eventually(t, 20*time.Second, func() bool {
		return a.Counts().Frames >= 3 && b.Counts().Frames >= 3
	}, "frames both ways: %v %v", a.Err(), b.Err())
	if a.Err() != nil || b.Err() != nil {
		t.Fatal(a.Err(), b.Err())
	}
}

func TestRestart(t *testing.T) {
	a, b, ab, ba := pair(t, Config{Data: true}, Config{Data: true})
	close(ab.hold)
	close(ba.hold)
	connect(t, a, b)
	ufrag := func() string {
		p, err := a.pc.SCTP().Transport().ICETransport().GetLocalParameters()
		if err != nil {
			t.Fatal(err)
		}
		return p.UsernameFragment
	}
	before := ufrag()
	b.Restart() // asks a, who offers
	testenv.Eventually(t, 20*time.Second, func() bool {
		return ufrag() != before && a.State() == webrtc.PeerConnectionStateConnected && b.State() == webrtc.PeerConnectionStateConnected
	}, "connected with new ICE credentials")
	testenv.Eventually(t, 10*time.Second, a.DataOpen, "data channel")
	if err := a.SendText("still here"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-b.Messages():
	case <-time.After(10 * time.Second):
		t.Fatal("nothing comes after the restart")
	}
}

// TestRevivesAgainAndAgain: a long call may lose its way any number of times.
func TestRevivesAgainAndAgain(t *testing.T) {
	a, b, ab, ba := pair(t, Config{Data: true}, Config{Data: true})
	close(ab.hold)
	close(ba.hold)
	connect(t, a, b)
	ufrag := func() string {
		p, err := a.pc.SCTP().Transport().ICETransport().GetLocalParameters()
		if err != nil {
			t.Fatal(err)
		}
		return p.UsernameFragment
	}
	for i := range maxRestarts + 2 {
		before := ufrag()
		a.changed(webrtc.PeerConnectionStateFailed)
		testenv.Eventually(t, 20*time.Second, func() bool {
			return ufrag() != before && a.State() == webrtc.PeerConnectionStateConnected && b.State() == webrtc.PeerConnectionStateConnected &&
				a.pc.SignalingState() == webrtc.SignalingStateStable
		}, "restart %d", i+1)
	}
}

func TestEarlyCandidatesWait(t *testing.T) {
	a, b, ab, ba := pair(t, Config{Data: true}, Config{Data: true})
	// The offer comes last.
	var offer client.Signal
	var rest []client.Signal
	testenv.Eventually(t, 10*time.Second, func() bool {
		for {
			select {
			case s := <-ab.ch:
				if s.Kind == protocol.SignalOffer {
					offer = s
				} else {
					rest = append(rest, s)
				}
			default:
				return offer.Kind != "" && len(rest) > 0
			}
		}
	}, "an offer and candidates")
	for _, s := range append(rest, offer) {
		b.Handle(s)
	}
	close(ab.hold)
	close(ba.hold)
	connect(t, a, b)
}

func TestGarbage(t *testing.T) {
	_, b, ab, ba := pair(t, Config{Data: true}, Config{Data: true})
	for _, tc := range []struct {
		kind protocol.SignalKind
		d    string
		ok   bool
	}{
		{protocol.SignalOffer, `{"sdp":"v=0 no"}`, false},
		{protocol.SignalOffer, `{"sdp":7}`, false},
		{protocol.SignalAnswer, `{"sdp":"x"}`, true}, // stable: an answer to nothing
		{protocol.SignalCandidate, `{"candidate":"x"}`, false},
		{protocol.SignalCandidate, `{"candidate":null}`, true},
		{protocol.SignalCandidates, `{"candidates":[null]}`, true},
		{protocol.SignalCandidates, `{"candidates":3}`, false},
		{protocol.SignalMedia, `{}`, true},
		{protocol.SignalHangup, `{}`, true},
		{"new", `{}`, true},
	} {
		done := make(chan error, 1)
		b.do(func() error {
			done <- b.handle(client.Signal{Kind: tc.kind, D: json.RawMessage(tc.d)})
			return nil
		})
		if err := <-done; (err == nil) != tc.ok {
			t.Errorf("%s %s: %v", tc.kind, tc.d, err)
		}
	}
	// And the call comes to be all the same.
	close(ab.hold)
	close(ba.hold)
	connect(t, b)
}

func TestConfig(t *testing.T) {
	e, err := NewEngine(EngineConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.New(Config{}); err == nil {
		t.Fatal("a peer without Send")
	}
	got := configuration(&Config{RelayOnly: true, ICE: protocol.ICE{Servers: []protocol.ICEServer{
		{URLs: []string{"turn:127.0.0.1:3478?transport=udp"}, Username: "u", Credential: "c"}}}})
	if got.ICETransportPolicy != webrtc.ICETransportPolicyRelay || len(got.ICEServers) != 1 || got.ICEServers[0].Credential != "c" {
		t.Fatalf("%+v", got)
	}
}

func TestClip(t *testing.T) {
	frames, err := clipFrames()
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range frames {
		if key := f[0]&1 == 0; key != (i == 0) {
			t.Fatalf("frame %d: keyframe %v", i, key)
		}
	}
	if len(frames) != 20 {
		t.Fatalf("%d frames", len(frames))
	}
}

func TestOverrun(t *testing.T) {
	_, b, _, _ := pair(t, Config{Data: true}, Config{Data: true})
	block := make(chan struct{})
	b.do(func() error { <-block; return nil })
	for i := range 2000 {
		b.Handle(client.Signal{Kind: protocol.SignalMedia, D: json.RawMessage(fmt.Sprintf(`{"n":%d}`, i))})
	}
	close(block)
	if !errors.Is(b.Err(), ErrOverrun) {
		t.Fatal(b.Err())
	}
}
