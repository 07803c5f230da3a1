package rooms_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/rooms"
)

func start(t testing.TB, s rooms.Store, node protocol.NodeID, change func(*rooms.Config)) *rooms.Registry {
	t.Helper()
	cfg := rooms.Config{Store: s, Node: node, Key: bytes.Repeat([]byte("k"), 32)}
	if change != nil {
		change(&cfg)
	}
	r, err := rooms.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func create(t testing.TB, r *rooms.Registry, d protocol.RoomCreate) rooms.Room {
	t.Helper()
	room, m, err := r.Create(t.Context(), d, rooms.Member{Session: "creator", User: "u", Name: "C"})
	if err != nil || m.ID != "1" || room.Version != 1 || len(room.ID) != 20 {
		t.Fatalf("Create = %+v, %+v, %v", room, m, err)
	}
	return room
}

func pair(id protocol.RoomID, a, b protocol.NodeID) rooms.Room {
	return rooms.Room{ID: id, Mode: protocol.ModeVideo, Members: []rooms.Member{{ID: "1", Session: "a", Node: a}, {ID: "2", Session: "b", Node: b}}}
}

func code(t testing.TB, what string, err error, want protocol.Code) {
	t.Helper()
	if protocol.CodeOf(err) != want {
		t.Fatalf("%s: %v, want code %q", what, err, want)
	}
}

// pass lets the test's synthetic time pass.
func pass(d time.Duration) { <-time.After(d); synctest.Wait() }

func TestCreate(t *testing.T) {
	r := start(t, rooms.NewMemory(), "n1", nil)
	defer r.Close()
	room := create(t, r, protocol.RoomCreate{Name: "Monday"})
	if room.Kind != rooms.Named || room.Mode != protocol.ModeVideo || room.Capacity != 6 || room.Locked || room.Name != "Monday" ||
		room.Members[0].Node != "n1" || room.Members[0].Since.IsZero() {
		t.Errorf("defaults: %+v", room)
	}
	for _, d := range []protocol.RoomCreate{{Mode: "smell"}, {Capacity: 1}, {Capacity: 7}, {Capacity: -2}, {Passcode: strings.Repeat("p", 65)}} {
		_, _, err := r.Create(t.Context(), d, rooms.Member{Session: "s"})
		code(t, fmt.Sprintf("%+v", d), err, protocol.CodeBadRequest)
	}
	for _, bad := range []rooms.Room{
		{ID: "x"}, pair("", "n1", "n1"), pair("a b", "n1", "n1"),
		{ID: "x", Members: []rooms.Member{{ID: "1", Session: "a"}, {ID: "3", Session: "b"}}},
		{ID: "x", Members: []rooms.Member{{ID: "1", Session: "a"}, {ID: "2", Session: "a"}}},
	} {
		_, err := r.Open(t.Context(), bad)
		code(t, fmt.Sprintf("%+v", bad), err, protocol.CodeInternal)
	}
}

func TestConfig(t *testing.T) {
	good := rooms.Config{Store: rooms.NewMemory(), Node: "n", Key: make([]byte, 32)}
	for what, change := range map[string]func(*rooms.Config){
		"store": func(c *rooms.Config) { c.Store = nil }, "node": func(c *rooms.Config) { c.Node = "" },
		"key": func(c *rooms.Config) { c.Key = c.Key[:31] }, "lease": func(c *rooms.Config) { c.Lease = -1 },
		"capacity": func(c *rooms.Config) { c.Capacity = 1 },
		"linger":   func(c *rooms.Config) { c.Linger = -1 },
	} {
		cfg := good
		change(&cfg)
		if _, err := rooms.New(cfg); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

// TestPasscodeAtRest: neither the passcode nor anything equal in two rooms with
// the same passcode is stored.
func TestPasscodeAtRest(t *testing.T) {
	s := rooms.NewMemory()
	r := start(t, s, "n1", nil)
	defer r.Close()
	var stored [][]byte
	for range 2 {
		room := create(t, r, protocol.RoomCreate{Passcode: "sesame"})
		rec, err := s.Load(t.Context(), room.ID)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(rec)
		if err != nil || bytes.Contains(text, []byte("sesame")) || len(rec.Passcode) != 32 || !room.Locked {
			t.Errorf("stored: %s, %v", text, err)
		}
		stored = append(stored, rec.Passcode)
	}
	if bytes.Equal(stored[0], stored[1]) {
		t.Error("one can see that two rooms have the same passcode")
	}
}

// TestGuesses: ten wrong passcodes a minute, by the clock.
func TestGuesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, rooms.NewMemory(), "n1", nil)
		defer r.Close()
		room := create(t, r, protocol.RoomCreate{Passcode: "sesame"})
		join := func(passcode string) error {
			_, _, err := r.Join(t.Context(), room.ID, rooms.Member{Session: "guesser"}, passcode)
			return err
		}
		for range 50 {
			code(t, "no passcode", join(""), protocol.CodePasscode)
		}
		for range 10 {
			code(t, "wrong passcode", join("guess"), protocol.CodePasscode)
		}
		err := join("sesame")
		code(t, "the eleventh try", err, protocol.CodeRateLimited)
		if e, ok := errors.AsType[*protocol.Error](err); !ok || e.Retry <= 0 || e.Retry > 6*time.Second {
			t.Errorf("retry: %+v", e)
		}
		pass(5900 * time.Millisecond)
		code(t, "too early", join("sesame"), protocol.CodeRateLimited)
		pass(200 * time.Millisecond)
		code(t, "one more wrong", join(strings.Repeat("x", 1000)), protocol.CodePasscode)
		code(t, "and no more", join("sesame"), protocol.CodeRateLimited)
		pass(time.Minute)
		code(t, "the right one", join("sesame"), "")
		got, err := r.Get(t.Context(), room.ID)
		if err != nil || got.Version != 2 {
			t.Errorf("after 12 wrong and one right: %+v, %v, want version 2", got, err)
		}
	})
}

