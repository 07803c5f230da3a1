package signaling

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// Notifier carries what the hub of one node tells that of another; Hub.Receive
// takes what arrives. Messages may be lost.
type Notifier interface {
	Notify(to protocol.NodeID, key string, payload []byte) error
}

// Restored is how a session comes from another node.
type Restored struct {
	Note  []byte // see Session.SetNote
	Fresh bool   // the client lost its memory
	// Forwards says that the node that had the session is alive, knows where it
	// went and passes on what arrives there; otherwise that node is dead.
	Forwards bool
}

var (
	errMoved = errors.New("signaling: the session is at another node")
	errFull  = &protocol.Error{Code: protocol.CodeUnavailable, Msg: "the server is full", Retry: 5 * time.Second}
	errStore = &protocol.Error{Code: protocol.CodeUnavailable, Msg: "the session cannot be looked up right now", Retry: time.Second}
)

// SetNote sets what Observer.Restored is given when the session goes on at
// another node.
func (s *Session) SetNote(note []byte) {
	s.mu.Lock()
	s.note = note
	s.mu.Unlock()
	s.changed()
}

// changed has the session stored, if there is a store.
func (s *Session) changed() {
	if p := s.hub.keeper; p != nil {
		p.touch(s)
	}
}

// holding is what the store must have of the session.
func (s *Session) holding() Holding {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Holding{ID: s.id, Moves: s.moves, Rev: s.kept}
}

// stored notes that the store has the record of revision rev.
func (s *Session) stored(rev uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = max(s.kept, rev)
}

// record returns the session as it is now; nil if it is over.
func (s *Session) record() *Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateEnded || s.state == stateMoved {
		return nil
	}
	r := s.recordLocked()
	if s.state == stateAway {
		r.Rest = s.restLocked()
	}
	return r
}

func (s *Session) recordLocked() *Record {
	s.rev++
	return &Record{ID: s.id, Node: s.hub.cfg.Node, Gen: s.gen, Spoken: s.spoken, Moves: s.moves, Rev: s.rev,
		Base: Base{User: s.user, Login: s.login, Seq: s.seq, Note: s.note}}
}

// restLocked is what a client may have to be sent again. It is stored only while
// the client is away: as long as it is here, that changes with every push.
func (s *Session) restLocked() *Rest {
	r := &Rest{Heals: s.ring.heals}
	for _, e := range s.ring.entries {
		r.Ring = append(r.Ring, Kept{e.seq, e.own, e.room, e.b})
	}
	for _, p := range s.replies.list {
		r.Replies = append(r.Replies, Reply{p.id, p.t, p.b})
	}
	return r
}

// restore makes the session of a record; the caller has its turn.
func (h *Hub) restore(r *Record, k *socket) *Session {
	s := &Session{hub: h, id: r.ID, user: r.User, login: r.Login, addr: k.addr, gen: r.Gen, moves: r.Moves, rev: r.Rev, kept: r.Rev, seq: r.Seq, note: r.Note, busy: true}
	s.timer.owner = s
	if r.Rest == nil {
		s.ring.heals = math.MaxUint64 // nobody knows what it would have held
		return s
	}
	s.ring.heals = r.Rest.Heals
	for _, e := range r.Rest.Ring {
		s.ring.add(entry{e.Seq, e.Own, e.Room, e.Frame}, &h.cfg.Limits)
	}
	for _, p := range r.Rest.Replies {
		s.replies.add(reply{p.ID, p.Type, p.Frame}, &h.cfg.Limits)
	}
	return s
}

// claims lets one socket at a time look for a session that is not here.
type claims struct {
	mu  sync.Mutex
	now map[protocol.SessionID]chan struct{}
}

// enter waits until nobody else looks for the session.
func (c *claims) enter(ctx context.Context, id protocol.SessionID) bool {
	for {
		c.mu.Lock()
		busy := c.now[id]
		if busy == nil {
			if c.now == nil {
				c.now = map[protocol.SessionID]chan struct{}{}
			}
			c.now[id] = make(chan struct{})
			c.mu.Unlock()
			return true
		}
		c.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return false
		}
	}
}

func (c *claims) leave(id protocol.SessionID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.now[id])
	delete(c.now, id)
}

func (c *claims) has(id protocol.SessionID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now[id] != nil
}

