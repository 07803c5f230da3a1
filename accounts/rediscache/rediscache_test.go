package rediscache_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/accounts/rediscache"
	"github.com/rondo-chat/rondo/internal/rediscall"
	"github.com/rondo-chat/rondo/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, s *testenv.RedisServer) *rediscache.Cache {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.Addr, ContextTimeoutEnabled: true, MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	c, err := rediscache.New(rediscall.Config{Client: client, Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestLease: what was read before a change never comes in after it.
func TestLease(t *testing.T) {
	s := testenv.Redis(t)
	c, ctx := open(t, s), t.Context()
	miss := func() string {
		t.Helper()
		value, found, lease := c.Get(ctx, "k")
		if found || lease == "" {
			t.Fatalf("%q, %v, lease %q", value, found, lease)
		}
		return lease
	}
	wants := func(want string) {
		t.Helper()
		if value, found, _ := c.Get(ctx, "k"); !found || value != want {
			t.Fatalf("%q, %v, want %q", value, found, want)
		}
	}
	slow := miss() // reads the database
	if err := c.Forget(ctx, "k"); err != nil {
		t.Fatal(err)
	}
	c.Put(ctx, "k", slow, "old")
	lease := miss()
	c.Put(ctx, "k", slow, "old")
	c.Put(ctx, "k", lease, "new")
	wants("new")
	c.Put(ctx, "k", slow, "old")
	c.Put(ctx, "k", lease, "again") // a lease serves once
	wants("new")
	if ttl, err := s.Do("PTTL", "rondo:account:k"); err != nil || ttl == "-1" {
		t.Errorf("it is kept for %s, %v", ttl, err)
	}
	if err := c.Forget(ctx, "k"); err != nil {
		t.Fatal(err)
	}
	miss()
	s.Kill()
	if value, found, lease := c.Get(ctx, "k"); found || lease != "" {
		t.Errorf("without Redis: %q, %v, %q", value, found, lease)
	}
	if err := c.Forget(ctx, "k"); err == nil {
		t.Error("forgot without Redis")
	}
}
