package server_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/server"
)

// TestLogoutEndsNotifications: of the session that ends, whichever node it ends at, and of no other.
func TestLogoutEndsNotifications(t *testing.T) {
	t.Parallel() // it mostly waits
	w := newTalkingTown(t, 2, func(_ int, cfg *server.Config) { cfg.Conversations.PushKey = strings.Repeat("B", 87) })
	ann, bo := w.register(0, "ann", ""), w.register(0, "bob", "")
	for _, a := range []account{ann, bo} {
		in := protocol.PushSubscription{Endpoint: "https://push.example/" + a.AccessToken[:40] + a.AccessToken[len(a.AccessToken)-9:], Keys: protocol.PushKeys{
			P256dh: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4", Auth: "BTBZMqHH6r4Tts7J_aSIgg",
		}}
		if s := w.send(nil, 0, "POST", "/api/v1/me/push", a.AccessToken, in, nil); s != http.StatusOK {
			t.Fatalf("subscribe: %d", s)
		}
	}
	devices := func(a account) int {
		list, err := w.nodes[0].Conversations().Export(t.Context(), a.User.ID)
		if err != nil {
			t.Fatal(err)
		}
		return len(list.Devices)
	}
	if devices(ann) != 1 || devices(bo) != 1 {
		t.Fatalf("subscribed: %d, %d", devices(ann), devices(bo))
	}
	if s := w.send(nil, 1, "POST", "/api/v1/auth/logout", ann.AccessToken, struct{}{}, nil); s != http.StatusNoContent {
		t.Fatalf("logout: %d", s)
	}
	testenv.Eventually(t, 10*time.Second, func() bool { return devices(ann) == 0 }, "the session's end reaches its browser")
	if devices(bo) != 1 {
		t.Error("another one's browser went too")
	}
}
