package conversations_test

import (
	"slices"
	"testing"

	"github.com/rondo-chat/rondo/protocol"
)

// TestSmallTalk is what a conversation of two is made for.
func TestSmallTalk(t *testing.T) {
	h := open(t, nil)
	ann, ben, eve := h.user("ann"), h.user("ben"), h.user("eve")
	room := h.create(ann, protocol.ConvCreate{Kind: protocol.ConvDirect, With: "ben"})
	if again := h.create(ben, protocol.ConvCreate{Kind: protocol.ConvDirect, With: "u_ann"}); again != room {
		t.Fatalf("a second conversation of the same two: %s", again)
	}
	first := h.send(ann, room, "1", "hello <@u_ben> <@u_eve> <@u_ben>")
	if !slices.Equal(first.Mentions, []protocol.UserID{"u_ben"}) || first.Seq != 4 || first.Name != "ann" {
		t.Errorf("%+v", first)
	}
	sent, err := h.Send(t.Context(), ben, room, protocol.ConvSend{CID: "1", Text: "hi", ReplyTo: first.Seq})
	h.must(err)
	if again, err := h.Send(t.Context(), ben, room, protocol.ConvSend{CID: "1", Text: "other"}); err != nil || again.Seq != sent.Seq || again.Message.Text != "hi" {
		t.Fatalf("a repeated send: %+v, %v", again, err)
	}
	edited, err := h.Edit(t.Context(), ann, room, protocol.ConvChange{Seq: first.Seq, Text: "hello"})
	h.must(err)
	if edited.Message.Text != "hello" || edited.Message.Mentions != nil || edited.Message.Edited == 0 || edited.Seq != 6 {
		t.Errorf("%+v", edited)
	}
	was, err := h.Revisions(t.Context(), ann, room, first.Seq)
	h.must(err)
	if len(was) != 1 || was[0].Text != "hello <@u_ben> <@u_eve> <@u_ben>" || was[0].At != first.At {
		t.Errorf("%+v", was)
	}
	h.must(second(h.React(t.Context(), ben, room, protocol.ConvChange{Seq: first.Seq, Emoji: "👍", On: true})))
	h.must(second(h.Pin(t.Context(), ben, room, protocol.ConvChange{Seq: first.Seq, On: true})))
	o, err := h.Open(t.Context(), ben, room, protocol.ConvOpen{})
	h.must(err)
	wantTexts(t, o.History.Messages, "hello", "hi")
	if m := o.History.Messages[0]; !m.Pinned || len(m.Reactions) != 1 || m.Reactions[0].Count != 1 || m.Reactions[0].By[0] != "u_ben" {
		t.Errorf("%+v", m)
	}
	if len(o.People) != 2 || o.Me == nil || o.Me.ID != "u_ben" || !slices.Equal(o.Pins, []uint64{first.Seq}) || o.Conversation.Seq != 8 {
		t.Errorf("%+v", o)
	}
	h.must(second(h.Delete(t.Context(), ann, room, protocol.ConvChange{Seq: first.Seq})))
	s, err := h.Sync(t.Context(), ann, room, protocol.ConvSyncQuery{Since: 5})
	h.must(err)
	if len(s.Messages) != 1 || s.Messages[0].Deleted == 0 || s.Messages[0].Text != "" || s.Messages[0].Reactions != nil || s.Messages[0].Pinned || s.Seq != 9 {
		t.Errorf("%+v", s)
	}
	wantCode(t, second(h.History(t.Context(), eve, room, protocol.ConvHistoryQuery{})), protocol.CodeNotFound)
	h.gapless(room)
}
