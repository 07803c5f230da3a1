package conversations

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/protocol"
)

// page is how many rows are read at once.
const page = 500

// record is all that the store has of a room: messages by their seq.
type record struct {
	seq      uint64
	messages map[uint64]protocol.ConvMessage
	order    []uint64
}

// read reads a room whole from the database, past every cache.
func read(t testing.TB, store conversations.Store, room protocol.RoomID) record {
	t.Helper()
	rec := record{messages: map[uint64]protocol.ConvMessage{}}
	err := store.Read(context.WithoutCancel(t.Context()), "test", func(r conversations.Reader) error {
		row, err := r.Conversation(room)
		if err != nil {
			return err
		}
		rec.seq = row.Seq
		for before := uint64(math.MaxInt64); ; {
			list, err := r.Messages(room, conversations.Page{Before: before, Limit: page})
			if err != nil {
				return err
			}
			for i := len(list) - 1; i >= 0; i-- {
				rec.messages[list[i].Seq] = list[i].ConvMessage
				rec.order = append(rec.order, list[i].Seq)
			}
			if len(list) < page {
				return nil
			}
			before = list[0].Seq
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// judge compares the record with what an author was told; the result is what is wrong.
func (rec record) judge(a *author, room protocol.RoomID) (wrong []string) {
	mine := map[string]int{}
	for _, m := range rec.messages {
		if m.From == a.id {
			mine[m.CID]++
		}
	}
	last := uint64(0)
	told := map[string]bool{}
	for _, w := range a.words {
		if w.room != room {
			continue
		}
		told[w.cid] = true
		m, there := rec.messages[w.seq]
		switch {
		case !there:
			wrong = append(wrong, fmt.Sprintf("%s %s: acknowledged as %d, not there", a.name, w.cid, w.seq))
		case m.CID != w.cid || m.From != a.id:
			wrong = append(wrong, fmt.Sprintf("%s %s: %d is %s of %s", a.name, w.cid, w.seq, m.CID, m.From))
		case w.deleted != (m.Deleted != 0) || !w.deleted && m.Text != w.text:
			wrong = append(wrong, fmt.Sprintf("%s %s: %d says %q (deleted %d), not %q", a.name, w.cid, w.seq, m.Text, m.Deleted, w.text))
		case w.liked && !w.deleted && len(m.Reactions) == 0:
			wrong = append(wrong, fmt.Sprintf("%s %s: the reaction is gone", a.name, w.cid))
		}
		if mine[w.cid] > 1 {
			wrong = append(wrong, fmt.Sprintf("%s %s: there %d times", a.name, w.cid, mine[w.cid]))
		}
		if w.seq <= last {
			wrong = append(wrong, fmt.Sprintf("%s %s: %d after %d", a.name, w.cid, w.seq, last))
		}
		last = w.seq
	}
	for cid := range mine {
		if !told[cid] {
			wrong = append(wrong, fmt.Sprintf("%s %s: there, but never said", a.name, cid))
		}
	}
	return wrong
}
