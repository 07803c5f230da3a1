// Package queuetest is the conformance suite of matchmaking.Queue and
// matchmaking.Relations: what every driver must do, and what the matcher relies
// on.
package queuetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/matchmaking"
	"github.com/rondo-chat/rondo/protocol"
)

// Driver is what is tested.
type Driver struct {
	Queue     matchmaking.Queue
	Relations matchmaking.Relations
	// Audit fails the test if the driver's own books on the pool do not agree
	// (every entry has its ticket and the reverse). Nil: nothing to look at.
	Audit func(t testing.TB, pool string)
}

// Run runs the suite. open is called once for each part; what it returns may
// share its storage with what it returned before.
func Run(t *testing.T, open func(t *testing.T) Driver) {
	parts := map[string]func(*suite){
		"propose":          (*suite).propose,
		"repeat":           (*suite).repeat,
		"ack":              (*suite).ack,
		"deadline":         (*suite).deadline,
		"nack":             (*suite).nack,
		"place":            (*suite).place,
		"since":            (*suite).since,
		"leave":            (*suite).leave,
		"epoch":            (*suite).epoch,
		"used":             (*suite).used,
		"exclude":          (*suite).exclude,
		"look":             (*suite).look,
		"oldest":           (*suite).oldest,
		"missing":          (*suite).missing,
		"lease":            (*suite).lease,
		"sweep":            (*suite).sweep,
		"sweep much":       (*suite).sweepMuch,
		"stats":            (*suite).stats,
		"pools":            (*suite).pools,
		"odd texts":        (*suite).oddTexts,
		"invalid":          (*suite).invalid,
		"at once":          func(s *suite) { s.atOnce(300) },
		"at once twice":    (*suite).atOnceTwice,
		"races":            (*suite).races,
		"model":            (*suite).model,
		"relations":        (*suite).relations,
		"relations bounds": (*suite).relationsBounds,
		"relations forget": (*suite).relationsForget,
	}
	for _, name := range slices.Sorted(mapsKeys(parts)) {
		t.Run(name, func(t *testing.T) {
			s := &suite{T: t, Driver: open(t), pool: fmt.Sprintf("p%d", time.Now().UnixNano())}
			parts[name](s)
			if s.Audit != nil {
				s.Audit(t, s.pool)
			}
		})
	}
}

func mapsKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// suite is one part of the suite at work, on a pool of its own.
type suite struct {
	*testing.T
	Driver
	pool string
	ids  atomic.Int64
}

// ticket makes a ticket of session name, user "u-"+name and node n1 that offers
// and seeks the terms.
func (s *suite) ticket(name string, epoch uint64, terms ...matchmaking.Term) (matchmaking.Ticket, matchmaking.Search) {
	t := matchmaking.Ticket{Pool: s.pool, Offers: terms}
	t.Session, t.Epoch, t.User, t.Node, t.Data = protocol.SessionID(name), epoch, protocol.UserID("u-"+name), "n1", `{"name":"`+name+`"}`
	return t, matchmaking.Search{
		Match: s.newMatch(), Seeks: terms, Exclude: []protocol.UserID{t.User}, Look: 32, Hold: time.Minute,
	}
}

func (s *suite) newMatch() protocol.RoomID {
	return protocol.RoomID(fmt.Sprintf("m%d", s.ids.Add(1)))
}

func (s *suite) enter(t matchmaking.Ticket, q matchmaking.Search) matchmaking.Result {
	s.Helper()
	r, err := s.Queue.Enter(s.Context(), t, q)
	if err != nil {
		s.Fatalf("enter %s: %v", t.Session, err)
	}
	if r.Strays != 0 {
		s.Errorf("enter %s: %d strays", t.Session, r.Strays)
	}
	return r
}

// list enters somebody who must find nobody.
func (s *suite) list(name string, terms ...matchmaking.Term) matchmaking.Result {
	s.Helper()
	r := s.enter(s.ticket(name, 1, terms...))
	if r.Outcome != matchmaking.Listed || r.Since.IsZero() {
		s.Fatalf("%s: %+v, want to be listed", name, r)
	}
	return r
}

