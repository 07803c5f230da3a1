package server_test

import (
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/rondo-chat/rondo/accounts/sqlstore"
	"github.com/rondo-chat/rondo/server"
)

// TestMailIsNotWaitedFor: who sends mails is told of one as soon as it can be read, and
// of nothing else.
func TestMailIsNotWaitedFor(t *testing.T) {
	var told, early atomic.Int32
	w := newTown(t, 1, func(_ int, cfg *server.Config) {
		store := cfg.Accounts.Store.(*sqlstore.Store)
		cfg.Accounts.OnMail = func() {
			told.Add(1)
			if b, err := store.Backlog(t.Context()); err != nil || b.Waiting < int(told.Load()) {
				early.Add(1)
			}
		}
	})
	a := w.register(0, "annie", "") // a code
	w.login(0, "annie")             // a new device
	w.send(nil, 0, "GET", "/api/v1/me", a.AccessToken, nil, &struct{}{})
	if s := w.send(nil, 0, "POST", "/api/v1/auth/logout", a.AccessToken, struct{}{}, nil); s != http.StatusNoContent {
		t.Fatal(s)
	}
	if told.Load() != 2 || early.Load() != 0 {
		t.Errorf("told %d times of 2 mails, %d times too early", told.Load(), early.Load())
	}
}
