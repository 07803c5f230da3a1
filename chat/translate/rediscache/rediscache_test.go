package rediscache_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/chat/translate"
	"github.com/rondo-chat/rondo/chat/translate/rediscache"
	"github.com/rondo-chat/rondo/internal/rediscall"
	"github.com/rondo-chat/rondo/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestCache: what is there is found, lasts a while, and a Redis that is away is an error soon.
func TestCache(t *testing.T) {
	s, ctx := testenv.Redis(t), t.Context()
	client := redis.NewClient(&redis.Options{Addr: s.Addr, ContextTimeoutEnabled: true, MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	c, err := rediscache.New(rediscall.Config{Client: client, Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]translate.Translation{}
	keys := []string{"missing"}
	for i := range 50 {
		k := fmt.Sprint("key", i)
		keys = append(keys, k)
		list[k] = translate.Translation{Text: fmt.Sprint("text \"&\n", i), From: "en"}
	}
	if got, err := c.Get(ctx, keys); err != nil || len(got) != 0 {
		t.Fatalf("%v, %v", got, err)
	}
	if err := c.Put(ctx, list); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get(ctx, keys); err != nil || !maps.Equal(got, list) {
		t.Fatalf("%v, %v", got, err)
	}
	if ttl, err := s.Do("PTTL", "rondo:translation:key7"); err != nil || ttl == "-1" || ttl == "-2" {
		t.Errorf("it is kept for %s, %v", ttl, err)
	}
	if _, err := s.Do("SET", "rondo:translation:key7", "nonsense"); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get(ctx, []string{"key7", "key8"}); err != nil || len(got) != 1 {
		t.Errorf("beside nonsense: %v, %v", got, err)
	}
	s.Kill()
	if got, err := c.Get(ctx, keys); err == nil || len(got) != 0 {
		t.Errorf("without Redis: %v", got)
	}
	if err := c.Put(ctx, list); err == nil {
		t.Error("put without Redis")
	}
	if _, err := rediscache.New(rediscall.Config{}); err == nil {
		t.Error("made without a client")
	}
}
