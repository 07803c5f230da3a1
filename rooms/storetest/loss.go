package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/rooms"
)

// Opener returns an empty store, and a function that saves what it holds. What
// that one returns brings the store back to there, in a new generation if fresh.
type Opener func(testing.TB) (store rooms.Store, save func() (lose func(fresh bool)))

// RunLosses tests what the Registry promises over a store that loses what it was
// given.
func RunLosses(t *testing.T, open Opener) {
	for _, fresh := range []bool{true, false} {
		t.Run(fmt.Sprintf("Wiped/fresh=%v", fresh), func(t *testing.T) { testWiped(t, open, fresh) })
	}
	t.Run("RolledBack", func(t *testing.T) { testRolledBack(t, open) })
	t.Run("DeadWhileWiped", func(t *testing.T) { testDeadWhileWiped(t, open) })
	t.Run("Losses", func(t *testing.T) { testLosses(t, open) })
}

// brisk makes a Registry look soon.
func brisk(c *rooms.Config) {
	c.Lease, c.Sweep = 3*time.Second, 50*time.Millisecond
}

func join(t testing.TB, r *rooms.Registry, id protocol.RoomID, session, passcode string) (rooms.Room, rooms.Member) {
	t.Helper()
	room, m, err := r.Join(t.Context(), id, rooms.Member{Session: protocol.SessionID(session), Name: session}, passcode)
	if err != nil {
		t.Fatalf("Join of %s: %v", session, err)
	}
	return room, m
}

// sitting returns who sits in the stored room as "id/session@node", nil if there
// is none.
func sitting(t testing.TB, s rooms.Store, id protocol.RoomID) (list []string) {
	t.Helper()
	rec := load(t, s, id)
	if rec == nil {
		return nil
	}
	for _, m := range rec.Room.Members {
		list = append(list, fmt.Sprintf("%s/%s@%s", m.ID, m.Session, m.Node))
	}
	return list
}

func wantSitting(t testing.TB, s rooms.Store, id protocol.RoomID, want ...string) {
	t.Helper()
	testenv.Eventually(t, patience, func() bool { return slices.Equal(sitting(t, s, id), want) }, "%q sit there", want)
}

