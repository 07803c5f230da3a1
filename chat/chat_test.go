package chat_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/chat"
	"github.com/rondo-chat/rondo/chat/storetest"
	"github.com/rondo-chat/rondo/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func memory(t testing.TB, keep chat.Retention) chat.Store {
	t.Helper()
	s, err := chat.NewMemory(keep)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMemory(t *testing.T) {
	storetest.Run(t, memory)
	storetest.RunLosses(t, func(t testing.TB) (chat.Store, func() func(bool)) {
		s, err := chat.NewMemory(chat.Retention{})
		if err != nil {
			t.Fatal(err)
		}
		return s, s.Save
	})
}

func TestRefused(t *testing.T) {
	reg := prometheus.NewRegistry()
	l, err := chat.New(chat.Config{Store: memory(t, chat.Retention{}), Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	good := chat.Message{ChatMessage: protocol.ChatMessage{From: "1", CID: "c", Text: "t"}}
	tests := []struct {
		name   string
		room   protocol.RoomID
		change func(*chat.Message)
		code   protocol.Code
	}{
		{"good", "r", func(*chat.Message) {}, ""},
		{"no room", "", func(*chat.Message) {}, protocol.CodeBadRequest},
		{"strange room", "r}{", func(*chat.Message) {}, protocol.CodeBadRequest},
		{"no sender", "r", func(m *chat.Message) { m.From = "" }, protocol.CodeInternal},
		{"strange sender", "r", func(m *chat.Message) { m.From = "1/x" }, protocol.CodeInternal},
		{"no cid", "r", func(m *chat.Message) { m.CID = "" }, protocol.CodeBadRequest},
		{"long cid", "r", func(m *chat.Message) { m.CID = strings.Repeat("c", 65) }, protocol.CodeBadRequest},
		{"strange cid", "r", func(m *chat.Message) { m.CID = "a\nb" }, protocol.CodeBadRequest},
		{"no text", "r", func(m *chat.Message) { m.Text = "" }, protocol.CodeBadRequest},
		{"long text", "r", func(m *chat.Message) { m.Text = strings.Repeat("x", protocol.MaxChatBytes+1) }, protocol.CodeTooLarge},
		{"not UTF-8", "r", func(m *chat.Message) { m.Text = "a\xff" }, protocol.CodeBadRequest},
		{"name not UTF-8", "r", func(m *chat.Message) { m.Name = "\xff" }, protocol.CodeBadRequest},
	}
	for _, test := range tests {
		m := good
		test.change(&m)
		if _, _, err := l.Send(t.Context(), test.room, m); protocol.CodeOf(err) != test.code {
			t.Errorf("%s: %v, want code %q", test.name, err, test.code)
		}
	}
	one := uint64(1)
	for _, q := range []protocol.ChatQuery{{Limit: -1}, {Limit: 101}, {Since: &one, Before: 2}} {
		if _, err := l.History(t.Context(), "r", q); protocol.CodeOf(err) != protocol.CodeBadRequest {
			t.Errorf("%+v: %v, want bad_request", q, err)
		}
	}
	if _, err := l.History(t.Context(), "r r", protocol.ChatQuery{}); protocol.CodeOf(err) != protocol.CodeBadRequest {
		t.Errorf("strange room: %v", err)
	}
	want := `
# HELP rondo_chat_reads_total Pages of history asked for. result: ok, refused or failed.
# TYPE rondo_chat_reads_total counter
rondo_chat_reads_total{result="failed"} 0
rondo_chat_reads_total{result="ok"} 0
rondo_chat_reads_total{result="refused"} 4
# HELP rondo_chat_sends_total Messages sent. result: stored, repeated (a retry got the first answer), refused or failed.
# TYPE rondo_chat_sends_total counter
rondo_chat_sends_total{result="failed"} 2
rondo_chat_sends_total{result="refused"} 9
rondo_chat_sends_total{result="repeated"} 0
rondo_chat_sends_total{result="stored"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "rondo_chat_reads_total", "rondo_chat_sends_total"); err != nil {
		t.Error(err)
	}
}

func TestConfig(t *testing.T) {
	if _, err := chat.New(chat.Config{}); err == nil {
		t.Error("no store: accepted")
	}
	if _, err := chat.New(chat.Config{Store: memory(t, chat.Retention{}), Timeout: -1}); err == nil {
		t.Error("negative timeout: accepted")
	}
	for _, r := range []chat.Retention{{Messages: -1}, {Bytes: -1}, {TTL: -1}} {
		if _, err := chat.NewMemory(r); err == nil {
			t.Errorf("%+v: accepted", r)
		}
	}
}

// TestTTL: a room's messages go a TTL after the last message or touch, and no
// sooner.
func TestTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := chat.New(chat.Config{Store: memory(t, chat.Retention{TTL: time.Hour})})
		if err != nil {
			t.Fatal(err)
		}
		last := func() uint64 {
			h, err := l.History(t.Context(), "r", protocol.ChatQuery{})
			if err != nil {
				t.Fatal(err)
			}
			return h.Off
		}
		send := func(room protocol.RoomID) {
			if _, _, err := l.Send(t.Context(), room, chat.Message{ChatMessage: protocol.ChatMessage{From: "1", CID: "c", Text: "t"}}); err != nil {
				t.Fatal(err)
			}
		}
		send("r")
		pass(50 * time.Minute)
		if err := l.Touch(t.Context(), []protocol.RoomID{"r"}); err != nil {
			t.Fatal(err)
		}
		pass(59 * time.Minute)
		if last() != 1 {
			t.Fatal("gone too early")
		}
		pass(time.Minute)
		if last() != 0 {
			t.Fatal("still there")
		}
		send("q")
		pass(2 * time.Hour)
		send("r")
		if last() != 1 {
			t.Fatal("a new room does not start at 1")
		}
	})
}

// pass lets the test's synthetic time pass.
func pass(d time.Duration) { <-time.After(d) }
