package conversations_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/protocol"
)

// TestSmallTalk is what a conversation of two is made for.
func TestSmallTalk(t *testing.T) {
	t.Parallel()
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
	h.advance(-time.Hour)
	if late := h.send(ann, room, "2", "on a node whose clock is late"); late.At < sent.Message.At {
		t.Errorf("a message is %d ms older than the one before it", sent.Message.At-late.At)
	}
	h.gapless(room)
}

// TestRetries: the same CID sent many times at once, on two nodes, is one message, and all get its answer; also when limits are
// used up, and after an edit the message as it is now.
func TestRetries(t *testing.T) {
	t.Parallel()
	h := open(t, func(cfg *conversations.Config) { cfg.Limits.Send = ratelimit.Rate{PerSecond: 0.001, Burst: 8} })
	ann, ben := h.user("ann"), h.user("ben")
	room := h.create(ann, protocol.ConvCreate{Kind: protocol.ConvDirect, With: "ben"})
	nodes := []*conversations.Conversations{h.Conversations, h.node("n2")}
	var wg sync.WaitGroup
	got := make([]protocol.ConvSent, 8)
	for i := range got {
		wg.Go(func() {
			var err error
			if got[i], err = nodes[i%2].Send(t.Context(), ann, room, protocol.ConvSend{CID: "1", Text: fmt.Sprint("try ", i)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, s := range got {
		if s.Seq != 4 || s.Message.Text != got[0].Message.Text {
			t.Errorf("%+v, another one %+v", s, got[0])
		}
	}
	for i := 0; ; i++ { // use up what the limit lets through
		if _, err := h.Send(t.Context(), ann, room, protocol.ConvSend{CID: fmt.Sprint("more", i), Text: "more"}); err != nil {
			wantCode(t, err, protocol.CodeRateLimited)
			if e, _ := errors.AsType[*protocol.Error](err); e.Retry <= 0 || i > 8 {
				t.Errorf("after %d: %v", i, e.Retry)
			}
			break
		}
	}
	again, err := h.Send(t.Context(), ann, room, protocol.ConvSend{CID: "1", Text: "once more"})
	if err != nil || again.Seq != 4 {
		t.Errorf("a retry when the limit is used up: %+v, %v", again, err)
	}
	if s := h.send(ben, room, "1", "the CID of another"); s.Seq == 4 {
		t.Error("a CID counts for all authors")
	}
	h.gapless(room)
}

func TestSlowMode(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	ann, ben, cem := h.user("ann"), h.user("ben"), h.user("cem")
	room := h.group(ann, ben, cem)
	slow := 10
	h.must(second(h.Update(t.Context(), ann, room, protocol.ConvPatch{Slow: &slow})))
	for _, who := range []conversations.Caller{ann, ann, ben, ben, cem} {
		h.send(who, room, auth.Random(8), "hello")
	}
	h.advance(9999 * time.Millisecond)
	_, err := h.Send(t.Context(), cem, room, protocol.ConvSend{CID: "x", Text: "too soon"})
	wantCode(t, err, protocol.CodeRateLimited)
	if e, _ := errors.AsType[*protocol.Error](err); e.Retry != time.Millisecond {
		t.Errorf("wait %v", e.Retry)
	}
	h.advance(time.Millisecond)
	h.send(cem, room, "x", "now")
}

// TestForged: what names things that are not there, not here or not one's own is refused, and changes nothing.
func TestForged(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	ann, ben, eve := h.user("ann"), h.user("ben"), h.user("eve")
	room, other := h.group(ann, ben), h.group(eve)
	m := h.send(ann, room, "1", "hello")
	for _, id := range []string{"", " ", "c_", "c_%", "c_' OR 1=1 --", strings.Repeat("c", 65), "c_\x00", string(room) + " ", strings.ToUpper(string(room))} {
		wantCode(t, second(h.Send(t.Context(), ann, protocol.RoomID(id), protocol.ConvSend{CID: "1", Text: "x"})), protocol.CodeNotFound)
		wantCode(t, second(h.History(t.Context(), ann, protocol.RoomID(id), protocol.ConvHistoryQuery{})), protocol.CodeNotFound)
		wantCode(t, second(h.Join(t.Context(), ann, protocol.RoomID(id), "")), protocol.CodeNotFound)
	}
	for _, cid := range []string{"", "a b", "é", strings.Repeat("x", 65), "a\x00"} {
		wantCode(t, second(h.Send(t.Context(), ann, room, protocol.ConvSend{CID: cid, Text: "x"})), protocol.CodeBadRequest)
	}
	for _, seq := range []uint64{0, 1, 2, m.Seq + 1, 1 << 40, math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64} {
		c := protocol.ConvChange{Seq: seq, Text: "x", Emoji: "👍", On: true}
		for _, f := range []func(context.Context, conversations.Caller, protocol.RoomID, protocol.ConvChange) (protocol.ConvSent, error){h.Edit, h.Conversations.Delete, h.React, h.Pin} {
			wantCode(t, second(f(t.Context(), ann, room, c)), protocol.CodeNotFound)
		}
		if seq > 0 {
			wantCode(t, second(h.Send(t.Context(), ann, room, protocol.ConvSend{CID: "r", Text: "x", ReplyTo: seq, Thread: true})), protocol.CodeNotFound)
		}
		for _, q := range []protocol.ConvHistoryQuery{{Before: seq}, {After: seq}, {Around: seq}, {Thread: seq}} {
			h.must(second(h.History(t.Context(), ann, room, q)))
		}
		h.must(second(h.Mark(t.Context(), ann, room, protocol.ConvMark{Read: seq, Delivered: seq})))
	}
	if marked, err := h.Mark(t.Context(), ann, room, protocol.ConvMark{}); err != nil || marked.Read != m.Seq || marked.Delivered != m.Seq {
		t.Errorf("marks rose over what there is: %+v, %v", marked, err)
	}
	wantCode(t, second(h.Edit(t.Context(), eve, other, protocol.ConvChange{Seq: m.Seq, Text: "x"})), protocol.CodeNotFound)
	wantCode(t, second(h.Send(t.Context(), conversations.Caller{}, room, protocol.ConvSend{CID: "1", Text: "x"})), protocol.CodeUnauthorized)
	if head, err := h.Heads(t.Context(), []protocol.RoomID{room, "c_none"}); err != nil || head[room] != m.Seq || len(head) != 1 {
		t.Errorf("something changed: %v, %v", head, err)
	}
}

// TestBounds: each bound of what clients may make large.
func TestBounds(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	ann, ben := h.user("ann"), h.user("ben")
	room := h.group(ann, ben)
	ctx := t.Context()
	say := func(q protocol.ConvSend) error { q.CID = auth.Random(8); return second(h.Send(ctx, ann, room, q)) }
	wantCode(t, say(protocol.ConvSend{Text: strings.Repeat("x", protocol.MaxChatChars+1)}), protocol.CodeTooLarge)
	wantCode(t, say(protocol.ConvSend{Text: ""}), protocol.CodeBadRequest)
	wantCode(t, say(protocol.ConvSend{Text: "x", Thread: true}), protocol.CodeBadRequest)
	wantCode(t, say(protocol.ConvSend{Text: "x", Files: make([]string, protocol.MaxFilesPerText+1)}), protocol.CodeBadRequest)
	wantCode(t, say(protocol.ConvSend{Text: "x", Files: []string{"a", "a"}}), protocol.CodeBadRequest)
	wantCode(t, say(protocol.ConvSend{Text: "x", Files: []string{"nofile"}}), protocol.CodeNotFound)
	many := ""
	for i := range protocol.MaxMentions + 1 {
		many += fmt.Sprintf("<@u_%d>", i)
	}
	wantCode(t, say(protocol.ConvSend{Text: many}), protocol.CodeBadRequest)

	m := h.send(ann, room, "1", "hello")
	for i := range protocol.MaxReactionKinds {
		h.must(second(h.React(ctx, ben, room, protocol.ConvChange{Seq: m.Seq, Emoji: string(rune(0x1f600 + i)), On: true})))
	}
	wantCode(t, second(h.React(ctx, ann, room, protocol.ConvChange{Seq: m.Seq, Emoji: "👍", On: true})), protocol.CodeBadRequest)
	h.must(second(h.React(ctx, ann, room, protocol.ConvChange{Seq: m.Seq, Emoji: "\U0001f600", On: true})))
	wantCode(t, second(h.React(ctx, ann, room, protocol.ConvChange{Seq: m.Seq, Emoji: "<b>", On: true})), protocol.CodeBadRequest)
	for range protocol.MaxPins {
		h.must(second(h.Pin(ctx, ann, room, protocol.ConvChange{Seq: h.send(ann, room, auth.Random(8), "x").Seq, On: true})))
	}
	wantCode(t, second(h.Pin(ctx, ann, room, protocol.ConvChange{Seq: m.Seq, On: true})), protocol.CodeBadRequest)
	for i := range 100 {
		h.must(second(h.Edit(ctx, ann, room, protocol.ConvChange{Seq: m.Seq, Text: fmt.Sprint(i)})))
	}
	wantCode(t, second(h.Edit(ctx, ann, room, protocol.ConvChange{Seq: m.Seq, Text: "again"})), protocol.CodeForbidden)
	wantCode(t, second(h.Texts(ctx, ann, room, make([]uint64, protocol.MaxTranslateBatch+1))), protocol.CodeBadRequest)
	wantCode(t, second(h.Search(ctx, ann, protocol.ConvSearchQuery{Text: strings.Repeat("x", protocol.MaxSearchChars+1)})), protocol.CodeBadRequest)
	for _, cursor := range []string{"x", "!", strings.Repeat("A", 300), "MQ"} {
		wantCode(t, second(h.List(ctx, ann, protocol.ConvListQuery{Cursor: cursor})), protocol.CodeBadRequest)
		wantCode(t, second(h.Directory(ctx, ann, protocol.ConvDirectoryQuery{Cursor: cursor})), protocol.CodeBadRequest)
		wantCode(t, second(h.Search(ctx, ann, protocol.ConvSearchQuery{Text: "x", Cursor: cursor})), protocol.CodeBadRequest)
		wantCode(t, second(h.Members(ctx, ann, room, cursor, 1)), protocol.CodeBadRequest)
	}
	h.gapless(room)
}

// TestSettingsAreChecked: what a conversation cannot be.
func TestSettingsAreChecked(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	ann := h.user("ann")
	h.user("ben")
	h.guest("gus")
	yes := true
	for what, q := range map[string]protocol.ConvCreate{
		"no kind": {Name: "x"}, "a kind": {Kind: "party", Name: "x"}, "no name": {Kind: protocol.ConvGroup}, "blank name": {Kind: protocol.ConvTopic, Name: " \u200b"},
		"long name": {Kind: protocol.ConvGroup, Name: strings.Repeat("x", 81)}, "control": {Kind: protocol.ConvTopic, Name: "x", About: "\x07"},
		"about": {Kind: protocol.ConvTopic, Name: "x", About: strings.Repeat("x", protocol.MaxAboutChars+1)}, "language": {Kind: protocol.ConvTopic, Name: "x", Language: "klingonish"},
		"tags": {Kind: protocol.ConvTopic, Name: "x", Tags: []string{"a", "b", "c", "d"}}, "tag": {Kind: protocol.ConvTopic, Name: "x", Tags: []string{""}},
		"writers": {Kind: protocol.ConvGroup, Name: "x", Writers: "nobody"}, "everyone": {Kind: protocol.ConvGroup, Name: "x", Writers: protocol.WriteEveryone},
		"slow": {Kind: protocol.ConvGroup, Name: "x", Slow: -1}, "slower": {Kind: protocol.ConvGroup, Name: "x", Slow: 3601}, "keep": {Kind: protocol.ConvGroup, Name: "x", Keep: 59},
		"guests": {Kind: protocol.ConvGroup, Name: "x", Guests: &yes}, "passcode": {Kind: protocol.ConvTopic, Name: "x", Passcode: "x"},
		"long passcode": {Kind: protocol.ConvGroup, Name: "x", Passcode: strings.Repeat("x", 65)}, "self": {Kind: protocol.ConvDirect, With: "ann"}, "nobody": {Kind: protocol.ConvDirect},
	} {
		if _, err := h.Create(t.Context(), ann, q); protocol.CodeOf(err) != protocol.CodeBadRequest {
			t.Errorf("%s: %v", what, err)
		}
	}
	wantCode(t, second(h.Create(t.Context(), ann, protocol.ConvCreate{Kind: protocol.ConvDirect, With: "zoe"})), protocol.CodeNotFound)
	wantCode(t, second(h.Create(t.Context(), ann, protocol.ConvCreate{Kind: protocol.ConvDirect, With: "g_gus"})), protocol.CodeForbidden)
	wantCode(t, second(h.Create(t.Context(), h.guest("gus"), protocol.ConvCreate{Kind: protocol.ConvTopic, Name: "x"})), protocol.CodeForbidden)
	h.set(func() { h.blocked["u_ben u_ann"] = true })
	wantCode(t, second(h.Create(t.Context(), ann, protocol.ConvCreate{Kind: protocol.ConvDirect, With: "ben"})), protocol.CodeForbidden)
}

// TestRefusedWords: what Moderator refuses is not stored, and its word reaches the author.
func TestRefusedWords(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	ann, ben := h.user("ann"), h.user("ben")
	room := h.create(ann, protocol.ConvCreate{Kind: protocol.ConvDirect, With: "ben"})
	m := h.send(ann, room, "1", "hello")
	h.set(func() { h.words = "bad" })
	err := second(h.Send(t.Context(), ann, room, protocol.ConvSend{CID: "2", Text: "bad word"}))
	wantCode(t, err, protocol.CodeForbidden)
	if !strings.Contains(err.Error(), "not such words") {
		t.Error(err)
	}
	wantCode(t, second(h.Edit(t.Context(), ann, room, protocol.ConvChange{Seq: m.Seq, Text: "bad"})), protocol.CodeForbidden)
	wantCode(t, second(h.Create(t.Context(), ann, protocol.ConvCreate{Kind: protocol.ConvTopic, Name: "x", About: "bad"})), protocol.CodeForbidden)
	h.set(func() { h.blocked["u_ben u_ann"] = true })
	for _, err := range []error{
		second(h.Send(t.Context(), ann, room, protocol.ConvSend{CID: "3", Text: "are you there"})),
		second(h.Send(t.Context(), ben, room, protocol.ConvSend{CID: "3", Text: "no"})),
		second(h.Edit(t.Context(), ann, room, protocol.ConvChange{Seq: m.Seq, Text: "x"})),
		second(h.React(t.Context(), ben, room, protocol.ConvChange{Seq: m.Seq, Emoji: "👍", On: true})),
	} {
		wantCode(t, err, protocol.CodeForbidden)
	}
	if len(h.events(room)) != 4 {
		t.Error("something was stored")
	}
}

// TestThreads: answers count at the first message of their thread, whichever of them they answer to.
func TestThreads(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	ann, ben := h.user("ann"), h.user("ben")
	room := h.group(ann, ben)
	root := h.send(ann, room, "1", "root")
	a, err := h.Send(t.Context(), ben, room, protocol.ConvSend{CID: "2", Text: "a", ReplyTo: root.Seq, Thread: true})
	h.must(err)
	b, err := h.Send(t.Context(), ann, room, protocol.ConvSend{CID: "3", Text: "b", ReplyTo: a.Seq, Thread: true})
	h.must(err)
	if b.Message.Thread != root.Seq || b.Message.ReplyTo != a.Seq || b.Seq != a.Seq+2 {
		t.Errorf("%+v", b)
	}
	h.send(ann, room, "4", "beside")
	page, err := h.History(t.Context(), ben, room, protocol.ConvHistoryQuery{Thread: root.Seq})
	h.must(err)
	wantTexts(t, page.Messages, "a", "b")
	page, err = h.History(t.Context(), ben, room, protocol.ConvHistoryQuery{Limit: 4})
	h.must(err)
	if page.Messages[0].Replies != 2 {
		t.Errorf("%+v", page.Messages[0])
	}
	h.gapless(room)
}

// TestWhileItIsChecked: who may, and how fast, is asked again in the transaction: while a text was looked at, its author may have been
// banned, or written another one.
func TestWhileItIsChecked(t *testing.T) {
	t.Parallel()
	var meanwhile func()
	h := open(t, func(cfg *conversations.Config) {
		cfg.Moderator = hook(func() {
			if f := meanwhile; f != nil {
				meanwhile = nil
				f()
			}
		})
	})
	ann, ben, cem := h.user("ann"), h.user("ben"), h.user("cem")
	room := h.group(ann, ben, cem)
	slow := 10
	h.must(second(h.Update(t.Context(), ann, room, protocol.ConvPatch{Slow: &slow})))
	meanwhile = func() { h.send(cem, room, "1", "first") }
	wantCode(t, second(h.Send(t.Context(), cem, room, protocol.ConvSend{CID: "2", Text: "second"})), protocol.CodeRateLimited)
	h.advance(time.Minute)
	meanwhile = func() { h.must(second(h.SetRole(t.Context(), ann, room, "u_cem", protocol.ConvBanned))) }
	wantCode(t, second(h.Send(t.Context(), cem, room, protocol.ConvSend{CID: "3", Text: "third"})), protocol.CodeNotFound)
	page, err := h.History(t.Context(), ann, room, protocol.ConvHistoryQuery{})
	h.must(err)
	wantTexts(t, page.Messages, "first")
	h.gapless(room)
}

// hook is a Moderator that does something and lets all pass.
type hook func()

func (f hook) Check(context.Context, conversations.Caller, protocol.RoomID, string) error {
	f()
	return nil
}
