package matchmaking

import (
	"context"
	"slices"
	"time"

	"github.com/rondo-chat/rondo/internal/seeded"
	"github.com/rondo-chat/rondo/protocol"
)

// proposed takes in what Queue.Enter answered to ref: a proposal in which ref is
// one side, mostly the one who searched.
func (m *Matcher) proposed(p Pair, ref Ref) {
	if p.Entrants[0].Ref == ref {
		// The other side's node proposes, or the deadline passes. To accept now
		// could make a match live of which the other side's node does not know:
		// the queue's answer to it may have been lost.
		return
	}
	m.mu.Lock()
	s := m.searches[ref.Session]
	switch {
	case s == nil || s.epoch != ref.Epoch || s.state != waiting && (s.state != offered || s.match != p.Match):
		// It left or was proposed elsewhere while the queue was asked.
		m.mu.Unlock()
		m.crew.do(func() { m.refuse(m.life, p, 1, whyGone) })
		return
	case s.state == waiting:
		now := time.Now()
		s.state, s.then, s.match, s.pair, s.held = offered, goOn, p.Match, p, now
		s.since = p.Entrants[1].Since
		m.scheduleLocked(s, now)
	}
	m.mu.Unlock()
	if w := p.Entrants[0]; w.Node != m.cfg.Node {
		m.send(w.Node, note{Kind: notePropose, Pair: p})
		return
	}
	m.consider(p)
}

// consider lets the local session that waited look at a proposal: the local
// compare-and-set from waiting, with the same epoch, to accepting. It returns
// at once.
func (m *Matcher) consider(p Pair) {
	w := p.Entrants[0]
	m.mu.Lock()
	s := m.searches[w.Session]
	if s != nil && s.epoch == w.Epoch && s.match == p.Match && (s.state == accepting || s.state == deciding) {
		m.mu.Unlock() // it is at it
		return
	}
	if s == nil || s.state != waiting || s.epoch != w.Epoch || m.closed {
		m.mu.Unlock()
		m.crew.do(func() { m.refuse(m.life, p, 0, whyGone) })
		return
	}
	now := time.Now()
	s.state, s.then, s.match, s.held = accepting, goOn, p.Match, now
	s.since = w.Since
	m.scheduleLocked(s, now)
	m.work.Add(1) // under the lock, so that Close waits for it; at most one per search
	m.mu.Unlock()
	go func() {
		defer m.work.Done()
		m.accept(m.life, s, p)
	}()
}

// refuse undoes a proposal for the local side that does not take part, and
// tells the other.
func (m *Matcher) refuse(ctx context.Context, p Pair, side int, w why) {
	v, err := m.nack(ctx, Claim{Pool: p.Pool, Match: p.Match, Ref: p.Entrants[side].Ref})
	m.metrics.declined(w)
	if err == nil && v == Gone {
		m.sendRequeue(p, 1-side, w, p.Entrants[side].User)
	}
}

func (m *Matcher) nack(ctx context.Context, c Claim) (Verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()
	start := time.Now()
	v, err := m.cfg.Queue.Nack(ctx, c)
	m.metrics.called("nack", start, err)
	return v, err
}

func (m *Matcher) ack(ctx context.Context, c Claim) (Verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()
	start := time.Now()
	v, err := m.cfg.Queue.Ack(ctx, c)
	m.metrics.called("ack", start, err)
	return v, err
}

// accept looks once more whether the two may meet and whether the one who
// waited is there, and then says yes or no.
func (m *Matcher) accept(ctx context.Context, s *search, p Pair) {
	match, w := m.judge(ctx, s, p)
	if w != "" {
		m.turnDown(ctx, s, p, w)
		return
	}
	m.mu.Lock()
	mine := s.state == accepting && s.match == p.Match && s.epoch == p.Entrants[0].Epoch
	if mine {
		s.state = deciding
	}
	m.mu.Unlock()
	if !mine { // it left meanwhile
		m.refuse(ctx, p, 0, whyGone)
		return
	}
	m.decide(ctx, s, p, match)
}

