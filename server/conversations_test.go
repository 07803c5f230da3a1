package server_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/chat/conversations"
	chatsql "github.com/rondo-chat/rondo/chat/sqlstore"
	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/server"
)

// newTalkingTown is nodes with accounts and conversations.
func newTalkingTown(t testing.TB, n int, change func(i int, cfg *server.Config)) *town {
	t.Helper()
	db, err := database.Open(t.Context(), database.Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "c.db"), Timeout: 30 * time.Second, SlowQuery: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	store := chatsql.New(db)
	if err := store.Migrate(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	return newTown(t, n, func(i int, cfg *server.Config) {
		cfg.Conversations = &server.Conversations{Store: store}
		if change != nil {
			change(i, cfg)
		}
	})
}

// talker is somebody with an account at a node.
type talker struct {
	*user
	account
	node *node
}

func (w *town) talker(t *testing.T, at int, name string) *talker {
	t.Helper()
	a := w.register(at, name, "")
	return &talker{joinWith(t, w.nodes[at].url, with(a.AccessToken)), a, w.nodes[at]}
}

// caller is who the person is for conversations.
func (p *talker) caller() conversations.Caller {
	return conversations.Caller{Principal: auth.Principal{Identity: p.User.ID, Session: "s", Roles: []auth.Role{auth.RoleUser}}, Name: p.User.Name}
}

func (p *talker) create(q protocol.ConvCreate) protocol.RoomID {
	p.t.Helper()
	e, err := p.node.Conversations().Create(p.t.Context(), p.caller(), q)
	if err != nil {
		p.t.Fatal(err)
	}
	return e.ID
}

func (p *talker) view(room protocol.RoomID) *client.View {
	p.t.Helper()
	return view(p.user, room)
}

// view opens a conversation; the client's events are read away, but for those that say that it is over.
func view(u *user, room protocol.RoomID) *client.View {
	u.t.Helper()
	v, err := u.Conversation(room).View(u.t.Context(), client.ViewOptions{})
	if err != nil {
		u.t.Fatal(err)
	}
	return v
}

func texts(v *client.View) (all []string) {
	messages, _ := v.Messages()
	for _, m := range messages {
		text := m.Text
		if m.Deleted != 0 {
			text = "(deleted)"
		}
		for _, r := range m.Reactions {
			text += fmt.Sprint(" ", r.Emoji, r.Count)
		}
		all = append(all, text)
	}
	return all
}

func shows(t *testing.T, what string, v *client.View, want ...string) {
	t.Helper()
	testenv.Eventually(t, 10*time.Second, func() bool { return slices.Equal(texts(v), want) }, "%s", what)
}

func TestATopicOnTwoNodes(t *testing.T) {
	t.Parallel() // it mostly waits
	w := newTalkingTown(t, 2, nil)
	ann, bo := w.talker(t, 0, "ann"), w.talker(t, 1, "bob")
	if !slices.Contains(ann.Welcome().Features, "conversations") || slices.Contains(ann.Welcome().Features, "translate") {
		t.Errorf("features %v", ann.Welcome().Features)
	}
	room := ann.create(protocol.ConvCreate{Kind: protocol.ConvTopic, Name: "Jazz", About: "All that swings", Writers: protocol.WriteEveryone})
	guest := join(t, w.nodes[1].url, "Guest")
	a, b, g := ann.view(room), bo.view(room), view(guest, room)

	one, err := a.Send(t.Context(), protocol.ConvSend{Text: "one"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Send(t.Context(), protocol.ConvSend{Text: "two", ReplyTo: one.Message.Seq}); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Send(t.Context(), protocol.ConvSend{Text: "three"}); err != nil {
		t.Fatal(err)
	}
	for _, v := range []*client.View{a, b, g} {
		shows(t, "all three", v, "one", "two", "three")
	}
	if _, err := a.Edit(t.Context(), one.Message.Seq, "one and a half"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.React(t.Context(), one.Message.Seq, "🎷", true); err != nil {
		t.Fatal(err)
	}
	messages, _ := b.Messages()
	if _, err := b.Delete(t.Context(), messages[1].Seq); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Pin(t.Context(), one.Message.Seq, true); err != nil {
		t.Fatal(err)
	}
	for _, v := range []*client.View{a, b, g} {
		shows(t, "edited, reacted to, deleted", v, "one and a half 🎷1", "(deleted)", "three")
		testenv.Eventually(t, 10*time.Second, func() bool { m, _ := v.Message(one.Message.Seq); return m.Pinned }, "pinned")
	}
	testenv.Eventually(t, 10*time.Second, func() bool { return a.Presence().Online == 3 && len(b.Presence().Here) == 3 }, "all three are here")
	if err := b.Typing(true); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 10*time.Second, func() bool { return slices.Equal(a.Writing(), []protocol.UserID{bo.User.ID}) }, "bo types")
	_, err = b.Translate(t.Context(), protocol.ConvTranslate{Messages: []uint64{one.Message.Seq}, To: "de"})
	wantCode(t, err, protocol.CodeUnavailable)
	_, err = g.Edit(t.Context(), one.Message.Seq, "mine")
	if code := protocol.CodeOf(err); code != protocol.CodeForbidden && code != protocol.CodeNotFound {
		t.Errorf("somebody else's message is edited: %v", err)
	}
	// Banned: nothing more of it comes, and it cannot be opened.
	if _, err := ann.node.Conversations().SetRole(t.Context(), ann.caller(), room, bo.User.ID, protocol.ConvBanned); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 10*time.Second, b.Removed, "bo is put out")
	if _, err := a.Send(t.Context(), protocol.ConvSend{Text: "without bo"}); err != nil {
		t.Fatal(err)
	}
	shows(t, "without bo", g, "one and a half 🎷1", "(deleted)", "three", "without bo")
	if got := texts(b); len(got) != 3 {
		t.Errorf("who was banned reads %v", got)
	}
	if _, err := bo.Conversation(room).Open(t.Context(), protocol.ConvOpen{}); err == nil {
		t.Error("who was banned opens it")
	}
	// Deleted: gone for all.
	if err := ann.node.Conversations().Remove(t.Context(), ann.caller(), room); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 10*time.Second, func() bool { return a.Removed() && g.Removed() }, "it is gone")
}

func TestADirectConversationAppearsAtOnceWithReceipts(t *testing.T) {
	t.Parallel() // it mostly waits
	w := newTalkingTown(t, 2, nil)
	ann, bo := w.talker(t, 0, "ann"), w.talker(t, 1, "bob")
	if list, err := bo.Conversations(t.Context(), protocol.ConvListQuery{}); err != nil || len(list.Entries) != 0 {
		t.Fatalf("%+v, %v", list, err)
	}
	room := ann.create(protocol.ConvCreate{Kind: protocol.ConvDirect, With: "bob"})
	a := ann.view(room)
	sent, err := a.Send(t.Context(), protocol.ConvSend{Text: "hello"})
	if err != nil {
		t.Fatal(err)
	}
	for { // bo has not opened it: it is on the list
		if ev := next[client.ConvEvent](bo.user); ev.Message != nil {
			if ev.Room != room || ev.Message.Text != "hello" {
				t.Errorf("%+v", ev)
			}
			break
		}
	}
	if _, err := bo.Conversation(room).Mark(t.Context(), protocol.ConvMark{Delivered: sent.Message.Seq}); err != nil {
		t.Fatal(err)
	}
	is := func(delivered, read uint64) func() bool {
		return func() bool {
			p := a.People()[bo.User.ID]
			return p.Delivered == delivered && p.Read == read
		}
	}
	testenv.Eventually(t, 10*time.Second, is(sent.Message.Seq, 0), "it was delivered")
	b := bo.view(room)
	if _, err := b.Mark(t.Context(), protocol.ConvMark{Delivered: sent.Message.Seq, Read: sent.Message.Seq}); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 10*time.Second, is(sent.Message.Seq, sent.Message.Seq), "it was read")
	// A new name is told.
	if _, err := bo.Rename(t.Context(), "Robert"); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 10*time.Second, func() bool { return a.People()[bo.User.ID].Name == "Robert" }, "the new name")
	// And what is stored of somebody can be had, and goes.
	var export struct{ Chat conversations.Export }
	if status := w.send(nil, 0, "GET", "/api/v1/me/export", ann.AccessToken, nil, &export); status != http.StatusOK || len(export.Chat.Messages) != 1 {
		t.Errorf("export: %d %+v", status, export)
	}
	if status := w.send(nil, 0, "DELETE", "/api/v1/me", ann.AccessToken, map[string]string{"password": secretWords}, nil); status >= 300 {
		t.Errorf("deletion: %d", status)
	}
	shows(t, "what ann said is nobody's", b, "(deleted)")
}

