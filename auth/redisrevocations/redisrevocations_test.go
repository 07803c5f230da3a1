package redisrevocations_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/auth/redisrevocations"
	"github.com/rondo-chat/rondo/internal/rediscall"
	"github.com/rondo-chat/rondo/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, s *testenv.RedisServer) *redisrevocations.Cache {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.Addr, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	c, err := redisrevocations.New(rediscall.Config{Client: client, Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCache: all are there, in the order in which they came, each with a sequence of
// its own, however they are paged; one that comes again keeps its place.
func TestCache(t *testing.T) {
	s := testenv.Redis(t)
	c, ctx := open(t, s), t.Context()
	if list, err := c.Revocations(ctx, 0, 10); err != nil || len(list) != 0 {
		t.Fatalf("%v, %v", list, err)
	}
	until := time.Now().Add(time.Hour).Truncate(time.Second)
	for i := range 25 {
		for range 1 + i%2 {
			if err := c.Remember(ctx, auth.Revocation{Session: fmt.Sprint("s", i), Until: until}); err != nil {
				t.Fatal(err)
			}
		}
	}
	after, got := int64(0), 0
	for {
		page, err := c.Revocations(ctx, after, 7)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page {
			if r.Sequence <= after || r.Session != fmt.Sprint("s", got) || !r.Until.Equal(until) {
				t.Fatalf("the %d. is %+v, after %d", got, r, after)
			}
			after = r.Sequence
			got++
		}
		if len(page) < 7 {
			break
		}
	}
	if got != 25 {
		t.Errorf("%d of 25", got)
	}
	if ttl, err := s.Do("PTTL", "rondo:revoked"); err != nil || ttl == "-1" {
		t.Errorf("it is kept for %s, %v", ttl, err)
	}
}

// silent is a database that does not answer after the start.
type silent struct{ started bool }

func (s *silent) Revocations(context.Context, int64, int) ([]auth.Revocation, error) {
	if s.started {
		return nil, errors.New("away")
	}
	s.started = true
	return nil, nil
}

// TestWithoutBusAndDatabase: what another node revokes is known within 2 s even when
// neither brings it; and while Redis is away revoking goes on.
func TestWithoutBusAndDatabase(t *testing.T) {
	s := testenv.Redis(t)
	node := func() (*auth.Revocations, chan string) {
		heard := make(chan string, 10)
		r, err := auth.NewRevocations(auth.RevocationsConfig{Source: &silent{}, Cache: open(t, s), OnRevoke: func(session string) { heard <- session }})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Close)
		return r, heard
	}
	here, _ := node()
	there, heard := node()
	began := time.Now()
	here.Revoke("one", time.Now().Add(time.Minute))
	select {
	case session := <-heard:
		if took := time.Since(began); session != "one" || took > 2*time.Second {
			t.Errorf("%s after %v", session, took)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the other node does not know")
	}
	s.Kill()
	here.Revoke("two", time.Now().Add(time.Minute))
	if !here.Revoked("two") || !there.Revoked("one") {
		t.Error("a node forgot or did not take a revocation")
	}
}
