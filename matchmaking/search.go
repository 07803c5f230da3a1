package matchmaking

import (
	"context"
	"slices"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// state is where a search stands on its owner's side. A session without a
// search is idle.
type state uint8

const (
	waiting   state = iota // listed in the queue, or on the way there
	silent                 // gave no sign of life: out of the queue until it does
	suspended              // its socket is gone: out of the queue until it is back
	offered                // proposed, as the one who searched: the other side decides
	accepting              // proposed, as the one who waited: being looked at, may still turn down
	deciding               // proposed, as the one who waited: said yes, the queue's answer is under way
	over                   // ended: in Matcher.searches only until Found has returned
)

// after says what becomes of a search whose match comes to nothing.
type after uint8

const (
	goOn after = iota
	suspend
	quit
)

// search is one session's search.
type search struct {
	asker   Asker // static after construction, as all fields of this block
	profile Profile
	pool    *pool
	data    string
	start   time.Time

	// The rest is guarded by Matcher.mu.

	state state
	epoch uint64
	then  after // in offered and deciding
	part  *part
	turn  int             // how often it moved on to another part
	match protocol.RoomID // in offered, accepting and deciding
	pair  Pair            // in offered: what Found needs
	since time.Time       // place in the queue; zero: none yet
	held  time.Time       // when the state became offered or accepting
	avoid []avoided

	entering bool // a call of Queue.Enter is under way
	again    bool // and another is wanted after it
	queued   bool // a crew job will enter
	lost     bool // the last Enter failed
	recents  bool // the last Enter left recent partners out
	relieved bool // recent partners are no longer avoided
	reach    protocol.Reach

	told   protocol.Waiting // as last pushed
	toldAt time.Time
	due    time.Time // when keepTime looks next
	index  int       // in the agenda; -1: not in it

	calls   []func() // hooks to be called, in order
	calling bool
	probing bool          // the session is asked for a sign of life before it enters
	asking  bool          // a question to the queue or the session is under way
	found   bool          // Hooks.Found was called, or is about to be
	done    chan struct{} // closed when an offered or deciding search is settled; nil: nobody asks
}

// avoided is somebody whom this search must not be given again for a while.
type avoided struct {
	user  protocol.UserID
	until time.Time // zero: as long as it lasts
}

// maxAvoided bounds what a search remembers of those who did not fit.
const maxAvoided = 32

func (s *search) ref() Ref { return Ref{s.asker.Session, s.epoch} }

func (s *search) avoidLocked(u protocol.UserID, until time.Time) {
	s.avoid = append(s.avoid, avoided{u, until})
	s.avoid = s.avoid[max(0, len(s.avoid)-maxAvoided):]
}

// Find starts a search. It returns how the search stands; when somebody was
// waiting already, Hooks.Found follows, or may have come first. Errors: already,
// bad_request, unavailable.
func (m *Matcher) Find(ctx context.Context, a Asker, p Profile) (protocol.Waiting, error) {
	s, err := m.beginSoon(ctx, a, p)
	if err != nil {
		return protocol.Waiting{}, err
	}
	if err := m.enter(ctx, s); err != nil {
		m.mu.Lock()
		failed, part, ref := s.state == waiting, s.part, s.ref()
		if failed {
			m.endLocked(s)
		}
		m.mu.Unlock()
		if failed {
			m.leaveLater(part.name, ref)
			return protocol.Waiting{}, unavailable()
		}
	}
	m.mu.Lock()
	w := m.statusLocked(s, time.Now())
	s.told, s.toldAt = w, time.Now()
	m.mu.Unlock()
	return w, nil
}

// beginSoon is begin for a session that may be just being told: a client that is
// quick asks again before Hooks.Found has returned.
func (m *Matcher) beginSoon(ctx context.Context, a Asker, p Profile) (*search, error) {
	s, told, err := m.begin(a, p)
	for told != nil {
		select {
		case <-told:
		case <-ctx.Done():
			return nil, unavailable()
		}
		s, told, err = m.begin(a, p)
	}
	return s, err
}

// begin makes the search, unless something speaks against it. If the session is
// just being told of its last match, told is closed when that is done.
func (m *Matcher) begin(a Asker, p Profile) (s *search, told chan struct{}, err error) {
	if p.Pool == "" {
		p.Pool = m.order[0].Name
	}
	pool := m.pools[p.Pool]
	if pool == nil {
		return nil, nil, protocol.Errorf(protocol.CodeBadRequest, "pool: there is none of this name")
	}
	if err := pool.check(p); err != nil {
		return nil, nil, err
	}
	if !plain(string(a.Session), 128) || !plain(string(a.User), 128) {
		return nil, nil, protocol.Errorf(protocol.CodeBadRequest, "session or user: not an id")
	}
	p.Tags, p.Languages, p.Want = unique(p.Tags), unique(p.Languages), unique(p.Want)
	data, err := encodeDetails(a.Name, p)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	s = &search{asker: a, profile: p, pool: pool, data: data, start: now, epoch: m.nextEpoch(), index: -1, part: pool.parts[0]}
	s.reach, _ = pool.reach(p, 0)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed || !m.started.Load():
		return nil, nil, unavailable()
	case m.searches[a.Session] != nil && m.searches[a.Session].state == over:
		return nil, m.searches[a.Session].toldLocked(), nil
	case m.searches[a.Session] != nil:
		return nil, nil, protocol.Errorf(protocol.CodeAlready, "you are searching already")
	}
	m.searches[a.Session] = s
	m.scheduleLocked(s, now)
	return s, nil, nil
}