// match enters somebody who must be proposed to other.
func (s *suite) match(name, other string, terms ...matchmaking.Term) matchmaking.Pair {
	s.Helper()
	r := s.enter(s.ticket(name, 1, terms...))
	if r.Outcome != matchmaking.Proposed || string(r.Pair.Entrants[0].Session) != other || string(r.Pair.Entrants[1].Session) != name {
		s.Fatalf("%s: %+v, want a proposal to %s", name, r, other)
	}
	return r.Pair
}

func (s *suite) claim(p matchmaking.Pair, side int) matchmaking.Claim {
	return matchmaking.Claim{Pool: s.pool, Match: p.Match, Ref: p.Entrants[side].Ref}
}

func (s *suite) wantAck(c matchmaking.Claim, want matchmaking.Verdict) {
	s.Helper()
	if v, err := s.Queue.Ack(s.Context(), c); err != nil || v != want {
		s.Fatalf("ack of %s: %v, %v; want %v", c.Session, v, err, want)
	}
}

func (s *suite) wantNack(c matchmaking.Claim, want matchmaking.Verdict) {
	s.Helper()
	if v, err := s.Queue.Nack(s.Context(), c); err != nil || v != want {
		s.Fatalf("nack of %s: %v, %v; want %v", c.Session, v, err, want)
	}
}

func (s *suite) wantMissing(want []int, refs ...matchmaking.Ref) {
	s.Helper()
	got, err := s.Queue.Missing(s.Context(), s.pool, refs)
	if err != nil || !slices.Equal(got, want) {
		s.Fatalf("missing %v, %v; want %v", got, err, want)
	}
}

func ref(name string, epoch uint64) matchmaking.Ref {
	return matchmaking.Ref{Session: protocol.SessionID(name), Epoch: epoch}
}

func (s *suite) propose() {
	first := s.list("a", "x", "y")
	p := s.match("b", "a", "y", "z")
	a, b := p.Entrants[0], p.Entrants[1]
	want := matchmaking.Entrant{Ref: ref("a", 1), User: "u-a", Node: "n1", Since: first.Since, Data: `{"name":"a"}`}
	if a.Ref != want.Ref || a.User != want.User || a.Node != want.Node || !a.Since.Equal(want.Since) || a.Data != want.Data {
		s.Errorf("got %+v, want %+v", a, want)
	}
	if b.Ref != ref("b", 1) || b.User != "u-b" || b.Data != `{"name":"b"}` || b.Since.Before(a.Since) || p.Pool != s.pool || p.Match == "" {
		s.Errorf("got %+v", p)
	}
	// Both are taken.
	s.list("c", "x", "y", "z")
}

func (s *suite) repeat() {
	s.list("a", "x")
	again := s.list("a", "x") // its own ticket does not fit it
	if again.Waiting != 1 {
		s.Errorf("%d tickets", again.Waiting)
	}
	p := s.match("b", "a", "x")
	for _, name := range []string{"a", "b", "b", "a"} {
		r := s.enter(s.ticket(name, 1, "x"))
		if r.Outcome != matchmaking.Proposed || r.Pair.Match != p.Match || r.Pair.Entrants[0].Ref != ref("a", 1) || r.Pair.Entrants[1].Ref != ref("b", 1) {
			s.Errorf("%s again: %+v, want %+v", name, r, p)
		}
	}
}

func (s *suite) ack() {
	s.list("a", "x")
	p := s.match("b", "a", "x")
	waited, searched := s.claim(p, 0), s.claim(p, 1)
	wrong := waited
	wrong.Epoch++
	s.wantAck(wrong, matchmaking.Gone)
	s.wantAck(searched, matchmaking.Pending)
	s.wantMissing(nil, p.Entrants[0].Ref, p.Entrants[1].Ref)
	for range 2 {
		s.wantAck(waited, matchmaking.Live)
		s.wantAck(searched, matchmaking.Live)
		s.wantNack(waited, matchmaking.Live)
		s.wantNack(searched, matchmaking.Live)
	}
	s.wantMissing([]int{0, 1}, p.Entrants[0].Ref, p.Entrants[1].Ref)
	if u, err := s.Queue.Leave(s.Context(), s.pool, p.Entrants[0].Ref); u != nil || err != nil {
		s.Errorf("leave of a live match: %v, %v", u, err)
	}
	s.wantAck(searched, matchmaking.Live)
	s.wantAck(matchmaking.Claim{Pool: s.pool, Match: "unknown", Ref: ref("a", 1)}, matchmaking.Gone)
	s.wantNack(matchmaking.Claim{Pool: s.pool, Match: "unknown", Ref: ref("a", 1)}, matchmaking.Gone)
	// Both may search anew.
	s.list("a", "x")
	s.match("b", "a", "x")
}

