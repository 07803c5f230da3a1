package server_test

import (
	"context"
	"crypto/rand"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/server"
)

// mapCache is an accounts.Cache that never lets go by itself.
type mapCache struct {
	mu     sync.Mutex
	values map[string]string
	leases map[string]string
}

func (c *mapCache) Get(_ context.Context, key string) (string, bool, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if value, found := c.values[key]; found {
		return value, true, ""
	}
	c.leases[key] = rand.Text()
	return "", false, c.leases[key]
}

func (c *mapCache) Put(_ context.Context, key, lease, value string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leases[key] == lease {
		c.values[key] = value
		delete(c.leases, key)
	}
}

func (c *mapCache) Forget(_ context.Context, key string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.values, key)
	delete(c.leases, key)
	return nil
}

// TestHandshakesFromTheCache: what a handshake needs to know is asked of the database
// once, and again after each change of it.
func TestHandshakesFromTheCache(t *testing.T) {
	var away atomic.Bool
	w := newTown(t, 1, func(_ int, cfg *server.Config) {
		cfg.Accounts.Store = absentStore{cfg.Accounts.Store, &away}
		cfg.Accounts.Cache = &mapCache{values: map[string]string{}, leases: map[string]string{}}
	})
	url := w.nodes[0].url
	guest := join(t, url, "Ann").Welcome()
	back := func() client.Options { return client.Options{Name: "Ann", Guest: guest.Guest} }
	for range 2 {
		if u := joinWith(t, url, back()).Welcome().User; u.ID != guest.User.ID {
			t.Fatalf("the guest came back as %+v", u)
		}
		away.Store(true)
	}
	away.Store(false)
	a := w.register(0, "annie", guest.Guest)
	if u := joinWith(t, url, back()).Welcome().User; u.ID == guest.User.ID {
		t.Error("a guest's token serves after the guest registered")
	}
	for _, want := range []string{"ANNIE", "Other"} {
		for range 2 {
			if u := joinWith(t, url, with(a.AccessToken)).Welcome().User; u.Name != want || u.ID != a.User.ID {
				t.Errorf("%+v, want the name %s", u, want)
			}
			away.Store(true)
		}
		away.Store(false)
		if _, err := joinWith(t, url, with(a.AccessToken)).Rename(t.Context(), "Other"); err != nil {
			t.Fatal(err)
		}
	}
	if s := w.send(nil, 0, "DELETE", "/api/v1/me", a.AccessToken, map[string]any{"password": secretWords}, nil); s != http.StatusNoContent {
		t.Fatal(s)
	}
	if u := joinWith(t, url, back()).Welcome().User; u.ID != guest.User.ID || !u.Guest {
		t.Errorf("after the account is gone the guest came back as %+v", u)
	}
}
