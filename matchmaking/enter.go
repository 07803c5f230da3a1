package matchmaking

import (
	"context"
	"errors"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/protocol"
)

// enter brings a waiting search into the queue, as often as that is wanted
// while it goes on. At most one call of Queue.Enter is under way for a search.
func (m *Matcher) enter(ctx context.Context, s *search) error {
	m.mu.Lock()
	s.queued = false
	if s.state != waiting {
		m.mu.Unlock()
		return nil
	}
	if s.entering {
		s.again = true
		m.mu.Unlock()
		return nil
	}
	s.entering = true
	m.mu.Unlock()
	for {
		again, err := m.enterOnce(ctx, s)
		if !again {
			return err
		}
	}
}

// enterSoonLocked has the crew enter a search.
func (m *Matcher) enterSoonLocked(s *search) {
	if s.queued || s.state != waiting {
		return
	}
	if s.part.down.Load() {
		s.lost = true // keepHouse enters it when the queue is back
		return
	}
	s.queued = true
	m.crew.do(func() { _ = m.enter(m.life, s) }) // a failure is marked in s.lost, keepHouse tries again
}

// enterOnce asks the queue once and acts on its answer. again says that there
// is reason to ask once more at once.
func (m *Matcher) enterOnce(ctx context.Context, s *search) (again bool, err error) {
	t, q, err := m.ticket(ctx, s)
	switch {
	case errors.Is(err, errElsewhere):
		m.changePart(ctx, s)
		return m.enterAgain(s, true), nil
	case errors.Is(err, errMoved):
		return m.enterAgain(s, false), nil
	}
	var res Result
	if err == nil {
		res, err = m.callEnter(ctx, t, q)
	}
	m.metrics.entered(res, err)
	if err != nil {
		return m.enterFailed(s, t, err)
	}

	m.mu.Lock()
	current := s.state == waiting && s.epoch == t.Epoch
	switch {
	case res.Outcome == Proposed:
		m.mu.Unlock()
		m.proposed(res.Pair, t.Ref)
	case !current:
		claimed := s.state == accepting && s.epoch == t.Epoch // somebody was faster: the ticket is his
		m.mu.Unlock()
		if res.Outcome == Listed && !claimed {
			m.leaveLater(t.Pool, t.Ref)
		}
	case res.Outcome == Stale:
		m.endLocked(s)
		m.tell(s, func() {
			m.cfg.Hooks.Stopped(s.asker.Session, &protocol.Error{Code: "replaced", Msg: "the search goes on elsewhere"})
		})
	default:
		if res.Outcome == Listed {
			s.since, s.lost = res.Since, false
			s.part.sawWaiting(res.Waiting)
		}
		m.mu.Unlock()
	}
	return m.enterAgain(s, res.Outcome == Used), nil
}

func (m *Matcher) callEnter(ctx context.Context, t Ticket, q Search) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()
	start := time.Now()
	res, err := m.cfg.Queue.Enter(ctx, t, q)
	m.metrics.called("enter", start, err)
	return res, err
}

// enterAgain ends a call of Queue.Enter and reports whether another is wanted:
// for a reason that came up meanwhile, or the one given.
func (m *Matcher) enterAgain(s *search, reason bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.entering = s.state == waiting && (s.again || reason)
	s.again = false
	return s.entering
}

// errElsewhere says that a search belongs into another part.
var errElsewhere = errors.New("matchmaking: the search belongs elsewhere")

// errMoved says that a search is not waiting any more.
var errMoved = errors.New("matchmaking: the search moved on")

func (m *Matcher) enterFailed(s *search, t Ticket, err error) (bool, error) {
	m.cfg.Logger.Debug("not entered", "err", err)
	m.mu.Lock()
	defer m.mu.Unlock()
	s.entering, s.again = false, false
	if s.state == waiting {
		s.lost = true
	} else if s.state == over || s.epoch != t.Epoch {
		// It may have been listed all the same.
		m.leaveAgainLocked(leave{t.Pool, t.Ref})
	}
	if inv, ok := errors.AsType[*ErrInvalid](err); ok {
		m.cfg.Logger.Error("ticket refused", "err", inv)
	}
	return false, err
}

