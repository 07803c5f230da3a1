package storetest

import (
	"bytes"
	"fmt"
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

// start makes and starts a Registry on the store, and closes it at the end.
func start(t testing.TB, s rooms.Store, node protocol.NodeID, change func(*rooms.Config)) *rooms.Registry {
	t.Helper()
	cfg := rooms.Config{Store: s, Node: node, Key: bytes.Repeat([]byte("k"), 32), Timeout: patience}
	if change != nil {
		change(&cfg)
	}
	r, err := rooms.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func wantCode(t testing.TB, err error, want protocol.Code) {
	t.Helper()
	if protocol.CodeOf(err) != want {
		t.Fatalf("error %v, want code %q", err, want)
	}
}

func create(t testing.TB, r *rooms.Registry, d protocol.RoomCreate) rooms.Room {
	t.Helper()
	room, _, err := r.Create(t.Context(), d, rooms.Member{Session: "creator", User: "u", Name: "C"})
	if err != nil {
		t.Fatal(err)
	}
	return room
}

func testLastSeat(t *testing.T, open func(t testing.TB) rooms.Store) {
	s := open(t)
	nodes := []*rooms.Registry{start(t, s, "n1", nil), start(t, s, "n2", nil)}
	for round := range 10 {
		room := create(t, nodes[0], protocol.RoomCreate{Capacity: 3})
		var seated, full atomic.Int32
		together(12, func(i int) {
			_, _, err := nodes[i%2].Join(t.Context(), room.ID, rooms.Member{Session: protocol.SessionID(strconv.Itoa(i))}, "")
			switch protocol.CodeOf(err) {
			case "":
				seated.Add(1)
			case protocol.CodeRoomFull:
				full.Add(1)
			default:
				t.Errorf("Join: %v", err)
			}
		})
		got, err := nodes[1].Get(t.Context(), room.ID)
		if err != nil || seated.Load() != 2 || full.Load() != 10 || len(got.Members) != 3 || got.Version != 3 {
			t.Fatalf("round %d: %d seated, %d refused, %d members, version %d, %v", round, seated.Load(), full.Load(), len(got.Members), got.Version, err)
		}
	}
}

func testGuessRace(t *testing.T, open func(t testing.TB) rooms.Store) {
	s := open(t)
	nodes := []*rooms.Registry{start(t, s, "n1", nil), start(t, s, "n2", nil)}
	room := create(t, nodes[0], protocol.RoomCreate{Passcode: "sesame"})
	var wrong, limited atomic.Int32
	together(40, func(i int) {
		_, _, err := nodes[i%2].Join(t.Context(), room.ID, rooms.Member{Session: protocol.SessionID(strconv.Itoa(i))}, "guess"+strconv.Itoa(i))
		switch protocol.CodeOf(err) {
		case protocol.CodePasscode:
			wrong.Add(1)
		case protocol.CodeRateLimited:
			limited.Add(1)
		default:
			t.Errorf("Join: %v", err)
		}
	})
	if w := wrong.Load(); w < 10 || w > 13 || wrong.Load()+limited.Load() != 40 { // one more each six seconds
		t.Fatalf("of 40 guesses at once %d were looked at, want 10", w)
	}
	_, _, err := nodes[0].Join(t.Context(), room.ID, rooms.Member{Session: "late"}, "sesame")
	wantCode(t, err, protocol.CodeRateLimited)
	got, err := nodes[1].Get(t.Context(), room.ID)
	if err != nil || got.Version != 1 || !got.Locked {
		t.Fatalf("after guesses: %+v, %v, want version 1", got, err)
	}
	if _, m, err := nodes[1].Join(t.Context(), room.ID, rooms.Member{Session: "creator"}, ""); err != nil || m.ID != "1" {
		t.Fatalf("who sits there needs no passcode: %v, %v", m, err)
	}
}

// testConcurrent lets three nodes change one room at once and then checks that
// the changes were total: one for each version, each within the rules.
func testConcurrent(t *testing.T, open func(t testing.TB) rooms.Store) {
	s := open(t)
	var nodes []*rooms.Registry
	for i := range 3 {
		nodes = append(nodes, start(t, s, protocol.NodeID("n"+strconv.Itoa(i)), nil))
	}
	room := create(t, nodes[0], protocol.RoomCreate{Capacity: 4})
	var mu sync.Mutex
	versions := map[uint64]string{1: fmt.Sprint(room.Members)}
	ids := map[protocol.MemberID]protocol.SessionID{"1": "creator"}
	note := func(got rooms.Room) {
		mu.Lock()
		defer mu.Unlock()
		text := fmt.Sprint(got.Members)
		if before, ok := versions[got.Version]; ok && before != text {
			t.Errorf("version %d is two rooms:\n%s\n%s", got.Version, before, text)
		}
		versions[got.Version] = text
		for _, m := range got.Members {
			if s, ok := ids[m.ID]; ok && s != m.Session {
				t.Errorf("member id %s of %s was used again by %s", m.ID, s, m.Session)
			}
			ids[m.ID] = m.Session
		}
		if len(got.Members) > 4 {
			t.Errorf("%d members in a room of 4", len(got.Members))
		}
	}
	together(9, func(i int) {
		r, session := nodes[i%3], protocol.SessionID("s"+strconv.Itoa(i))
		for n := range 15 {
			got, _, err := r.Join(t.Context(), room.ID, rooms.Member{Session: session}, "")
			if protocol.CodeOf(err) == protocol.CodeRoomFull {
				continue
			}
			if err != nil {
				t.Errorf("Join: %v", err)
				return
			}
			note(got)
			if got, err = r.SetAway(t.Context(), room.ID, session, n%2 == 0); err != nil {
				t.Errorf("SetAway: %v", err)
				return
			}
			note(got)
			got, gone, err := r.Leave(t.Context(), room.ID, session)
			if err != nil || gone.Session != session {
				t.Errorf("Leave: %v, %v", gone, err)
				return
			}
			note(got)
		}
	})
	last, err := nodes[0].Get(t.Context(), room.ID)
	if err != nil || len(last.Members) != 1 {
		t.Fatalf("at the end: %+v, %v", last, err)
	}
	for v := uint64(1); v <= last.Version; v++ {
		if _, ok := versions[v]; !ok {
			t.Fatalf("nobody was told of version %d of %d", v, last.Version)
		}
	}
}

// testLeaveRace: of several that take the same session out, one is told whom.
func testLeaveRace(t *testing.T, open func(t testing.TB) rooms.Store) {
	s := open(t)
	nodes := []*rooms.Registry{start(t, s, "n1", nil), start(t, s, "n2", nil)}
	for i := range 20 {
		room := create(t, nodes[0], protocol.RoomCreate{})
		if i%2 == 0 {
			match := rooms.Room{ID: protocol.RoomID("match" + strconv.Itoa(i)), Members: []rooms.Member{
				{ID: "1", Session: "creator", Node: "n1"}, {ID: "2", Session: "other", Node: "n2"}}}
			var err error
			if room, err = nodes[0].Open(t.Context(), match); err != nil {
				t.Fatal(err)
			}
		}
		var told atomic.Int32
		together(8, func(i int) {
			_, gone, err := nodes[0].Leave(t.Context(), room.ID, "creator")
			if err != nil {
				t.Errorf("Leave: %v", err)
			}
			if gone.ID != "" {
				told.Add(1)
			}
		})
		if told.Load() != 1 {
			t.Fatalf("round %d: %d callers were told that they took the member out", i, told.Load())
		}
	}
}

// removals collects what Config.Removed of several nodes says.
type removals struct {
	mu   sync.Mutex
	seen []string
}

func (r *removals) note(room rooms.Room, gone []rooms.Member, why rooms.Reason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if gone == nil {
		r.seen = append(r.seen, fmt.Sprintf("%s %s", room.Name, why))
	}
	for _, m := range gone {
		r.seen = append(r.seen, fmt.Sprintf("%s/%s %s left=%d", room.Name, m.Name, why, len(room.Members)))
	}
}

func (r *removals) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(slices.Values(r.seen))
}

// quick makes a Registry find dead nodes soon, but takes no living one for dead
// only because the machine is busy.
func quick(seen *removals) func(*rooms.Config) {
	return func(c *rooms.Config) {
		c.Lease, c.Sweep, c.Grace, c.Removed = 2*time.Second, 20*time.Millisecond, time.Millisecond, seen.note
	}
}

func testDeadNode(t *testing.T, open func(t testing.TB) rooms.Store) {
	s := open(t)
	var seen removals
	dying := start(t, s, "dying", quick(&seen))
	alive := start(t, s, "alive", quick(&seen))
	start(t, s, "third", quick(&seen))
	var want []string
	for i := range 20 {
		name := fmt.Sprintf("room%02d", i)
		room := create(t, alive, protocol.RoomCreate{Name: name})
		for _, who := range []string{"x", "y"} {
			if _, _, err := dying.Join(t.Context(), room.ID, rooms.Member{Session: protocol.SessionID(who + name), Name: who}, ""); err != nil {
				t.Fatal(err)
			}
			want = append(want, fmt.Sprintf("%s/%s lost left=1", name, who))
		}
	}
	match := rooms.Room{ID: "match", Name: "match", Mode: protocol.ModeVideo, Pool: "video", Members: []rooms.Member{
		{ID: "1", Session: "p", Node: "alive", Name: "p"}, {ID: "2", Session: "q", Node: "dying", Name: "q"}}}
	if _, err := alive.Open(t.Context(), match); err != nil {
		t.Fatal(err)
	}
	moved := create(t, alive, protocol.RoomCreate{Name: "moved"})
	for _, r := range []*rooms.Registry{dying, alive} { // its session went to another node in time
		if _, m, err := r.Join(t.Context(), moved.ID, rooms.Member{Session: "m", Name: "m"}, ""); err != nil || m.ID != "2" {
			t.Fatal(m, err)
		}
	}
	want = append(want, "match/q lost left=1")
	slices.Sort(want)
	dying.Close()
	testenv.Eventually(t, patience, func() bool { return len(seen.all()) >= len(want) }, "all members of the dead node are taken out")
	testenv.Eventually(t, patience, func() bool { nodes, err := s.Dead(t.Context()); return err == nil && len(nodes) == 0 }, "the dead node is forgotten")
	if got := seen.all(); !slices.Equal(got, want) {
		t.Fatalf("removals\n%q, want\n%q", got, want)
	}
	wantSeats(t, s, "dying")
	if got, err := alive.Get(t.Context(), moved.ID); err != nil || len(got.Members) != 2 {
		t.Fatalf("who moved was lost: %+v, %v", got, err)
	}
	_, err := alive.Get(t.Context(), "match")
	wantCode(t, err, protocol.CodeNotFound)
	again, err := alive.Open(t.Context(), match)
	if err != nil || !again.Ended || len(again.Members) != 1 {
		t.Fatalf("Open after the end: %+v, %v", again, err)
	}
}

// testReturn: members of a dead node are away, come back on another one, or are
// taken out when the grace time is over.
func testReturn(t *testing.T, open func(t testing.TB) rooms.Store) {
	s := open(t)
	var seen, stranded removals
	slow := func(c *rooms.Config) {
		quick(&seen)(c)
		c.Grace = 2 * time.Second
		c.Stranded = func(room rooms.Room, members []rooms.Member) { stranded.note(room, members, "stranded") }
	}
	dying, alive := start(t, s, "dying", slow), start(t, s, "alive", slow)
	start(t, s, "third", slow)
	room := create(t, alive, protocol.RoomCreate{Name: "r"})
	for _, who := range []string{"x", "y"} {
		if _, _, err := dying.Join(t.Context(), room.ID, rooms.Member{Session: protocol.SessionID(who), Name: who}, ""); err != nil {
			t.Fatal(err)
		}
	}
	dying.Close()
	testenv.Eventually(t, patience, func() bool { return len(stranded.all()) == 2 }, "both are away")
	got, err := alive.Get(t.Context(), room.ID)
	if err != nil || len(got.Members) != 3 || !got.Members[1].Away || !got.Members[2].Away || got.Members[0].Away {
		t.Fatalf("after the node's death: %+v, %v", got, err)
	}
	got, was, err := alive.Return(t.Context(), room.ID, "x")
	if m, ok := got.Member("x"); err != nil || !ok || !was.Away || was.ID != "2" || m.ID != "2" || m.Node != "alive" || m.Away || !m.Lost.IsZero() {
		t.Fatalf("Return: %+v, %+v, %v", got, was, err)
	}
	again, _, err := alive.Return(t.Context(), room.ID, "x")
	if err != nil || again.Version != got.Version {
		t.Fatalf("Return again: %+v, %v", again, err)
	}
	if left, gone, err := dying.Leave(t.Context(), room.ID, "x"); err == nil && (gone.ID != "" || len(left.Members) != 3) {
		t.Fatalf("the dead node's Leave took %+v out", gone)
	}
	testenv.Eventually(t, patience, func() bool { return len(seen.all()) == 1 }, "who did not return is taken out")
	if all := seen.all(); !slices.Equal(all, []string{"r/y lost left=2"}) {
		t.Fatalf("removals: %q", all)
	}
	testenv.Eventually(t, patience, func() bool { nodes, err := s.Dead(t.Context()); return err == nil && len(nodes) == 0 }, "the dead node is forgotten")
	wantSeats(t, s, "dying")
	_, _, err = alive.Return(t.Context(), room.ID, "y")
	wantCode(t, err, protocol.CodeNotFound)
	if got := stranded.all(); len(got) != 2 {
		t.Fatalf("stranded: %q", got)
	}
}

// testFormerLife: a node that starts again under its old name does not inherit
// the seats of the process before it.
func testFormerLife(t *testing.T, open func(t testing.TB) rooms.Store) {
	s := open(t)
	var seen removals
	before := start(t, s, "n1", nil)
	room := create(t, before, protocol.RoomCreate{Name: "r"})
	before.Close()
	after := start(t, s, "n1", func(c *rooms.Config) { c.Removed = seen.note })
	got, m, err := after.Join(t.Context(), room.ID, rooms.Member{Session: "new"}, "")
	if err != nil || len(got.Members) != 1 || m.ID != "2" {
		t.Fatalf("after a restart: %+v, %v", got, err)
	}
	if got := seen.all(); !slices.Equal(got, []string{"r/C lost left=0"}) {
		t.Fatalf("removals: %q", got)
	}
}

// testOrphans: a seat that no session holds is taken out, one that is held stays.
func testOrphans(t *testing.T, open func(t testing.TB) rooms.Store) {
	s := open(t)
	var seen removals
	r := start(t, s, "n1", func(c *rooms.Config) {
		c.CheckEvery, c.Removed = 20*time.Millisecond, seen.note
		c.Holds = func(seat rooms.Seat) bool { return seat.Session == "creator" && seat.Member == "1" }
	})
	room := create(t, r, protocol.RoomCreate{Name: "r"})
	if _, _, err := r.Join(t.Context(), room.ID, rooms.Member{Session: "orphan", Name: "O"}, ""); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, patience, func() bool { return len(seen.all()) > 0 }, "the orphan is taken out")
	got, err := r.Get(t.Context(), room.ID)
	if err != nil || len(got.Members) != 1 || got.Members[0].Session != "creator" || got.Version != 3 {
		t.Fatalf("after the check: %+v, %v", got, err)
	}
	if all := seen.all(); !slices.Equal(all, []string{"r/O lost left=1"}) {
		t.Fatalf("removals: %q", all)
	}
}

