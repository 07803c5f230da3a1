// Package storetest is the conformance suite of signaling.Store.
package storetest

import (
	"reflect"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/signaling"
)

const (
	patience = 20 * time.Second
	long     = time.Minute // a time to live that no test outlasts
)

// Run runs the suite. open returns an empty store each time.
func Run(t *testing.T, open func(t testing.TB) signaling.Store) {
	tests := []struct {
		name string
		run  func(*testing.T, signaling.Store)
	}{
		{"Records", testRecords},
		{"SavesInAnyOrder", testOrder},
		{"Fencing", testFencing},
		{"Tokens", testTokens},
		{"OneTakes", testRace},
		{"Remove", testRemove},
		{"Renew", testRenew},
		{"Expiry", testExpiry},
		{"Rollback", testRollback},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func record(id protocol.SessionID, node protocol.NodeID, gen, rev uint64) *signaling.Record {
	return &signaling.Record{
		ID: id, Node: node, Gen: gen, Rev: rev,
		Base: signaling.Base{User: protocol.User{ID: "g_1", Name: "Zoë \"q\"", Guest: true}, Login: signaling.Login{Session: "s", Roles: []auth.Role{auth.RoleUser}, Expires: time.UnixMilli(1763600000000).UTC()}, Seq: 41, Note: []byte{0, 255, '{'}},
		Rest: &signaling.Rest{
			Heals:   7,
			Ring:    []signaling.Kept{{Seq: 40, Own: true, Room: "r", Frame: []byte{0x81, 0, 255}}, {Seq: 40, Room: "r", Frame: []byte("x")}},
			Replies: []signaling.Reply{{ID: 4294967295, Type: "chat", Frame: []byte{0x81, 2, '{', '}'}}},
		},
	}
}

func save(t testing.TB, s signaling.Store, r *signaling.Record, want bool) {
	t.Helper()
	saved, err := s.Save(t.Context(), long, []*signaling.Record{r})
	if err != nil || len(saved) != 1 || saved[0] != want {
		t.Fatalf("Save(%s gen %d rev %d) = %v, %v, want %v", r.Node, r.Gen, r.Rev, saved, err, want)
	}
}

func load(t testing.TB, s signaling.Store, id protocol.SessionID) (*signaling.Record, bool) {
	t.Helper()
	r, alive, err := s.Load(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r, alive
}

func take(t testing.TB, s signaling.Store, id protocol.SessionID, gen uint64, from, to protocol.NodeID) *signaling.Record {
	t.Helper()
	r, err := s.Take(t.Context(), long, id, gen, from, to)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func testRecords(t *testing.T, s signaling.Store) {
	if r, _ := load(t, s, "none"); r != nil {
		t.Fatalf("a record that is not there: %+v", r)
	}
	one := record("a", "n1", 1, 1)
	save(t, s, one, true)
	got, alive := load(t, s, "a")
	if !reflect.DeepEqual(got, one) || alive {
		t.Fatalf("loaded %+v (alive %v)\nsaved %+v", got, alive, one)
	}
	spoken := record("a", "n1", 1, 2)
	spoken.Spoken, spoken.Rest = true, nil
	save(t, s, spoken, true)
	if got, _ := load(t, s, "a"); !reflect.DeepEqual(got, spoken) {
		t.Fatalf("loaded %+v\nsaved %+v", got, spoken)
	}
	var many []*signaling.Record
	for i := range 300 {
		many = append(many, record(protocol.SessionID("m"+strconv.Itoa(i)), "n1", 1, 1))
	}
	saved, err := s.Save(t.Context(), long, many)
	if err != nil || len(saved) != 300 {
		t.Fatal(len(saved), err)
	}
	for i, ok := range saved {
		if got, _ := load(t, s, many[i].ID); !ok || !reflect.DeepEqual(got, many[i]) {
			t.Fatalf("record %d of many: %v, %+v", i, ok, got)
		}
	}
	if saved, err := s.Save(t.Context(), long, nil); err != nil || len(saved) != 0 {
		t.Fatal(saved, err)
	}
}

// testOrder: an older state that arrives late changes nothing.
func testOrder(t *testing.T, s signaling.Store) {
	newer := record("a", "n1", 2, 9)
	save(t, s, newer, true)
	late := record("a", "n1", 2, 8)
	late.Seq = 1
	save(t, s, late, true)
	save(t, s, record("a", "n1", 1, 10), true)
	if got, _ := load(t, s, "a"); !reflect.DeepEqual(got, newer) {
		t.Fatalf("an older state took the newer one's place: %+v", got)
	}
}

// testFencing: who had a record can do nothing with it after another took it.
func testFencing(t *testing.T, s signaling.Store) {
	save(t, s, record("a", "n1", 5, 3), true)
	got := take(t, s, "a", 5, "n1", "n2")
	want := record("a", "n2", 6, 4)
	want.Moves = 1
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("taken %+v\nwant %+v", got, want)
	}
	want.Rest = nil
	for _, gen := range []uint64{5, 6, 7} {
		save(t, s, record("a", "n1", gen, 100), false)
	}
	if ok, err := s.Remove(t.Context(), "a", "n1", 0); ok || err != nil {
		t.Fatal(ok, err)
	}
	holds, err := s.Renew(t.Context(), "n1", long, long, []signaling.Holding{{ID: "a"}, {ID: "none"}})
	if err != nil || !reflect.DeepEqual(holds, []signaling.Hold{signaling.Taken, signaling.Missing}) {
		t.Fatal(holds, err)
	}
	if got, _ := load(t, s, "a"); !reflect.DeepEqual(got, want) {
		t.Fatalf("changed by who has it no more: %+v", got)
	}
	save(t, s, record("a", "n2", 6, 5), true)
}

func testTokens(t *testing.T, s signaling.Store) {
	save(t, s, record("a", "n1", 5, 1), true)
	for _, wrong := range []uint64{0, 3, 6, 1 << 60} {
		if take(t, s, "a", wrong, "n1", "n2") != nil {
			t.Fatalf("generation 5 was taken with %d", wrong)
		}
	}
	if take(t, s, "a", 5, "n3", "n2") != nil || take(t, s, "none", 5, "n1", "n2") != nil {
		t.Fatal("taken from a node that does not have it")
	}
	for i, to := range []protocol.NodeID{"n2", "n1", "n2"} {
		if r := take(t, s, "a", 4, []protocol.NodeID{"n1", "n2"}[i%2], to); r == nil || r.Gen != 5 {
			t.Fatalf("nobody spoke with token 5, so 4 is good still: %+v", r)
		}
	}
	spoken := record("a", "n2", 5, 9)
	spoken.Spoken = true
	save(t, s, spoken, true)
	if take(t, s, "a", 4, "n2", "n3") != nil {
		t.Fatal("the token before one that was used")
	}
	if r := take(t, s, "a", 5, "n2", "n2"); r == nil || r.Gen != 6 || r.Node != "n2" || r.Spoken {
		t.Fatalf("a node may take from itself: %+v", r)
	}
}

// testRace: of many that take at once, one gets it.
func testRace(t *testing.T, s signaling.Store) {
	for round := range 10 {
		id := protocol.SessionID("r" + strconv.Itoa(round))
		save(t, s, record(id, "n0", 1, 1), true)
		var won atomic.Int32
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				r, err := s.Take(t.Context(), long, id, 1, "n0", protocol.NodeID("n"+strconv.Itoa(i+1)))
				if err != nil {
					t.Error(err)
				}
				if r != nil {
					won.Add(1)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d took it", won.Load())
		}
	}
}

func testRemove(t *testing.T, s signaling.Store) {
	save(t, s, record("a", "n1", 1, 1), true)
	for range 2 {
		if ok, err := s.Remove(t.Context(), "a", "n1", 0); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	if r, _ := load(t, s, "a"); r != nil || take(t, s, "a", 1, "n1", "n2") != nil {
		t.Fatal("it is still there")
	}
}

func testRenew(t *testing.T, s signaling.Store) {
	save(t, s, record("a", "n1", 1, 1), true)
	holds, err := s.Renew(t.Context(), "n1", 50*time.Millisecond, long, []signaling.Holding{{ID: "a"}})
	if err != nil || len(holds) != 1 || holds[0] != signaling.Held {
		t.Fatal(holds, err)
	}
	testenv.Eventually(t, patience, func() bool { _, alive := load(t, s, "a"); return !alive }, "the lease ends")
	if holds, err := s.Renew(t.Context(), "n1", long, long, nil); err != nil || len(holds) != 0 {
		t.Fatal(holds, err)
	}
	if _, alive := load(t, s, "a"); !alive {
		t.Fatal("the lease was renewed")
	}
}

func testExpiry(t *testing.T, s signaling.Store) {
	records := []*signaling.Record{record("a", "n1", 1, 1), record("b", "n1", 1, 1)}
	if _, err := s.Save(t.Context(), 300*time.Millisecond, records); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Renew(t.Context(), "n1", long, long, []signaling.Holding{{ID: "b"}}); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, patience, func() bool { r, _ := load(t, s, "a"); return r == nil }, "what nobody renews is gone")
	if r, _ := load(t, s, "b"); r == nil {
		t.Fatal("what was renewed is gone")
	}
	save(t, s, record("a", "n2", 1, 1), true)
}

// testRollback: the store is as it was before the session came to the node that
// has it, or before its last state. That node's word is the newer one.
func testRollback(t *testing.T, s signaling.Store) {
	hold := func(moves, rev uint64) signaling.Hold {
		t.Helper()
		holds, err := s.Renew(t.Context(), "n2", long, long, []signaling.Holding{{ID: "a", Moves: moves, Rev: rev}})
		if err != nil || len(holds) != 1 {
			t.Fatal(holds, err)
		}
		return holds[0]
	}
	save(t, s, record("a", "n1", 5, 3), true)
	if got := hold(1, 4); got != signaling.Missing {
		t.Fatalf("a record of before the move: %v", got)
	}
	own := record("a", "n2", 5, 4) // not even the generation need be higher
	own.Moves = 1
	save(t, s, own, true)
	if got, _ := load(t, s, "a"); !reflect.DeepEqual(got, own) {
		t.Fatalf("put back %+v\nas %+v", own, got)
	}
	save(t, s, record("a", "n1", 9, 99), false) // who had it before has no say
	if got := hold(1, 4); got != signaling.Held {
		t.Fatal(got)
	}
	if got := hold(1, 5); got != signaling.Missing {
		t.Fatalf("a record older than what was stored: %v", got)
	}
	if r := take(t, s, "a", 5, "n2", "n3"); r == nil || r.Moves != 2 {
		t.Fatalf("%+v", r)
	}
	if got := hold(1, 4); got != signaling.Taken {
		t.Fatal(got)
	}
	if got := hold(2, 4); got != signaling.Taken { // two took it, one of them before a rollback: the store decides
		t.Fatal(got)
	}
	if ok, err := s.Remove(t.Context(), "a", "n2", 2); ok || err != nil {
		t.Fatal(ok, err)
	}
	if ok, err := s.Remove(t.Context(), "a", "n2", 3); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if r, _ := load(t, s, "a"); r != nil {
		t.Fatalf("%+v", r)
	}
}
