package signaling

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	mrand "math/rand/v2"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/rondo-chat/rondo/internal/pause"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/internal/turnstile"
	"github.com/rondo-chat/rondo/protocol"
)

// Hub holds the sessions of a node.
type Hub struct {
	// Static after New.
	cfg       Config
	log       *slog.Logger
	m         *metrics
	upgrader  *websocket.Upgrader
	admission *admission
	wheel     *wheel
	patience  *turnstile.Turnstile // before what can wait
	routes    map[protocol.Type]*route
	buckets   int           // a session's
	quiet     time.Duration // quietFor
	keeper    *keeper       // nil: sessions stay here
	flow      *flusher
	buffers   *buffers
	start     time.Time
	ctx       context.Context // ends with Close
	cancel    context.CancelFunc

	// Safe by themselves.
	queued    atomic.Int64 // bytes in all outboxes
	draining  atomic.Bool
	claims    claims
	questions questions
	inputs    sync.Pool // of *input
	watch     struct {  // of idle connections, from the first connection on
		once sync.Once
		w    *watcher // nil: there is none
	}
	wg sync.WaitGroup

	mu       sync.RWMutex
	closed   bool
	sessions map[protocol.SessionID]*Session
	sockets  map[*socket]struct{}
}

// route is a handler with what it needs at hand.
type route struct {
	Handler
	bucket int // index of the session's buckets; -1: no limit
	limit  string
}

// New makes a Hub.
func New(cfg Config) (*Hub, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	h := &Hub{
		cfg: cfg, log: cfg.Logger, start: time.Now(), quiet: quietFor,
		sessions: map[protocol.SessionID]*Session{}, sockets: map[*socket]struct{}{}, flow: newFlusher(), buffers: newBuffers(),
	}
	h.m = newMetrics(&h.cfg, func() float64 { return float64(h.queued.Load()) })
	if err := h.m.register(cfg.Registerer); err != nil {
		return nil, err
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.upgrader = newUpgrader(badHandshake)
	h.admission = newAdmission(&h.cfg.Limits)
	if h.patience = cfg.Turnstile; h.patience == nil {
		h.patience = turnstile.New()
	}
	h.inputs.New = func() any { return &input{buf: make([]byte, 0, 2<<10)} }
	h.route()
	l := &h.cfg.Limits
	h.wheel = newWheel(min(max(min(l.HelloTimeout, l.Ping, l.Silence, l.Grace)/20, time.Millisecond), time.Second))
	if cfg.Store != nil {
		h.keeper = newKeeper(h)
		h.keeper.start()
	}
	return h, nil
}

// route numbers the buckets: one a group, one for each handler without group.
func (h *Hub) route() {
	h.routes = map[protocol.Type]*route{}
	groups := map[string]int{}
	h.buckets = 1 // bucket 0 is for what has no handler
	for t, handler := range h.cfg.Handlers {
		r := &route{Handler: handler, bucket: -1, limit: string(t)}
		if !handler.Rate.Unlimited() {
			r.bucket = h.buckets
			if handler.Group != "" {
				r.limit = handler.Group
				if n, ok := groups[r.limit]; ok {
					r.bucket = n
				}
				groups[r.limit] = r.bucket
			}
			h.buckets = max(h.buckets, r.bucket+1)
		}
		h.routes[t] = r
	}
}

// Lookup finds a session of this node, connected or away.
func (h *Hub) Lookup(id protocol.SessionID) (*Session, bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	s, ok := h.sessions[id]
	return s, ok
}

// Len returns how many sessions there are, connected or away.
func (h *Hub) Len() int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.sessions)
}

// enter takes a socket in unless the hub is closed.
func (h *Hub) enter(k *socket) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.sockets[k] = struct{}{}
	h.wg.Add(1)
	h.wheel.set(&k.timer, h.cfg.Limits.HelloTimeout)
	return true
}

// watcher returns the hub's watcher. Without one all works, with a goroutine more for
// each connection.
func (h *Hub) watcher() *watcher {
	h.watch.once.Do(func() {
		var err error
		if h.watch.w, err = newWatcher(); err != nil {
			h.log.Warn("signaling: idle connections cost more than they should", "err", err)
		}
	})
	return h.watch.w
}

func (h *Hub) leave(k *socket) {
	h.wheel.unset(&k.timer)
	h.mu.Lock()
	delete(h.sockets, k)
	h.mu.Unlock()
	h.admission.leave(k.key)
	h.wg.Done()
}

func (h *Hub) add(s *Session) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	// Sessions that are away hold no socket and pass no admission: bound them too.
	if limit := h.cfg.Limits.MaxSessions; h.closed || (limit >= 0 && len(h.sessions) >= 2*limit) {
		return false
	}
	h.sessions[s.id] = s
	return true
}