// TestTimes: how long what lives, to the second.
func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := rooms.NewMemory()
		var mu sync.Mutex
		var removed []string
		begin := time.Now()
		note := func(room rooms.Room, gone []rooms.Member, why rooms.Reason) {
			mu.Lock()
			defer mu.Unlock()
			removed = append(removed, fmt.Sprintf("%s %d %s", room.ID, len(gone), why))
		}
		seen := func() []string { mu.Lock(); defer mu.Unlock(); return slices.Sorted(slices.Values(removed)) }
		dying := start(t, s, "n1", func(c *rooms.Config) { c.Removed, c.Grace = note, time.Millisecond })
		alive := start(t, s, "n2", func(c *rooms.Config) { c.Removed, c.Grace = note, time.Millisecond })
		defer alive.Close()
		named := create(t, dying, protocol.RoomCreate{})
		if _, err := alive.Open(t.Context(), pair("match", "n1", "n2")); err != nil {
			t.Fatal(err)
		}
		pass(time.Hour - time.Since(begin) - time.Millisecond) // just before the next renewal
		if len(seen()) > 0 {
			t.Fatalf("removed while all live: %v", seen())
		}
		dying.Close()
		pass(7 * time.Second) // the last renewal was 2.5 s before
		if _, err := alive.Get(t.Context(), named.ID); err != nil || len(seen()) > 0 {
			t.Fatalf("taken out before its lease was over: %v, %v", seen(), err)
		}
		pass(5 * time.Second)
		want := []string{"match 1 lost", string(named.ID) + " 1 lost"}
		slices.Sort(want)
		if !slices.Equal(seen(), want) {
			t.Fatalf("removed %v, want %v within lease and sweep time", seen(), want)
		}
		_, err := alive.Get(t.Context(), "match")
		code(t, "a matched room that lost a member", err, protocol.CodeNotFound)
		if got, err := alive.Open(t.Context(), pair("match", "n1", "n2")); err != nil || !got.Ended {
			t.Fatalf("Open again: %+v, %v", got, err)
		}
		left, gone, err := alive.Leave(t.Context(), "match", "b")
		if err != nil || gone.Session != "b" || len(left.Members) != 0 {
			t.Fatalf("the other leaves: %+v, %+v, %v", left, gone, err)
		}
		pass(10*time.Minute - 10*time.Second)
		if _, err := alive.Get(t.Context(), named.ID); err != nil {
			t.Fatalf("an empty room after ten minutes less: %v", err)
		}
		if rec, _ := s.Load(t.Context(), "match"); rec != nil {
			t.Fatalf("an ended room is remembered for too long: %+v", rec)
		}
		pass(15 * time.Second)
		_, err = alive.Get(t.Context(), named.ID)
		code(t, "an empty room after ten minutes", err, protocol.CodeNotFound)
		if got := seen(); !slices.Contains(got, string(named.ID)+" 0 expired") || len(got) != 3 {
			t.Fatalf("removed %v", seen())
		}
	})
}

