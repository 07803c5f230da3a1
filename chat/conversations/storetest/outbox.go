package storetest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/protocol"
)

// enqueue puts events of the conversation into the outbox, with the time 100 + seq.
func (h house) enqueue(t testing.TB, letter string, seqs ...uint64) {
	t.Helper()
	h.write(t, func(tx conversations.Tx) error {
		for _, seq := range seqs {
			if err := tx.Enqueue(conversations.Event{Room: h.room(letter), Seq: seq, At: 100 + int64(seq), Payload: fmt.Append(nil, letter, seq, "\x00\xff")}); err != nil {
				return err
			}
		}
		return nil
	})
}

// show writes events as letter, seq and place.
func show(list []conversations.Event) string {
	text := ""
	for _, e := range list {
		text += fmt.Sprintf("%s%d@%d ", e.Room[len(e.Room)-1:], e.Seq, e.Pos)
	}
	return text
}

func (h house) events(t testing.TB, after uint64, limit int) string {
	t.Helper()
	return show(read(t, h, func(r conversations.Reader) ([]conversations.Event, error) { return r.Events(after, limit) }))
}

func (h house) untold(t testing.TB, before int64, limit int) []conversations.Event {
	t.Helper()
	return read(t, h, func(r conversations.Reader) ([]conversations.Event, error) { return r.Untold(before, limit) })
}

// count runs a transaction that says how many.
func (h house) count(t testing.TB, f func(conversations.Tx) (int, error)) int {
	t.Helper()
	var n int
	h.write(t, func(tx conversations.Tx) (err error) {
		n, err = f(tx)
		return err
	})
	return n
}

func testOutbox(t *testing.T, h house) {
	h.enqueue(t, "a", 1, 2, 3)
	h.enqueue(t, "b", 7)
	h.enqueue(t, "c", 1, 3) // numbers without an event
	same(t, "untold", show(h.untold(t, 103, 10)), "a1@0 c1@0 a2@0 ")
	same(t, "untold by 1", show(h.untold(t, 1000, 1)), "a1@0 ")
	same(t, "an event", h.untold(t, 1000, 1)[0], conversations.Event{Room: h.room("a"), Seq: 1, At: 101, Payload: []byte("a1\x00\xff")})
	h.write(t, func(tx conversations.Tx) error { return tx.Told(h.list("b", 7, "a", 1, "x", 1)) })
	same(t, "some told", show(h.untold(t, 1000, 10)), "c1@0 a2@0 a3@0 c3@0 ")
	h.write(t, func(tx conversations.Tx) error { return tx.Told(nil) })
	same(t, "not sequenced", h.events(t, 0, 10), "")
	sequence := func(limit int) int {
		return h.count(t, func(tx conversations.Tx) (int, error) { return tx.Sequence(limit) })
	}
	same(t, "Sequence by 2", sequence(2), 2)
	same(t, "Events", h.events(t, 0, 10), "a1@1 a2@2 ")
	same(t, "Sequence", sequence(10), 4)
	same(t, "Sequence of nothing", sequence(10), 0)
	same(t, "Events", h.events(t, 0, 10), "a1@1 a2@2 c1@3 a3@4 c3@5 b7@6 ")
	same(t, "Events after 2 by 2", h.events(t, 2, 2), "c1@3 a3@4 ")
	h.enqueue(t, "a", 4)
	same(t, "Sequence", sequence(10), 1)
	same(t, "Events", h.events(t, 6, 9), "a4@7 ")
	h.fails(t, conversations.ErrTaken, func(tx conversations.Tx) error {
		return tx.Enqueue(conversations.Event{Room: h.room("a"), Seq: 4, At: 1})
	})
}

// list makes events of letters and seqs in turn.
func (h house) list(of ...any) []conversations.Event {
	var list []conversations.Event
	for i := 0; i < len(of); i += 2 {
		list = append(list, conversations.Event{Room: h.room(of[i].(string)), Seq: uint64(of[i+1].(int))})
	}
	return list
}

func testTrim(t *testing.T, h house) {
	h.enqueue(t, "a", 1, 2, 3, 4, 5)
	trim := func(before int64, limit int, sinks ...string) int {
		return h.count(t, func(tx conversations.Tx) (int, error) { return tx.Trim(sinks, before, limit) })
	}
	cursor := func(sink string, pos uint64) {
		h.write(t, func(tx conversations.Tx) error { return tx.PutCursor(sink, conversations.Cursor{Pos: pos}) })
	}
	same(t, "untold", trim(1000, 10), 0)
	h.write(t, func(tx conversations.Tx) error { return tx.Told(h.list("a", 1, "a", 2, "a", 3, "a", 5)) })
	same(t, "not sequenced", trim(1000, 10, "s1"), 0)
	h.count(t, func(tx conversations.Tx) (int, error) { return tx.Sequence(10) })
	cursor("s1", 4)
	same(t, "a sink that has nothing yet", trim(1000, 10, "s1", "s2"), 0)
	cursor("s2", 2)
	same(t, "behind both, old enough", trim(102, 10, "s1", "s2"), 1)
	same(t, "behind both", trim(1000, 10, "s1", "s2"), 1)
	same(t, "then", h.events(t, 0, 10), "a3@3 a4@4 a5@5 ")
	same(t, "without sinks, by 1", trim(1000, 1), 1)
	same(t, "without sinks", trim(1000, 10), 1)
	same(t, "then", h.events(t, 0, 10), "a4@4 ")
}

