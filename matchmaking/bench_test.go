package matchmaking_test

import (
	"fmt"
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

// BenchmarkTerms is the making of the terms of one search.
func BenchmarkTerms(b *testing.B) {
	p := matchmaking.Profile{Languages: []string{"en", "de"}, Tags: []string{"jazz", "go", "tea"}}
	b.ReportAllocs()
	for b.Loop() {
		matchmaking.Terms(p, false, protocol.ReachLanguage)
	}
}
