package client

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// Options of a client. The zero value is a guest with a name of the server's
// choice.
type Options struct {
	Name  string // shown to others
	Guest string // token of an earlier Welcome: be the same guest again
	// Bearer returns an access token of an account that is good for a while, for each
	// new socket; nil: a guest. Renew prolongs a session that is open.
	Bearer func(context.Context) (string, error)

	Header  http.Header // of the upgrade, e.g. Origin or Authorization
	TLS     *tls.Config // for wss; nil: Go's default
	Proxy   func(*http.Request) (*url.URL, error)
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error) // nil: net.Dialer

	Queue int // events that may wait to be read; 0: 256

	// NoReconnect ends the client with the loss of its first socket.
	NoReconnect bool
	// BackoffMin and BackoffMax bound the pause before a try to reconnect;
	// 0: 500 ms and 30 s.
	BackoffMin, BackoffMax time.Duration
	// Silence is what is granted a quiet server on top of its ping_ms; 0: 10 s.
	Silence time.Duration
}

func (o Options) withDefaults() Options {
	if o.Queue <= 0 {
		o.Queue = 256
	}
	if o.BackoffMin <= 0 {
		o.BackoffMin = 500 * time.Millisecond
	}
	if o.BackoffMax <= 0 {
		o.BackoffMax = 30 * time.Second
	}
	if o.Silence <= 0 {
		o.Silence = 10 * time.Second
	}
	return o
}

// Client is one session with a server.
type Client struct {
	// Static after Dial.
	url    string
	opts   Options
	ctx    context.Context // ends when Close is called or the client fails
	cancel context.CancelCauseFunc
	events chan Event
	done   chan struct{}
	// cidPrefix makes chat numbers unique among the clients of one guest.
	cidPrefix string

	// Owned by the client's goroutine.
	back  backoff
	after time.Duration // advice of the last reconnect message
	chat  chatOrder
	// signals tells those that a dead node had delivered before.
	signals signalsSeen

	mu      sync.Mutex
	link    *link // nil while there is no socket
	welcome protocol.Welcome
	seq     uint64 // last must-deliver push
	acked   uint64 // last seq that the server was told
	nextID  uint32
	cids    uint64
	pending map[uint32]*call
	views   map[protocol.RoomID]*View
	closing bool  // Close was called
	err     error // why the client ended
}

// Dial connects to url (ws: or wss:), says hello and returns when the server
// welcomed. ctx bounds that only; the client lives until Close.
func Dial(ctx context.Context, url string, o Options) (*Client, error) {
	c := &Client{url: url, opts: o.withDefaults(), done: make(chan struct{}), pending: map[uint32]*call{}}
	c.cidPrefix = rand.Text()[:8]
	c.events = make(chan Event, c.opts.Queue)
	c.back = backoff{min: c.opts.BackoffMin, max: c.opts.BackoffMax}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.welcome.Guest = o.Guest
	l, err := c.connect(ctx)
	if err != nil {
		c.cancel(err)
		return nil, err
	}
	go c.run(l)
	return c, nil
}

// run reads sockets, one after another, until the client ends.
func (c *Client) run(l *link) {
	defer close(c.done)
	defer close(c.events)
	for l != nil {
		began := time.Now()
		err := c.serve(l)
		c.drop(l)
		err = c.cause(err)
		if terminal(err) || c.opts.NoReconnect {
			c.end(err)
			return
		}
		if time.Since(began) >= time.Minute {
			c.back.reset()
		}
		c.emit(Down{Err: err})
		l = c.reconnect(err)
	}
}

// serve handles what arrives on l until it breaks.
func (c *Client) serve(l *link) error {
	defer context.AfterFunc(c.ctx, func() { l.conn.Close() })()
	quiet := c.quiet()
	for {
		m, err := l.read(quiet)
		if err != nil {
			return err
		}
		if err := c.handle(l, m); err != nil {
			return err
		}
	}
}

// quiet is how long a server that is alive may be silent.
func (c *Client) quiet() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Duration(c.welcome.PingMS)*time.Millisecond + c.opts.Silence
}

// reconnect tries until there is a new socket; nil means that the client ended.
func (c *Client) reconnect(why error) *link {
	for {
		wait := c.back.next(max(advice(why), c.after))
		c.after = 0
		select {
		case <-time.After(wait):
		case <-c.ctx.Done():
			c.end(context.Cause(c.ctx))
			return nil
		}
		ctx, cancel := context.WithTimeout(c.ctx, 20*time.Second)
		l, err := c.connect(ctx)
		cancel()
		if err == nil {
			return l
		}
		err = c.cause(err)
		if terminal(err) {
			c.end(err)
			return nil
		}
		why = err
	}
}

