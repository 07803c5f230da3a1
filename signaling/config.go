package signaling

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/internal/turnstile"
	"github.com/rondo-chat/rondo/protocol"
)

// Signer makes and checks tokens; *auth.Signer is one.
type Signer interface {
	Sign(purpose string, payload []byte) string
	Verify(purpose, token string) ([]byte, error)
}

// Identity is who a session belongs to.
type Identity struct {
	User       protocol.User
	Login      Login  // of an account; zero for guests
	GuestToken string // for welcome.guest; "" for who is no guest
}

// Login is what makes a session an account's, and for how long.
type Login struct {
	Session string      `json:"session"` // the account's session, not this one
	Roles   []auth.Role `json:"roles,omitempty"`
	Expires time.Time   `json:"expires"`
}

// left is for how long it is good, in whole milliseconds; 0 for guests.
func (l Login) left(now time.Time) int64 {
	if l.Session == "" {
		return 0
	}
	return max(l.Expires.Sub(now).Milliseconds(), 1)
}

// Request is what is kept of the upgrade request until the session is open.
type Request struct {
	Addr   netip.Addr
	Host   string
	Secure bool        // it came by https
	Header http.Header // Origin, Cookie, Authorization, Sec-WebSocket-Protocol, User-Agent and Accept-Language only
}

// Handler serves one message type.
type Handler struct {
	Rate  ratelimit.Rate // zero: no limit but the bytes of the session
	Group string         // handlers of one Group share a bucket, with the Rate of each; "" means one of its own
	Brief bool           // Serve waits for nothing and keeps nothing of ctx, which then has no deadline and costs nothing

	// Serve handles m for s and returns the d of the reply (nil for {}), which is
	// sent if m carries an id. m.D is valid until Serve returns. ctx ends after
	// Limits.Handler. An error that is no *protocol.Error becomes internal.
	Serve func(ctx context.Context, s *Session, m *protocol.Message) (reply any, err error)
}

// Observer learns of the life of sessions. For one session its methods are
// called one after another, in order and never while a handler of it runs.
// After Opened, Away and Back alternate; Closed comes last, once. They may
// block, which delays only their session. With a Config.Store a session may come
// from another node, with Restored instead of Opened, and go to another one, with
// Moved instead of Closed.
type Observer interface {
	Opened(s *Session)
	Away(s *Session)
	Back(s *Session, fresh bool) // fresh: the client lost its memory (section 3)
	Closed(s *Session, reason CloseReason)
	// Restored: the session, of another node until now, is here, and its client too.
	Restored(s *Session, r Restored)
	// Moved: this node has the session no longer, nor may it act for it. It lives
	// on at node to ("": not known), so nobody is to be told of an end. What is to
	// be known there goes into SetNote, here at the latest.
	Moved(s *Session, to protocol.NodeID)
}

// CloseReason is why a session ended.
type CloseReason string

// Reasons for the end of a session.
const (
	ClosedBye      CloseReason = "bye"      // the client said so
	ClosedLost     CloseReason = "lost"     // away for longer than the grace time
	ClosedKicked   CloseReason = "kicked"   // closed by the server with a code from 4500 on, or for a malformed message
	ClosedShutdown CloseReason = "shutdown" // the hub was closed
)

// Config is what a Hub is made of. Node, Signer and Identify must be set.
type Config struct {
	Node    protocol.NodeID
	Version string // of the program, for welcome.server
	Signer  Signer

	// Identify says who is there. An error with code unauthorized or forbidden
	// ends the connection with 4500; after others the client may try again.
	Identify func(ctx context.Context, r Request, h protocol.Hello) (Identity, error)
	// Resume is asked before a session goes on at a new socket, in the session's
	// turn; it may call SetLogin. After an error the client has no session, and the
	// session waits on; unauthorized closes the socket with 4014. nil: always.
	Resume func(ctx context.Context, s *Session, r Request, in protocol.Resume) error
	// Welcome adds to the answer what other packages know; nil adds nothing.
	Welcome func(ctx context.Context, s *Session, w *protocol.Welcome)
	// State tells everything to a client that lost its memory or pushes. User and
	// Limits are filled in where they are zero. nil: no more than these.
	State func(ctx context.Context, s *Session) *protocol.State
	// ResumedICE gives new credentials at a resume; nil gives none.
	ResumedICE func(s *Session) *protocol.ICE

	Handlers map[protocol.Type]Handler
	Observer Observer // nil: nobody is told

	// CheckOrigin refuses an upgrade; nil allows pages of the own host only.
	CheckOrigin func(*http.Request) error
	// Secure reports whether a client came by https; nil looks at the connection.
	Secure func(*http.Request) bool
	// RemoteAddr finds the client's address; nil takes the connection's.
	RemoteAddr func(*http.Request) netip.Addr

	// Store and Notifier let a session go on at another node; both or neither.
	Store    Store
	Notifier Notifier

	// Turnstile is where people wait who come or go, or send much. nil: one of
	// the hub's own.
	Turnstile *turnstile.Turnstile

	Limits       Limits
	Logger       *slog.Logger          // nil: no log
	LogAddresses bool                  // put client addresses into the log
	Registerer   prometheus.Registerer // nil: not registered
}