func (h *Hub) remove(s *Session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sessions[s.id] == s {
		delete(h.sessions, s.id)
	}
}

func (h *Hub) closing() bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.closed
}

// clock is the time since the hub's start. Unlike the wall clock it never
// jumps: a jump would make every client look silent.
func (h *Hub) clock() time.Duration { return time.Since(h.start) }

// Drain lets the clients go: upgrades are refused from now on, and over spread
// each client is told to come back and closed with 4000. It returns when no
// socket is left and, with a Store, the sessions have gone to other nodes or had
// the time to; when ctx ends, the rest is cut and its error returned.
func (h *Hub) Drain(ctx context.Context, spread time.Duration) error {
	h.draining.Store(true)
	sockets := h.snapshot()
	mrand.Shuffle(len(sockets), func(i, j int) { sockets[i], sockets[j] = sockets[j], sockets[i] })
	begin := time.Now()
	for i, k := range sockets {
		at := begin.Add(spread * time.Duration(i) / time.Duration(len(sockets)))
		if pause.For(ctx, time.Until(at)) != nil {
			break
		}
		k.sendAway(spread)
	}
	for h.countSockets() > 0 {
		if pause.For(ctx, 5*time.Millisecond) == nil {
			continue
		}
		for _, k := range h.snapshot() {
			k.t.close()
		}
		return ctx.Err()
	}
	if h.keeper != nil {
		// Who comes to another node now gets what was sent here meanwhile; what
		// comes after this node's end is lost.
		wait, cancel := context.WithTimeout(ctx, comeBack(spread)+time.Second)
		defer cancel()
		for h.Len() > 0 && pause.For(wait, 5*time.Millisecond) == nil {
		}
	}
	return nil
}

// Close ends all sessions and returns when nothing of the hub runs any more.
// Observers are told shutdown; with a Store, Moved: the sessions' clients may go
// on at another node.
func (h *Hub) Close() error {
	h.draining.Store(true)
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed = true
	h.mu.Unlock()
	h.wheel.close()
	for _, k := range h.snapshot() {
		k.close(protocol.CloseDrain, "drain")
	}
	h.cancel()
	h.wg.Wait()
	h.watch.once.Do(func() {}) // none from now on
	if h.watch.w != nil {
		h.watch.w.close()
	}
	if h.keeper != nil {
		h.keeper.done.Wait()
	}
	var each sync.WaitGroup
	for _, s := range h.all() { // those that were away
		each.Go(func() { s.shutdown(nil) })
	}
	each.Wait()
	return nil
}

func (h *Hub) countSockets() int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.sockets)
}

func (h *Hub) snapshot() []*socket {
	h.mu.RLock()
	defer h.mu.RUnlock()
	list := make([]*socket, 0, len(h.sockets))
	for k := range h.sockets {
		list = append(list, k)
	}
	return list
}

func (h *Hub) all() []*Session {
	h.mu.RLock()
	defer h.mu.RUnlock()
	list := make([]*Session, 0, len(h.sessions))
	for _, s := range h.sessions {
		list = append(list, s)
	}
	return list
}

// guard calls f, somebody else's code, and turns a panic into an error that is
// logged and says nothing to the client but a reference.
func (h *Hub) guard(what string, f func() error) (err error, panicked bool) {
	defer func() {
		if r := recover(); r != nil {
			ref := reference()
			h.log.Error("signaling: panic", "in", what, "ref", ref, "panic", r, "stack", string(debug.Stack()))
			err, panicked = internal(ref), true
		}
	}()
	return f(), false
}

// wireError is the one place where errors become what clients see.
func (h *Hub) wireError(what string, err error) *protocol.Error {
	if e, ok := errors.AsType[*protocol.Error](err); ok && e != nil {
		return e
	}
	ref := reference()
	h.log.Error("signaling: handler failed", "in", what, "ref", ref, "err", err)
	return internal(ref)
}

func internal(ref string) *protocol.Error {
	return protocol.Errorf(protocol.CodeInternal, "something went wrong here; reference %s", ref)
}

func reference() string { return strings.ToLower(rand.Text()[:10]) }

func newSessionID() protocol.SessionID {
	return protocol.SessionID("s_" + strings.ToLower(rand.Text()))
}

// take counts one message of r against the session's bucket.
func (r *route) take(s *Session, now time.Time) (bool, time.Duration) {
	if r.bucket < 0 {
		return true, 0
	}
	return s.bucket(r.bucket).Take(now, 1, r.Rate)
}

func (s *Session) bucket(n int) *ratelimit.Bucket {
	if s.buckets == nil {
		s.buckets = make([]ratelimit.Bucket, s.hub.buckets)
	}
	return &s.buckets[n]
}
