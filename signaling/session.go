package signaling

import (
	"bytes"
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/internal/seeded"
	"github.com/rondo-chat/rondo/protocol"
)

// Session is one client, across its sockets. It lives until the client says
// bye, is closed for good, or was away for longer than the grace time.
//
// What happens in a session happens in its turn: one handler, or one change of
// its state with what observers do about it, after another. Pushing needs no
// turn.
type Session struct {
	// Static.
	hub *Hub
	id  protocol.SessionID
	// moves is how often it was taken from a node's store record, this time
	// included.
	moves uint64

	// Owned by whoever has the turn.
	bytes   ratelimit.Bucket
	buckets []ratelimit.Bucket // by route; made at first use
	refused []time.Time        // the last refusals, oldest first
	owed    [2]*outbox         // to be written at the end of the turn

	timer timer // the wheel's: end of the grace time

	mu      sync.Mutex
	user    protocol.User
	login   Login
	addr    netip.Addr
	sock    *socket // nil while away or being opened
	state   state
	left    time.Duration // hub clock: when it went away
	gen     uint64        // of the valid resume token
	rev     uint64        // of the last record made
	kept    uint64        // of the last record that the store took
	note    []byte        // for Observer.Restored
	spoken  bool          // the client has shown that it has this token
	seq     uint64
	ring    ring
	replies replies
	held    []Push          // unstated pushes that wait for the socket
	busy    bool            // somebody has the turn
	queue   []chan struct{} // who waits for it
}

type state uint8

const (
	stateOpening state = iota // a socket is about to be attached
	stateOpen
	stateAway
	stateEnded
	stateMoved // ended here only: another node has it
)

// ID returns the session's id, which is not a secret.
func (s *Session) ID() protocol.SessionID { return s.id }

// User returns who it is.
func (s *Session) User() protocol.User {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.user
}

// SetUser changes who it is, as later states tell.
func (s *Session) SetUser(u protocol.User) {
	s.mu.Lock()
	s.user = u
	s.mu.Unlock()
	s.changed()
}

// Login returns what makes the session an account's; zero for guests.
func (s *Session) Login() Login {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.login
}

// SetLogin makes the session an account's, or prolongs that.
func (s *Session) SetLogin(u protocol.User, l Login) {
	s.mu.Lock()
	s.user, s.login = u, l
	s.mu.Unlock()
	s.changed()
}

// Addr returns the client's address, as of its latest socket.
func (s *Session) Addr() netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// Connected reports whether the session has a socket that is not closing.
func (s *Session) Connected() bool {
	k := s.socket()
	return k != nil && !k.closing()
}

func (s *Session) socket() *socket {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sock
}

// Alive reports whether the client is really there: at once if something was
// heard of it within silence; else it is asked, and must answer before ctx ends.
func (s *Session) Alive(ctx context.Context, silence time.Duration) bool {
	k := s.socket()
	return k != nil && !k.closing() && k.alive(ctx, silence)
}

// Push sends p. It never waits: a client that is too slow loses its socket. It
// returns false if the session has moved to another node: p is for that one.
func (s *Session) Push(p Push) bool { return s.push(&p, nil) }

// PushFrame sends a frame that was prepared for many; it returns what Push does.
func (s *Session) PushFrame(f Frame) bool { return s.push(&f.push, f.wire) }

func (s *Session) push(p *Push, wire []byte) bool {
	s.hub.m.pushes[p.Class].Inc()
	s.mu.Lock()
	if s.state == stateMoved {
		s.mu.Unlock()
		return false
	}
	slow := s.pushLocked(p, wire)
	if seeded.PushTwice.Hit() {
		s.pushLocked(p, wire)
	}
	away := s.sock == nil && p.Class != Latest && s.state == stateAway
	s.mu.Unlock()
	if slow != nil {
		s.hub.m.dropped[dropFull].Inc()
		s.abandon(slow, protocol.CloseSlow, "slow")
	}
	if away {
		s.changed()
	}
	return true
}

// pushLocked returns the socket if it is too slow.
func (s *Session) pushLocked(p *Push, wire []byte) *socket {
	if s.state == stateEnded {
		s.hub.m.dropped[dropEnded].Inc()
		return nil
	}
	if s.sock == nil {
		s.hub.m.dropped[dropAway].Inc()
		if p.Class == Latest {
			return nil
		}
	}
	if p.Unstated && s.state == stateOpening && len(s.held) < s.hub.cfg.Limits.RingMessages {
		h := *p
		h.D, h.Turn = bytes.Clone(p.D), nil
		s.held = append(s.held, h)
		return nil
	}
	if p.Class == MustDeliver {
		s.seq++
		wire = p.wire(s.seq)
	} else if wire == nil {
		wire = p.wire(0)
	}
	key := ""
	if p.Class == Latest {
		key = string(p.Type) + " " + p.Key
	} else if !seeded.PushUnkept.Hit() {
		s.ring.add(entry{seq: s.seq, own: p.Class == MustDeliver, room: p.Room, b: wire}, &s.hub.cfg.Limits)
	}
	if s.sock != nil && s.sock.sendIn(p.Turn, wire, key) {
		return s.sock
	}
	return nil
}

// owe leaves it to who has the turn to have o written at its end. It returns false if
// there is no turn, or too much to do then.
func (s *Session) owe(o *outbox) bool {
	if s == nil {
		return false
	}
	for i := range s.owed {
		if s.owed[i] == nil {
			s.owed[i] = o
			return true
		}
	}
	return false
}