// connect opens a socket and a session on it: the old one where there was one,
// else a new one. On success the link is published and what waited is sent.
func (c *Client) connect(ctx context.Context) (*link, error) {
	l, err := dialLink(ctx, c.url, &c.opts)
	if err != nil {
		return nil, err
	}
	// The dial is bounded by ctx; so is the greeting.
	stop := context.AfterFunc(ctx, func() { l.conn.Close() })
	err = c.greet(ctx, l)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		l.conn.Close()
		return nil, err
	}
	c.publish(l)
	return l, nil
}

// greet resumes the session, or opens one.
func (c *Client) greet(ctx context.Context, l *link) error {
	bearer := ""
	if c.opts.Bearer != nil {
		var err error
		if bearer, err = c.opts.Bearer(ctx); err != nil {
			return fmt.Errorf("client: bearer token: %w", err)
		}
	}
	c.mu.Lock()
	token, seq := c.welcome.Resume.Token, c.seq
	hello := protocol.Hello{Name: c.opts.Name, Guest: c.welcome.Guest, Auth: bearer}
	c.mu.Unlock()
	if token != "" {
		m, err := l.ask(protocol.TypeResume, protocol.Resume{Token: token, Seq: seq, Auth: bearer}, c.opts.Silence)
		if err == nil {
			l.resumed = true
			return c.resumed(m)
		}
		if protocol.CodeOf(err) != protocol.CodeResumeExpired {
			return err
		}
	}
	m, err := l.ask(protocol.TypeHello, hello, c.opts.Silence)
	if err != nil {
		return err
	}
	return c.welcomed(m, token != "")
}

// ask sends the first message of a socket and reads its answer. Its request
// number is 1, which later requests never use.
func (l *link) ask(t protocol.Type, d any, quiet time.Duration) (*envelope, error) {
	frame, err := encode(&envelope{T: t, ID: greetID}, d)
	if err != nil {
		return nil, err
	}
	if err := l.write(frame); err != nil {
		return nil, err
	}
	m, err := l.read(quiet)
	if err != nil {
		return nil, err
	}
	if m.T == protocol.TypeErr {
		return nil, m.err()
	}
	return m, nil
}

func (c *Client) welcomed(m *envelope, again bool) error {
	var w protocol.Welcome
	if m.T != protocol.TypeWelcome {
		return fmt.Errorf("client: %q where welcome was due", m.T)
	}
	if err := json.Unmarshal(m.D, &w); err != nil {
		return fmt.Errorf("client: welcome: %w", err)
	}
	c.mu.Lock()
	if w.Guest == "" {
		w.Guest = c.welcome.Guest
	}
	c.welcome, c.seq, c.acked = w, 0, 0
	lost := c.pending
	c.pending = map[uint32]*call{}
	c.mu.Unlock()
	for _, p := range lost {
		p.finish(nil, ErrSessionLost)
	}
	c.chat.forget()
	if again {
		c.emit(Up{New: true})
		c.reopenViews()
	}
	return nil
}

func (c *Client) resumed(m *envelope) error {
	var r protocol.Resumed
	if m.T != protocol.TypeResumed {
		return fmt.Errorf("client: %q where resumed was due", m.T)
	}
	if err := json.Unmarshal(m.D, &r); err != nil {
		return fmt.Errorf("client: resumed: %w", err)
	}
	c.mu.Lock()
	c.welcome.Resume, c.welcome.Node = r.Resume, r.Node
	if r.PingMS > 0 {
		c.welcome.PingMS = r.PingMS
	}
	if r.ICE != nil {
		c.welcome.ICE = r.ICE
	}
	if r.State != nil {
		c.welcome.User = r.State.User
		c.seq = r.Seq
	}
	c.mu.Unlock()
	if r.State != nil {
		c.chat.state(r.State.Room)
	}
	c.emit(Up{State: r.State})
	c.reopenViews()
	return nil
}

// publish makes l the socket to write on, first sending the requests that have
// no answer yet, in their order.
func (c *Client) publish(l *link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.mu.Lock()
	c.link = l
	frames := c.unansweredLocked()
	if l.resumed { // a first word tells the server that the new token has arrived
		frames = slices.Insert(frames, 0, fmt.Appendf(nil, `{"t":"ack","a":%d}`, c.seq))
		c.acked = c.seq
	}
	c.mu.Unlock()
	for _, f := range frames {
		if l.writeLocked(f) != nil {
			return // closed: the reader finds out
		}
	}
}

