package chat_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rondo-chat/rondo/chat"
	"github.com/rondo-chat/rondo/protocol"
)

func say(t *testing.T, l *chat.Log, room protocol.RoomID, cid, text string) chat.Message {
	t.Helper()
	m, _, err := l.Send(t.Context(), room, chat.Message{ChatMessage: protocol.ChatMessage{From: "1", CID: cid, Text: text}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestTend: what the store lost is back before anybody asks, also in rooms in which
// nobody speaks; what is said right after a loss waits for what others put back.
func TestTend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := chat.NewMemory(chat.Retention{})
		if err != nil {
			t.Fatal(err)
		}
		wipe := s.Save()
		var follows atomic.Bool
		follows.Store(true)
		open := func() *chat.Log {
			l, err := chat.New(chat.Config{Store: s, Follows: func(protocol.RoomID) bool { return follows.Load() }})
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		a, b := open(), open()
		go a.Tend(t.Context())
		go b.Tend(t.Context())
		for i := range 100 {
			say(t, a, protocol.RoomID(fmt.Sprint("r", i)), "c", "text")
		}
		pass(10 * time.Minute) // all are quiet
		b.Saw(say(t, a, "r", "1", "both know it"))
		say(t, a, "r", "2", "a knows it")
		wipe(true)
		began := time.Now()
		m := say(t, b, "r", "b", "after")
		if waited := time.Since(began); waited < time.Second || waited > 3*time.Second {
			t.Errorf("after a loss a message waits %v", waited)
		}
		page, err := s.Page(t.Context(), "r", chat.Query{Limit: 10})
		if err != nil || len(page.Messages) != 3 || page.Messages[1].Text != "a knows it" || page.Messages[2].Off != m.Off || m.Off <= 2 {
			t.Errorf("when the next message is stored: %+v, %v", page, err)
		}
		pass(2 * time.Second)
		for i := range 100 {
			if page, err := s.Page(t.Context(), protocol.RoomID(fmt.Sprint("r", i)), chat.Query{Limit: 10}); err != nil || len(page.Messages) != 1 {
				t.Fatalf("room %d: %+v, %v", i, page, err)
			}
		}
		began = time.Now()
		say(t, b, "r", "b2", "without a loss nothing waits")
		if waited := time.Since(began); waited > 0 {
			t.Errorf("a message waits %v", waited)
		}
		follows.Store(false) // the last member leaves
		pass(2 * time.Second)
		wipe(true)
		pass(2 * time.Minute)
		if page, err := s.Page(t.Context(), "r", chat.Query{Limit: 10}); err != nil || len(page.Messages) != 0 {
			t.Errorf("a room that nobody follows: %+v, %v", page, err)
		}
	})
}

// TestRemembersSoMuch: what a node remembers of a room is bounded, and the newest
// of it is put back.
func TestRemembersSoMuch(t *testing.T) {
	s, err := chat.NewMemory(chat.Retention{})
	if err != nil {
		t.Fatal(err)
	}
	wipe := s.Save()
	l, err := chat.New(chat.Config{Store: s, Follows: func(protocol.RoomID) bool { return true }, Settle: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 250 {
		say(t, l, "many", fmt.Sprint(i), "text")
		if i < 20 {
			say(t, l, "long", fmt.Sprint(i), strings.Repeat("x", protocol.MaxChatBytes))
		}
	}
	wipe(true)
	for room, want := range map[protocol.RoomID][2]uint64{"many": {151, 250}, "long": {18, 20}} {
		h, err := l.History(t.Context(), room, protocol.ChatQuery{Limit: 100})
		if n := len(h.Messages); err != nil || n == 0 || h.Messages[0].Off != want[0] || h.Messages[n-1].Off != want[1] {
			t.Errorf("%s: %d messages, %v, want %v", room, n, err, want)
		}
	}
}