// unholdLocked pushes what was held, now that the session has a socket or leaves.
func (s *Session) unholdLocked() {
	held := s.held
	s.held = nil
	for i := range held {
		if k := s.pushLocked(&held[i], nil); k != nil {
			s.hub.m.dropped[dropFull].Inc()
			s.hub.spawn(func() { s.abandon(k, protocol.CloseSlow, "slow") })
		}
	}
}

// Close closes the socket with a code. If the code tells clients not to come
// back, the session ends, also one that is away; else it goes away and may be
// resumed. Close does not wait.
func (s *Session) Close(code protocol.CloseCode, reason string) {
	if k := s.socket(); k != nil {
		s.abandon(k, code, shortReason(reason))
		return
	}
	s.hub.spawn(func() { s.closeLater(code, shortReason(reason)) })
}

// closeLater closes a session that has no socket, or one only after its turn.
func (s *Session) closeLater(code protocol.CloseCode, reason string) {
	_ = s.acquire(context.Background())
	k := s.socket()
	s.release()
	switch {
	case k != nil:
		s.abandon(k, code, reason)
	case !code.Reconnect():
		s.end(closeReason(code), func() bool { return s.sock == nil })
	}
}

// abandon closes k and lets the session know without waiting for the peer's answer.
func (s *Session) abandon(k *socket, code protocol.CloseCode, reason string) {
	k.close(code, reason)
	s.hub.spawn(func() {
		s.hub.patience.Pass()
		s.lose(k)
	})
}

// acquire waits for the session's turn.
func (s *Session) acquire(ctx context.Context) error {
	s.mu.Lock()
	if !s.busy {
		s.busy = true
		s.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	s.queue = append(s.queue, turn)
	s.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, q := range s.queue {
		if q == turn {
			s.queue = append(s.queue[:i], s.queue[i+1:]...)
			return ctx.Err()
		}
	}
	s.releaseLocked() // it was given just now
	return ctx.Err()
}

// acquireNow takes the turn if nobody has it.
func (s *Session) acquireNow() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	free := !s.busy
	s.busy = true
	return free
}

func (s *Session) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.releaseLocked()
}

func (s *Session) releaseLocked() {
	if len(s.queue) == 0 {
		s.busy = false
		s.queue = nil
		return
	}
	next := s.queue[0]
	s.queue = s.queue[1:]
	close(next)
}

// lose is the end of socket k for the session: it goes away, or ends if k was
// closed for good.
func (s *Session) lose(k *socket) {
	code := protocol.CloseCode(k.code.Load())
	switch {
	case s.hub.closing():
		s.shutdown(func() bool { return s.sock == k })
	case code != 0 && code != protocol.CloseReplaced && !code.Reconnect():
		s.end(closeReason(code), func() bool { return s.sock == k })
	default:
		s.goAway(k)
	}
}

func closeReason(code protocol.CloseCode) CloseReason {
	if code == protocol.CloseBye {
		return ClosedBye
	}
	return ClosedKicked
}

func (s *Session) goAway(k *socket) {
	_ = s.acquire(context.Background())
	defer s.release()
	s.mu.Lock()
	if s.state != stateOpen || s.sock != k {
		s.mu.Unlock()
		return
	}
	s.sock = nil
	s.awayLocked()
	s.mu.Unlock()
	s.hub.m.connected.Dec()
	s.tell(func(o Observer) { o.Away(s) })
	s.changed()
}

// shutdown ends the session because the hub closes: for good, or for another
// node to go on with.
func (s *Session) shutdown(only func() bool) {
	if s.hub.keeper == nil {
		s.end(ClosedShutdown, only)
		return
	}
	s.shelve(only)
}

// awayLocked begins the grace time.
func (s *Session) awayLocked() {
	s.state = stateAway
	s.left = s.hub.clock()
	s.hub.m.away.Inc()
	s.hub.wheel.set(&s.timer, s.hub.cfg.Limits.Grace)
}

// due implements timed: the grace time is over.
func (s *Session) due() time.Duration {
	s.hub.spawn(func() {
		s.hub.patience.Pass()
		s.end(ClosedLost, func() bool {
			return s.state == stateAway && s.hub.clock()-s.left >= s.hub.cfg.Limits.Grace
		})
	})
	return 0
}

// end ends the session in its turn, if it has not ended and only (asked under
// the lock) agrees.
func (s *Session) end(reason CloseReason, only func() bool) {
	_ = s.acquire(context.Background())
	defer s.release()
	s.mu.Lock()
	if s.state == stateEnded || s.state == stateMoved || (only != nil && !only()) {
		s.mu.Unlock()
		return
	}
	if s.state == stateAway {
		s.hub.m.away.Dec()
	} else {
		s.hub.m.connected.Dec()
	}
	s.state = stateEnded
	s.sock, s.ring, s.replies = nil, ring{}, replies{}
	s.mu.Unlock()
	s.hub.wheel.unset(&s.timer)
	s.hub.remove(s)
	if p := s.hub.keeper; p != nil && !p.remove(s) {
		s.hub.m.moves.WithLabelValues("fenced").Inc()
		s.tell(func(o Observer) { o.Moved(s, "") })
		return
	}
	s.tell(func(o Observer) { o.Closed(s, reason) })
}

// tell calls the observer; the caller has the turn and no lock.
func (s *Session) tell(f func(Observer)) {
	_, _ = s.hub.guard("observer", func() error { f(s.hub.cfg.Observer); return nil }) // logged there
}

// spawn runs f unless the hub is closed, which waits for it.
func (h *Hub) spawn(f func()) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.closed {
		return // Close ends every session itself
	}
	h.wg.Go(f)
}
