package conversations_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/rondo-chat/rondo/protocol"
)

// TestForget: of who was deleted nothing is left that others could read, and what they owned goes on.
func TestForget(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	ann, ben, cem := h.user("ann"), h.user("ben"), h.user("cem")
	ctx := t.Context()
	room := h.group(ann, ben, cem)
	alone := h.create(ann, protocol.ConvCreate{Kind: protocol.ConvTopic})
	pair := h.create(ben, protocol.ConvCreate{Kind: protocol.ConvDirect, With: "ann"})
	said := h.send(ann, room, "1", "my secret")
	h.must(second(h.Edit(ctx, ann, room, protocol.ConvChange{Seq: said.Seq, Text: "my other secret"})))
	h.send(ann, room, "2", "more")
	theirs := h.send(ben, room, "1", "yours")
	h.must(second(h.React(ctx, ann, room, protocol.ConvChange{Seq: theirs.Seq, Emoji: "👍", On: true})))
	h.must(second(h.React(ctx, ann, room, protocol.ConvChange{Seq: theirs.Seq, Emoji: "🎉", On: true})))
	h.must(second(h.React(ctx, cem, room, protocol.ConvChange{Seq: theirs.Seq, Emoji: "🎉", On: true})))
	h.send(ann, pair, "1", "psst")

	e, err := h.Export(ctx, "u_ann")
	h.must(err)
	text, err := json.Marshal(e)
	h.must(err)
	if len(e.Conversations) != 3 || len(e.Messages) != 3 || !strings.Contains(string(text), "my other secret") || strings.Contains(string(text), "yours") {
		t.Errorf("%s", text)
	}
	for range 2 { // it may be asked again
		h.must(h.Forget(ctx, "u_ann"))
	}
	for _, id := range []protocol.RoomID{room, pair} {
		o, err := h.Open(ctx, ben, id, protocol.ConvOpen{})
		h.must(err)
		text, err := json.Marshal(o)
		h.must(err)
		for _, trace := range []string{"ann", "secret", "more", "psst"} {
			if strings.Contains(string(text), trace) {
				t.Errorf("%q is still in %s", trace, text)
			}
		}
		h.gapless(id)
	}
	if h.role(room, ben) != protocol.ConvOwner || h.role(room, ann) != "" {
		t.Errorf("%s, %s", h.role(room, ben), h.role(room, ann))
	}
	if row, _ := h.row(room); row.Members != 2 || row.Purged != row.Seq {
		t.Errorf("%+v", row)
	}
	if _, there := h.row(alone); there {
		t.Error("a topic of nobody")
	}
	page, err := h.History(ctx, cem, room, protocol.ConvHistoryQuery{})
	h.must(err)
	if m := page.Messages[2]; m.Text != "yours" || len(m.Reactions) != 1 || m.Reactions[0].Count != 1 || m.Reactions[0].By[0] != "u_cem" {
		t.Errorf("%+v", m)
	}
	wantCode(t, second(h.Send(ctx, ben, pair, protocol.ConvSend{CID: "9", Text: "still there?"})), protocol.CodeForbidden)
	if found, err := h.Search(ctx, ben, protocol.ConvSearchQuery{Text: "secret"}); err != nil || len(found.Hits) > 0 {
		t.Errorf("%+v, %v", found, err)
	}
	if e, err = h.Export(ctx, "u_ann"); err != nil || len(e.Conversations)+len(e.Messages) > 0 {
		t.Errorf("%+v, %v", e, err)
	}
	h.must(h.Forget(ctx, "u_ben"))
	if _, there := h.row(pair); there {
		t.Error("a conversation of nobody")
	}
}

// TestRenamed: members have the new name, messages the one that they were written under.
func TestRenamed(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	ann, ben := h.user("ann"), h.user("ben")
	room := h.group(ann, ben)
	h.send(ann, room, "1", "x")
	for range 2 {
		h.must(h.Renamed(t.Context(), "u_ann", "Anna"))
	}
	o, err := h.Open(t.Context(), ben, room, protocol.ConvOpen{})
	h.must(err)
	for _, p := range o.People {
		if p.ID == "u_ann" && p.Name != "Anna" {
			t.Errorf("%+v", p)
		}
	}
	if o.History.Messages[0].Name != "ann" || len(h.events(room)) != int(o.History.Messages[0].Seq)+1 {
		t.Errorf("%+v, %d events", o.History.Messages[0], len(h.events(room)))
	}
}