// Place returns when the session's search began and its place in the queue, zero
// if it has none yet, for [Matcher.Return] on another node; false if it does not
// search.
func (m *Matcher) Place(id protocol.SessionID) (start, since time.Time, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.searches[id]
	if s == nil || s.then == quit || s.state == over {
		return time.Time{}, time.Time{}, false
	}
	return s.start, s.since, true
}

// Return goes on with a search that another node had, at its old place. Unlike
// Find it does not fail where the queue is out of reach: the search enters when
// that is back. Errors: already, bad_request, unavailable after ctx or Close.
func (m *Matcher) Return(ctx context.Context, a Asker, p Profile, start, since time.Time) error {
	s, err := m.beginSoon(ctx, a, p)
	if err != nil {
		return err
	}
	m.mu.Lock()
	now := time.Now()
	if s.start = start; now.Sub(start) > MaxWait || start.After(now) { // another clock
		s.start = now
	}
	s.since = since
	m.scheduleLocked(s, now)
	m.mu.Unlock()
	_ = m.enter(ctx, s) // reconcile tries again
	return nil
}

func unique(list []string) []string {
	var out []string
	for _, v := range list {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// Status tells how the session's search stands, if there is one.
func (m *Matcher) Status(id protocol.SessionID) (protocol.Waiting, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.searches[id]
	if s == nil || s.then == quit || s.state == over {
		return protocol.Waiting{}, false
	}
	return m.statusLocked(s, time.Now()), true
}

func (m *Matcher) statusLocked(s *search, now time.Time) protocol.Waiting {
	waited := max(0, now.Sub(s.start))
	reach, next := s.pool.reach(s.profile, waited)
	w := protocol.Waiting{Pool: s.pool.Name, WaitedMS: waited.Milliseconds(), Reach: reach}
	if next != nil {
		w.Next = &protocol.Widen{AfterMS: next.After.Milliseconds(), Reach: next.Reach}
	}
	w.Waiting, w.EstimateMS = s.pool.counts()
	w.Waiting = max(1, w.Waiting)
	return w
}

// Cancel ends the session's search and reports whether it did. False: there was
// none, or it had found somebody already and Hooks.Found has been called.
func (m *Matcher) Cancel(ctx context.Context, id protocol.SessionID) (was bool) {
	return m.stop(ctx, id, quit)
}

// Forget ends the session's search because the session ended.
func (m *Matcher) Forget(id protocol.SessionID) {
	ctx, cancel := context.WithTimeout(m.life, 2*m.cfg.Timeout)
	defer cancel()
	m.stop(ctx, id, quit)
}

// Suspend takes the session's search out of the queue, because its socket is
// gone, and keeps its place.
func (m *Matcher) Suspend(id protocol.SessionID) {
	ctx, cancel := context.WithTimeout(m.life, 2*m.cfg.Timeout)
	defer cancel()
	m.stop(ctx, id, suspend)
}

// Resume puts a suspended search back in its place.
func (m *Matcher) Resume(ctx context.Context, id protocol.SessionID) {
	m.mu.Lock()
	s := m.searches[id]
	if s == nil {
		m.mu.Unlock()
		return
	}
	if s.then == suspend {
		s.then = goOn
	}
	back := s.state == suspended || s.state == silent
	if back {
		s.state, s.epoch = waiting, m.nextEpoch()
		m.scheduleLocked(s, time.Now())
	}
	m.mu.Unlock()
	if back {
		_ = m.enter(ctx, s) // reconcile tries again
	}
}

// stop takes a search out, for good or for now.
func (m *Matcher) stop(ctx context.Context, id protocol.SessionID, how after) (stopped bool) {
	m.mu.Lock()
	s := m.searches[id]
	if s == nil {
		m.mu.Unlock()
		return false
	}
	if s.state == offered || s.state == deciding || s.state == over {
		return m.stopProposed(ctx, s, how)
	}
	was, part, ref := s.state, s.part, s.ref()
	if how == quit {
		m.endLocked(s)
		s.settleLocked()
		m.metrics.abandoned.WithLabelValues(s.pool.Name).Inc()
	} else {
		s.state = suspended
		m.scheduleLocked(s, time.Now())
	}
	m.mu.Unlock()
	if was == waiting || was == accepting {
		m.leave(ctx, part.name, ref)
	}
	return true
}

// stopProposed takes a search out of which only the queue knows whether it has
// found somebody, or whose session is being told that it has. Called with the lock held, which it releases.
func (m *Matcher) stopProposed(ctx context.Context, s *search, how after) (stopped bool) {
	if s.then != quit {
		s.then = how
	}
	done, asks := s.toldLocked(), s.state == offered
	m.mu.Unlock()
	if asks {
		m.ask(ctx, s)
	}
	select {
	case <-done:
	case <-ctx.Done(): // it goes on: keepTime asks until the queue answers
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return !s.found
}

// endLocked takes the search out of the matcher. Who calls it then tells the
// session so, or settles the search.
func (m *Matcher) endLocked(s *search) {
	s.state = over
	if m.searches[s.asker.Session] == s {
		delete(m.searches, s.asker.Session)
	}
	m.agenda.remove(s)
}

// toldLocked returns what is closed when the search is settled.
func (s *search) toldLocked() chan struct{} {
	if s.done == nil {
		s.done = make(chan struct{})
	}
	return s.done
}

// settleLocked wakes whoever waits to hear what came of a proposal.
func (s *search) settleLocked() {
	if s.done != nil && !s.calling {
		close(s.done)
		s.done = nil
	}
}

// tell calls a hook and returns when it has returned. The hooks of one session
// come one after another. Called with the lock held, which it releases.
func (m *Matcher) tell(s *search, hook func()) {
	if s.calling { // somebody else is at it, and will call this one too
		called := make(chan struct{})
		s.calls = append(s.calls, func() { hook(); close(called) })
		m.mu.Unlock()
		<-called
		return
	}
	s.calling = true
	for s.calls = append(s.calls, hook); len(s.calls) > 0; {
		next := s.calls[0]
		s.calls = s.calls[1:]
		m.mu.Unlock()
		next()
		m.mu.Lock()
	}
	s.calling = false
	if s.state == over {
		m.endLocked(s)
	}
	if s.state != offered && s.state != deciding {
		s.settleLocked()
	}
	m.mu.Unlock()
}