// ticket makes what the queue is asked, with whom the search must not meet as
// that is now.
func (m *Matcher) ticket(ctx context.Context, s *search) (Ticket, Search, error) {
	m.mu.Lock()
	t := Ticket{Pool: s.part.name, Entrant: Entrant{Ref: s.ref(), User: s.asker.User, Node: m.cfg.Node, Since: s.since, Data: s.data}}
	m.mu.Unlock()
	ex, err := m.exclusions(ctx, s.asker.User)
	if err != nil {
		return t, Search{}, err
	}
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.state != waiting {
		return t, Search{}, errMoved
	}
	t.Epoch, t.Since = s.epoch, s.since // it may have been resumed meanwhile
	s.reach, _ = s.pool.reach(s.profile, now.Sub(s.start))
	if s.part != s.partLocked() {
		return t, Search{}, errElsewhere
	}
	t.Pool = s.part.name
	q := Search{Match: protocol.RoomID(auth.Random(13)), Hold: m.cfg.Hold}
	t.Offers, q.Seeks = Terms(s.profile, len(s.pool.Traits) > 0, s.reach)
	q.Exclude = append(make([]protocol.UserID, 0, 1+len(s.avoid)+len(ex.Recent)+len(ex.Hard)), s.asker.User)
	for _, a := range s.avoid {
		if a.until.IsZero() || now.Before(a.until) {
			q.Exclude = append(q.Exclude, a.user)
		}
	}
	if now.Sub(s.start) >= s.pool.RecentRelief {
		s.relieved = true
	}
	s.recents = len(ex.Recent) > 0 && !s.relieved
	if s.recents {
		q.Exclude = append(q.Exclude, ex.Recent...)
	}
	q.Exclude = append(q.Exclude, ex.Hard...)
	q.Exclude = q.Exclude[:min(len(q.Exclude), MaxExclude)]
	// Were all excluded people the oldest of a term, one must see beyond them.
	q.Look = m.cfg.Look + len(q.Exclude)
	m.scheduleLocked(s, now)
	return t, q, nil
}

func (m *Matcher) exclusions(ctx context.Context, u protocol.UserID) (Exclusions, error) {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()
	start := time.Now()
	ex, err := m.cfg.Relations.Exclusions(ctx, u)
	m.metrics.called("exclusions", start, err)
	return ex, err
}

// leave is a ticket to be taken out.
type leave struct {
	part string
	ref  Ref
}

// leave takes a ticket out of the queue and tells the other side of a proposal
// that came to nothing thereby.
func (m *Matcher) leave(ctx context.Context, part string, r Ref) {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()
	start := time.Now()
	undone, err := m.cfg.Queue.Leave(ctx, part, r)
	m.metrics.called("leave", start, err)
	if err != nil {
		m.mu.Lock()
		m.leaveAgainLocked(leave{part, r})
		m.mu.Unlock()
		return
	}
	if undone == nil {
		return
	}
	for i, e := range undone.Entrants {
		if e.Ref == r {
			m.sendRequeue(*undone, 1-i, whyGone, "")
		}
	}
}

// maxLeaves bounds what is kept for the queue's return. What is dropped becomes
// a ghost that its node refuses when it is proposed.
const maxLeaves = 10_000

// leaveAgainLocked has keepHouse take a ticket out when the queue is back.
func (m *Matcher) leaveAgainLocked(l leave) {
	if len(m.leaves) < maxLeaves {
		m.leaves = append(m.leaves, l)
	}
}

// leaveLater has the crew take a ticket out.
func (m *Matcher) leaveLater(part string, r Ref) {
	m.crew.do(func() { m.leave(m.life, part, r) })
}
