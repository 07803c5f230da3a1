package storetest

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/protocol"
)

// testPages: random messages, changed at random, and all questions about them against plain loops.
func testPages(t *testing.T, h house) {
	random := rand.New(rand.NewPCG(1, 2))
	h.make(t, h.group("r"), h.group("empty"))
	var all []conversations.Message // by seq
	seq := uint64(0)
	for range 60 {
		seq += 1 + uint64(random.IntN(3)) // gaps, as of other changes
		m := h.text("r", string(rune('a'+random.IntN(3))), seq, fmt.Sprint("text ", seq))
		if random.IntN(3) == 0 {
			m.Thread = 1 + uint64(random.IntN(2))
		}
		m.Pinned = random.IntN(4) == 0
		all = append(all, m)
	}
	h.send(t, all...)
	for range 40 {
		m := &all[random.IntN(len(all))]
		seq++
		m.Rev, m.Text, m.Pinned = seq, "changed", !m.Pinned
		switch random.IntN(4) {
		case 0:
			m.Deleted = 5
		case 1:
			m.From = ""
		}
		h.write(t, func(tx conversations.Tx) error { return tx.UpdateMessage(*m) })
	}
	if t.Failed() {
		return
	}
	h.checkPages(t, random, all)
	h.checkChanged(t, random, all)
	h.checkUnread(t, all)
	last := read(t, h, func(r conversations.Reader) (map[protocol.RoomID]conversations.Message, error) {
		return r.Last([]protocol.RoomID{h.room("r"), h.room("empty"), "c_none"})
	})
	same(t, "Last", last, map[protocol.RoomID]conversations.Message{h.room("r"): all[len(all)-1]})
	h.fails(t, conversations.ErrNotFound, func(tx conversations.Tx) error { return tx.UpdateMessage(h.text("r", "a", 9999, "")) })
}

// wanted is a page as the contract has it.
func wanted(all []conversations.Message, p conversations.Page) []conversations.Message {
	var list []conversations.Message
	for _, m := range all {
		if (p.Thread == 0 || m.Thread == p.Thread) && (p.Author == "" || m.From == p.Author) && (!p.Pinned || m.Pinned) &&
			(p.Before == 0 || m.Seq < p.Before) && m.Seq > p.After {
			list = append(list, m)
		}
	}
	if p.After != 0 {
		return list[:min(p.Limit, len(list))]
	}
	return list[max(0, len(list)-p.Limit):]
}

func (h house) checkPages(t *testing.T, random *rand.Rand, all []conversations.Message) {
	newest := int(all[len(all)-1].Seq)
	for range 60 {
		p := conversations.Page{Limit: 1 + random.IntN(20)}
		switch random.IntN(4) {
		case 0:
			p.Before = 1 + uint64(random.IntN(newest+5))
		case 1:
			p.After = 1 + uint64(random.IntN(newest+5))
		case 2:
			p.Before = math.MaxUint64
		}
		if random.IntN(3) == 0 {
			p.Thread = uint64(random.IntN(3))
		}
		if random.IntN(3) == 0 {
			p.Author = h.user(string(rune('a' + random.IntN(4))))
		}
		p.Pinned = random.IntN(4) == 0
		got := read(t, h, func(r conversations.Reader) ([]conversations.Message, error) { return r.Messages(h.room("r"), p) })
		if want := wanted(all, p); len(got)+len(want) > 0 {
			same(t, fmt.Sprintf("Messages %+v", p), got, want)
		}
	}
	var pins []uint64
	for _, m := range all {
		if m.Pinned {
			pins = append(pins, m.Seq)
		}
	}
	same(t, "Pins", read(t, h, func(r conversations.Reader) ([]uint64, error) { return r.Pins(h.room("r")) }), pins)
}

func (h house) checkChanged(t *testing.T, random *rand.Rand, all []conversations.Message) {
	byRev := slices.Clone(all)
	slices.SortFunc(byRev, func(a, b conversations.Message) int { return cmp.Compare(a.Rev, b.Rev) })
	for range 10 {
		from, limit := random.IntN(len(byRev)), 1+random.IntN(30)
		got := read(t, h, func(r conversations.Reader) ([]conversations.Message, error) {
			return r.Changed(h.room("r"), byRev[from].Rev, limit)
		})
		if want := byRev[from+1 : min(from+1+limit, len(byRev))]; len(got)+len(want) > 0 {
			same(t, "Changed", got, want)
		}
	}
}

func (h house) checkUnread(t *testing.T, all []conversations.Message) {
	for seq := uint64(0); seq < all[len(all)-1].Seq+3; seq += 7 {
		want := 0
		for _, m := range all {
			if m.Seq > seq && m.From != h.user("b") && m.Deleted == 0 {
				want++
			}
		}
		for _, limit := range []int{1000, 5} {
			got := read(t, h, func(r conversations.Reader) (int, error) { return r.Unread(h.room("r"), h.user("b"), seq, limit) })
			same(t, fmt.Sprint("Unread after ", seq), got, min(want, limit))
		}
	}
}

// testNobody: the author of a message may be nobody any more, also of two with the same cid.
func testNobody(t *testing.T, h house) {
	h.make(t, h.group("r"))
	var list []conversations.Message
	for i, from := range []string{"a", "b"} {
		m := h.text("r", from, uint64(i+1), "x")
		m.CID = "same"
		h.send(t, m)
		m.From, m.Name = "", ""
		h.write(t, func(tx conversations.Tx) error { return tx.UpdateMessage(m) })
		list = append(list, m)
	}
	got := read(t, h, func(r conversations.Reader) ([]conversations.Message, error) {
		return r.Messages(h.room("r"), conversations.Page{Limit: 10})
	})
	same(t, "messages of nobody", got, list)
}