// TestKept: each hour the node's rooms are named, each once, so that what
// belongs to them can be kept too.
func TestKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var kept []protocol.RoomID
		r := start(t, rooms.NewMemory(), "n1", func(c *rooms.Config) {
			c.Kept = func(ids []protocol.RoomID) { mu.Lock(); defer mu.Unlock(); kept = append(kept, ids...) }
		})
		defer r.Close()
		room := create(t, r, protocol.RoomCreate{})
		if _, _, err := r.Join(t.Context(), room.ID, rooms.Member{Session: "x"}, ""); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		mu.Lock()
		kept = nil // of the start
		mu.Unlock()
		pass(time.Hour)
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(kept, []protocol.RoomID{room.ID}) {
			t.Fatalf("kept %v", kept)
		}
	})
}

var errDown = &protocol.Error{Code: protocol.CodeUnavailable, Msg: "down", Retry: time.Second}

// flaky is a Store that fails now and then, before or after it did what it was
// asked for.
type flaky struct {
	rooms.Store
	down atomic.Bool
	odds atomic.Int32 // of 100

	mu  sync.Mutex
	rnd *rand.Rand
}

func (f *flaky) fails() (before, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	odds := int(f.odds.Load())
	return f.down.Load() || f.rnd.IntN(100) < odds, f.rnd.IntN(100) < odds
}

func (f *flaky) Load(ctx context.Context, id protocol.RoomID) (*rooms.Record, error) {
	if before, _ := f.fails(); before {
		return nil, errDown
	}
	return f.Store.Load(ctx, id)
}

func (f *flaky) Swap(ctx context.Context, old, new *rooms.Record) (bool, error) {
	before, after := f.fails()
	if before {
		return false, errDown
	}
	ok, err := f.Store.Swap(ctx, old, new)
	if after {
		return false, errDown
	}
	return ok, err
}

func (f *flaky) Renew(ctx context.Context, node protocol.NodeID, ttl time.Duration) (rooms.Renewed, error) {
	if f.down.Load() { // only then: a node that often fails to renew is dead to others, and rightly
		return rooms.Renewed{}, errDown
	}
	return f.Store.Renew(ctx, node, ttl)
}

func (f *flaky) Dead(ctx context.Context) ([]protocol.NodeID, error) {
	if f.down.Load() {
		return nil, errDown
	}
	return f.Store.Dead(ctx)
}

func (f *flaky) Seats(ctx context.Context, node protocol.NodeID, cursor string, limit int) ([]rooms.Seat, string, error) {
	if before, _ := f.fails(); before {
		return nil, "", errDown
	}
	return f.Store.Seats(ctx, node, cursor, limit)
}

func (f *flaky) Forget(ctx context.Context, node protocol.NodeID, seats []rooms.Seat) error {
	if before, _ := f.fails(); before {
		return errDown
	}
	return f.Store.Forget(ctx, node, seats)
}

