//go:build !race

package matchmaking_test

import (
	"testing"

	"github.com/rondo-chat/rondo/matchmaking"
)

// What a match allocates in the memory queue: Enter, Enter and Ack with three tags
// and five exclusions, in a queue that knew the people's terms before.
func TestCostOfAMatchInMemory(t *testing.T) {
	q := matchmaking.NewMemoryQueue()
	const runs = 200
	tickets, searches := benchTickets(2*runs+2, func(int) string { return "t" })
	i := 0
	n := testing.AllocsPerRun(runs, func() {
		var r matchmaking.Result
		var err error
		for range 2 {
			if r, err = q.Enter(t.Context(), tickets[i], searches[i]); err != nil {
				t.Fatal(err)
			}
			i++
		}
		if v, err := q.Ack(t.Context(), matchmaking.Claim{Pool: "video", Match: r.Pair.Match, Ref: r.Pair.Entrants[0].Ref}); v != matchmaking.Live || err != nil {
			t.Fatal(v, err)
		}
	})
	t.Logf("%v allocations", n)
	if n > 32 {
		t.Errorf("%v allocations for a match", n)
	}
}