func (s *suite) deadline() {
	s.list("a", "x")
	t, q := s.ticket("b", 1, "x")
	q.Hold = 30 * time.Millisecond
	p := s.enter(t, q).Pair
	testenv.Eventually(s.T, 5*time.Second, func() bool {
		v, err := s.Queue.Ack(s.Context(), s.claim(p, 1))
		if err != nil {
			s.Fatal(err)
		}
		return v == matchmaking.Gone
	}, "the proposal outlives its deadline")
	s.wantAck(s.claim(p, 0), matchmaking.Gone)
	s.wantMissing([]int{0, 1}, p.Entrants[0].Ref, p.Entrants[1].Ref)
}

func (s *suite) nack() {
	for _, side := range []int{0, 1} {
		s.list("a", "x")
		p := s.match("b", "a", "x")
		wrong := s.claim(p, side)
		wrong.Epoch++
		s.wantNack(wrong, matchmaking.Gone)
		s.wantAck(s.claim(p, 1), matchmaking.Pending) // that undid nothing
		for range 2 {
			s.wantNack(s.claim(p, side), matchmaking.Gone)
		}
		s.wantAck(s.claim(p, 0), matchmaking.Gone)
		s.wantAck(s.claim(p, 1), matchmaking.Gone)
		s.wantMissing([]int{0, 1}, p.Entrants[0].Ref, p.Entrants[1].Ref)
	}
	s.list("c", "x")
}

// place: who enters again after a match came to nothing keeps the old place.
func (s *suite) place() {
	first := s.list("a", "x")
	s.list("b", "y")
	p := s.match("c", "a", "x")
	s.list("d", "x")
	s.wantNack(s.claim(p, 1), matchmaking.Gone)
	t, q := s.ticket("a", 1, "x")
	t.Since, q.Seeks = first.Since, nil
	if r := s.enter(t, q); r.Outcome != matchmaking.Listed || !r.Since.Equal(first.Since) {
		s.Fatalf("%+v, want since %v", r, first.Since)
	}
	s.match("e", "a", "x")
	s.match("f", "d", "x")
}

func (s *suite) since() {
	first := s.list("a", "x")
	t, q := s.ticket("b", 1, "y")
	t.Since = first.Since.Add(time.Hour)
	future := s.enter(t, q)
	if future.Since.After(first.Since.Add(time.Minute)) {
		s.Errorf("a place in the future: %v", future.Since)
	}
	t, q = s.ticket("c", 1, "z")
	t.Since = first.Since.Add(-100 * 24 * time.Hour)
	past := s.enter(t, q)
	if d := first.Since.Sub(past.Since); d < matchmaking.MaxWait-time.Minute || d > matchmaking.MaxWait+time.Minute {
		s.Errorf("a place %v ago, want %v", d, matchmaking.MaxWait)
	}
	t, q = s.ticket("a", 1, "x")
	if again := s.enter(t, q); !again.Since.Equal(first.Since) {
		s.Errorf("entering again moved the place from %v to %v", first.Since, again.Since)
	}
	t, q = s.ticket("a", 2, "x")
	if anew := s.enter(t, q); !anew.Since.After(first.Since) {
		s.Errorf("a new search kept the place %v", anew.Since)
	}
}

