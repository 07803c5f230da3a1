package matchmaking

import (
	"context"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

const (
	// tellEvery is how often a search's standing is pushed at most, and so how
	// often each search is looked at at least.
	tellEvery = time.Second
	// askLate is how long after its deadline a proposal's outcome is asked for.
	askLate = 500 * time.Millisecond
	// probeEvery is how often a search that gave no sign of life is asked for one.
	probeEvery = 5 * time.Second
	// lookBatch bounds how long keepTime holds the lock.
	lookBatch = 256
)

// keepTime is the one clock of all searches: it widens, relieves, asks and tells.
func (m *Matcher) keepTime() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		next, tell := m.lookAround(time.Now())
		for _, s := range tell {
			m.tellWaiting(s)
		}
		if next > 0 {
			timer.Reset(next)
			select {
			case <-timer.C:
			case <-m.wake:
			case <-m.life.Done():
			}
		}
		if m.life.Err() != nil {
			return
		}
	}
}

// lookAround looks at searches that are due. It returns when the next is due,
// and who might be told something new.
func (m *Matcher) lookAround(now time.Time) (next time.Duration, tell []*search) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for range lookBatch {
		s := m.agenda.first()
		if s == nil {
			return time.Hour, tell
		}
		if wait := s.due.Sub(now); wait > 0 {
			return wait, tell
		}
		if m.lookLocked(s, now) {
			tell = append(tell, s)
		}
		m.placeLocked(s, now)
	}
	return 0, tell
}

// lookLocked does what a search is due for, and reports whether its session
// might be told something new.
func (m *Matcher) lookLocked(s *search, now time.Time) bool {
	switch s.state {
	case waiting:
		reach, _ := s.pool.reach(s.profile, now.Sub(s.start))
		if rank(reach) > rank(s.reach) || s.recents && now.Sub(s.start) >= s.pool.RecentRelief {
			m.enterAliveLocked(s)
		}
	case offered:
		if now.Sub(s.held) >= m.cfg.Hold+askLate && !s.asking {
			s.asking = true
			m.crew.do(func() { m.ask(m.life, s) })
		}
	case silent:
		if !s.asking && !m.closed && now.Sub(s.held) >= probeEvery {
			s.asking, s.held = true, now
			m.work.Add(1) // it blocks: not the crew's; at most one per search
			go func() {
				defer m.work.Done()
				m.probe(s)
			}()
		}
		return false
	}
	return now.Sub(s.toldAt) >= tellEvery
}

// scheduleLocked sets when keepTime looks at the search next, and wakes it if
// that is before all else.
func (m *Matcher) scheduleLocked(s *search, now time.Time) {
	if !m.placeLocked(s, now) {
		return
	}
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// placeLocked puts the search in its place in the agenda and reports whether
// that is the first.
func (m *Matcher) placeLocked(s *search, now time.Time) (first bool) {
	if s.state == over || s.state == suspended {
		m.agenda.remove(s)
		return false
	}
	due := now.Add(tellEvery)
	sooner := func(at time.Time) {
		if at.After(now) && at.Before(due) {
			due = at
		}
	}
	sooner(s.toldAt.Add(tellEvery))
	switch s.state {
	case waiting:
		if _, next := s.pool.reach(s.profile, now.Sub(s.start)); next != nil {
			sooner(s.start.Add(next.After))
		}
		if s.recents {
			sooner(s.start.Add(s.pool.RecentRelief))
		}
	case offered:
		sooner(s.held.Add(m.cfg.Hold + askLate))
	}
	s.due = due
	return m.agenda.set(s)
}

// tellWaiting pushes how a search stands, if that changed.
func (m *Matcher) tellWaiting(s *search) {
	now := time.Now()
	m.mu.Lock()
	w := m.statusLocked(s, now)
	if s.state == over || s.then == quit || s.calling || sameWaiting(w, s.told) {
		m.mu.Unlock()
		return
	}
	s.told, s.toldAt = w, now
	m.tell(s, func() { m.cfg.Hooks.Waiting(s.asker.Session, w) })
}

// sameWaiting compares all but the time, which passes for the client too.
func sameWaiting(a, b protocol.Waiting) bool {
	return a.Pool == b.Pool && a.Reach == b.Reach && a.Waiting == b.Waiting &&
		(a.EstimateMS == nil) == (b.EstimateMS == nil) && (a.EstimateMS == nil || *a.EstimateMS == *b.EstimateMS)
}

// enterAliveLocked enters a search for which nobody asks just now, once its session has
// given a sign of life: of two who are matched only the one who waited is asked later.
// Until then it stays listed as it was; who is silent is taken out.
func (m *Matcher) enterAliveLocked(s *search) {
	if s.probing || m.closed || s.state != waiting {
		return
	}
	s.probing = true
	m.work.Add(1) // it blocks: not the crew's; at most one per search
	go func() {
		defer m.work.Done()
		ctx, cancel := context.WithTimeout(m.life, m.cfg.Probe)
		defer cancel()
		alive := m.cfg.Hooks.Alive(ctx, s.asker.Session)
		m.mu.Lock()
		s.probing = false
		if alive || s.state != waiting {
			m.enterSoonLocked(s)
			m.mu.Unlock()
			return
		}
		now := time.Now()
		s.state, s.held = silent, now
		m.scheduleLocked(s, now)
		part, ref := s.part, s.ref()
		m.mu.Unlock()
		m.leave(m.life, part.name, ref)
	}()
}

// probe asks a silent session for a sign of life and puts it back in its place
// when it gives one.
func (m *Matcher) probe(s *search) {
	ctx, cancel := context.WithTimeout(m.life, m.cfg.Probe)
	defer cancel()
	alive := m.cfg.Hooks.Alive(ctx, s.asker.Session)
	m.mu.Lock()
	defer m.mu.Unlock()
	s.asking = false
	if alive && s.state == silent {
		s.state, s.epoch = waiting, m.nextEpoch()
		m.scheduleLocked(s, time.Now())
		m.enterSoonLocked(s)
	}
}
