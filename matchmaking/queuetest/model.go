package queuetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/rondo-chat/rondo/matchmaking"
	"github.com/rondo-chat/rondo/protocol"
)

// steps is how many random steps the model and the driver take side by side.
const steps = 6000

// model says what a queue does, in the plainest way: it looks at every ticket.
type model struct {
	tickets map[protocol.SessionID]*modelTicket
	matches map[protocol.RoomID]*modelMatch
}

type modelTicket struct {
	matchmaking.Ticket
	held *modelMatch
}

type modelMatch struct {
	pair  matchmaking.Pair
	state matchmaking.Verdict
}

// older is the order of tickets: place, then session.
func older(a, b *modelTicket) int {
	if c := a.Since.Compare(b.Since); c != 0 {
		return c
	}
	return strings.Compare(string(a.Session), string(b.Session))
}

// find returns the oldest who fits, and how many are looked at in vain.
func (m *model) find(t matchmaking.Ticket, q matchmaking.Search) *modelTicket {
	var best *modelTicket
	for _, term := range q.Seeks {
		var listed []*modelTicket
		for _, o := range m.tickets {
			if o.held == nil && slices.Contains(o.Offers, term) {
				listed = append(listed, o)
			}
		}
		slices.SortFunc(listed, older)
		for _, o := range listed[:min(len(listed), q.Look)] {
			if o.Session == t.Session || slices.Contains(q.Exclude, o.User) {
				continue
			}
			if best == nil || older(o, best) < 0 {
				best = o
			}
			break
		}
	}
	return best
}

func (m *model) drop(t *modelTicket) {
	if t.held != nil {
		m.decide(t.held, matchmaking.Gone)
		return
	}
	delete(m.tickets, t.Session)
}

func (m *model) decide(x *modelMatch, v matchmaking.Verdict) {
	x.state = v
	for _, e := range x.pair.Entrants {
		if t := m.tickets[e.Session]; t != nil && t.held == x {
			delete(m.tickets, e.Session)
		}
	}
}

// enter says what the driver must answer, and takes from it what only the
// driver knows: the time.
func (m *model) enter(t matchmaking.Ticket, q matchmaking.Search, got matchmaking.Result) error {
	old := m.tickets[t.Session]
	if old != nil && old.Epoch > t.Epoch {
		return m.same(got.Outcome, matchmaking.Stale)
	}
	if old != nil && old.held != nil && old.Epoch == t.Epoch {
		if got.Outcome != matchmaking.Proposed || got.Pair.Match != old.held.pair.Match {
			return fmt.Errorf("got %+v, want match %s again", got, old.held.pair.Match)
		}
		return nil
	}
	found := m.find(t, q)
	if found == nil {
		if err := m.same(got.Outcome, matchmaking.Listed); err != nil {
			return err
		}
		if old != nil {
			m.drop(old)
		}
		t.Since = got.Since
		m.tickets[t.Session] = &modelTicket{Ticket: t}
		if got.Waiting != len(m.tickets) {
			return fmt.Errorf("%d tickets, want %d", got.Waiting, len(m.tickets))
		}
		return nil
	}
	if got.Outcome != matchmaking.Proposed || got.Pair.Entrants[0].Ref != found.Ref || got.Pair.Entrants[1].Ref != t.Ref || got.Pair.Match != q.Match {
		return fmt.Errorf("got %+v, want a match with %v (since %v)", got, found.Ref, found.Since)
	}
	if old != nil {
		m.drop(old)
	}
	x := &modelMatch{pair: got.Pair, state: matchmaking.Pending}
	found.held = x
	m.tickets[t.Session] = &modelTicket{Ticket: t, held: x}
	m.matches[q.Match] = x
	return nil
}

func (m *model) same(got, want matchmaking.Outcome) error {
	if got != want {
		return fmt.Errorf("outcome %v, want %v", got, want)
	}
	return nil
}

// ack says what the driver must answer (no deadline passes in this test).
func (m *model) ack(c matchmaking.Claim, yes bool) matchmaking.Verdict {
	x := m.matches[c.Match]
	if x == nil {
		return matchmaking.Gone
	}
	side := slices.IndexFunc(x.pair.Entrants[:], func(e matchmaking.Entrant) bool { return e.Ref == c.Ref })
	if x.state == matchmaking.Pending && side >= 0 {
		switch {
		case !yes:
			m.decide(x, matchmaking.Gone)
		case side == 0:
			m.decide(x, matchmaking.Live)
		}
		return x.state
	}
	if x.state == matchmaking.Pending {
		return matchmaking.Gone
	}
	return x.state
}