func (s *suite) leave() {
	leave := func(name string, epoch uint64) *matchmaking.Pair {
		p, err := s.Queue.Leave(s.Context(), s.pool, ref(name, epoch))
		if err != nil {
			s.Fatal(err)
		}
		return p
	}
	t, q := s.ticket("a", 5, "x")
	s.enter(t, q)
	leave("a", 4)
	s.wantMissing(nil, ref("a", 5))
	if p := leave("a", 5); p != nil {
		s.Errorf("left %+v", p)
	}
	s.wantMissing([]int{0}, ref("a", 5))
	leave("a", 5)
	leave("nobody", 1)

	s.enter(t, q)
	p := s.match("b", "a", "x")
	if leave("a", 4) != nil {
		s.Error("an old leave undid a proposal")
	}
	undone := leave("a", 6)
	if undone == nil || undone.Match != p.Match || undone.Entrants[0].Ref != ref("a", 5) || undone.Entrants[1].Ref != ref("b", 1) {
		s.Fatalf("undone %+v, want %+v", undone, p)
	}
	s.wantAck(s.claim(p, 0), matchmaking.Gone)
	s.wantMissing([]int{0, 1}, ref("a", 5), ref("b", 1))
	s.list("c", "x")
	p = s.match("b", "c", "x")
	if undone := leave("b", 1); undone == nil || undone.Match != p.Match {
		s.Errorf("undone %+v, want %+v", undone, p)
	}
}

func (s *suite) epoch() {
	s.enter(s.ticket("a", 5, "x"))
	if r := s.enter(s.ticket("a", 4, "x")); r.Outcome != matchmaking.Stale {
		s.Errorf("an older search: %+v", r)
	}
	if r := s.enter(s.ticket("a", 6, "y")); r.Outcome != matchmaking.Listed || r.Waiting != 1 {
		s.Errorf("a newer search: %+v", r)
	}
	s.list("b", "x") // the old ticket is gone
	p := s.match("c", "a", "y")
	if r := s.enter(s.ticket("a", 5, "z")); r.Outcome != matchmaking.Stale {
		s.Errorf("an older search than the proposed: %+v", r)
	}
	if r := s.enter(s.ticket("a", 7, "z")); r.Outcome != matchmaking.Listed {
		s.Errorf("a newer search than the proposed: %+v", r)
	}
	s.wantAck(s.claim(p, 0), matchmaking.Gone)
	s.wantMissing([]int{0, 2}, ref("c", 1), ref("a", 7), ref("a", 6))

	// A newer search that finds somebody at once.
	p = s.match("d", "a", "z")
	s.list("e", "w")
	r := s.enter(s.ticket("d", 2, "w"))
	if r.Outcome != matchmaking.Proposed || r.Pair.Entrants[0].Session != "e" {
		s.Fatalf("%+v", r)
	}
	s.wantAck(s.claim(p, 0), matchmaking.Gone)
	s.wantAck(s.claim(r.Pair, 0), matchmaking.Live)
	s.wantMissing([]int{0}, ref("a", 7))
}

func (s *suite) used() {
	s.list("a", "x")
	p := s.match("b", "a", "x")
	s.wantAck(s.claim(p, 0), matchmaking.Live)
	s.list("c", "x")
	t, q := s.ticket("d", 1, "x")
	q.Match = p.Match
	if r := s.enter(t, q); r.Outcome != matchmaking.Used {
		s.Fatalf("%+v", r)
	}
	s.wantMissing([]int{1}, ref("c", 1), ref("d", 1))
	s.match("d", "c", "x")
}

func (s *suite) exclude() {
	s.list("a", "x")
	t, q := s.ticket("b", 1, "x")
	t.User = "u-a" // another tab
	q.Exclude = []protocol.UserID{t.User}
	if r := s.enter(t, q); r.Outcome != matchmaking.Listed || r.Rejected != 1 {
		s.Fatalf("matched with oneself: %+v", r)
	}
	t, q = s.ticket("c", 1, "x")
	q.Exclude = []protocol.UserID{"u-c", "u", "u-a"}
	if r := s.enter(t, q); r.Outcome != matchmaking.Listed || r.Rejected != 2 {
		s.Fatalf("excluded people: %+v", r)
	}
	t, q = s.ticket("d", 1, "x")
	q.Exclude = []protocol.UserID{"u-d", "u-a"}
	if r := s.enter(t, q); r.Outcome != matchmaking.Proposed || r.Pair.Entrants[0].Session != "c" {
		s.Fatalf("beyond excluded people: %+v", r)
	}
}