// claim gets the session for k, from wherever it is. The caller has its turn
// then; from is not nil if it came from another node, or another life of this one.
func (h *Hub) claim(ctx context.Context, k *socket, id protocol.SessionID, gen uint64) (s *Session, from *Restored, e *protocol.Error) {
	for range 4 {
		if s, ok := h.Lookup(id); ok {
			if err := s.takeOver(ctx, k, gen); err == nil {
				return s, nil, nil
			} else if e, ok := errors.AsType[*protocol.Error](err); ok {
				return nil, nil, e
			}
		}
		if h.keeper == nil {
			break
		}
		if !h.claims.enter(ctx, id) {
			return nil, nil, errBusy
		}
		s, from, err := h.fetch(ctx, k, id, gen)
		h.claims.leave(id)
		if err == nil {
			return s, from, nil
		}
		if e, ok := errors.AsType[*protocol.Error](err); ok {
			return nil, nil, e
		}
	}
	return nil, nil, errExpired
}

// fetch takes the session from the node that has it. errMoved: look again.
func (h *Hub) fetch(ctx context.Context, k *socket, id protocol.SessionID, gen uint64) (*Session, *Restored, error) {
	if _, ok := h.Lookup(id); ok {
		return nil, nil, errMoved // another socket was faster
	}
	r, alive, err := h.keeper.store.Load(ctx, id)
	switch {
	case err != nil:
		h.log.Warn("signaling: session not looked up", "err", err)
		return nil, nil, errStore
	case r == nil:
		return nil, nil, errExpired
	case gen > r.Gen: // signed by us, so the store has forgotten that
		return nil, nil, errBusy
	case h.closing() || h.full():
		return nil, nil, errFull
	}
	from := &Restored{}
	way := "dead"
	if r.Node != h.cfg.Node && alive {
		switch h.ask(ctx, r.Node, id, gen) {
		case answerGiven:
			from.Forwards, way = true, "handover"
		case answerRefused:
			return nil, nil, errExpired
		case answerBusy:
			return nil, nil, errBusy
		case answerNone:
			way = "silent"
		}
	}
	r, err = h.keeper.store.Take(ctx, h.keeper.ttl(), id, gen, r.Node, h.cfg.Node)
	switch {
	case err != nil:
		h.log.Warn("signaling: session not taken", "err", err)
		return nil, nil, errStore
	case r == nil:
		return nil, nil, errMoved
	}
	s := h.restore(r, k)
	if !h.add(s) {
		return nil, nil, errFull
	}
	h.m.connected.Inc()
	h.m.moves.WithLabelValues(way).Inc()
	from.Note = r.Note
	return s, from, nil
}

// full reports whether no session can be added.
func (h *Hub) full() bool {
	limit := h.cfg.Limits.MaxSessions
	return limit >= 0 && h.Len() >= 2*limit
}

// questionAge is how old a question may be, with what the clocks of two nodes may
// differ. Where they differ by more, sessions are taken as from a silent node.
const questionAge = 5 * time.Second

// answers of a node that is asked for a session.
type handoverAnswer string

const (
	answerNone    handoverAnswer = ""        // it did not answer in time
	answerGiven   handoverAnswer = "given"   // it has stored all of it and forgotten it
	answerAbsent  handoverAnswer = "absent"  // it does not have it
	answerRefused handoverAnswer = "refused" // the token is not good
	answerBusy    handoverAnswer = "busy"    // not now
)

// handover is a message between hubs.
type handover struct {
	Number  uint64             `json:"n"`
	Session protocol.SessionID `json:"s,omitempty"` // of a question
	Gen     uint64             `json:"g,omitempty"`
	Asked   int64              `json:"t,omitempty"` // when, Unix milliseconds; of a question
	Answer  handoverAnswer     `json:"a,omitempty"`
}

// questions are those that other nodes have not answered yet.
type questions struct {
	mu   sync.Mutex
	last uint64
	open map[uint64]chan handoverAnswer
}

func (q *questions) begin() (uint64, chan handoverAnswer) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.open == nil {
		q.open = map[uint64]chan handoverAnswer{}
	}
	q.last++
	c := make(chan handoverAnswer, 1)
	q.open[q.last] = c
	return q.last, c
}

// end takes a question off the list; nil if it is not there.
func (q *questions) end(n uint64) chan handoverAnswer {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := q.open[n]
	delete(q.open, n)
	return c
}

// ask asks a node to give the session away.
func (h *Hub) ask(ctx context.Context, node protocol.NodeID, id protocol.SessionID, gen uint64) handoverAnswer {
	n, answer := h.questions.begin()
	defer h.questions.end(n)
	if err := h.notify(node, id, handover{Number: n, Session: id, Gen: gen, Asked: time.Now().UnixMilli()}); err != nil {
		return answerNone
	}
	patience := time.NewTimer(h.cfg.Limits.Handover)
	defer patience.Stop()
	select {
	case a := <-answer:
		return a
	case <-patience.C:
		return answerNone
	case <-ctx.Done():
		return answerBusy
	}
}

