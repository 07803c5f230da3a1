package sqlstore

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/protocol"
)

const eventColumns = "room_id, seq, pos, happened_at, payload"

func scanEvent(row database.Scanner) (conversations.Event, error) {
	var e conversations.Event
	var pos *uint64
	err := row.Scan(&e.Room, &e.Seq, &pos, &e.At, &e.Payload)
	if pos != nil {
		e.Pos = *pos
	}
	return e, err
}

// bytes is never NULL.
func bytes(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Untold implements conversations.Reader.
func (r *reader) Untold(before int64, limit int) ([]conversations.Event, error) {
	q := query{"SELECT " + eventColumns + " FROM chat_outbox WHERE is_told = FALSE AND happened_at < ? ORDER BY happened_at, room_id, seq LIMIT ?",
		[]any{before, limit}}
	return run(r, q, scanEvent)
}

// Events implements conversations.Reader.
func (r *reader) Events(after uint64, limit int) ([]conversations.Event, error) {
	q := query{"SELECT " + eventColumns + " FROM chat_outbox WHERE pos > ? ORDER BY pos LIMIT ?", []any{number(after), limit}}
	return run(r, q, scanEvent)
}

// Cursor implements conversations.Reader.
func (r *reader) Cursor(sink string) (conversations.Cursor, error) {
	q := query{"SELECT pos, tries, next_at, error FROM chat_cursors WHERE sink = ?", []any{sink}}
	list, err := run(r, q, func(row database.Scanner) (c conversations.Cursor, err error) {
		err = row.Scan(&c.Pos, &c.Tries, &c.Next, &c.Error)
		return c, err
	})
	if err != nil || len(list) == 0 {
		return conversations.Cursor{}, err
	}
	return list[0], nil
}

// Letters implements conversations.Reader.
func (r *reader) Letters(sink string, limit int) ([]conversations.Letter, error) {
	q := query{"SELECT room_id, seq, pos, happened_at, payload, reason, died_at FROM chat_letters WHERE sink = ? ORDER BY pos, room_id, seq LIMIT ?",
		[]any{sink, limit}}
	return run(r, q, func(row database.Scanner) (conversations.Letter, error) {
		l := conversations.Letter{Sink: sink}
		err := row.Scan(&l.Event.Room, &l.Event.Seq, &l.Event.Pos, &l.Event.At, &l.Event.Payload, &l.Reason, &l.At)
		return l, err
	})
}

// Enqueue implements conversations.Tx.
func (t *txn) Enqueue(e conversations.Event) error {
	return t.run("INSERT INTO chat_outbox ("+eventColumns+", is_told) VALUES (?, ?, NULL, ?, ?, FALSE)",
		string(e.Room), number(e.Seq), e.At, bytes(e.Payload))
}

// place is an event of the outbox.
type place struct {
	room protocol.RoomID
	seq  int64
	at   int64
}

func inOrder(a, b place) int { return cmp.Or(cmp.Compare(a.room, b.room), cmp.Compare(a.seq, b.seq)) }

func scanPlace(row database.Scanner) (p place, err error) {
	err = row.Scan(&p.room, &p.seq, &p.at)
	return p, err
}

// onEach runs a statement on events, which are taken in their order so that transactions meet in the same one.
func (t *txn) onEach(statement string, list []place) error {
	slices.SortFunc(list, inOrder)
	for part := range slices.Chunk(list, chunk) {
		q := query{statement + " WHERE ", nil}
		for i, p := range part {
			if i > 0 {
				q.add(" OR ")
			}
			q.add("(room_id = ? AND seq = ?)", string(p.room), p.seq)
		}
		if err := t.run(q.text, q.args...); err != nil {
			return err
		}
	}
	return nil
}

// Told implements conversations.Tx.
func (t *txn) Told(events []conversations.Event) error {
	list := make([]place, len(events))
	for i, e := range events {
		list[i] = place{room: e.Room, seq: number(e.Seq)}
	}
	return t.onEach("UPDATE chat_outbox SET is_told = TRUE", list)
}

// positions is the counter of the outbox.
const positions = "outbox"

// Sequence implements conversations.Tx. Whoever has the counter's row sequences alone, and what it gave
// is committed before the next one draws: a reader that sees a position sees all before. A conversation's
// events are committed in their order (Draw), so those that are seen here have no gap; and each call takes
// the first ones of the conversations.
func (t *txn) Sequence(limit int) (int, error) {
	last, err := t.counter()
	if err != nil {
		return 0, err
	}
	q := query{"SELECT room_id, seq, happened_at FROM chat_outbox WHERE pos IS NULL ORDER BY room_id, seq LIMIT ?", []any{limit}}
	list, err := run(&t.reader, q, scanPlace)
	if err != nil || len(list) == 0 {
		return 0, err
	}
	runs := runsOf(list)
	slices.SortStableFunc(runs, func(a, b stretch) int { return cmp.Compare(a.at, b.at) })
	for i := range runs {
		runs[i].base = last + 1
		last += runs[i].last - runs[i].first + 1
	}
	slices.SortFunc(runs, func(a, b stretch) int { return inOrder(a.start(), b.start()) }) // the order in which rows are locked
	for _, s := range runs {
		err := t.run("UPDATE chat_outbox SET pos = seq + ? WHERE room_id = ? AND seq >= ? AND seq <= ? AND pos IS NULL",
			s.base-s.first, string(s.room), s.first, s.last)
		if err != nil {
			return 0, err
		}
	}
	return len(list), t.run("UPDATE chat_counters SET value = ? WHERE name = ?", last, positions)
}

// counter locks the counter of positions and returns the last one given.
func (t *txn) counter() (int64, error) {
	n, err := t.exec("UPDATE chat_counters SET value = value WHERE name = ?", positions)
	if err != nil {
		return 0, err
	}
	if n == 0 {
		if _, err := t.tx.InsertNew("chat_counters", []string{"name", "value"}, positions, 0); err != nil {
			return 0, err
		}
		if err := t.run("UPDATE chat_counters SET value = value WHERE name = ?", positions); err != nil {
			return 0, err
		}
	}
	var last int64
	err = t.q.QueryRow("SELECT value FROM chat_counters WHERE name = ?", positions).Scan(&last)
	return last, err
}

// stretch is events of a conversation that follow one another.
type stretch struct {
	room        protocol.RoomID
	first, last int64 // seqs
	at          int64 // when the first one happened, or one before it
	base        int64 // its position
}

func (s stretch) start() place { return place{room: s.room, seq: s.first} }

// runsOf makes stretches of events in their order. A conversation's later ones are not from before its first.
func runsOf(list []place) []stretch {
	var runs []stretch
	for _, p := range list {
		if n := len(runs); n > 0 && runs[n-1].room == p.room {
			if runs[n-1].last+1 == p.seq {
				runs[n-1].last++
				continue
			}
			p.at = max(p.at, runs[n-1].at)
		}
		runs = append(runs, stretch{room: p.room, first: p.seq, last: p.seq, at: p.at})
	}
	return runs
}

// Trim implements conversations.Tx.
func (t *txn) Trim(sinks []string, before int64, limit int) (int, error) {
	q := query{"SELECT room_id, seq, happened_at FROM chat_outbox WHERE is_told = TRUE AND happened_at < ?", []any{before}}
	if len(sinks) > 0 {
		lowest := uint64(math.MaxInt64)
		for _, sink := range sinks {
			c, err := t.Cursor(sink)
			if err != nil {
				return 0, err
			}
			lowest = min(lowest, c.Pos)
		}
		q.add(" AND pos <= ?", number(lowest))
	}
	q.add(" ORDER BY happened_at LIMIT ?", limit)
	list, err := run(&t.reader, q, scanPlace)
	if err != nil {
		return 0, err
	}
	return len(list), t.onEach("DELETE FROM chat_outbox", list)
}

// PutCursor implements conversations.Tx.
func (t *txn) PutCursor(sink string, c conversations.Cursor) error {
	return t.tx.Upsert("chat_cursors", []string{"sink"}, []string{"sink", "pos", "tries", "next_at", "error"},
		sink, number(c.Pos), c.Tries, c.Next, c.Error)
}

// PutLetter implements conversations.Tx.
func (t *txn) PutLetter(l conversations.Letter) error {
	return t.tx.Upsert("chat_letters", []string{"sink", "room_id", "seq"},
		[]string{"sink", "room_id", "seq", "pos", "happened_at", "payload", "reason", "died_at"},
		l.Sink, string(l.Event.Room), number(l.Event.Seq), number(l.Event.Pos), l.Event.At, bytes(l.Event.Payload), l.Reason, l.At)
}

// DeleteLetter implements conversations.Tx.
func (t *txn) DeleteLetter(sink string, room protocol.RoomID, seq uint64) error {
	return t.run("DELETE FROM chat_letters WHERE sink = ? AND room_id = ? AND seq = ?", sink, string(room), number(seq))
}

// Lease implements conversations.Tx.
func (t *txn) Lease(name string, node protocol.NodeID, now, until time.Time) (bool, error) {
	n, err := t.exec("UPDATE chat_leases SET node = ?, until_at = ? WHERE name = ? AND (node = ? OR until_at <= ?)",
		string(node), database.Micros(until), name, string(node), database.Micros(now))
	if err != nil || n > 0 {
		return n > 0, err
	}
	return t.tx.InsertNew("chat_leases", []string{"name", "node", "until_at"}, name, string(node), database.Micros(until))
}
