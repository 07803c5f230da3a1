package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/chat"
	"github.com/rondo-chat/rondo/protocol"
)

// RunLosses tests what the Log promises over a store that loses what it was given.
// open returns an empty store, and a function that saves what it holds. What that
// one returns brings the store back to there, in a new generation if fresh.
func RunLosses(t *testing.T, open func(testing.TB) (store chat.Store, save func() (lose func(fresh bool)))) {
	for _, fresh := range []bool{true, false} {
		t.Run(fmt.Sprintf("Wiped/fresh=%v", fresh), func(t *testing.T) {
			s, save := open(t)
			testWiped(t, s, save(), fresh)
		})
	}
	t.Run("RolledBack", func(t *testing.T) {
		s, save := open(t)
		testRolledBack(t, s, save)
	})
	t.Run("Losses", func(t *testing.T) {
		for seed := range uint64(5) {
			s, save := open(t)
			testLosses(t, seed, s, save)
		}
	})
}

// node is a Log that follows all rooms, with a short time to settle.
func node(t testing.TB, s chat.Store) *chat.Log {
	t.Helper()
	l, err := chat.New(chat.Config{Store: s, Follows: func(protocol.RoomID) bool { return true }, Settle: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// say sends as node a and lets node b see it, if it is told.
func say(t testing.TB, a, b *chat.Log, told bool, m chat.Message) chat.Message {
	t.Helper()
	got := send(t, a, "r", m)
	if told {
		b.Saw(got)
	}
	return got
}

// texts shows the room's newest messages as "off=text".
func texts(t testing.TB, l *chat.Log, room protocol.RoomID) (list []string) {
	t.Helper()
	for _, m := range history(t, l, room, protocol.ChatQuery{Limit: 100}).Messages {
		list = append(list, fmt.Sprintf("%d=%s", m.Off, m.Text))
	}
	return list
}

func testBehind(t *testing.T, open func(testing.TB, chat.Retention) chat.Store) {
	s := open(t, chat.Retention{})
	ctx := t.Context()
	put := func(cid string, known chat.Mark) chat.Appended {
		t.Helper()
		m := message("1", cid, "text")
		m.Room, m.At = "r", 1
		a, err := s.Append(ctx, m, known)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := put("c1", chat.Mark{})
	if first.Mark.Gen == "" || first.Mark.Epoch == "" {
		t.Fatalf("no generation or epoch: %+v", first)
	}
	if a := put("c2", first.Mark); a.Behind || a.Message.Off != 2 || a.Mark.Epoch != first.Mark.Epoch {
		t.Fatalf("a caller that knows all there is: %+v", a)
	}
	for _, known := range []chat.Mark{{Last: 3, Gen: first.Mark.Gen}, {Last: 3}, {Last: 2, Gen: "another"}, {Last: 2, Epoch: "another"}} {
		if a := put("c3", known); !a.Behind {
			t.Fatalf("known %+v: %+v", known, a)
		}
	}
	if a := put("c1", chat.Mark{Last: 9}); !a.Dup || a.Message.Off != 1 {
		t.Fatalf("a retry of what is there: %+v", a)
	}
	lost := message("2", "d", "lost")
	lost.Room, lost.Off, lost.At = "r", 3, 7
	mark, err := s.Restore(ctx, "r", []chat.Message{lost}, chat.Mark{Last: 5, Gen: first.Mark.Gen})
	if err != nil || mark.Last != 5+chat.Leap || mark.Gen != first.Mark.Gen || mark.Epoch == first.Mark.Epoch {
		t.Fatalf("Restore = %+v, %v", mark, err)
	}
	for range 2 { // again, and as one who knows no more
		if again, err := s.Restore(ctx, "r", []chat.Message{lost}, mark); err != nil || again != mark {
			t.Fatalf("Restore again = %+v, %v, want %+v", again, err, mark)
		}
	}
	a := put("c3", mark)
	if a.Behind || a.Message.Off != mark.Last+1 || a.Message.At != 7 {
		t.Fatalf("after Restore: %+v", a)
	}
	marks, err := s.Marks(ctx, []protocol.RoomID{"none", "r"})
	if err != nil || len(marks) != 2 || marks[0].Last != 0 || marks[1] != (chat.Mark{Last: mark.Last + 1, Gen: mark.Gen, Epoch: mark.Epoch}) {
		t.Fatalf("Marks = %+v, %v", marks, err)
	}
	for q, want := range map[*chat.Query][]uint64{
		{Limit: 10}:                           {1, 2, 3, mark.Last + 1},
		{Limit: 2}:                            {3, mark.Last + 1},
		{Forward: true, After: 2, Limit: 1}:   {3},
		{Forward: true, After: 3, Limit: 10}:  {mark.Last + 1},
		{Forward: true, After: 90, Limit: 10}: {mark.Last + 1},
		{Before: 90, Limit: 2}:                {2, 3},
	} {
		page, err := s.Page(ctx, "r", *q)
		var got []uint64
		for _, m := range page.Messages {
			got = append(got, m.Off)
		}
		if err != nil || !slices.Equal(got, want) || page.Last != mark.Last+1 {
			t.Errorf("%+v gave %v, %+v, %v, want %v", *q, got, page.Mark, err, want)
		}
	}
}

// testUnion: what several put back at once is all there, in order, once.
func testUnion(t *testing.T, open func(testing.TB, chat.Retention) chat.Store) {
	s := open(t, chat.Retention{})
	var all []chat.Message
	for i := range 60 {
		m := message("1", "c"+strconv.Itoa(i), "t"+strconv.Itoa(i+1))
		m.Room, m.Off, m.At = "r", uint64(i+1), int64(1000+i)
		all = append(all, m)
	}
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			part := all[i*8 : i*8+20]
			for range 2 {
				if _, err := s.Restore(t.Context(), "r", part, chat.Mark{Last: part[19].Off}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	page, err := s.Page(t.Context(), "r", chat.Query{Limit: 100})
	if err != nil || !slices.Equal(page.Messages, all) || page.Last < 60 {
		t.Fatalf("%d messages, last %d, %v: %+v", len(page.Messages), page.Last, err, page.Messages)
	}
	retry := all[7]
	retry.Off = 0
	if a, err := s.Append(t.Context(), retry, page.Mark); err != nil || !a.Dup || a.Message != all[7] {
		t.Fatalf("a retry of a restored message: %+v, %v", a, err)
	}
	few := open(t, chat.Retention{Messages: 5})
	if _, err := few.Restore(t.Context(), "r", all, chat.Mark{Last: 60}); err != nil {
		t.Fatal(err)
	}
	if page, err = few.Page(t.Context(), "r", chat.Query{Limit: 100}); err != nil || !slices.Equal(page.Messages, all[55:]) {
		t.Fatalf("of 60 restored ones, 5 to keep: %+v, %v", page, err)
	}
}

// testGone: a room that was dropped takes nothing and says so.
func testGone(t *testing.T, open func(testing.TB, chat.Retention) chat.Store) {
	s := open(t, chat.Retention{})
	a, b := node(t, s), node(t, s)
	say(t, a, b, true, message("1", "c", "text"))
	if err := a.Drop(t.Context(), "r"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if m, _, err := b.Send(t.Context(), "r", message("2", "d", "nobody hears it")); protocol.CodeOf(err) != protocol.CodeForbidden {
			t.Fatalf("Send to a dropped room: %+v, %v", m, err)
		}
		if h, err := b.History(t.Context(), "r", protocol.ChatQuery{}); protocol.CodeOf(err) != protocol.CodeForbidden {
			t.Fatalf("History of a dropped room: %+v, %v", h, err)
		}
		if m, err := s.Restore(t.Context(), "r", nil, chat.Mark{Last: 4}); protocol.CodeOf(err) != protocol.CodeForbidden {
			t.Fatalf("Restore of a dropped room: %+v, %v", m, err)
		}
	}
	if err := a.Drop(t.Context(), "never-used"); err != nil {
		t.Fatal(err)
	}
	if m, _, err := b.Send(t.Context(), "never-used", message("2", "d", "text")); protocol.CodeOf(err) != protocol.CodeForbidden {
		t.Fatalf("Send to a dropped room without messages: %+v, %v", m, err)
	}
}

// testWiped: two nodes, each of which missed something, bring everything back.
func testWiped(t *testing.T, s chat.Store, wipe func(bool), fresh bool) {
	a, b := node(t, s), node(t, s)
	for i := range 6 {
		say(t, a, b, i != 5, message("1", "a"+strconv.Itoa(i), "from a"))
		say(t, b, a, i != 3, message("2", "b"+strconv.Itoa(i), "from b"))
	}
	// a misses 8, b misses 11.
	want := texts(t, newLog(t, s), "r")
	wipe(fresh)
	if got, dup, err := b.Send(t.Context(), "r", message("2", "b5", "from b")); err != nil || !dup || got.Off != 12 {
		t.Fatalf("a retry after the loss: %+v, %v, %v", got, dup, err)
	}
	next := say(t, b, a, true, message("2", "after", "after"))
	if next.Off <= 12 {
		t.Fatalf("the next message has off %d", next.Off)
	}
	want = append(want, fmt.Sprintf("%d=after", next.Off))
	if h := texts(t, a, "r"); !slices.Equal(h, want) {
		t.Fatalf("history of a: %q\nwant %q", h, want)
	}
	if h := texts(t, b, "r"); !slices.Equal(h, want) {
		t.Fatalf("history of b: %q\nwant %q", h, want)
	}
	if got := send(t, a, "r", message("1", "more", "more")); got.Off != next.Off+1 {
		t.Fatalf("without another loss: %+v after %d", got, next.Off)
	}
}

// testRolledBack: a node that knows no more than the store does not give out
// again what another one acknowledged before the loss.
func testRolledBack(t *testing.T, s chat.Store, save func() func(bool)) {
	a, b := node(t, s), node(t, s)
	for i := range 8 {
		say(t, a, b, true, message("1", "a"+strconv.Itoa(i), "both know it"))
	}
	texts(t, b, "r") // it reads, as whoever joins does
	lose := save()
	say(t, a, b, false, message("1", "a8", "a knows it"))
	say(t, a, b, false, message("1", "a9", "a knows it"))
	lose(true)
	next := say(t, b, a, true, message("2", "b", "after"))
	if next.Off <= 10 {
		t.Fatalf("off %d is given out again", next.Off)
	}
	want := []string{"8=both know it", "9=a knows it", "10=a knows it", fmt.Sprintf("%d=after", next.Off)}
	for _, l := range []*chat.Log{a, b} {
		if got := texts(t, l, "r"); len(got) != 11 || !slices.Equal(got[7:], want) {
			t.Fatalf("history: %q", got)
		}
	}
}

// testLosses: whatever is lost whenever, what was acknowledged is in the history
// under its own offset, and offsets rise.
func testLosses(t *testing.T, seed uint64, s chat.Store, save func() func(bool)) {
	rnd := rand.New(rand.NewPCG(seed, 7))
	logs := []*chat.Log{node(t, s), node(t, s)}
	acked, last := []string{}, uint64(0)
	saved := save()
	for step := range 80 {
		switch rnd.IntN(14) {
		case 0:
			saved = save()
		case 1:
			saved(true)
		}
		i := rnd.IntN(2)
		if rnd.IntN(4) == 0 {
			texts(t, logs[i], "r")
		}
		got := say(t, logs[i], logs[1-i], rnd.IntN(3) > 0, message(strconv.Itoa(i+1), strconv.Itoa(step), strconv.Itoa(step)))
		if got.Off <= last {
			t.Fatalf("seed %d step %d: off %d after %d", seed, step, got.Off, last)
		}
		last = got.Off
		acked = append(acked, fmt.Sprintf("%d=%d", got.Off, step))
	}
	texts(t, logs[0], "r")
	if got := texts(t, logs[1], "r"); !slices.Equal(got, acked) {
		t.Fatalf("seed %d: history %q\nwant %q", seed, got, acked)
	}
}
