// Package server is where Rondo's features meet: it joins sessions, matching,
// rooms, chat and relays into one service, maps messages and routes to them, and
// starts and stops them in order. It holds no feature's logic: what a feature
// promises stands in the feature's package.
package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/chat"
	"github.com/rondo-chat/rondo/internal/turnstile"
	"github.com/rondo-chat/rondo/matchmaking"
	"github.com/rondo-chat/rondo/metrics"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/rooms"
	"github.com/rondo-chat/rondo/signaling"
)

// Config is what a Server is made of: drivers that are open already, and
// settings. Fields without a default are required.
type Config struct {
	Version string
	Bus     bus.Bus // its node is this server's
	Signer  *auth.Signer
	Guests  *auth.Guests

	Queue     matchmaking.Queue
	Relations matchmaking.Relations
	Rooms     rooms.Store
	Chat      chat.Store
	Pools     []matchmaking.PoolConfig // default: video, audio and text
	PoolParts int                      // matchmaking.Config.Parts; default 1

	// ICE returns what a session's peer connections need; nil: no servers.
	ICE func(protocol.SessionID) *protocol.ICE
	// Revoke ends a session's relays after its end; nil: there are none.
	Revoke func(protocol.SessionID)

	CheckOrigin func(*http.Request) error
	RemoteAddr  func(*http.Request) netip.Addr
	Page        http.Handler // everything that is not the server's own route
	// Secure reports whether a client came by https; nil: looks at the connection.
	Secure func(*http.Request) bool

	Accounts      *Accounts      // nil: there are guests only
	Conversations *Conversations // nil: there are none

	Sessions signaling.Limits
	// SessionStore lets a session go on at another node, also when its own died;
	// nil: a session lives and dies with its node.
	SessionStore signaling.Store
	// Silence is how long a waiting session may have been silent before it is
	// pinged ahead of a match; default 250 ms, negative: always ping.
	Silence time.Duration

	// Turnstile is where people wait who come or go, or send much; nil: one of
	// the sessions' own.
	Turnstile *turnstile.Turnstile

	Health     *metrics.Health       // required
	Registerer prometheus.Registerer // nil: metrics are not registered
	Logger     *slog.Logger
	// LogAddresses lets clients' addresses appear in the log.
	LogAddresses bool
}

// Server is one node of the service.
type Server struct {
	cfg      Config // static after construction, as all fields of this block
	node     protocol.NodeID
	log      *slog.Logger
	bus      bus.Bus
	hub      *signaling.Hub
	matcher  *matchmaking.Matcher
	registry *rooms.Registry
	chat     *chat.Log
	calls    *metrics.Calls
	pools    []protocol.Pool
	silence  time.Duration
	seats    *seats
	census   *census
	passage  *passage
	presence *presence
	kept     *kept
	people   *people // nil: there are guests only
	talks    *talks  // nil: there are no conversations
	noting   sync.Mutex
	moves    sync.Map // protocol.SessionID → int: of sessions that came from another node
	wishes   sync.Map // protocol.SessionID → wish

	life context.Context // ends with Close; background work hangs on it
	end  context.CancelFunc
	work sync.WaitGroup
}

// New joins the parts. Start makes them run.
func New(cfg Config) (*Server, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if len(cfg.Pools) == 0 {
		cfg.Pools = []matchmaking.PoolConfig{
			{Name: "video", Mode: protocol.ModeVideo}, {Name: "audio", Mode: protocol.ModeAudio}, {Name: "text", Mode: protocol.ModeText},
		}
	}
	if cfg.Silence == 0 {
		cfg.Silence = silence
	}
	s := &Server{cfg: cfg, node: cfg.Bus.Node(), log: cfg.Logger, bus: cfg.Bus, seats: newSeats(), census: newCensus(), passage: newPassage(), presence: newPresence(), silence: max(0, cfg.Silence)}
	s.kept = newKept(cmp.Or(cfg.Sessions.Grace, 30*time.Second))
	s.life, s.end = context.WithCancel(context.Background())
	if err := s.build(); err != nil {
		s.end()
		return nil, err
	}
	s.bus.Handle(kindRoom, s.receiveRoom)
	s.bus.Handle(kindSignal, s.receiveSignal)
	s.bus.Handle(kindCensus, s.receiveCensus)
	s.bus.Handle(kindSession, func(m bus.Message) { s.hub.Receive(m.From, m.Payload) })
	s.bus.Handle(kindMatch, func(m bus.Message) { s.matcher.Receive(m.From, m.Payload) })
	return s, nil
}

