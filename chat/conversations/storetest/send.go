package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/protocol"
)

func isError(err, want error) bool { return errors.Is(err, want) }

// full is a message with everything.
func (h house) full(room string, seq uint64) conversations.Message {
	m := h.text(room, "a", seq, "Zoë'\"\\ 日本語 👩‍👩‍👧 %_!\n\t<&>\u2028 ﷺ\u202e ")
	m.Rev, m.ReplyTo, m.Thread, m.Replies = seq+5, 1, 2, 3
	m.Mentions = []protocol.UserID{h.user("b"), h.user("c")}
	m.Files = []protocol.ConvFile{{ID: "f1", Name: "a b.png", Type: "image/png", Size: 1 << 40, Width: 3, Height: 4}, {ID: "f2", Name: "x", Type: "t"}}
	m.Reactions = []protocol.ConvReaction{{Emoji: "👍🏽", Count: 70, By: []protocol.UserID{h.user("b")}}}
	m.Pinned, m.At, m.Edited, m.Deleted = true, 1_760_000_000_123, 1_760_000_000_124, 0
	return m
}

// testSend: what is written is read; what fails leaves nothing.
func testSend(t *testing.T, h house) {
	h.make(t, h.group("r"), h.group("s"))
	h.write(t, func(tx conversations.Tx) error {
		row, err := tx.Draw(h.room("r"), 3)
		if err != nil {
			return err
		}
		same(t, "Draw", row.Seq, uint64(3))
		if row, err = tx.Draw(h.room("r"), 1); err != nil {
			return err
		}
		same(t, "Draw", row.Seq, uint64(4))
		if err := tx.InsertMessage(h.full("r", 3)); err != nil {
			return err
		}
		return tx.Enqueue(conversations.Event{Room: h.room("r"), Seq: 3, At: 7, Payload: []byte(`{"a":1}`)})
	})
	get := func(seq uint64) func(conversations.Reader) (conversations.Message, error) {
		return func(r conversations.Reader) (conversations.Message, error) { return r.Message(h.room("r"), seq) }
	}
	same(t, "Message", read(t, h, get(3)), h.full("r", 3))
	missing(t, h, get(2))
	byCID := func(from, cid string) func(conversations.Reader) (conversations.Message, error) {
		return func(r conversations.Reader) (conversations.Message, error) {
			return r.MessageByCID(h.room("r"), h.user(from), cid)
		}
	}
	same(t, "MessageByCID", read(t, h, byCID("a", "cid3")), h.full("r", 3))
	for _, other := range [][2]string{{"b", "cid3"}, {"a", "cid3 "}, {"a", "CID3"}, {"a", ""}, {"", "cid3"}} {
		missing(t, h, byCID(other[0], other[1]))
	}
	h.fails(t, conversations.ErrTaken, func(tx conversations.Tx) error { // the seq is there
		return tx.InsertMessage(h.text("r", "b", 3, "x"))
	})
	h.fails(t, conversations.ErrTaken, func(tx conversations.Tx) error { // the cid is there
		m := h.text("r", "a", 4, "x")
		m.CID = "cid3"
		return tx.InsertMessage(m)
	})
	for i, cid := range []string{"cid3 ", "CID3", "cid3\u0301"} { // others
		m := h.text("r", "a", uint64(10+i), "x")
		m.CID = cid
		h.send(t, m)
	}
	failed := errors.New("no")
	h.fails(t, failed, func(tx conversations.Tx) error {
		if _, err := tx.Draw(h.room("r"), 5); err != nil {
			return err
		}
		return errors.Join(tx.InsertMessage(h.text("r", "b", 20, "x")), failed)
	})
	missing(t, h, get(20))
	heads := read(t, h, func(r conversations.Reader) (map[protocol.RoomID]uint64, error) {
		return r.Heads([]protocol.RoomID{h.room("r"), h.room("s"), "c_none", h.room("r") + " "})
	})
	same(t, "Heads", heads, map[protocol.RoomID]uint64{h.room("r"): 7, h.room("s"): 0})
	h.fails(t, conversations.ErrNotFound, func(tx conversations.Tx) error {
		_, err := tx.Draw("c_none", 1)
		return err
	})
}

// testConcurrent: writers of one conversation come one after another, each sees what the one before left,
// readers see no gap, and writers of other conversations are let through.
func testConcurrent(t *testing.T, h house) {
	const writers, each, rooms = 16, 12, 3
	for i := range rooms {
		h.make(t, h.group(fmt.Sprint(i)))
	}
	var wait sync.WaitGroup
	for w := range writers {
		wait.Go(func() {
			for i := range each {
				room := h.room(fmt.Sprint(rand.N(rooms)))
				if i%3 > 0 {
					room = h.room("0") // the busy one
				}
				if err := h.store.Write(context.WithoutCancel(t.Context()), "test", func(tx conversations.Tx) error {
					return h.sendNext(tx, room, fmt.Sprintf("w%d-%d", w, i))
				}); err != nil {
					t.Errorf("writer %d: %v", w, err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() {
		wait.Wait()
		close(done)
	}()
	for ended := false; !ended && !t.Failed(); {
		select {
		case <-done:
			ended = true
		default:
		}
		h.checkGapless(t, h.room("0"))
	}
	<-done
	total := 0
	for i := range rooms {
		total += h.checkGapless(t, h.room(fmt.Sprint(i)))
	}
	same(t, "messages", total, writers*each)
}

// sendNext sends as a server does: draws, looks at what is there, and writes.
func (h house) sendNext(tx conversations.Tx, room protocol.RoomID, cid string) error {
	row, err := tx.Draw(room, 1)
	if err != nil {
		return err
	}
	newest, err := tx.Messages(room, conversations.Page{Limit: 1})
	if err != nil {
		return err
	}
	if len(newest) > 0 && newest[0].Seq != row.Seq-1 || len(newest) == 0 && row.Seq != 1 {
		return fmt.Errorf("drew %d after %v", row.Seq, seqs(newest))
	}
	if row.Members != int(row.Seq-1) {
		return fmt.Errorf("drew %d and see %d changes", row.Seq, row.Members)
	}
	row.Members++
	m := conversations.Message{Room: room, ConvMessage: protocol.ConvMessage{Seq: row.Seq, Rev: row.Seq, From: "u_w", CID: cid, Text: cid, At: 1}}
	return errors.Join(tx.InsertMessage(m), tx.UpdateConversation(row),
		tx.Enqueue(conversations.Event{Room: room, Seq: row.Seq, At: 1, Payload: []byte("{}")}))
}

// checkGapless reads a snapshot: as many messages as the conversation's Seq says. It returns how many.
func (h house) checkGapless(t testing.TB, room protocol.RoomID) int {
	t.Helper()
	type view struct {
		row  conversations.Row
		list []conversations.Message
	}
	v := read(t, h, func(r conversations.Reader) (v view, err error) {
		if v.row, err = r.Conversation(room); err != nil {
			return v, err
		}
		v.list, err = r.Messages(room, conversations.Page{Limit: 1000})
		return v, err
	})
	if int(v.row.Seq) != len(v.list) {
		t.Errorf("%d messages at seq %d", len(v.list), v.row.Seq)
	}
	for i, m := range v.list {
		if m.Seq != uint64(i+1) {
			t.Fatalf("place %d has seq %d", i, m.Seq)
		}
	}
	return len(v.list)
}