func testRevisions(t *testing.T, h house) {
	texts := odd()
	h.write(t, func(tx conversations.Tx) error {
		for i, text := range texts {
			for _, seq := range []uint64{1, 2} {
				if err := tx.AddRevision(h.room("r"), seq, uint64(100-i), protocol.ConvRevision{Text: text, At: int64(i)}); err != nil {
					return err
				}
			}
		}
		return tx.DeleteRevisions(h.room("r"), 2)
	})
	get := func(seq uint64) []protocol.ConvRevision {
		return read(t, h, func(r conversations.Reader) ([]protocol.ConvRevision, error) { return r.Revisions(h.room("r"), seq) })
	}
	var want []protocol.ConvRevision
	for i, text := range texts {
		want = slices.Insert(want, 0, protocol.ConvRevision{Text: text, At: int64(i)})
	}
	same(t, "Revisions", get(1), want)
	same(t, "Revisions after DeleteRevisions", len(get(2)), 0)
}

func testReactions(t *testing.T, h house) {
	const up, dark, composed, decomposed, spaced = "👍", "👍🏽", "\u00e9", "e\u0301", "👍 "
	at := int64(0)
	react := func(seq uint64, user, emoji string, on bool) {
		at++
		h.write(t, func(tx conversations.Tx) error { return tx.React(h.room("r"), seq, h.user(user), emoji, on, at) })
	}
	get := func(seq uint64) string {
		text := ""
		for _, x := range read(t, h, func(r conversations.Reader) ([]protocol.ConvReaction, error) { return r.Reactions(h.room("r"), seq) }) {
			text += fmt.Sprintf("%+q %d", x.Emoji, x.Count)
			for _, u := range x.By {
				text += " " + string(u[len(u)-1:])
			}
			text += "; "
		}
		return text
	}
	line := func(emoji string, by string) string { return fmt.Sprintf("%+q %s; ", emoji, by) }
	h.make(t, h.group("r"))
	h.send(t, h.text("r", "a", 1, "x"), h.text("r", "a", 2, "y"))
	same(t, "none", get(1), "")
	react(1, "b", up, true)
	react(1, "a", dark, true)
	react(1, "a", up, true)
	react(1, "b", up, true) // again: its place stays
	react(1, "a", composed, true)
	react(1, "a", decomposed, true)
	react(1, "a", spaced, true)
	react(2, "a", dark, true)
	same(t, "five that look alike", get(1), line(up, "2 b a")+line(dark, "1 a")+line(composed, "1 a")+line(decomposed, "1 a")+line(spaced, "1 a"))
	react(1, "b", up, false)
	react(1, "b", up, false)
	react(1, "a", decomposed, false)
	react(1, "b", dark, true)
	same(t, "fewer", get(1), line(dark, "2 a b")+line(up, "1 a")+line(composed, "1 a")+line(spaced, "1 a"))
	h.write(t, func(tx conversations.Tx) error {
		list, err := tx.ReactedBy(h.user("a"), 10)
		same(t, "ReactedBy", seqs(list), []uint64{1, 2})
		return err
	})
	h.write(t, func(tx conversations.Tx) error {
		list, err := tx.ReactedBy(h.user("a"), 1)
		same(t, "ReactedBy", seqs(list), []uint64{1})
		return err
	})
	h.write(t, func(tx conversations.Tx) error { return tx.DeleteReactions(h.room("r"), 1) })
	same(t, "after DeleteReactions", get(1), "")
	same(t, "another message", get(2), line(dark, "1 a"))
}

func testMessagesOf(t *testing.T, h house) {
	h.make(t, h.group("r"), h.group("s"))
	h.send(t, h.text("s", "a", 1, ""), h.text("r", "b", 1, ""), h.text("r", "a", 2, ""), h.text("r", "a", 3, ""))
	for limit, want := range map[int]int{10: 3, 2: 2} {
		h.write(t, func(tx conversations.Tx) error {
			list, err := tx.MessagesOf(h.user("a"), limit)
			same(t, "MessagesOf", len(list), want)
			return err
		})
	}
}

// testBounds: numbers that no message has are asked for in vain.
func testBounds(t *testing.T, h house) {
	h.make(t, h.group("r"))
	h.send(t, h.text("r", "a", 1, ""))
	for _, n := range []uint64{math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64} {
		missing(t, h, func(r conversations.Reader) (conversations.Message, error) { return r.Message(h.room("r"), n) })
		same(t, "Changed", read(t, h, func(r conversations.Reader) (int, error) {
			list, err := r.Changed(h.room("r"), n, 10)
			return len(list), err
		}), 0)
		same(t, "Messages", read(t, h, func(r conversations.Reader) (int, error) {
			list, err := r.Messages(h.room("r"), conversations.Page{After: n, Limit: 10})
			return len(list), err
		}), 0)
	}
}

// testSnapshot: a reader sees what was there when it began to read.
func testSnapshot(t *testing.T, h house) {
	h.make(t, h.group("r"))
	h.send(t, h.text("r", "a", 1, ""))
	sent := false
	list := read(t, h, func(r conversations.Reader) ([]conversations.Message, error) {
		if _, err := r.Conversation(h.room("r")); err != nil {
			return nil, err
		}
		if !sent {
			h.send(t, h.text("r", "a", 2, ""))
		}
		sent = true
		return r.Messages(h.room("r"), conversations.Page{Limit: 10})
	})
	same(t, "the snapshot", seqs(list), []uint64{1})
	same(t, "after it", h.checkGapless(t, h.room("r")), 2)
}