// judge reads the proposal and says why it must be turned down, if it must.
func (m *Matcher) judge(ctx context.Context, s *search, p Pair) (Match, why) {
	other := p.Entrants[1].User
	ex, err := m.exclusions(ctx, s.asker.User)
	switch {
	case err != nil:
		return Match{}, whyBusy
	case other == s.asker.User || slices.Contains(ex.Hard, other):
		return Match{}, whyExcluded
	}
	match, err := m.match(p)
	if err != nil {
		m.cfg.Logger.Error("proposal not readable", "err", err)
		return Match{}, whyExcluded
	}
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Probe)
	defer cancel()
	if !m.cfg.Hooks.Alive(ctx, s.asker.Session) {
		return Match{}, whySilent
	}
	return match, ""
}

// turnDown undoes the proposal and puts the one who waited where it belongs.
func (m *Matcher) turnDown(ctx context.Context, s *search, p Pair, w why) {
	now := time.Now()
	m.mu.Lock()
	if s.state == accepting && s.match == p.Match {
		s.state = waiting
		switch w {
		case whySilent:
			s.state = silent
		case whyExcluded:
			s.avoidLocked(p.Entrants[1].User, time.Time{})
		case whyBusy:
			s.lost = true // keepHouse enters it when the queue is back
		}
		m.scheduleLocked(s, now)
	}
	m.mu.Unlock()
	m.refuse(ctx, p, 0, w)
	m.mu.Lock()
	defer m.mu.Unlock()
	if w == whyExcluded {
		m.enterSoonLocked(s)
	}
}

// decide says yes to the queue, until it answers, and acts on what it says.
func (m *Matcher) decide(ctx context.Context, s *search, p Pair, match Match) {
	claim := Claim{Pool: p.Pool, Match: p.Match, Ref: p.Entrants[0].Ref}
	var v Verdict
	ok := m.insist(ctx, func() (err error) {
		v, err = m.ack(ctx, claim)
		return err
	})
	if !ok {
		return // closing
	}
	if v != Live {
		m.metrics.proposals.WithLabelValues("gone").Inc()
		m.back(s, p.Match, time.Now(), false)
		return
	}
	opened := m.insistFor(ctx, openPatience, func() error { return m.open(ctx, match) })
	if !opened {
		m.abandon(s, p.Match, match, 0)
		return
	}
	// The other node must know before the first signal of this side arrives
	// there: both go the same way, in order.
	if o := p.Entrants[1]; o.Node == m.cfg.Node {
		m.live(p)
	} else {
		m.send(o.Node, note{Kind: noteLive, Pair: p})
	}
	m.finish(s, p, match, 0)
}

// open makes the room.
func (m *Matcher) open(ctx context.Context, match Match) error {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()
	start := time.Now()
	err := m.cfg.Hooks.Open(ctx, match)
	m.metrics.called("open", start, err)
	if err != nil {
		m.cfg.Logger.Warn("room not opened", "match", match.ID, "err", err)
	}
	return err
}

// openPatience is how long a room is tried to be made before both sides are
// told that matching is unavailable. It is less than RememberMatch, so that the
// one who searched can ask all that time.
const openPatience = 20 * time.Second

// live takes in that a match went live in which the local session is the one
// who searched: the compare-and-set to over, from offered with this match or
// from waiting with this epoch (the queue's answer is still under way).
func (m *Matcher) live(p Pair) {
	e := p.Entrants[1]
	match, err := m.match(p)
	if err != nil {
		m.cfg.Logger.Error("match not readable", "err", err)
		return
	}
	m.mu.Lock()
	s := m.searches[e.Session]
	fits := s != nil && s.epoch == e.Epoch && (s.state == waiting || s.state == offered && s.match == p.Match)
	m.mu.Unlock()
	if fits && m.finish(s, p, match, 1) {
		return
	}
	m.mu.Lock()
	known := m.answered.has(p.Match)
	m.mu.Unlock()
	if !known {
		m.absent(match, 1)
	}
}