// lossyBus loses what chat/live publishes of events while it is told to.
type lossyBus struct {
	bus.Bus
	lose *atomic.Bool
}

func (b lossyBus) Publish(m bus.Message) error {
	if b.lose.Load() && m.Kind == "live" && strings.HasPrefix(string(m.Payload), "e") {
		return nil
	}
	return b.Bus.Publish(m)
}

func TestWhatTheBusLosesIsRead(t *testing.T) {
	t.Parallel() // it mostly waits
	var lose atomic.Bool
	w := newTalkingTown(t, 2, func(_ int, cfg *server.Config) { cfg.Bus = lossyBus{cfg.Bus, &lose} })
	ann, bo := w.talker(t, 0, "ann"), w.talker(t, 1, "bob")
	room := ann.create(protocol.ConvCreate{Kind: protocol.ConvTopic, Name: "Jazz"})
	a, b := ann.view(room), bo.view(room)
	var want []string
	for i := range 9 {
		lose.Store(i%3 == 1 || i == 8)
		text := fmt.Sprint("m", i)
		if _, err := a.Send(t.Context(), protocol.ConvSend{Text: text}); err != nil {
			t.Fatal(err)
		}
		want = append(want, text)
	}
	shows(t, "all of them", b, want...)
}

// TestAViewGoesOnElsewhere: when a node dies its clients come back at another one and have all that was said.
func TestAViewGoesOnElsewhere(t *testing.T) {
	t.Parallel() // it mostly waits
	w := newTalkingTown(t, 2, nil)
	ann := w.talker(t, 0, "ann")
	room := ann.create(protocol.ConvCreate{Kind: protocol.ConvTopic, Name: "Jazz", Writers: protocol.WriteEveryone})
	bo := travel(t, w.nodes[1], "Bo")
	a, b := ann.view(room), view(bo.user, room)
	say := func(v *client.View, text string) {
		t.Helper()
		if _, err := v.Send(t.Context(), protocol.ConvSend{Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	say(a, "before")
	shows(t, "before", b, "before")
	w.nodes[1].dies(w.nodes[0], bo)
	say(a, "meanwhile")
	shows(t, "meanwhile", b, "before", "meanwhile")
	say(b, "back")
	shows(t, "back", a, "before", "meanwhile", "back")
}