// model: driver and model take the same random steps and must always agree,
// most of all on who is taken.
func (s *suite) model() {
	for seed := range uint64(4) {
		s.modelRun(rand.New(rand.NewPCG(seed, 1)), fmt.Sprintf("%s-%d", s.pool, seed))
	}
}

func (s *suite) modelRun(rng *rand.Rand, pool string) {
	m := &model{tickets: map[protocol.SessionID]*modelTicket{}, matches: map[protocol.RoomID]*modelMatch{}}
	var matches []protocol.RoomID
	s.pool = pool
	for step := range steps / 4 {
		session := protocol.SessionID(fmt.Sprint("s", rng.IntN(30)))
		epoch := uint64(1 + rng.IntN(3) + step/100)
		var err error
		switch op := rng.IntN(10); {
		case op < 6:
			t, q := s.randomTicket(rng, session, epoch)
			if old := m.tickets[session]; old != nil && rng.IntN(2) == 0 {
				t.Since = old.Since // as who enters again does
			}
			got := s.enter(t, q)
			if got.Outcome == matchmaking.Proposed && got.Pair.Match == q.Match {
				matches = append(matches, q.Match)
			}
			err = m.enter(t, q, got)
		case op < 7:
			err = s.modelLeave(m, matchmaking.Ref{Session: session, Epoch: epoch})
		case op < 9 && len(matches) > 0:
			x := m.matches[matches[max(0, len(matches)-1-rng.IntN(6))]]
			c := s.claim(x.pair, rng.IntN(2))
			if rng.IntN(10) == 0 {
				c.Epoch++
			}
			err = s.modelVerdict(m, c, rng.IntN(3) > 0)
		default:
			err = s.modelMissing(m, epoch)
		}
		if err != nil {
			s.Fatalf("step %d: %v", step, err)
		}
		if s.Audit != nil && step%250 == 0 {
			s.Audit(s.T, s.pool)
		}
	}
}

func (s *suite) randomTicket(rng *rand.Rand, session protocol.SessionID, epoch uint64) (matchmaking.Ticket, matchmaking.Search) {
	terms := func() (list []matchmaking.Term) {
		for range 1 + rng.IntN(3) {
			list = append(list, matchmaking.Term(fmt.Sprint("t", rng.IntN(9))))
		}
		slices.Sort(list)
		return slices.Compact(list)
	}
	t, q := s.ticket(string(session), epoch, terms()...)
	t.User = protocol.UserID(fmt.Sprint("u", rng.IntN(20)))
	q.Seeks, q.Exclude, q.Look = terms(), []protocol.UserID{t.User}, 1+rng.IntN(4)
	for range rng.IntN(6) {
		q.Exclude = append(q.Exclude, protocol.UserID(fmt.Sprint("u", rng.IntN(20))))
	}
	q.Hold = time.Hour
	return t, q
}

func (s *suite) modelLeave(m *model, r matchmaking.Ref) error {
	undone, err := s.Queue.Leave(s.Context(), s.pool, r)
	if err != nil {
		return err
	}
	var want protocol.RoomID
	if t := m.tickets[r.Session]; t != nil && t.Epoch <= r.Epoch {
		if t.held != nil {
			want = t.held.pair.Match
		}
		m.drop(t)
	}
	if undone == nil && want != "" || undone != nil && undone.Match != want {
		return fmt.Errorf("leave undid %+v, want %q", undone, want)
	}
	return nil
}

func (s *suite) modelVerdict(m *model, c matchmaking.Claim, yes bool) error {
	call := s.Queue.Ack
	if !yes {
		call = s.Queue.Nack
	}
	got, err := call(s.Context(), c)
	if want := m.ack(c, yes); err != nil || got != want {
		return fmt.Errorf("yes %v for %+v: %v, %v; want %v", yes, c, got, err, want)
	}
	return nil
}

func (s *suite) modelMissing(m *model, epoch uint64) error {
	var refs []matchmaking.Ref
	var want []int
	for i := range 30 {
		r := matchmaking.Ref{Session: protocol.SessionID(fmt.Sprint("s", i)), Epoch: epoch}
		refs = append(refs, r)
		if t := m.tickets[r.Session]; t == nil || t.Epoch != r.Epoch {
			want = append(want, i)
		}
	}
	got, err := s.Queue.Missing(s.Context(), s.pool, refs)
	if err != nil || !slices.Equal(got, want) {
		return fmt.Errorf("missing %v, %v; want %v", got, err, want)
	}
	return nil
}