func testExpiry(t *testing.T, open func(t testing.TB) rooms.Store) {
	s := open(t)
	var seen removals
	hurry := func(c *rooms.Config) { quick(&seen)(c); c.Linger = time.Second }
	a := start(t, s, "n1", hurry)
	start(t, s, "n2", hurry)
	room := create(t, a, protocol.RoomCreate{Name: "r"})
	other := create(t, a, protocol.RoomCreate{Name: "other"})
	if _, _, err := a.Leave(t.Context(), room.ID, "creator"); err != nil {
		t.Fatal(err)
	}
	got, m, err := a.Join(t.Context(), room.ID, rooms.Member{Session: "back"}, "")
	if err != nil || m.ID != "2" || got.Version != 3 {
		t.Fatalf("an empty room is still there: %+v, %v", got, err)
	}
	if _, _, err := a.Leave(t.Context(), room.ID, "back"); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, patience, func() bool { return len(seen.all()) > 0 }, "the empty room expires")
	_, err = a.Get(t.Context(), room.ID)
	wantCode(t, err, protocol.CodeNotFound)
	if r := load(t, s, room.ID); r != nil {
		t.Fatalf("an expired room is stored: %+v", r)
	}
	if got, err := a.Get(t.Context(), other.ID); err != nil || len(got.Members) != 1 {
		t.Fatalf("the other room: %+v, %v", got, err)
	}
	if all := seen.all(); !slices.Equal(all, []string{"r expired"}) {
		t.Fatalf("removals: %q", all)
	}
}