// look: no more are looked at per term than asked for, and no fewer.
func (s *suite) look() {
	const n = 300
	exclude := []protocol.UserID{"u-z"}
	for i := range n {
		name := fmt.Sprintf("s%03d", i)
		t, q := s.ticket(name, 1, "x")
		q.Seeks = nil
		s.enter(t, q)
		if i < n-1 {
			exclude = append(exclude, t.User)
		}
	}
	for _, look := range []int{1, 2, 7, 8, 9, 32, 33, 100, n - 1} {
		t, q := s.ticket("z", 1, "x")
		t.Offers, q.Exclude, q.Look = []matchmaking.Term{"other"}, exclude, look
		if r := s.enter(t, q); r.Outcome != matchmaking.Listed || r.Rejected != look {
			s.Fatalf("look %d: %+v", look, r)
		}
	}
	t, q := s.ticket("z", 1, "x")
	q.Exclude, q.Look = exclude, n
	if r := s.enter(t, q); r.Outcome != matchmaking.Proposed || r.Pair.Entrants[0].Session != "s299" {
		s.Fatalf("%+v", r)
	}
}

func (s *suite) oldest() {
	s.list("a", "x")
	s.list("b", "y", "w")
	s.list("c", "z")
	s.match("d", "a", "z", "y", "x")
	s.match("e", "b", "z", "w")
	s.match("f", "c", "z", "w")
	s.list("g", "x", "y", "z", "w")
}

func (s *suite) missing() {
	s.list("a", "x")
	s.list("b", "y")
	s.match("c", "a", "x")
	s.wantMissing([]int{1, 4}, ref("a", 1), ref("a", 2), ref("b", 1), ref("c", 1), ref("d", 1))
	s.wantMissing(nil)
	var many []matchmaking.Ref
	for range 1500 {
		many = append(many, ref("b", 1))
	}
	many[1200] = ref("gone", 1)
	s.wantMissing([]int{1200}, many...)
}

func (s *suite) sweepAll() (sum matchmaking.Swept) {
	s.Helper()
	for {
		w, err := s.Queue.Sweep(s.Context(), s.pool, 100)
		if err != nil {
			s.Fatal(err)
		}
		sum.Expired += w.Expired
		sum.Forgotten += w.Forgotten
		sum.Reaped += w.Reaped
		sum.Nodes += w.Nodes
		if !w.More(100) {
			return sum
		}
	}
}

func (s *suite) renew(node protocol.NodeID, ttl time.Duration) {
	s.Helper()
	if err := s.Queue.Renew(s.Context(), s.pool, node, ttl); err != nil {
		s.Fatal(err)
	}
}

func (s *suite) lease() {
	s.renew("n2", time.Minute)
	s.list("a", "x") // on n1, which never renewed: entering did
	t, q := s.ticket("b", 1, "y", "z")
	t.Node = "n2"
	s.enter(t, q)
	if w := s.sweepAll(); w != (matchmaking.Swept{}) {
		s.Fatalf("swept %+v", w)
	}
	s.renew("n1", 0)
	s.list("a2", "x1") // that is no renewal
	if w := s.sweepAll(); w != (matchmaking.Swept{Reaped: 2, Nodes: 1}) {
		s.Fatalf("swept %+v", w)
	}
	s.wantMissing([]int{0, 2}, ref("a", 1), ref("b", 1), ref("a2", 1))
	s.list("c", "x")
	s.renew("n2", 10*time.Millisecond)
	s.list("d", "x2")
	testenv.Eventually(s.T, 5*time.Second, func() bool { return s.sweepAll().Nodes == 1 }, "the lease does not end")
	s.wantMissing([]int{0}, ref("b", 1), ref("c", 1), ref("d", 1))
	// A name that begins like another is another.
	t, q = s.ticket("e", 1, "v")
	t.Node = "n11"
	s.enter(t, q)
	s.renew("n1", 0)
	if w := s.sweepAll(); w.Reaped != 2 {
		s.Fatalf("swept %+v", w)
	}
	s.wantMissing(nil, ref("e", 1))
}

func (s *suite) sweep() {
	s.list("a", "x")
	t, q := s.ticket("b", 1, "x")
	q.Hold = time.Millisecond
	p := s.enter(t, q).Pair
	s.list("c", "y")
	kept := s.match("d", "c", "y")
	testenv.Eventually(s.T, 5*time.Second, func() bool { return s.sweepAll().Expired == 1 }, "the proposal does not expire")
	s.wantAck(s.claim(p, 0), matchmaking.Gone)
	s.wantMissing([]int{0, 1}, ref("a", 1), ref("b", 1), ref("c", 1), ref("d", 1))
	s.wantAck(s.claim(kept, 0), matchmaking.Live)
	if w := s.sweepAll(); w != (matchmaking.Swept{}) {
		s.Errorf("swept %+v", w) // decided matches are remembered
	}
	s.wantAck(s.claim(kept, 1), matchmaking.Live)
}