// testWiped: everything is lost; what two nodes know brings it back.
func testWiped(t *testing.T, open Opener, fresh bool) {
	s, save := open(t)
	wipe := save()
	a, b, c := start(t, s, "a", brisk), start(t, s, "b", brisk), start(t, s, "c", brisk)
	named := create(t, a, protocol.RoomCreate{Name: "r", Passcode: "sesame", Capacity: 4})
	before, _ := join(t, b, named.ID, "x", "sesame")
	a.Learn(before)
	left, _ := join(t, a, named.ID, "y", "sesame")
	b.Learn(left)
	if left, _, err := a.Leave(t.Context(), named.ID, "y"); err != nil { // b does not hear of it
		t.Fatal(left, err)
	}
	match := func(id protocol.RoomID) rooms.Room {
		m := rooms.Room{ID: id, Members: []rooms.Member{{ID: "1", Session: "creator", Node: "a"}, {ID: "2", Session: "x", Node: "b"}}}
		for _, r := range []*rooms.Registry{a, b} {
			if _, err := r.Open(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		return m
	}
	call, over := match("call"), match("over")
	if _, gone, err := a.Leave(t.Context(), over.ID, "creator"); err != nil || gone.ID != "1" {
		t.Fatal(gone, err)
	}

	wipe(fresh)
	wantSitting(t, s, named.ID, "1/creator@a", "2/x@b")
	wantSitting(t, s, call.ID, "1/creator@a", "2/x@b")
	testenv.Eventually(t, patience, func() bool { r := load(t, s, over.ID); return r != nil && r.Room.Ended }, "the call that ended is remembered")
	if again, err := b.Open(t.Context(), over); err != nil || !again.Ended {
		t.Fatalf("a call that ended is opened again: %+v, %v", again, err)
	}
	_, _, err := c.Join(t.Context(), named.ID, rooms.Member{Session: "z"}, "wrong")
	wantCode(t, err, protocol.CodePasscode)
	after, z := join(t, c, named.ID, "z", "sesame")
	if n, err := strconv.Atoi(string(z.ID)); err != nil || n <= 3 || after.Version <= before.Version+1 || len(after.Members) != 3 {
		t.Fatalf("after the loss: %+v joined %+v, %v", z, after, err)
	}
	testenv.Eventually(t, patience, func() bool { // a seat too many is no harm
		list := seats(t, s, "a")
		return slices.Contains(list, "call/1/creator") && slices.Contains(list, string(named.ID)+"/1/creator") && len(seats(t, s, "c")) == 1
	}, "seats are listed")
	for node, r := range map[protocol.NodeID]*rooms.Registry{"a": a, "b": b} {
		if got, err := s.Renew(t.Context(), node, 2*time.Second); err != nil || !got.Known {
			t.Errorf("%s is not on the list of nodes: %+v, %v", node, got, err)
		}
		r.Learn(after)
	}
	if room, gone, err := b.Leave(t.Context(), call.ID, "x"); err != nil || gone.ID != "2" || !room.Ended {
		t.Fatalf("leaving a restored call: %+v, %+v, %v", room, gone, err)
	}
	_, err = a.Get(t.Context(), call.ID)
	wantCode(t, err, protocol.CodeNotFound)
	if room, gone, err := b.Leave(t.Context(), named.ID, "x"); err != nil || gone.ID != "2" || len(room.Members) != 2 {
		t.Fatalf("leaving a restored room: %+v, %+v, %v", room, gone, err)
	}
}

// testRolledBack: the newest changes are lost, and who acts first knows nothing of
// them.
func testRolledBack(t *testing.T, open Opener) {
	s, save := open(t)
	a, b, c := start(t, s, "a", brisk), start(t, s, "b", brisk), start(t, s, "c", brisk)
	room := create(t, a, protocol.RoomCreate{Name: "r"})
	now, _ := join(t, b, room.ID, "y", "")
	a.Learn(now)
	lose := save()
	if _, x := join(t, a, room.ID, "x", ""); x.ID != "3" {
		t.Fatal(x)
	}
	if _, gone, err := b.Leave(t.Context(), room.ID, "y"); err != nil || gone.ID != "2" {
		t.Fatal(gone, err)
	}
	lose(true)
	_, z := join(t, c, room.ID, "z", "")
	if z.ID == "3" {
		t.Fatal("a member number is given out again")
	}
	wantSitting(t, s, room.ID, "1/creator@a", "3/x@a", fmt.Sprintf("%s/z@c", z.ID))
	if got, err := b.Get(t.Context(), room.ID); err != nil || len(got.Members) != 3 || got.Version < 1000 {
		t.Fatalf("at the end: %+v, %v", got, err)
	}
}

// testDeadWhileWiped: a node that died with the store is found dead all the same.
func testDeadWhileWiped(t *testing.T, open Opener) {
	s, save := open(t)
	wipe := save()
	var seen removals
	a := start(t, s, "a", func(c *rooms.Config) { brisk(c); c.Grace, c.Removed = time.Millisecond, seen.note })
	b := start(t, s, "b", brisk)
	room := create(t, a, protocol.RoomCreate{Name: "r"})
	now, _ := join(t, b, room.ID, "x", "")
	a.Learn(now)
	b.Close()
	wipe(true)
	testenv.Eventually(t, patience, func() bool { return slices.Equal(seen.all(), []string{"r/x lost left=1"}) }, "the dead node's member is taken out")
	wantSitting(t, s, room.ID, "1/creator@a")
}

// testLosses: whatever is lost whenever, in the end those sit in the room whose
// joining was acknowledged, and no number names two members.
func testLosses(t *testing.T, open Opener) {
	s, save := open(t)
	nodes := []*rooms.Registry{start(t, s, "n0", brisk), start(t, s, "n1", brisk), start(t, s, "n2", brisk)}
	rnd := rand.New(rand.NewPCG(1, 9))
	for round := range 6 {
		room := create(t, nodes[0], protocol.RoomCreate{Name: "r"})
		model := map[string]string{"creator": "1/creator@n0"}
		ids := map[protocol.MemberID]string{"1": "creator"}
		lose, lost := save(), false
		for step := range 30 {
			i := rnd.IntN(3)
			who := fmt.Sprintf("s%d%d", i, rnd.IntN(2))
			var got rooms.Room
			if model[who] == "" && len(model) < 6 {
				var m rooms.Member
				testenv.Eventually(t, patience, func() bool { // who left may come back until their nodes look
					var err error
					got, m, err = nodes[i].Join(t.Context(), room.ID, rooms.Member{Session: protocol.SessionID(who)}, "")
					return err == nil
				}, "%s joins", who)
				if ids[m.ID] != "" {
					t.Fatalf("round %d step %d: %s is %s, as was %s", round, step, who, m.ID, ids[m.ID])
				}
				ids[m.ID], model[who] = who, fmt.Sprintf("%s/%s@n%d", m.ID, who, i)
			} else {
				var err error
				if got, _, err = nodes[i].Leave(t.Context(), room.ID, protocol.SessionID(who)); err != nil {
					t.Fatal(err)
				}
				delete(model, who)
			}
			if other := rnd.IntN(3); other != i {
				nodes[other].Learn(got)
			}
			switch what := rnd.IntN(10); {
			case what == 0 || lost: // what was put back is not lost again
				lose, lost = save(), false
			case what < 3:
				lose(true)
				lost = true
			}
		}
		var want []string
		for _, m := range model {
			want = append(want, m)
		}
		slices.Sort(want)
		var got []string
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("round %d: %q sat there at last", round, got)
			}
		})
		testenv.Eventually(t, patience, func() bool {
			got = sitting(t, s, room.ID)
			slices.Sort(got)
			return slices.Equal(got, want)
		}, "round %d: %q sit there", round, want)
	}
}