func testCursors(t *testing.T, h house) {
	cursor := func(sink string) conversations.Cursor {
		return read(t, h, func(r conversations.Reader) (conversations.Cursor, error) { return r.Cursor(sink) })
	}
	same(t, "no cursor", cursor("s"), conversations.Cursor{})
	for _, c := range []conversations.Cursor{{Pos: 5, Tries: 2, Next: 1 << 40, Error: odd()[0]}, {Pos: 6}} {
		h.write(t, func(tx conversations.Tx) error { return tx.PutCursor("s", c) })
		same(t, "cursor", cursor("s"), c)
	}
	letters := func(sink string, limit int) []conversations.Letter {
		return read(t, h, func(r conversations.Reader) ([]conversations.Letter, error) { return r.Letters(sink, limit) })
	}
	var want []conversations.Letter
	for i := range 3 {
		l := conversations.Letter{Sink: "s", Reason: odd()[i], At: int64(i),
			Event: conversations.Event{Room: h.room(fmt.Sprint(3 - i)), Seq: 3, Pos: uint64(i + 1), At: 9, Payload: []byte{0, 255}}}
		want = append(want, l)
		other := l
		other.Sink = "S"
		h.write(t, func(tx conversations.Tx) error {
			if err := tx.PutLetter(l); err != nil {
				return err
			}
			return tx.PutLetter(other)
		})
	}
	want[1].Reason = "again"
	h.write(t, func(tx conversations.Tx) error { return tx.PutLetter(want[1]) })
	same(t, "Letters", letters("s", 10), want)
	same(t, "Letters by 2", letters("s", 2), want[:2])
	h.write(t, func(tx conversations.Tx) error { return tx.DeleteLetter("s", want[0].Event.Room, 3) })
	same(t, "after DeleteLetter", letters("s", 10), want[1:])
	same(t, "another sink", len(letters("S", 10)), 3)
}

// testSequencers: writers, three sequencers and a reader at once. The reader sees each event once, those
// of a conversation in order, and no place is left out.
func testSequencers(t *testing.T, h house) {
	const rooms, writers, each = 4, 8, 12
	for i := range rooms {
		h.make(t, h.group(fmt.Sprint(i)))
	}
	ctx := context.WithoutCancel(t.Context())
	var wait, others sync.WaitGroup
	var ended atomic.Bool
	for w := range writers {
		wait.Go(func() {
			for i := range each {
				err := h.store.Write(ctx, "test", func(tx conversations.Tx) error {
					return h.sendNext(tx, h.room(fmt.Sprint((w+i)%rooms)), fmt.Sprintf("w%d-%d", w, i))
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 3 {
		others.Go(func() {
			for n := 1; n > 0 || !ended.Load(); {
				err := h.store.Write(ctx, "test", func(tx conversations.Tx) (err error) {
					n, err = tx.Sequence(7)
					return err
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	seen := h.follow(t, writers*each)
	wait.Wait()
	ended.Store(true)
	others.Wait()
	same(t, "events", seen, writers*each)
	same(t, "after the last", h.events(t, uint64(writers*each), 10), "")
}

// follow reads events until it has n, as a sink does.
func (h house) follow(t testing.TB, n int) int {
	heads := map[protocol.RoomID]uint64{}
	pos := uint64(0)
	for deadline := time.Now().Add(time.Minute); int(pos) < n && time.Now().Before(deadline) && !t.Failed(); {
		for _, e := range read(t, h, func(r conversations.Reader) ([]conversations.Event, error) { return r.Events(pos, 20) }) {
			if e.Pos != pos+1 {
				t.Errorf("place %d follows %d", e.Pos, pos)
			}
			if e.Seq != heads[e.Room]+1 {
				t.Errorf("%s: event %d follows %d", e.Room, e.Seq, heads[e.Room])
			}
			pos, heads[e.Room] = e.Pos, e.Seq
		}
	}
	return int(pos)
}

func testLease(t *testing.T, h house) {
	now := time.UnixMilli(1_760_000_000_000)
	lease := func(name, node string, now, until time.Time) (got bool) {
		h.write(t, func(tx conversations.Tx) (err error) {
			got, err = tx.Lease(name, protocol.NodeID(node), now, until)
			return err
		})
		return got
	}
	at := func(s int) time.Time { return now.Add(time.Duration(s) * time.Second) }
	same(t, "the first", lease("job", "n1", at(0), at(10)), true)
	same(t, "another", lease("job", "n2", at(1), at(11)), false)
	same(t, "another job", lease("job2", "n2", at(1), at(11)), true)
	same(t, "renewed", lease("job", "n1", at(9), at(20)), true)
	same(t, "before its end", lease("job", "n2", at(19), at(30)), false)
	same(t, "at its end", lease("job", "n2", at(20), at(30)), true)
	same(t, "lost", lease("job", "n1", at(21), at(40)), false)
	same(t, "given back", lease("job", "n2", at(22), at(22)), true)
	same(t, "and taken", lease("job", "n1", at(22), at(40)), true)
	for round := range 3 { // the first time it is made, then it has run out
		var wait sync.WaitGroup
		var won atomic.Int32
		for n := range 8 {
			wait.Go(func() {
				if lease("race", fmt.Sprint(round, n), at(100*round), at(100*round+1)) {
					won.Add(1)
				}
			})
		}
		wait.Wait()
		same(t, "nodes with the lease", won.Load(), int32(1))
	}
}