func newFlaky(seed uint64) *flaky {
	return &flaky{Store: rooms.NewMemory(), rnd: rand.New(rand.NewPCG(seed, 5))}
}

// TestRetries: over a store that fails a third of the time, callers that ask
// again until they get an answer see each change once.
func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(10) {
			s := newFlaky(seed)
			r := start(t, s, "n1", nil)
			s.odds.Store(30)
			again := func(what string, f func() error) {
				t.Helper()
				for try := 0; ; try++ {
					err := f()
					if err == nil {
						return
					}
					code(t, what, err, protocol.CodeUnavailable)
					if try == 200 {
						t.Fatalf("%s: never goes through", what)
					}
				}
			}
			var room rooms.Room
			again("create", func() (err error) {
				room, _, err = r.Create(t.Context(), protocol.RoomCreate{}, rooms.Member{Session: "creator"})
				return err
			})
			id := room.ID
			for i := range 20 {
				session := protocol.SessionID("s" + strconv.Itoa(i))
				var m rooms.Member
				again("join", func() (err error) {
					room, m, err = r.Join(t.Context(), id, rooms.Member{Session: session}, "")
					return err
				})
				if want := strconv.Itoa(i + 2); string(m.ID) != want || room.Version != uint64(2+3*i) {
					t.Fatalf("seed %d: joined as %s in version %d, want %s in %d", seed, m.ID, room.Version, want, 2+3*i)
				}
				again("away", func() (err error) { room, err = r.SetAway(t.Context(), id, session, true); return err })
				again("leave", func() (err error) { room, _, err = r.Leave(t.Context(), id, session); return err })
				if room.Version != uint64(4+3*i) || len(room.Members) != 1 {
					t.Fatalf("seed %d: after a leave %+v", seed, room)
				}
			}
			r.Close()
		}
	})
}

// TestRemovedOnceOverFlakyStore: each lost member is reported exactly once, also
// where the store loses answers while two nodes sweep.
func TestRemovedOnceOverFlakyStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(10) {
			s := newFlaky(seed)
			var mu sync.Mutex
			told := map[string]int{}
			note := func(c *rooms.Config) {
				c.Removed = func(room rooms.Room, gone []rooms.Member, _ rooms.Reason) {
					mu.Lock()
					defer mu.Unlock()
					for _, m := range gone {
						told[string(room.ID)+"/"+string(m.ID)]++
					}
				}
			}
			dying, a, b := start(t, s, "n1", note), start(t, s, "n2", note), start(t, s, "n3", note)
			const n = 30
			for i := range n {
				if _, err := dying.Open(t.Context(), pair(protocol.RoomID("match"+strconv.Itoa(i)), "n1", "n2")); err != nil {
					t.Fatal(err)
				}
			}
			s.odds.Store(25)
			dying.Close()
			pass(10 * time.Minute)
			s.odds.Store(0)
			pass(time.Minute)
			a.Close()
			b.Close()
			mu.Lock()
			defer mu.Unlock()
			if len(told) != n {
				t.Errorf("seed %d: %d members were reported, want %d", seed, len(told), n)
			}
			for who, times := range told {
				if times != 1 {
					t.Errorf("seed %d: %s was reported %d times", seed, who, times)
				}
			}
		}
	})
}