// drop forgets the socket l.
func (c *Client) drop(l *link) {
	l.conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == l {
		c.link = nil
	}
}

// end records why the client ended and fails what waits.
func (c *Client) end(err error) {
	c.cancel(err)
	c.mu.Lock()
	c.err = err
	lost := c.pending
	c.pending = nil
	c.mu.Unlock()
	for _, p := range lost {
		p.finish(nil, err)
	}
}

// Close says bye, which ends the session at once, and waits until the client
// has ended: for the server's own close at most a second. It may be called again.
func (c *Client) Close() error {
	c.mu.Lock()
	l, again := c.link, c.closing
	c.closing = true
	c.mu.Unlock()
	if l != nil && !again {
		// A bye that gets lost is a lost socket: the grace time ends the session.
		if frame, err := encode(&envelope{T: protocol.TypeBye}, nil); err == nil && l.write(frame) == nil {
			select {
			case <-c.done:
			case <-time.After(time.Second):
			}
		}
	}
	c.Abandon()
	return nil
}

// Abandon ends the client without a word, as a crash would: the server keeps the
// session for its grace time.
func (c *Client) Abandon() {
	c.cancel(ErrClosed)
	<-c.done
}

// Break closes the socket under the session, as a network would; the client
// reconnects and resumes.
func (c *Client) Break() {
	if l := c.current(); l != nil {
		l.conn.Close()
	}
}

func (c *Client) current() *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.link
}

// Events returns the channel of events. It is closed when the client has ended.
func (c *Client) Events() <-chan Event { return c.events }

// Done is closed when the client has ended; Err then says why.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err returns why the client ended: ErrClosed, ErrSlow, *CloseError,
// *RefusedError, *protocol.Error or a network error; nil while it lives.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Welcome returns the server's last welcome, kept up to date by resumes and
// replies: user, guest and resume tokens, ICE servers.
func (c *Client) Welcome() protocol.Welcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.welcome
}

// handle takes one message. An error breaks the socket.
func (c *Client) handle(l *link, m *envelope) error {
	switch m.T {
	case protocol.TypePing:
		return l.write(c.pong())
	case protocol.TypePong:
		return nil
	case protocol.TypeReconnect:
		var r protocol.Reconnect
		if err := json.Unmarshal(m.D, &r); err != nil {
			return fmt.Errorf("client: reconnect: %w", err)
		}
		c.after = time.Duration(r.AfterMS) * time.Millisecond
		return nil
	case protocol.TypeOK, protocol.TypeErr:
		c.answer(m)
		return nil
	}
	if m.Seq == 0 {
		return c.push(m)
	}
	fresh, ack, err := c.take(m.Seq)
	if err != nil || !fresh {
		return err
	}
	if err := c.push(m); err != nil {
		return err
	}
	if ack {
		// A broken socket must not take the push with it; the read finds out.
		_ = l.write(fmt.Appendf(nil, `{"t":"ack","a":%d}`, m.Seq))
	}
	return nil
}

// take counts a must-deliver push. It reports whether it is new and whether an ack
// is due, and returns an error for a gap: a resume heals it.
func (c *Client) take(seq uint64) (fresh, ack bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if seq <= c.seq {
		return false, false, nil
	}
	if seq != c.seq+1 {
		return false, false, fmt.Errorf("client: push %d after %d", seq, c.seq)
	}
	c.seq = seq
	ack = c.seq-c.acked >= ackEvery
	if ack {
		c.acked = c.seq
	}
	return true, ack, nil
}

// ackEvery is half of what the protocol demands (32).
const ackEvery = 16

func (c *Client) pong() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acked = c.seq
	return fmt.Appendf(nil, `{"t":"pong","a":%d}`, c.seq)
}

// cause returns why a socket or a try to get one ended in err: the end of the
// client comes first.
func (c *Client) cause(err error) error {
	if cause := context.Cause(c.ctx); cause != nil {
		return cause
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return ErrClosed
	}
	return err
}

// encode makes a frame of m with d as its payload.
func encode(m *envelope, d any) ([]byte, error) {
	if d != nil {
		b, err := json.Marshal(d)
		if err != nil {
			return nil, err
		}
		m.D = b
	}
	return json.Marshal(m)
}

// IsClosed reports whether err is a close by the server with code.
func IsClosed(err error, code protocol.CloseCode) bool {
	ce, ok := errors.AsType[*CloseError](err)
	return ok && ce.Code == code
}
