package redisqueue_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/matchmaking"
	"github.com/rondo-chat/rondo/protocol"
)

// Calls that go to Redis together come to the same as one after another.
func TestTogetherAsOneByOne(t *testing.T) {
	c := dial(t, testenv.Redis(t).Addr)
	q, _ := drivers(t, c)
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 1))
		single, group := fmt.Sprint("single", seed), fmt.Sprint("group", seed)
		var known []matchmaking.Claim
		epochs := [12]uint64{}
		for round := range 12 {
			n := 1 + rng.IntN(20)
			tickets, searches, claims := make([]matchmaking.Ticket, n), make([]matchmaking.Search, n), make([]*matchmaking.Claim, n)
			for i := range n {
				if len(known) > 0 && rng.IntN(4) == 0 {
					claim := known[rng.IntN(len(known))]
					claims[i] = &claim
					continue
				}
				tickets[i], searches[i] = draw(rng, epochs[:])
				searches[i].Match = protocol.RoomID(fmt.Sprint("m", round, "-", i/2)) // some are used twice
			}
			rs, vs, errs := q.Together(group, tickets, searches, claims)
			for i := range n {
				got := show(rs[i], vs[i], errs[i])
				tickets[i].Pool = single
				var r matchmaking.Result
				var v matchmaking.Verdict
				var err error
				if claims[i] != nil {
					claims[i].Pool = single
					v, err = q.Ack(t.Context(), *claims[i])
				} else {
					r, err = q.Enter(t.Context(), tickets[i], searches[i])
				}
				if want := show(r, v, err); got != want {
					t.Fatalf("seed %d, round %d, call %d of %d: together %s, one by one %s", seed, round, i, n, got, want)
				}
				if r.Outcome == matchmaking.Proposed {
					for _, e := range r.Pair.Entrants {
						known = append(known, matchmaking.Claim{Pool: group, Match: r.Pair.Match, Ref: e.Ref})
					}
				}
			}
			audit(t, c, single)
			audit(t, c, group)
		}
	}
}

// draw makes up a search of one of a few people, who ask again and again.
func draw(rng *rand.Rand, epochs []uint64) (matchmaking.Ticket, matchmaking.Search) {
	who := rng.IntN(len(epochs))
	if epochs[who] == 0 || rng.IntN(3) > 0 {
		epochs[who]++
	}
	t, s := ticket(fmt.Sprint("s", who))
	t.Epoch = epochs[who]
	if rng.IntN(8) == 0 {
		t.Epoch = max(1, t.Epoch-1)
	}
	if rng.IntN(3) == 0 {
		t.Since = time.Now().Add(-time.Duration(1+rng.IntN(50)) * time.Minute).Truncate(time.Minute)
	}
	for _, term := range []matchmaking.Term{"x", "y", "z"} {
		if len(t.Offers) == 0 || rng.IntN(2) == 0 {
			t.Offers = append(t.Offers, term)
		}
		if rng.IntN(2) == 0 {
			s.Seeks = append(s.Seeks, term)
		}
	}
	for range rng.IntN(4) {
		s.Exclude = append(s.Exclude, protocol.UserID(fmt.Sprint("u-s", rng.IntN(len(epochs)))))
	}
	return t, s
}

// show is an answer without what depends on the time, without how many wait (those
// who ask together are told how many there are when all have been served) and
// without how many were looked at in vain.
func show(r matchmaking.Result, v matchmaking.Verdict, err error) string {
	p := r.Pair
	return fmt.Sprint(r.Outcome, r.Strays, p.Match, p.Entrants[0].Ref, p.Entrants[1].Ref, p.Entrants[0].Data, p.Entrants[1].User, v, err)
}

// What one call stumbles over spoils no other that goes with it.
func TestOneBadRecordSpoilsNoOtherCall(t *testing.T) {
	c := dial(t, testenv.Redis(t).Addr)
	q, _ := drivers(t, c)
	if err := c.HSet(t.Context(), base+"matches", "torn", "P what is this").Err(); err != nil {
		t.Fatal(err)
	}
	a, sa := ticket("a", "x")
	b, sb := ticket("b", "x")
	claim := matchmaking.Claim{Pool: "video", Match: "torn", Ref: a.Ref}
	rs, _, errs := q.Together("video", []matchmaking.Ticket{a, {}, b}, []matchmaking.Search{sa, {}, sb}, []*matchmaking.Claim{nil, &claim, nil})
	if errs[0] != nil || errs[1] == nil || errs[2] != nil || rs[2].Outcome != matchmaking.Proposed {
		t.Errorf("%+v, %v", rs, errs)
	}
}
