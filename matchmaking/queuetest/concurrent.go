package queuetest

import (
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/rondo-chat/rondo/matchmaking"
	"github.com/rondo-chat/rondo/protocol"
)

// atOnce: n enter at the same instant, and all are paired.
func (s *suite) atOnce(n int) {
	var mu sync.Mutex
	partner := map[protocol.SessionID]protocol.SessionID{}
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-start
			t, q := s.ticket(fmt.Sprintf("s%d", i), 1, "x", matchmaking.Term(fmt.Sprint("t", i%7)))
			r, err := s.Queue.Enter(s.Context(), t, q)
			if err != nil {
				s.Error(err)
				return
			}
			if r.Outcome != matchmaking.Proposed || r.Pair.Entrants[1].Ref != t.Ref {
				return // the other one tells
			}
			if v, err := s.Queue.Ack(s.Context(), s.claim(r.Pair, 0)); err != nil || v != matchmaking.Live {
				s.Errorf("ack: %v, %v", v, err)
			}
			mu.Lock()
			defer mu.Unlock()
			a, b := r.Pair.Entrants[0].Session, r.Pair.Entrants[1].Session
			if partner[a] != "" || partner[b] != "" || a == b {
				s.Errorf("%s and %s: %s and %s have partners", a, b, partner[a], partner[b])
			}
			partner[a], partner[b] = b, a
		})
	}
	close(start)
	all.Wait()
	if len(partner) != n {
		s.Errorf("%d of %d are paired", len(partner), n)
	}
}

// atOnceTwice: the same, with every call made twice.
func (s *suite) atOnceTwice() {
	s.Queue = twice{s.Queue}
	var mu sync.Mutex
	pairs := map[protocol.RoomID][2]protocol.SessionID{}
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			t, q := s.ticket(fmt.Sprintf("s%d", i), 1, "x")
			r, err := s.Queue.Enter(s.Context(), t, q)
			if err != nil {
				s.Error(err)
				return
			}
			if r.Outcome != matchmaking.Proposed {
				return
			}
			// The first of the two calls may have listed it, and the second found
			// it proposed by another: so both sides may come here.
			mu.Lock()
			defer mu.Unlock()
			both := [2]protocol.SessionID{r.Pair.Entrants[0].Session, r.Pair.Entrants[1].Session}
			if had, ok := pairs[r.Pair.Match]; ok && had != both {
				s.Errorf("match %s is of %v and of %v", r.Pair.Match, had, both)
			}
			pairs[r.Pair.Match] = both
		})
	}
	all.Wait()
	seen := map[protocol.SessionID]bool{}
	for id, both := range pairs {
		for _, one := range both {
			if seen[one] {
				s.Errorf("%s is in two matches", one)
			}
			seen[one] = true
		}
		s.wantAck(matchmaking.Claim{Pool: s.pool, Match: id, Ref: matchmaking.Ref{Session: both[0], Epoch: 1}}, matchmaking.Live)
	}
	if len(seen) != 200 {
		s.Errorf("%d of 200 are paired", len(seen))
	}
}

// races: people come, leave, turn down and agree all at once. Nobody is in two
// live matches of one search, and no live match has somebody who was told that
// it came to nothing.
func (s *suite) races() {
	const people, rounds = 24, 30
	var mu sync.Mutex
	live := map[matchmaking.Ref]protocol.RoomID{} // as either side was told
	gone := map[matchmaking.Claim]bool{}
	told := func(c matchmaking.Claim, v matchmaking.Verdict) {
		mu.Lock()
		defer mu.Unlock()
		switch v {
		case matchmaking.Live:
			if had, ok := live[c.Ref]; ok && had != c.Match {
				s.Errorf("%v is live in %s and %s", c.Ref, had, c.Match)
			}
			live[c.Ref] = c.Match
		case matchmaking.Gone:
			gone[c] = true
		}
	}
	var all sync.WaitGroup
	for i := range people {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 7))
			for epoch := uint64(1); epoch <= rounds; epoch++ {
				t, q := s.ticket(fmt.Sprintf("s%d", i), epoch, "x", matchmaking.Term(fmt.Sprint("t", rng.IntN(3))))
				r, err := s.Queue.Enter(s.Context(), t, q)
				if err != nil {
					s.Error(err)
					return
				}
				s.raceOn(rng, t.Ref, r, told)
			}
		})
	}
	all.Wait()
	for c := range gone {
		if live[c.Ref] == c.Match {
			s.Errorf("%v was told that %s is live, and that it came to nothing", c.Ref, c.Match)
		}
	}
}

// raceOn goes on at random after somebody entered.
func (s *suite) raceOn(rng *rand.Rand, me matchmaking.Ref, r matchmaking.Result, told func(matchmaking.Claim, matchmaking.Verdict)) {
	fail := func(err error) {
		if err != nil {
			s.Error(err)
		}
	}
	if r.Outcome == matchmaking.Proposed {
		side := 0
		if r.Pair.Entrants[1].Ref == me {
			side = 1
		}
		mine, other := s.claim(r.Pair, side), s.claim(r.Pair, 1-side)
		switch rng.IntN(4) {
		case 0:
			v, err := s.Queue.Nack(s.Context(), mine)
			fail(err)
			told(mine, v)
		case 1: // the other side says yes; it may be the one who only asks
			v, err := s.Queue.Ack(s.Context(), other)
			fail(err)
			told(other, v)
		default:
			for _, c := range []matchmaking.Claim{mine, other} {
				v, err := s.Queue.Ack(s.Context(), c)
				fail(err)
				told(c, v)
			}
		}
	}
	if rng.IntN(2) == 0 {
		_, err := s.Queue.Leave(s.Context(), s.pool, me)
		fail(err)
	}
	if rng.IntN(10) == 0 {
		_, err := s.Queue.Sweep(s.Context(), s.pool, 10)
		fail(err)
	}
}