func (s *suite) sweepMuch() {
	const n = 250
	for i := range n {
		t, q := s.ticket(fmt.Sprint("s", i), 1, matchmaking.Term(fmt.Sprint("x", i)), "y")
		t.Node, q.Seeks = "n2", nil
		s.enter(t, q)
	}
	s.renew("n2", 0)
	w, err := s.Queue.Sweep(s.Context(), s.pool, 100)
	if err != nil || w.Reaped != 100 || w.Nodes != 0 || !w.More(100) {
		s.Fatalf("%+v, %v", w, err)
	}
	if w := s.sweepAll(); w.Reaped != n-100 || w.Nodes != 1 {
		s.Fatalf("%+v", w)
	}
	if st, err := s.Queue.Stats(s.Context(), s.pool); err != nil || st.Waiting != 0 {
		s.Fatalf("%+v, %v", st, err)
	}
}

func (s *suite) stats() {
	want := func(waiting, waits int) matchmaking.Stats {
		s.Helper()
		st, err := s.Queue.Stats(s.Context(), s.pool)
		if err != nil || st.Waiting != waiting || len(st.Waits) != waits {
			s.Fatalf("%+v, %v; want %d waiting and %d waits", st, err, waiting, waits)
		}
		return st
	}
	want(0, 0)
	s.list("a", "x")
	s.list("b", "y")
	want(2, 0)
	p := s.match("c", "a", "x")
	want(3, 0)
	s.wantAck(s.claim(p, 0), matchmaking.Live)
	st := want(1, 1)
	if st.Waits[0] <= 0 || st.Waits[0] > time.Minute {
		s.Errorf("waited %v", st.Waits[0])
	}
	if st.Rate != .1 {
		s.Errorf("one match is %v a second", st.Rate)
	}
	for range matchmaking.WaitsKept + 150 {
		s.list("d", "z")
		s.wantAck(s.claim(s.match("e", "d", "z"), 0), matchmaking.Live)
	}
	if st := want(1, matchmaking.WaitsKept); st.Rate < float64(matchmaking.WaitsKept)/10 {
		s.Errorf("%d matches are %v a second", matchmaking.WaitsKept, st.Rate)
	}
}

// pools: what happens in one pool does not show in another.
func (s *suite) pools() {
	s.list("a", "x")
	other := &suite{T: s.T, Driver: s.Driver, pool: s.pool + "b"}
	other.list("a", "x")
	other.list("b", "y")
	s.match("b", "a", "x")
	other.wantMissing(nil, ref("a", 1), ref("b", 1))
}

// oddTexts: what users write reaches the other side as it is, and terms that
// begin alike are not the same.
func (s *suite) oddTexts() {
	t, q := s.ticket("a", 1, "t\x1fen\x1fjazz", "t\x1fen\x1fja", "[x", "(x", "{1}", "€", "-inf", "+")
	t.Data = `{"name":"Zoë \"☂\" \\n 👩‍👩‍👧 {1} %s %n '"}`
	s.enter(t, q)
	s.list("b", "t\x1fen\x1fj", "t\x1fen\x1fjaz", "t\x1fen\x1fjazz2", "x", "[", "inf")
	r := s.enter(s.ticket("c", 1, "(x"))
	if r.Outcome != matchmaking.Proposed || r.Pair.Entrants[0].Data != t.Data {
		s.Fatalf("%+v", r)
	}
	s.match("d", "b", "[")
}