// TestExpiredOnceOverFlakyStore: the end of each empty room is reported exactly
// once, also where the store loses answers while two nodes sweep.
func TestExpiredOnceOverFlakyStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(5) {
			s := newFlaky(seed)
			var mu sync.Mutex
			told := map[protocol.RoomID]int{}
			note := func(c *rooms.Config) {
				c.Removed = func(room rooms.Room, _ []rooms.Member, _ rooms.Reason) {
					mu.Lock()
					defer mu.Unlock()
					told[room.ID]++
				}
			}
			a, b := start(t, s, "n1", note), start(t, s, "n2", note)
			const n = 30
			for range n {
				room := create(t, a, protocol.RoomCreate{})
				if _, _, err := a.Leave(t.Context(), room.ID, "creator"); err != nil {
					t.Fatal(err)
				}
				rec, err := s.Store.Load(t.Context(), room.ID)
				if err != nil || rec.Until.IsZero() || !rec.Until.Equal(rec.Until.Truncate(time.Millisecond)) {
					t.Fatalf("until %v, %v, want whole milliseconds", rec.Until, err)
				}
			}
			s.odds.Store(25)
			pass(30 * time.Minute)
			a.Close()
			b.Close()
			mu.Lock()
			defer mu.Unlock()
			for id, times := range told {
				if times != 1 {
					t.Errorf("seed %d: the end of %s was reported %d times", seed, id, times)
				}
			}
			if len(told) != n {
				t.Errorf("seed %d: %d ends were reported, want %d", seed, len(told), n)
			}
		}
	})
}

// TestWithoutLease: a node that could not renew takes no seat, says so, and goes
// on once it can.
func TestWithoutLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFlaky(1)
		r := start(t, s, "n1", nil)
		defer r.Close()
		room := create(t, r, protocol.RoomCreate{})
		s.down.Store(true)
		pass(time.Minute)
		_, _, err := r.Join(t.Context(), room.ID, rooms.Member{Session: "x"}, "")
		code(t, "while the store is down", err, protocol.CodeUnavailable)
		if e, ok := errors.AsType[*protocol.Error](err); !ok || e.Retry <= 0 {
			t.Errorf("no advice when to retry: %v", err)
		}
		s.down.Store(false)
		_, _, err = r.Join(t.Context(), room.ID, rooms.Member{Session: "x"}, "")
		code(t, "at once after", err, "")

		s.down.Store(true)
		cfg := rooms.Config{Store: s, Node: "n2", Key: make([]byte, 32)}
		late, err := rooms.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer late.Close()
		code(t, "start while the store is down", late.Start(t.Context()), protocol.CodeUnavailable)
		s.down.Store(false)
		_, _, err = late.Join(t.Context(), room.ID, rooms.Member{Session: "y"}, "")
		code(t, "the late node", err, "")

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		never, err := rooms.New(rooms.Config{Store: s, Node: "n3", Key: make([]byte, 32)})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = never.Create(ctx, protocol.RoomCreate{}, rooms.Member{Session: "z"})
		code(t, "not started", err, protocol.CodeUnavailable)
		never.Close()
	})
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewPedanticRegistry()
		r := start(t, rooms.NewMemory(), "n1", func(c *rooms.Config) { c.Registerer = reg })
		defer r.Close()
		room := create(t, r, protocol.RoomCreate{Capacity: 2})
		for _, who := range []protocol.SessionID{"x", "y"} {
			_, _, _ = r.Join(t.Context(), room.ID, rooms.Member{Session: who}, "")
		}
		_, _, _ = r.Join(t.Context(), "nowhere", rooms.Member{Session: "x"}, "")
		for range 2 {
			if _, err := r.Open(t.Context(), pair("match", "n1", "n1")); err != nil {
				t.Fatal(err)
			}
		}
		for _, who := range []protocol.SessionID{"a", "a", "b"} {
			_, _, _ = r.Leave(t.Context(), "match", who)
		}
		pass(10 * time.Second)
		if got := r.Stats(); got.Seats != 2 {
			t.Errorf("%+v", got)
		}
		want := `
# HELP rondo_rooms_ended_total Rooms whose end this node brought about. reason: left, lost (a node died) or expired (was empty).
# TYPE rondo_rooms_ended_total counter
rondo_rooms_ended_total{kind="matched",reason="left"} 1
rondo_rooms_ended_total{kind="matched",reason="lost"} 0
rondo_rooms_ended_total{kind="named",reason="expired"} 0
# HELP rondo_rooms_joins_total Attempts to join a named room. result: ok, not_found, room_full, passcode, rate_limited, unavailable or other.
# TYPE rondo_rooms_joins_total counter
rondo_rooms_joins_total{result="not_found"} 1
rondo_rooms_joins_total{result="ok"} 1
rondo_rooms_joins_total{result="other"} 0
rondo_rooms_joins_total{result="passcode"} 0
rondo_rooms_joins_total{result="rate_limited"} 0
rondo_rooms_joins_total{result="room_full"} 1
rondo_rooms_joins_total{result="unavailable"} 0
# HELP rondo_rooms_leaves_total Members that this node took out of rooms. reason: left or lost (their node died, or no session held the seat).
# TYPE rondo_rooms_leaves_total counter
rondo_rooms_leaves_total{kind="matched",reason="left"} 2
rondo_rooms_leaves_total{kind="matched",reason="lost"} 0
rondo_rooms_leaves_total{kind="named",reason="left"} 0
rondo_rooms_leaves_total{kind="named",reason="lost"} 0
# HELP rondo_rooms_opened_total Rooms made by this node.
# TYPE rondo_rooms_opened_total counter
rondo_rooms_opened_total{kind="matched"} 1
rondo_rooms_opened_total{kind="named"} 1
# HELP rondo_rooms_seats Seats taken by sessions of this node, as of the last lease renewal.
# TYPE rondo_rooms_seats gauge
rondo_rooms_seats 2
`
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "rondo_rooms_ended_total", "rondo_rooms_joins_total",
			"rondo_rooms_leaves_total", "rondo_rooms_opened_total", "rondo_rooms_seats"); err != nil {
			t.Error(err)
		}
	})
}

