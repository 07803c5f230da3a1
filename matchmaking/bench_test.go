package matchmaking_test

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/matchmaking"
	"github.com/rondo-chat/rondo/protocol"
)

// benchTickets makes n tickets of people with tags and a language.
func benchTickets(n int, tag func(i int) string) ([]matchmaking.Ticket, []matchmaking.Search) {
	tickets, searches := make([]matchmaking.Ticket, n), make([]matchmaking.Search, n)
	for i := range n {
		p := matchmaking.Profile{Languages: []string{"en"}, Tags: []string{tag(i), "b" + tag(i), "c" + tag(i)}, Strict: true}
		offers, seeks := matchmaking.Terms(p, false, protocol.ReachTags)
		t := matchmaking.Ticket{Pool: "video", Offers: offers}
		t.Session, t.Epoch, t.User, t.Node, t.Data = protocol.SessionID(fmt.Sprint("s", tag(i), i)), 1, protocol.UserID(fmt.Sprint("u", tag(i), i)), "n1", `{"name":"x"}`
		tickets[i] = t
		searches[i] = matchmaking.Search{Match: protocol.RoomID(fmt.Sprint("m", tag(i), i)), Seeks: seeks, Look: 32, Hold: time.Minute,
			Exclude: []protocol.UserID{t.User, "e1", "e2", "e3", "e4", "e5"}}
	}
	return tickets, searches
}

// BenchmarkEnter is an arrival of somebody with three tags and five exclusions:
// every second one is matched, and acknowledged; the others are listed.
func BenchmarkEnter(b *testing.B) {
	for _, waiting := range []int{0, 10_000, 100_000} {
		b.Run(fmt.Sprint(waiting), func(b *testing.B) {
			q := matchmaking.NewMemoryQueue()
			others, searches := benchTickets(waiting, func(i int) string { return fmt.Sprint("w", i/2) })
			for i, t := range others {
				searches[i].Seeks = nil
				if _, err := q.Enter(b.Context(), t, searches[i]); err != nil {
					b.Fatal(err)
				}
			}
			const people = 2000
			mine, how := benchTickets(people, func(i int) string { return fmt.Sprint("t", i%100/2) })
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				k := i % people
				t, s := mine[k], how[k]
				t.Epoch = uint64(i + 1)
				s.Match = protocol.RoomID(fmt.Sprint("m", i))
				r, err := q.Enter(b.Context(), t, s)
				if err != nil {
					b.Fatal(err)
				}
				if r.Outcome == matchmaking.Proposed {
					if v, err := q.Ack(b.Context(), matchmaking.Claim{Pool: "video", Match: r.Pair.Match, Ref: r.Pair.Entrants[0].Ref}); v != matchmaking.Live || err != nil {
						b.Fatal(v, err)
					}
				}
			}
		})
	}
}

// BenchmarkGrowth is a match in memory (Enter, Enter, Ack) with ever more people
// waiting who fit nobody, beside the same in an empty queue in the same rounds: the
// work of this process, garbage collection included.
func BenchmarkGrowth(b *testing.B) {
	sizes := []int{0, 10_000, 100_000, 1_000_000}
	queues, spent := map[int]*matchmaking.MemoryQueue{}, map[int][]float64{}
	for _, n := range sizes {
		q := matchmaking.NewMemoryQueue()
		for from := 0; from < n; from += 10_000 {
			others, searches := benchTickets(10_000, func(i int) string { return fmt.Sprint("w", from+i) })
			for i, t := range others {
				t.Offers, searches[i].Seeks = t.Offers[:2], nil // as quick as can be
				if _, err := q.Enter(b.Context(), t, searches[i]); err != nil {
					b.Fatal(err)
				}
			}
		}
		queues[n] = q
	}
	const people = 4000
	for round := 0; b.Loop(); round++ {
		tickets, searches := benchTickets(people, func(i int) string { return fmt.Sprint("r", round, "-", i/2) })
		for _, n := range sizes {
			start := cpuTime(b)
			for i, t := range tickets {
				r, err := queues[n].Enter(b.Context(), t, searches[i])
				if err == nil && r.Outcome == matchmaking.Proposed {
					_, err = queues[n].Ack(b.Context(), matchmaking.Claim{Pool: "video", Match: r.Pair.Match, Ref: r.Pair.Entrants[0].Ref})
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			spent[n] = append(spent[n], (cpuTime(b)-start).Seconds()*1e6/(people/2))
		}
	}
	b.ReportMetric(0, "ns/op") // rounds say nothing
	for _, n := range sizes {
		var ratios []float64
		for i, us := range spent[n] {
			ratios = append(ratios, us/spent[0][i])
		}
		b.ReportMetric(middle(spent[n]), fmt.Sprint("us/match-", n))
		b.ReportMetric(middle(ratios), fmt.Sprint("ratio-", n))
	}
}

func middle(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// cpuTime returns how long this process has worked.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkTerms is the making of the terms of one search.
func BenchmarkTerms(b *testing.B) {
	p := matchmaking.Profile{Languages: []string{"en", "de"}, Tags: []string{"jazz", "go", "tea"}}
	b.ReportAllocs()
	for b.Loop() {
		matchmaking.Terms(p, false, protocol.ReachLanguage)
	}
}