func (s *suite) invalid() {
	many := make([]matchmaking.Term, matchmaking.MaxTerms+1)
	for i := range many {
		many[i] = matchmaking.Term(fmt.Sprint("t", i))
	}
	for what, spoil := range map[string]func(*matchmaking.Ticket, *matchmaking.Search){
		"pool":       func(t *matchmaking.Ticket, _ *matchmaking.Search) { t.Pool = "{a}" },
		"session":    func(t *matchmaking.Ticket, _ *matchmaking.Search) { t.Session = "" },
		"session #":  func(t *matchmaking.Ticket, _ *matchmaking.Search) { t.Session = "#a" },
		"user":       func(t *matchmaking.Ticket, _ *matchmaking.Search) { t.User = "a\nb" },
		"node":       func(t *matchmaking.Ticket, _ *matchmaking.Search) { t.Node = "a\x00b" },
		"match":      func(_ *matchmaking.Ticket, q *matchmaking.Search) { q.Match = "" },
		"epoch":      func(t *matchmaking.Ticket, _ *matchmaking.Search) { t.Epoch = 0 },
		"big epoch":  func(t *matchmaking.Ticket, _ *matchmaking.Search) { t.Epoch = 1e16 },
		"data":       func(t *matchmaking.Ticket, _ *matchmaking.Search) { t.Data = "a\nb" },
		"no offers":  func(t *matchmaking.Ticket, _ *matchmaking.Search) { t.Offers = nil },
		"offers":     func(t *matchmaking.Ticket, _ *matchmaking.Search) { t.Offers = many },
		"seeks":      func(_ *matchmaking.Ticket, q *matchmaking.Search) { q.Seeks = many },
		"term":       func(t *matchmaking.Ticket, _ *matchmaking.Search) { t.Offers = []matchmaking.Term{"a\x01"} },
		"node term":  func(t *matchmaking.Ticket, _ *matchmaking.Search) { t.Offers = []matchmaking.Term{"@n1"} },
		"empty term": func(_ *matchmaking.Ticket, q *matchmaking.Search) { q.Seeks = []matchmaking.Term{""} },
		"long term": func(t *matchmaking.Ticket, _ *matchmaking.Search) {
			t.Offers = []matchmaking.Term{matchmaking.Term(strings.Repeat("x", matchmaking.MaxTermBytes+1))}
		},
		"exclude": func(_ *matchmaking.Ticket, q *matchmaking.Search) { q.Exclude = []protocol.UserID{"a\nb"} },
		"many excluded": func(_ *matchmaking.Ticket, q *matchmaking.Search) {
			q.Exclude = make([]protocol.UserID, matchmaking.MaxExclude+1)
		},
		"look": func(_ *matchmaking.Ticket, q *matchmaking.Search) { q.Look = 0 },
		"hold": func(_ *matchmaking.Ticket, q *matchmaking.Search) { q.Hold = 0 },
	} {
		t, q := s.ticket("a", 1, "x")
		spoil(&t, &q)
		_, err := s.Queue.Enter(s.Context(), t, q)
		if _, ok := err.(*matchmaking.ErrInvalid); !ok {
			s.Errorf("%s: %v", what, err)
		}
	}
	if st, err := s.Queue.Stats(s.Context(), s.pool); err != nil || st.Waiting != 0 {
		s.Errorf("%+v, %v", st, err)
	}
}

func (s *suite) relations() {
	ctx := s.Context()
	r := s.Relations
	id := func(name string) protocol.UserID { return protocol.UserID(s.pool + name) }
	want := func(name string, hard, recent string) {
		s.Helper()
		ex, err := r.Exclusions(ctx, id(name))
		if err != nil {
			s.Fatal(err)
		}
		for what, pair := range map[string][2]any{"hard": {ex.Hard, hard}, "recent": {ex.Recent, recent}} {
			var got []string
			for _, u := range pair[0].([]protocol.UserID) {
				got = append(got, strings.TrimPrefix(string(u), s.pool))
			}
			slices.Sort(got)
			if strings.Join(got, " ") != pair[1] {
				s.Errorf("%s of %s: %v, want %q", what, name, got, pair[1])
			}
		}
	}
	must := func(err error) {
		s.Helper()
		if err != nil {
			s.Fatal(err)
		}
	}
	want("a", "", "")
	must(r.Block(ctx, id("a"), id("b")))
	must(r.Block(ctx, id("c"), id("a")))
	must(r.Block(ctx, id("a"), id("b")))
	must(r.Part(ctx, id("a"), id("d")))
	must(r.Part(ctx, id("d"), id("a")))
	want("a", "b c", "d")
	want("b", "a", "")
	want("c", "a", "")
	want("d", "", "a")
}

