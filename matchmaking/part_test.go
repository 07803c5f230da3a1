package matchmaking_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/matchmaking"
	"github.com/rondo-chat/rondo/matchmaking/queuetest"
)

// splitTown is two nodes that split a pool when it makes a match a second.
func splitTown(t *testing.T) (w *queuetest.Town, q *matchmaking.MemoryQueue) {
	q = matchmaking.NewMemoryQueue()
	return queuetest.NewTown(t, 2, matchmaking.Config{Queue: q, Relations: matchmaking.NewMemoryRelations(), Parts: 4, PartRate: 1}, nil), q
}

// traffic has pairs of strangers meet, five each second.
func traffic(t *testing.T, w *queuetest.Town, name string, d time.Duration) {
	t.Helper()
	for i := range int(d / (200 * time.Millisecond)) {
		a, b := w.Nodes[i%2].Person(fmt.Sprint(name, "a", i)), w.Nodes[(i/2)%2].Person(fmt.Sprint(name, "b", i))
		a.MustFind(profile{})
		testenv.Elapse(100 * time.Millisecond)
		b.MustFind(profile{})
		testenv.Elapse(100 * time.Millisecond)
	}
}

func spread(w *queuetest.Town) []int {
	return []int{w.Nodes[0].Spread("video"), w.Nodes[1].Spread("video")}
}

// TestParts: a pool is split while it is large, on all nodes, and who wishes the same finds one
// another all the same; when it is small again it is one.
func TestParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, q := splitTown(t)
		early := w.Nodes[0].Person("early") // before the split
		early.MustFind(profile{Tags: []string{"early"}, Strict: true})
		traffic(t, w, "one", 20*time.Second)
		if got := spread(w); got[0] < 4 || got[1] < 4 {
			t.Fatalf("spread over %v", got)
		}
		var rare [][2]*queuetest.Person
		for i := range 12 { // rare wishes, by chance in different parts at first
			a, b := w.Nodes[0].Person(fmt.Sprint("rare-a", i)), w.Nodes[1].Person(fmt.Sprint("rare-b", i))
			a.MustFind(profile{Tags: []string{fmt.Sprint("tag", i), fmt.Sprint("own", i)}, Strict: true})
			b.MustFind(profile{Tags: []string{fmt.Sprint("tag", i)}, Strict: true})
			rare = append(rare, [2]*queuetest.Person{a, b})
		}
		late := w.Nodes[1].Person("late")
		late.MustFind(profile{Tags: []string{"early"}, Strict: true})
		traffic(t, w, "two", 10*time.Second)
		met(t, early, late)
		for _, pair := range rare {
			met(t, pair[0], pair[1])
		}
		lone := w.Nodes[0].Person("lone")
		lone.MustFind(profile{Tags: []string{"lone"}, Strict: true})
		testenv.Elapse(time.Minute)
		if got := spread(w); got[0] != 1 || got[1] != 1 {
			t.Fatalf("spread over %v in the quiet", got)
		}
		left := 0
		for _, part := range []string{"video", "video.1", "video.2", "video.3"} {
			q.Audit(t, part)
			st, err := q.Stats(t.Context(), part)
			if err != nil {
				t.Fatal(err)
			}
			if left += st.Waiting; part != "video" && st.Waiting > 0 {
				t.Errorf("%d left in %s", st.Waiting, part)
			}
		}
		if stats := w.Nodes[1].Stats(t.Context()); stats[0].Waiting != left {
			t.Errorf("%d wait, told are %d", left, stats[0].Waiting)
		}
		friend := w.Nodes[1].Person("friend")
		friend.MustFind(profile{Tags: []string{"lone"}, Strict: true})
		met(t, friend, lone)
		w.Whole()
	})
}

// TestPartNames: what no part is called is refused.
func TestPartNames(t *testing.T) {
	q := matchmaking.NewMemoryQueue()
	for name, fine := range map[string]bool{"video": true, "video.1": true, "video.63": true, "video.64": false, "video.0": false,
		"video.": false, "video.01": false, "video.1.1": false, "video.-1": false, "video.+1": false, ".1": false, "Video": false} {
		_, err := q.Enter(t.Context(), matchmaking.Ticket{Pool: name, Offers: []matchmaking.Term{"x"},
			Entrant: matchmaking.Entrant{Ref: matchmaking.Ref{Session: "s", Epoch: 1}, User: "u", Node: "n"}},
			matchmaking.Search{Match: "m", Look: 1, Hold: time.Second})
		if (err == nil) != fine {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestMatchRate: what few matches say, and what many.
func TestMatchRate(t *testing.T) {
	for _, c := range []struct {
		n      int
		oldest time.Duration
		want   float64
	}{{0, 0, 0}, {5, 4 * time.Second, .5}, {matchmaking.WaitsKept, time.Second, 101}, {matchmaking.WaitsKept, 0, 101_000}} {
		if got := matchmaking.MatchRate(c.n, c.oldest); got != c.want {
			t.Errorf("%d within %v: %v, want %v", c.n, c.oldest, got, c.want)
		}
	}
}
