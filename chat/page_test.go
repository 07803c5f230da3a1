package chat_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rondo-chat/rondo/chat"
	"github.com/rondo-chat/rondo/protocol"
)

func TestPagesAreBoundedByBytesAndLoseNothing(t *testing.T) {
	store, err := chat.NewMemory(chat.Retention{})
	if err != nil {
		t.Fatal(err)
	}
	log, err := chat.New(chat.Config{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	const all = 40
	for i := range all {
		m := chat.Message{ChatMessage: protocol.ChatMessage{From: "1", CID: fmt.Sprint("c", i), Text: strings.Repeat("x", protocol.MaxChatBytes)}}
		if _, _, err := log.Send(t.Context(), "room", m); err != nil {
			t.Fatal(err)
		}
	}
	read := func(q protocol.ChatQuery) protocol.ChatHistory {
		h, err := log.History(t.Context(), "room", q)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(h.Messages); n == 0 || n*protocol.MaxChatBytes > chat.PageBytes {
			t.Fatalf("a page of %d messages", n)
		}
		return h
	}
	for next := uint64(1); next <= all; { // forward
		since := next - 1
		h := read(protocol.ChatQuery{Since: &since})
		for _, m := range h.Messages {
			if m.Off != next {
				t.Fatalf("got %d, want %d", m.Off, next)
			}
			next++
		}
		if h.More != (next <= all) {
			t.Fatalf("more is %v before %d", h.More, next)
		}
	}
	for next := uint64(all); next > 0; { // backward
		h := read(protocol.ChatQuery{Before: next + 1})
		for i := len(h.Messages) - 1; i >= 0; i-- {
			if h.Messages[i].Off != next {
				t.Fatalf("got %d, want %d", h.Messages[i].Off, next)
			}
			next--
		}
		if h.More != (next > 0) {
			t.Fatalf("more is %v after %d", h.More, next+1)
		}
	}
}