func (s *suite) relationsBounds() {
	ctx := s.Context()
	id := func(i int) protocol.UserID { return protocol.UserID(fmt.Sprintf("%s-%d", s.pool, i)) }
	const n = matchmaking.RecentKeep + 4
	for i := 1; i <= n; i++ {
		if err := s.Relations.Part(ctx, id(0), id(i)); err != nil {
			s.Fatal(err)
		}
		if i <= matchmaking.RecentKeep { // times of the same millisecond would leave the order open
			continue
		}
		now := time.Now().UnixMilli()
		testenv.Eventually(s.T, time.Second, func() bool { return time.Now().UnixMilli() > now+1 }, "time stands still")
	}
	ex, err := s.Relations.Exclusions(ctx, id(0))
	if err != nil || len(ex.Recent) != matchmaking.RecentKeep || ex.Recent[0] != id(n) {
		s.Fatalf("%v, %v", ex.Recent, err)
	}
	for i := 1; i <= matchmaking.BlockKeep+5; i++ {
		if err := s.Relations.Block(ctx, id(0), id(i)); err != nil {
			s.Fatal(err)
		}
	}
	ex, err = s.Relations.Exclusions(ctx, id(0))
	if err != nil || len(ex.Hard) != matchmaking.BlockKeep {
		s.Fatalf("%d, %v", len(ex.Hard), err)
	}
	for _, i := range []int{1, matchmaking.BlockKeep} { // the other side remembers in any case
		ex, err = s.Relations.Exclusions(ctx, id(i))
		if err != nil || !slices.Equal(ex.Hard, []protocol.UserID{id(0)}) {
			s.Fatalf("%v, %v", ex.Hard, err)
		}
	}
}

// relationsForget: also those are rid of somebody whom that one had long lost
// sight of.
func (s *suite) relationsForget() {
	ctx := s.Context()
	id := func(i int) protocol.UserID { return protocol.UserID(fmt.Sprintf("%s-%d", s.pool, i)) }
	const others = matchmaking.BlockKeep + 20
	for i := 1; i <= others; i++ {
		for _, err := range []error{s.Relations.Block(ctx, id(0), id(i)), s.Relations.Part(ctx, id(0), id(i))} {
			if err != nil {
				s.Fatal(err)
			}
		}
	}
	if err := s.Relations.Block(ctx, id(1), id(2)); err != nil {
		s.Fatal(err)
	}
	for range 2 { // it may be repeated
		if err := s.Relations.Forget(ctx, id(0)); err != nil {
			s.Fatal(err)
		}
	}
	for i := range others + 1 {
		ex, err := s.Relations.Exclusions(ctx, id(i))
		if err != nil {
			s.Fatal(err)
		}
		want := 0
		if i == 1 || i == 2 {
			want = 1
		}
		if len(ex.Hard) != want || len(ex.Recent) != 0 || slices.Contains(ex.Hard, id(0)) {
			s.Fatalf("of %d there is %v", i, ex)
		}
	}
}

// twice calls each method two times, as a client does that got no answer.
type twice struct{ matchmaking.Queue }

func (q twice) Enter(ctx context.Context, t matchmaking.Ticket, s matchmaking.Search) (matchmaking.Result, error) {
	first, err := q.Queue.Enter(ctx, t, s)
	if err != nil || first.Outcome == matchmaking.Used {
		return first, err
	}
	return q.Queue.Enter(ctx, t, s)
}

func (q twice) Ack(ctx context.Context, c matchmaking.Claim) (matchmaking.Verdict, error) {
	if _, err := q.Queue.Ack(ctx, c); err != nil {
		return 0, err
	}
	return q.Queue.Ack(ctx, c)
}

func (q twice) Nack(ctx context.Context, c matchmaking.Claim) (matchmaking.Verdict, error) {
	if _, err := q.Queue.Nack(ctx, c); err != nil {
		return 0, err
	}
	return q.Queue.Nack(ctx, c)
}

func (q twice) Leave(ctx context.Context, pool string, r matchmaking.Ref) (*matchmaking.Pair, error) {
	undone, err := q.Queue.Leave(ctx, pool, r)
	if err != nil {
		return nil, err
	}
	_, err = q.Queue.Leave(ctx, pool, r)
	return undone, err
}
