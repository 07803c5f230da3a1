// Package storetest is the conformance suite of rooms.Store: what each method
// promises, and what the Registry promises over it.
package storetest

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/rooms"
)

// patience bounds each wait for something that must happen.
const patience = 20 * time.Second

// Run runs the suite. open returns an empty store each time.
func Run(t *testing.T, open func(t testing.TB) rooms.Store) {
	tests := []struct {
		name string
		run  func(*testing.T, func(t testing.TB) rooms.Store)
	}{
		{"Records", testRecords},
		{"SwapRace", testSwapRace},
		{"Seats", testSeats},
		{"ManySeats", testManySeats},
		{"Leases", testLeases},
		{"Relist", testRelist},
		{"Due", testDue},
		{"Keep", testKeep},
		{"RandomPlans", testRandomPlans},
		{"LastSeat", testLastSeat},
		{"GuessRace", testGuessRace},
		{"Concurrent", testConcurrent},
		{"LeaveRace", testLeaveRace},
		{"DeadNode", testDeadNode},
		{"Return", testReturn},
		{"FormerLife", testFormerLife},
		{"Orphans", testOrphans},
		{"Expiry", testExpiry},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, open) })
	}
}

// record makes a record whose members are "session@node".
func record(id protocol.RoomID, rev uint64, members ...string) *rooms.Record {
	r := &rooms.Record{Rev: rev, Next: uint64(len(members)) + 1, Room: rooms.Room{
		ID: id, Kind: rooms.Named, Mode: protocol.ModeVideo, Capacity: 6, Version: rev, Note: []byte{0, 255}}}
	for i, m := range members {
		var session, node string
		if n, _ := fmt.Sscanf(m, "%1s@%s", &session, &node); n != 2 {
			panic(m)
		}
		r.Room.Members = append(r.Room.Members, rooms.Member{ID: protocol.MemberID(strconv.Itoa(i + 1)),
			Session: protocol.SessionID(session), Node: protocol.NodeID(node), Name: "Ä", Since: time.UnixMilli(1763697600123).UTC()})
	}
	return r
}

func swap(t testing.TB, s rooms.Store, old, new *rooms.Record, want bool) {
	t.Helper()
	ok, err := s.Swap(t.Context(), old, new)
	if err != nil || ok != want {
		t.Fatalf("Swap = %v, %v, want %v", ok, err, want)
	}
}

func load(t testing.TB, s rooms.Store, id protocol.RoomID) *rooms.Record {
	t.Helper()
	r, err := s.Load(t.Context(), id)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return r
}

func testRecords(t *testing.T, open func(t testing.TB) rooms.Store) {
	s := open(t)
	if r := load(t, s, "none"); r != nil {
		t.Fatalf("a room that is not there: %+v", r)
	}
	one := record("r", 1, "a@n1")
	one.Passcode, one.Ops = []byte("mac"), []string{"op"}
	one.Guesses.Full = 1763697600123456789
	swap(t, s, nil, one, true)
	swap(t, s, nil, one, false)
	got := load(t, s, "r")
	if !reflect.DeepEqual(got, one) {
		t.Fatalf("loaded %+v\nstored %+v", got, one)
	}
	got.Room.Members[0].Name, got.Room.Note[0], got.Passcode[0], got.Ops[0] = "changed", 7, 7, "changed"
	if !reflect.DeepEqual(load(t, s, "r"), one) {
		t.Fatal("what Load returned shares memory with the store")
	}
	two, three := record("r", 2, "a@n1", "b@n2"), record("r", 3)
	swap(t, s, three, record("r", 4), false)
	swap(t, s, one, two, true)
	swap(t, s, one, two, false)
	swap(t, s, one, nil, false)
	swap(t, s, two, three, true)
	swap(t, s, three, nil, true)
	if r := load(t, s, "r"); r != nil {
		t.Fatalf("after removal: %+v", r)
	}
	swap(t, s, three, nil, false)
	swap(t, s, nil, one, true)
}