// build makes the features, the lowest first.
func (s *Server) build() (err error) {
	reg := s.cfg.Registerer
	s.calls = metrics.NewCalls(reg)
	if s.registry, err = rooms.New(rooms.Config{Store: s.cfg.Rooms, Node: s.node, Key: s.cfg.Signer.Key("room passcode"),
		Grace: s.cfg.Sessions.Grace, Stranded: s.stranded, Regained: s.regained,
		Removed: s.removed, Holds: func(seat rooms.Seat) bool { return s.seats.sits(seat.Session, seat.Room) }, Kept: s.keepChat, Logger: s.log, Registerer: reg}); err != nil {
		return fmt.Errorf("rooms: %w", err)
	}
	if s.chat, err = chat.New(chat.Config{Store: s.cfg.Chat, Follows: s.seats.has, Logger: s.log, Registerer: reg}); err != nil {
		return fmt.Errorf("chat: %w", err)
	}
	if s.matcher, err = matchmaking.New(matchmaking.Config{Node: s.node, Queue: s.cfg.Queue, Relations: s.cfg.Relations,
		Notifier: notifier{s.bus, kindMatch}, Hooks: matchHooks{s}, Pools: s.cfg.Pools, Parts: s.cfg.PoolParts, Logger: s.log, Registerer: reg}); err != nil {
		return fmt.Errorf("matchmaking: %w", err)
	}
	s.pools = s.matcher.Pools()
	if err := s.buildPeople(); err != nil {
		return fmt.Errorf("accounts: %w", err)
	}
	if err := s.buildTalks(); err != nil {
		return fmt.Errorf("conversations: %w", err)
	}
	if err := s.buildAPI(); err != nil {
		return err
	}
	var watcher signaling.Observer = observer{s}
	var resume func(context.Context, *signaling.Session, signaling.Request, protocol.Resume) error
	if s.people != nil {
		watcher, resume = peopleObserver{observer{s}, s.people}, s.people.resume
	}
	if s.talks != nil {
		watcher = talksObserver{watcher, s.talks.live}
	}
	var sessions signaling.Notifier
	if s.cfg.SessionStore != nil {
		sessions = notifier{s.bus, kindSession}
	}
	if s.hub, err = signaling.New(signaling.Config{
		Node: s.node, Version: s.cfg.Version, Signer: s.cfg.Signer,
		Identify: s.identify, Resume: resume, Welcome: s.welcome, State: s.state,
		ResumedICE: func(sess *signaling.Session) *protocol.ICE { return s.ice(sess.ID()) },
		Handlers:   s.handlers(), Observer: watcher,
		CheckOrigin: s.cfg.CheckOrigin, RemoteAddr: s.cfg.RemoteAddr, Secure: s.cfg.Secure,
		Store: s.cfg.SessionStore, Notifier: sessions,
		Limits: s.cfg.Sessions, Turnstile: s.cfg.Turnstile, Logger: s.log, LogAddresses: s.cfg.LogAddresses, Registerer: reg,
	}); err != nil {
		return fmt.Errorf("signaling: %w", err)
	}
	s.cfg.Health.AddCheck("bus", func(context.Context) error { return s.bus.Healthy() })
	return nil
}

// Start makes the server receive from other nodes, match and sweep.
func (s *Server) Start(ctx context.Context) error {
	if err := s.bus.Start(ctx); err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	if s.people != nil {
		if err := s.people.start(ctx); err != nil {
			return fmt.Errorf("accounts: %w", err)
		}
	}
	if s.talks != nil {
		s.talks.live.Start(s.talks)
		s.work.Go(func() { s.talks.Run(s.life) })
	}
	if err := s.registry.Start(ctx); err != nil {
		return fmt.Errorf("rooms: %w", err)
	}
	if err := s.matcher.Start(ctx); err != nil {
		return fmt.Errorf("matchmaking: %w", err)
	}
	s.work.Go(s.tellCensus)
	s.work.Go(func() { s.chat.Tend(s.life) })
	return nil
}

// Drain sends every client away, over the given time, to come back elsewhere.
func (s *Server) Drain(ctx context.Context, spread time.Duration) error {
	return s.hub.Drain(ctx, spread)
}

// Close ends all sessions and stops what Start started, in reverse order.
func (s *Server) Close(ctx context.Context) error {
	err := s.hub.Close()
	err = errors.Join(err, s.matcher.Close(ctx))
	s.registry.Close()
	if s.people != nil {
		s.people.close()
	}
	s.end()
	s.work.Wait()
	if s.talks != nil {
		s.talks.live.Close()
	}
	return errors.Join(err, s.bus.Close())
}

// shortly is a context for what must be done although nobody waits for it.
func (s *Server) shortly() (context.Context, context.CancelFunc) {
	return context.WithTimeout(s.life, 5*time.Second)
}

// background runs work that the server waits for when it closes.
func (s *Server) background(work func(context.Context)) {
	s.work.Go(func() {
		ctx, cancel := s.shortly()
		defer cancel()
		work(ctx)
	})
}
