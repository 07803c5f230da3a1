package server_test

import (
	"testing"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/server"
)

// TestOutsideARoom: whoever does not sit in a room can do nothing in it, and is told
// so in the words that clients decide by.
func TestOutsideARoom(t *testing.T) {
	w := newTown(t, 1, nil)
	url := w.nodes[0].url
	a := w.register(0, "annie", "")
	inside, cy, ann := join(t, url, "Bo"), join(t, url, "Cy"), joinWith(t, url, with(a.AccessToken))
	room, err := inside.Create(t.Context(), protocol.RoomCreate{Name: "Lounge"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := inside.Chat(t.Context(), room.Room, "hello"); err != nil {
		t.Fatal(err)
	}
	for name, u := range map[string]*user{"guest": cy, "user": ann} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // in no room, then in another one
				_, err := u.Chat(t.Context(), room.Room, "hello")
				wantCode(t, err, protocol.CodeForbidden)
				_, err = u.History(t.Context(), room.Room, protocol.ChatQuery{})
				wantCode(t, err, protocol.CodeForbidden)
				wantCode(t, u.Signal(t.Context(), room.Room, "1", protocol.SignalOffer, struct{}{}), protocol.CodeStaleCall)
				if err := u.Leave(t.Context(), room.Room); err != nil {
					t.Error("leave:", err)
				}
				if _, err := u.Create(t.Context(), protocol.RoomCreate{}); err != nil && protocol.CodeOf(err) != protocol.CodeAlready {
					t.Fatal(err)
				}
			}
		})
	}
	if h, err := inside.History(t.Context(), room.Room, protocol.ChatQuery{}); err != nil || len(h.Messages) != 1 {
		t.Errorf("%+v, %v", h, err)
	}
}

// TestWhoMayNotConnect: roles decide at the WebSocket too, before anything is sent there.
func TestWhoMayNotConnect(t *testing.T) {
	var store accounts.Store
	w := newTown(t, 1, func(_ int, cfg *server.Config) { store = cfg.Accounts.Store })
	a := w.register(0, "annie", "")
	open := joinWith(t, w.nodes[0].url, with(a.AccessToken))
	err := store.Write(t.Context(), "test", func(tx accounts.Tx) error {
		u, err := tx.User(accounts.ByUsername, "annie")
		if err != nil {
			return err
		}
		u.Roles = []auth.Role{auth.RoleService}
		return tx.UpdateUser(u)
	})
	if err != nil {
		t.Fatal(err)
	}
	b := w.login(0, "annie")
	_, err = client.Dial(t.Context(), w.nodes[0].url, with(b.AccessToken))
	wantCode(t, err, protocol.CodeForbidden)
	_, err = open.Renew(t.Context(), b.AccessToken)
	wantCode(t, err, protocol.CodeForbidden)
}