func testSwapRace(t *testing.T, open func(t testing.TB) rooms.Store) {
	s := open(t)
	var made, changed atomic.Int32
	together(32, func(int) {
		if ok, err := s.Swap(t.Context(), nil, record("r", 1, "a@n1")); err != nil {
			t.Error(err)
		} else if ok {
			made.Add(1)
		}
	})
	together(32, func(int) {
		if ok, err := s.Swap(t.Context(), record("r", 1, "a@n1"), record("r", 2, "a@n1", "b@n2")); err != nil {
			t.Error(err)
		} else if ok {
			changed.Add(1)
		}
	})
	if made.Load() != 1 || changed.Load() != 1 {
		t.Fatalf("of 32 racing swaps %d made the room and %d changed it, want 1 and 1", made.Load(), changed.Load())
	}
	if got := seats(t, s, "n2"); len(got) != 1 {
		t.Fatalf("seats after a race: %v", got)
	}
}

// together runs f n times at once and waits.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}

// seats returns all seats of the node as "room/member/session", sorted.
func seats(t testing.TB, s rooms.Store, node protocol.NodeID) []string {
	t.Helper()
	found := map[string]bool{}
	for cursor := ""; ; {
		page, next, err := s.Seats(t.Context(), node, cursor, 100)
		if err != nil {
			t.Fatalf("Seats: %v", err)
		}
		for _, seat := range page {
			found[fmt.Sprintf("%s/%s/%s", seat.Room, seat.Member, seat.Session)] = true
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	var all []string
	for seat := range found {
		all = append(all, seat)
	}
	slices.Sort(all)
	return all
}

func wantSeats(t testing.TB, s rooms.Store, node protocol.NodeID, want ...string) {
	t.Helper()
	if got := seats(t, s, node); !slices.Equal(got, want) {
		t.Fatalf("seats of %s: %v, want %v", node, got, want)
	}
}

func testSeats(t *testing.T, open func(t testing.TB) rooms.Store) {
	s := open(t)
	wantSeats(t, s, "n1")
	one, two := record("r", 1, "a@n1"), record("r", 2, "a@n1", "b@n2")
	swap(t, s, nil, one, true)
	swap(t, s, one, two, true)
	wantSeats(t, s, "n1", "r/1/a")
	wantSeats(t, s, "n2", "r/2/b")
	moved := record("r", 3, "a@n2", "b@n2")
	swap(t, s, two, moved, true)
	wantSeats(t, s, "n1")
	wantSeats(t, s, "n2", "r/1/a", "r/2/b")
	other := record("q", 1, "b@n2")
	swap(t, s, nil, other, true)
	if got, err := s.Renew(t.Context(), "n2", time.Minute); got.Seats != 3 || got.Known || got.Gen == "" || err != nil {
		t.Fatalf("Renew = %+v, %v, want 3 seats", got, err)
	}
	swap(t, s, moved, nil, true)
	wantSeats(t, s, "n2", "q/1/b")
	if err := s.Forget(t.Context(), "n2", []rooms.Seat{{Room: "q", Member: "1", Session: "b"}}); err != nil {
		t.Fatal(err)
	}
	wantSeats(t, s, "n2")
}

func testManySeats(t *testing.T, open func(t testing.TB) rooms.Store) {
	s := open(t)
	var want []string
	for i := range 1000 {
		id := protocol.RoomID(fmt.Sprintf("r%03d", i))
		swap(t, s, nil, record(id, 1, "a@n1"), true)
		want = append(want, fmt.Sprintf("%s/1/a", id))
	}
	wantSeats(t, s, "n1", want...)
}

func testLeases(t *testing.T, open func(t testing.TB) rooms.Store) {
	s, ctx := open(t), t.Context()
	dead := func() []protocol.NodeID {
		t.Helper()
		nodes, err := s.Dead(ctx)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(nodes)
		return nodes
	}
	renew := func(node protocol.NodeID, ttl time.Duration) {
		t.Helper()
		if _, err := s.Renew(ctx, node, ttl); err != nil {
			t.Fatal(err)
		}
	}
	forget := func(node protocol.NodeID, seats ...rooms.Seat) {
		t.Helper()
		if err := s.Forget(ctx, node, seats); err != nil {
			t.Fatal(err)
		}
	}
	swap(t, s, nil, record("r", 1, "a@n1"), true)
	renew("n1", 20*time.Millisecond)
	renew("n2", 20*time.Millisecond)
	renew("n3", time.Hour)
	testenv.Eventually(t, patience, func() bool { return slices.Equal(dead(), []protocol.NodeID{"n1", "n2"}) }, "two nodes are dead")
	forget("n1")
	forget("n2")
	forget("n3")
	if got := dead(); !slices.Equal(got, []protocol.NodeID{"n1"}) {
		t.Fatalf("dead: %v, want n1, which still has a seat", got)
	}
	renew("n1", time.Hour)
	if got := dead(); len(got) != 0 {
		t.Fatalf("dead: %v after n1 came back", got)
	}
	renew("n1", 0)
	testenv.Eventually(t, patience, func() bool { return len(dead()) == 1 }, "n1 is dead again")
	forget("n1", rooms.Seat{Room: "r", Member: "1", Session: "a"})
	if got := dead(); len(got) != 0 {
		t.Fatalf("dead: %v after the last seat was forgotten", got)
	}
	renew("n3", 2*time.Second)
	forget("n3")
	testenv.Eventually(t, patience, func() bool { return slices.Equal(dead(), []protocol.NodeID{"n3"}) }, "n3 was not forgotten while it lived")
}

func testRelist(t *testing.T, open func(t testing.TB) rooms.Store) {
	s, ctx := open(t), t.Context()
	list := func(node protocol.NodeID, ttl time.Duration, seats ...rooms.Seat) {
		t.Helper()
		if err := s.Relist(ctx, node, seats, ttl); err != nil {
			t.Fatal(err)
		}
	}
	dead := func() []protocol.NodeID {
		nodes, err := s.Dead(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return nodes
	}
	if _, err := s.Renew(ctx, "n1", time.Hour); err != nil {
		t.Fatal(err)
	}
	one, two := rooms.Seat{Room: "r", Member: "1", Session: "a"}, rooms.Seat{Room: "r", Member: "2", Session: "b"}
	for range 2 {
		list("n1", time.Millisecond, one, two)
		list("n2", time.Hour)
		list("n3", time.Millisecond, two)
	}
	wantSeats(t, s, "n1", "r/1/a", "r/2/b")
	wantSeats(t, s, "n2")
	wantSeats(t, s, "n3", "r/2/b")
	testenv.Eventually(t, patience, func() bool { return slices.Equal(dead(), []protocol.NodeID{"n3"}) }, "who never was there is dead")
	list("n3", time.Hour)
	if got := dead(); !slices.Equal(got, []protocol.NodeID{"n3"}) {
		t.Fatalf("dead: %v: a lease of a known node was changed", got)
	}
}

func testDue(t *testing.T, open func(t testing.TB) rooms.Store) {
	s, now := open(t), time.Now()
	due := func(at time.Time, limit int) []protocol.RoomID {
		t.Helper()
		ids, err := s.Due(t.Context(), at, limit)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(ids)
		return ids
	}
	until := func(id protocol.RoomID, rev uint64, end time.Time) *rooms.Record {
		r := record(id, rev)
		r.Until = end
		return r
	}
	a, b := until("a", 1, now.Add(time.Minute)), until("b", 1, now.Add(2*time.Minute))
	ended := until("e", 1, now.Add(time.Minute))
	ended.Room.Kind, ended.Room.Ended = rooms.Matched, true
	swap(t, s, nil, a, true)
	swap(t, s, nil, b, true)
	swap(t, s, nil, ended, true)
	swap(t, s, nil, record("c", 1), true)
	if got := due(now.Add(59*time.Second), 10); len(got) != 0 {
		t.Fatalf("due too early: %v", got)
	}
	if got := due(now.Add(time.Minute), 10); !slices.Equal(got, []protocol.RoomID{"a"}) {
		t.Fatalf("due: %v, want a", got)
	}
	if got := due(now.Add(time.Minute), 10); len(got) != 0 {
		t.Fatalf("due twice: %v", got)
	}
	if load(t, s, "a") == nil {
		t.Fatal("Due removed the record")
	}
	swap(t, s, a, until("a", 2, now.Add(3*time.Minute)), true)
	if got := due(now.Add(time.Hour), 1); len(got) != 1 {
		t.Fatalf("due with limit 1: %v", got)
	}
	if got := due(now.Add(time.Hour), 5); len(got) != 1 {
		t.Fatalf("the other one: %v", got)
	}
}

func testKeep(t *testing.T, open func(t testing.TB) rooms.Store) {
	s := open(t)
	swap(t, s, nil, record("r", 1, "a@n1"), true)
	for _, ids := range [][]protocol.RoomID{nil, {"r"}, {"r", "none", "r"}} {
		if err := s.Keep(t.Context(), ids); err != nil {
			t.Fatal(err)
		}
	}
	if load(t, s, "r") == nil || load(t, s, "none") != nil {
		t.Fatal("Keep changed what there is")
	}
}