func (h *Hub) notify(to protocol.NodeID, id protocol.SessionID, m handover) error {
	b, err := json.Marshal(m)
	if err == nil {
		err = h.cfg.Notifier.Notify(to, string(id), b)
	}
	if err != nil {
		h.log.Warn("signaling: node not told", "to", to, "err", err)
	}
	return err
}

// Receive takes what the hub of another node said through its Notifier.
func (h *Hub) Receive(from protocol.NodeID, payload []byte) {
	var m handover
	if err := json.Unmarshal(payload, &m); err != nil || h.keeper == nil {
		h.log.Warn("signaling: message from node dropped", "from", from, "err", err)
		return
	}
	if m.Answer != answerNone {
		if c := h.questions.end(m.Number); c != nil {
			c <- m.Answer
		}
		return
	}
	if time.Since(time.UnixMilli(m.Asked)) > questionAge {
		return // the bus kept it while a network was away: whoever asked has given up
	}
	h.spawn(func() {
		_ = h.notify(from, m.Session, handover{Number: m.Number, Answer: h.give(m.Session, m.Gen, from)})
	})
}

// give gives a session to another node whose client has shown a token.
func (h *Hub) give(id protocol.SessionID, gen uint64, to protocol.NodeID) handoverAnswer {
	s, ok := h.Lookup(id)
	if !ok {
		if h.claims.has(id) {
			return answerBusy // it is just coming
		}
		return answerAbsent
	}
	s.mu.Lock()
	k, state, good := s.sock, s.state, s.acceptsLocked(gen)
	s.mu.Unlock()
	switch {
	case state == stateOpening:
		return answerBusy
	case state == stateEnded || state == stateMoved:
		return answerAbsent
	case !good:
		return answerRefused
	}
	if k != nil {
		k.close(protocol.CloseReplaced, "replaced")
	}
	ctx, cancel := context.WithTimeout(h.ctx, h.cfg.Limits.Handover*4/5)
	defer cancel()
	if s.acquire(ctx) != nil {
		return answerBusy
	}
	defer s.release()
	s.mu.Lock()
	good = s.acceptsLocked(gen)
	s.mu.Unlock()
	if !good {
		return answerBusy
	}
	s.depart(to, true)
	return answerGiven
}

// fenced ends what is left of a session that another node has taken.
func (s *Session) fenced() {
	if k := s.socket(); k != nil {
		k.close(protocol.CloseReplaced, "replaced")
	}
	_ = s.acquire(context.Background())
	defer s.release()
	s.depart("", false)
}

// shelve stores a session whose node stops, for whichever node its client
// comes to. only is as for end.
func (s *Session) shelve(only func() bool) {
	_ = s.acquire(context.Background())
	defer s.release()
	s.mu.Lock()
	ok := only == nil || only()
	s.mu.Unlock()
	if ok {
		s.depart("", true)
	}
}

// depart ends the session here but nowhere else; the caller has the turn.
func (s *Session) depart(to protocol.NodeID, save bool) {
	h := s.hub
	s.mu.Lock()
	was, k := s.state, s.sock
	if was == stateEnded || was == stateMoved {
		s.mu.Unlock()
		return
	}
	s.sock, s.state = nil, stateOpening // pushes wait in the ring
	s.mu.Unlock()
	if k != nil { // perhaps one that came while the turn was awaited
		k.close(protocol.CloseReplaced, "replaced")
	}
	h.wheel.unset(&s.timer)
	if was == stateAway {
		h.m.away.Dec()
	} else {
		h.m.connected.Dec()
	}
	if was == stateOpen {
		s.tell(func(o Observer) { o.Away(s) })
	}
	s.tell(func(o Observer) { o.Moved(s, to) })
	s.mu.Lock()
	s.state = stateMoved
	s.unholdLocked()
	r := s.recordLocked()
	r.Rest = s.restLocked()
	s.ring, s.replies = ring{}, replies{}
	s.mu.Unlock()
	h.m.moves.WithLabelValues(map[bool]string{true: "given", false: "fenced"}[save]).Inc()
	if save {
		_, err := h.keeper.call(context.Background(), "save", func(ctx context.Context) ([]bool, error) {
			return h.keeper.store.Save(ctx, h.keeper.ttl(), []*Record{r})
		})
		if err != nil {
			h.log.Warn("signaling: session left without its last state", "err", err)
		}
	}
	h.remove(s)
}