// Limits are the bounds of sessions. A zero field means its default; a rate is
// switched off by a negative PerSecond, a count by a negative value where that
// is said.
type Limits struct {
	HelloTimeout time.Duration // until the first message; 5 s
	Ping         time.Duration // silence before a ping; 25 s
	Silence      time.Duration // beyond Ping until a silent client is dropped; 10 s
	Grace        time.Duration // how long a session outlives its socket; 30 s
	Handler      time.Duration // of one handler's context; 10 s
	CloseTime    time.Duration // for the close frame and the peer's answer; 2 s
	Lease        time.Duration // without renewal until a node counts as dead, for sessions; 5 s
	Handover     time.Duration // how long another node may take to give a session away; 700 ms

	HelloBytes   int // of a message before welcome; protocol.MaxHelloBytes
	MessageBytes int // protocol.MaxMessageBytes

	OutboxBytes    int   // waiting for one socket; 256 KiB
	OutboxMessages int   // 512
	QueueBytes     int64 // waiting on all sockets together, beyond which an outbox holds an eighth; 64 MiB
	RingBytes      int   // pushes kept for a resume; 128 KiB
	RingMessages   int   // 64
	Replies        int   // remembered request ids; 32
	ReplyBytes     int   // of all remembered replies but the newest; 64 KiB

	Bytes         ratelimit.Rate // of all messages of a session; 64 KiB/s, burst 512 KiB
	Plain         ratelimit.Rate // of ping and unknown types; 5/s, burst 20
	Refusals      int            // refused messages within RefusalWindow that end the socket; 20
	RefusalWindow time.Duration  // 10 s

	Upgrades    ratelimit.Rate // per address or IPv6 /64; 10/s, burst 50
	PerAddress  int            // sockets per address or IPv6 /64; 50; negative: no limit
	MaxSessions int            // sockets of this node; 100,000; negative: no limit
}

func (l Limits) withDefaults() Limits {
	def(&l.HelloTimeout, 5*time.Second)
	def(&l.Ping, 25*time.Second)
	def(&l.Silence, 10*time.Second)
	def(&l.Grace, 30*time.Second)
	def(&l.Handler, 10*time.Second)
	def(&l.CloseTime, 2*time.Second)
	def(&l.Lease, 5*time.Second)
	def(&l.Handover, 700*time.Millisecond)
	def(&l.HelloBytes, protocol.MaxHelloBytes)
	def(&l.MessageBytes, protocol.MaxMessageBytes)
	def(&l.OutboxBytes, 256<<10)
	def(&l.OutboxMessages, 512)
	def(&l.QueueBytes, 64<<20)
	def(&l.RingBytes, 128<<10)
	def(&l.RingMessages, 64)
	def(&l.Replies, 32)
	def(&l.ReplyBytes, 64<<10)
	def(&l.Bytes, ratelimit.Rate{PerSecond: 64 << 10, Burst: 512 << 10})
	def(&l.Plain, ratelimit.Rate{PerSecond: 5, Burst: 20})
	def(&l.Refusals, 20)
	def(&l.RefusalWindow, 10*time.Second)
	def(&l.Upgrades, ratelimit.Rate{PerSecond: 10, Burst: 50})
	def(&l.PerAddress, 50)
	def(&l.MaxSessions, 100_000)
	return l
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func (l Limits) validate() error {
	for _, d := range []time.Duration{l.HelloTimeout, l.Ping, l.Silence, l.Grace, l.Handler, l.CloseTime, l.Lease, l.Handover, l.RefusalWindow} {
		if d < 0 {
			return errors.New("signaling: a limit that is a time is negative")
		}
	}
	for _, n := range []int{l.HelloBytes, l.MessageBytes, l.OutboxBytes, l.OutboxMessages, l.RingBytes, l.RingMessages, l.Replies, l.ReplyBytes, l.Refusals} {
		if n < 0 {
			return errors.New("signaling: a limit that is a size is negative")
		}
	}
	if l.OutboxBytes < l.RingBytes {
		return errors.New("signaling: the outbox must hold what the ring holds")
	}
	return nil
}

func (c Config) withDefaults() (Config, error) {
	if c.Node == "" || c.Signer == nil || c.Identify == nil {
		return c, errors.New("signaling: Node, Signer and Identify must be set")
	}
	if (c.Store == nil) != (c.Notifier == nil) {
		return c, errors.New("signaling: Store and Notifier come together")
	}
	for t, h := range c.Handlers {
		if h.Serve == nil || builtin(t) {
			return c, errors.New("signaling: handler of " + string(t) + " is missing or not yours to handle")
		}
	}
	if c.CheckOrigin == nil {
		c.CheckOrigin = auth.Origins{}.Check
	}
	if c.RemoteAddr == nil {
		c.RemoteAddr = remoteAddr
	}
	if c.Secure == nil {
		c.Secure = func(r *http.Request) bool { return r.TLS != nil }
	}
	if c.Observer == nil {
		c.Observer = nobody{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Limits = c.Limits.withDefaults()
	return c, c.Limits.validate()
}

func remoteAddr(r *http.Request) netip.Addr {
	ap, _ := netip.ParseAddrPort(r.RemoteAddr)
	return ap.Addr().Unmap()
}

// builtin reports whether the hub itself handles the type.
func builtin(t protocol.Type) bool {
	switch t {
	case protocol.TypeHello, protocol.TypeResume, protocol.TypeAck, protocol.TypePing, protocol.TypePong, protocol.TypeBye:
		return true
	}
	return false
}

type nobody struct{}

func (nobody) Opened(*Session)                 {}
func (nobody) Away(*Session)                   {}
func (nobody) Back(*Session, bool)             {}
func (nobody) Closed(*Session, CloseReason)    {}
func (nobody) Restored(*Session, Restored)     {}
func (nobody) Moved(*Session, protocol.NodeID) {}