// finish ends a search with a match and tells the session; once.
func (m *Matcher) finish(s *search, p Pair, match Match, you int) bool {
	m.mu.Lock()
	waited := s.state == waiting && you == 1
	proposed := s.match == p.Match && (s.state == offered || s.state == deciding)
	if s.ref() != p.Entrants[you].Ref || !waited && !proposed {
		m.mu.Unlock()
		return false
	}
	now := time.Now()
	quits := s.then == quit
	m.metrics.matched(s, match, you, now)
	s.state = over
	m.agenda.remove(s)
	if waited { // should the queue not remember what it said
		m.leaveLater(s.part.name, s.ref())
	}
	match.Members[you].Since = s.start
	if a, ok := m.cfg.Hooks.(Absentee); ok && quits {
		m.tell(s, func() { a.Absent(match, you) })
		return true
	}
	s.found = true
	m.tell(s, func() { m.cfg.Hooks.Found(s.asker.Session, match, you) })
	return true
}

// absent sees to it that nobody waits for a local session that does not take
// part in its match.
func (m *Matcher) absent(match Match, you int) {
	m.metrics.ghosts.Inc()
	if a, ok := m.cfg.Hooks.(Absentee); ok {
		a.Absent(match, you)
		return
	}
	m.cfg.Hooks.Found(match.Members[you].Session, match, you)
}

// abandon ends a search whose match went live but has no room.
func (m *Matcher) abandon(s *search, id protocol.RoomID, match Match, you int) {
	m.mu.Lock()
	if s.match != id || s.state != offered && s.state != deciding {
		m.mu.Unlock()
		return
	}
	m.endLocked(s)
	m.tell(s, func() {
		if a, ok := m.cfg.Hooks.(Absentee); ok {
			a.Absent(match, you)
		}
		m.cfg.Hooks.Stopped(s.asker.Session, unavailable())
	})
}

// back takes a search back out of a proposal that came to nothing, and enters
// it again with its old place; at once, or when keepHouse next comes by.
func (m *Matcher) back(s *search, id protocol.RoomID, now time.Time, later bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.match != id || s.state != offered && s.state != deciding || seeded.UndoMissing.Hit() {
		return
	}
	s.match, s.pair = "", Pair{}
	switch s.then {
	case quit:
		m.endLocked(s)
		m.metrics.abandoned.WithLabelValues(s.pool.Name).Inc()
	case suspend:
		s.state = suspended
		m.scheduleLocked(s, now)
	default:
		s.state, s.lost = waiting, later
		m.scheduleLocked(s, now)
		if !later {
			m.enterAliveLocked(s)
		}
	}
	s.settleLocked()
}

// ask puts the question to the queue what became of the proposal of a search
// that is offered.
func (m *Matcher) ask(ctx context.Context, s *search) {
	defer func() {
		m.mu.Lock()
		s.asking = false
		m.mu.Unlock()
	}()
	m.mu.Lock()
	if s.state != offered {
		m.mu.Unlock()
		return
	}
	p, then, held := s.pair, s.then, s.held
	m.mu.Unlock()
	claim := Claim{Pool: p.Pool, Match: p.Match, Ref: p.Entrants[1].Ref}
	var v Verdict
	var err error
	if then == goOn {
		v, err = m.ack(ctx, claim)
	} else {
		v, err = m.nack(ctx, claim)
	}
	switch {
	case err != nil || v == Pending:
		return // keepTime asks again
	case v == Gone:
		result := "timeout"
		if then != goOn {
			result = "withdrawn"
			m.sendRequeue(p, 0, whyGone, "")
		}
		m.metrics.proposals.WithLabelValues(result).Inc()
		m.back(s, p.Match, time.Now(), false)
		return
	}
	match, err := m.match(p)
	if err == nil {
		err = m.open(ctx, match)
	}
	m.mu.Lock()
	m.answered.add(p.Match)
	m.mu.Unlock()
	switch {
	case err == nil:
		m.finish(s, p, match, 1)
	case time.Since(held) > openPatience:
		m.abandon(s, p.Match, match, 1)
	}
}

// insist calls f until it succeeds, with pauses, or ctx ends.
func (m *Matcher) insist(ctx context.Context, f func() error) bool {
	return m.insistFor(ctx, 0, f)
}

// insistFor gives up after patience; 0: never.
func (m *Matcher) insistFor(ctx context.Context, patience time.Duration, f func() error) bool {
	start, pause := time.Now(), 50*time.Millisecond
	for {
		if f() == nil {
			return true
		}
		if patience > 0 && time.Since(start) > patience {
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
		pause = min(2*pause, 2*time.Second)
	}
}
