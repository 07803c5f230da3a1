package redisstore_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/internal/rediscall"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/signaling"
	"github.com/rondo-chat/rondo/signaling/redisstore"
	"github.com/rondo-chat/rondo/signaling/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// opener gives each test a prefix, and so an empty store, of its own.
func opener(client redis.UniversalClient) func(testing.TB) signaling.Store {
	var n atomic.Int32
	return func(t testing.TB) signaling.Store {
		s, err := redisstore.New(redisstore.Config{Config: rediscall.Config{Client: client, Prefix: fmt.Sprintf("t%d:", n.Add(1)), Timeout: 10 * time.Second}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

// everyKeyExpires fails the test if a key has no time to live.
func everyKeyExpires(t *testing.T, client redis.UniversalClient) int {
	t.Helper()
	keys, err := client.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Error(err)
	}
	for _, key := range keys {
		if ttl, err := client.PTTL(t.Context(), key).Result(); err != nil || ttl == -1 {
			t.Errorf("%s has no time to live: %v, %v", key, ttl, err)
		}
	}
	return len(keys)
}

func TestSingle(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: testenv.Redis(t).Addr})
	t.Cleanup(func() { _ = client.Close() })
	storetest.Run(t, opener(client))
	everyKeyExpires(t, client)
}

func TestCluster(t *testing.T) {
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: testenv.RedisCluster(t).Addrs})
	t.Cleanup(func() { _ = client.Close() })
	storetest.Run(t, opener(client))
	err := client.ForEachMaster(t.Context(), func(_ context.Context, master *redis.Client) error {
		if everyKeyExpires(t, master) == 0 {
			t.Errorf("%v holds no key: the sessions are not spread", master)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestUnavailable(t *testing.T) {
	server := testenv.Redis(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr, MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	s := opener(client)(t)
	server.Kill()
	r := &signaling.Record{ID: "a", Node: "n", Gen: 1}
	if _, err := s.Save(t.Context(), time.Minute, []*signaling.Record{r}); err == nil {
		t.Error("Save: no error")
	}
	if _, _, err := s.Load(t.Context(), "a"); err == nil {
		t.Error("Load: no error")
	}
	if _, err := s.Take(t.Context(), time.Minute, "a", 1, "n", "m"); err == nil {
		t.Error("Take: no error")
	}
	if _, err := s.Remove(t.Context(), "a", "n", 0); err == nil {
		t.Error("Remove: no error")
	}
	if _, err := s.Renew(t.Context(), "n", time.Minute, time.Minute, nil); err == nil {
		t.Error("Renew: no error")
	}
}