// TestStall: a store that does not answer for longer than the leases last makes
// nobody look dead, but who did die with it is found.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFlaky(1)
		var stranded []string
		var mu sync.Mutex
		note := func(c *rooms.Config) {
			c.Stranded = func(_ rooms.Room, members []rooms.Member) {
				mu.Lock()
				defer mu.Unlock()
				for _, m := range members {
					stranded = append(stranded, string(m.Session))
				}
			}
		}
		told := func() []string {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(stranded)
		}
		a, b, c := start(t, s, "a", note), start(t, s, "b", note), start(t, s, "c", note)
		defer a.Close()
		defer b.Close()
		room := create(t, a, protocol.RoomCreate{})
		for r, who := range map[*rooms.Registry]protocol.SessionID{b: "b", c: "c"} {
			if _, _, err := r.Join(t.Context(), room.ID, rooms.Member{Session: who}, ""); err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Minute)
		c.Close()
		s.down.Store(true)
		pass(25 * time.Second)
		s.down.Store(false)
		pass(9 * time.Second)
		if got := told(); len(got) != 0 {
			t.Fatalf("after a stall %q are taken for dead", got)
		}
		pass(5 * time.Second)
		if got := told(); !slices.Equal(got, []string{"c"}) {
			t.Fatalf("stranded: %q, want c", got)
		}
	})
}

// TestBuried: a node that was away for so long that others took its members out
// and forgot it does not bring them back.
func TestBuried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := rooms.NewMemory()
		late := &flaky{Store: s, rnd: rand.New(rand.NewPCG(1, 5))}
		a, b := start(t, late, "a", nil), start(t, s, "b", nil)
		defer a.Close()
		defer b.Close()
		room, err := a.Open(t.Context(), pair("call", "a", "b"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Open(t.Context(), pair("call", "a", "b")); err != nil {
			t.Fatal(err)
		}
		late.down.Store(true)
		pass(10 * time.Minute)
		late.down.Store(false)
		pass(time.Minute)
		for _, r := range []*rooms.Registry{a, b} {
			_, err := r.Get(t.Context(), room.ID)
			code(t, "a call that ended", err, protocol.CodeNotFound)
		}
		if rec, err := s.Load(t.Context(), room.ID); rec != nil || err != nil {
			t.Fatalf("it is stored: %+v, %v", rec, err)
		}
	})
}
