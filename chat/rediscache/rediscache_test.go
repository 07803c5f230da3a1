package rediscache_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/chat/conversations/cachetest"
	"github.com/rondo-chat/rondo/chat/rediscache"
	"github.com/rondo-chat/rondo/internal/rediscall"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newCache(t testing.TB, client redis.UniversalClient, prefix string) *rediscache.Cache {
	t.Helper()
	c, err := rediscache.New(rediscall.Config{Client: client, Prefix: prefix, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func connect(t testing.TB, s *testenv.RedisServer) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.Addr})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// opener gives each test a prefix of its own, and two clients.
func opener(flush func(), clients ...redis.UniversalClient) func(testing.TB) cachetest.Caches {
	var n atomic.Int32
	return func(t testing.TB) cachetest.Caches {
		cs, prefix := cachetest.Caches{Flush: flush}, fmt.Sprintf("t%d:", n.Add(1))
		for _, c := range clients {
			cs.Nodes = append(cs.Nodes, newCache(t, c, prefix))
		}
		return cs
	}
}

func TestSingle(t *testing.T) {
	server := testenv.Redis(t)
	client := connect(t, server)
	cachetest.Run(t, opener(func() {
		if err := client.FlushAll(context.WithoutCancel(t.Context())).Err(); err != nil {
			t.Error(err)
		}
	}, connect(t, server), connect(t, server)))
	c := newCache(t, client, "p:")
	filled(t, c, 2)
	if _, _, lease, err := c.Get(t.Context(), "c_q", 1); lease == "" || err != nil {
		t.Fatal(lease, err)
	}
	everyKeyExpires(t, client)
}

func TestCluster(t *testing.T) {
	cluster := testenv.RedisCluster(t)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: cluster.Addrs})
	t.Cleanup(func() { _ = client.Close() })
	each := func(f func(ctx context.Context, master *redis.Client) error) {
		if err := client.ForEachMaster(context.WithoutCancel(t.Context()), f); err != nil {
			t.Error(err)
		}
	}
	cachetest.Run(t, opener(func() {
		each(func(ctx context.Context, master *redis.Client) error { return master.FlushAll(ctx).Err() })
	}, client, client))
	each(func(_ context.Context, master *redis.Client) error {
		everyKeyExpires(t, master)
		return nil
	})
}

// everyKeyExpires fails the test if a key has no time to live.
func everyKeyExpires(t *testing.T, client redis.UniversalClient) {
	t.Helper()
	keys, err := client.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Error(err)
	}
	for _, key := range keys {
		if ttl, err := client.PTTL(t.Context(), key).Result(); err != nil || ttl <= 0 {
			t.Errorf("%s has no time to live: %v, %v", key, ttl, err)
		}
	}
}

const room = "c_r"

// filled fills a page and returns the state of the cache.
func filled(t *testing.T, c *rediscache.Cache, seq uint64) {
	t.Helper()
	_, found, lease, err := c.Get(t.Context(), room, 10)
	if found || err != nil {
		t.Fatal(found, err)
	}
	n := conversations.Newest{Seq: seq, Messages: []protocol.ConvMessage{{Seq: 1, Text: "one"}, {Seq: 2, Text: "two"}}}
	if err := c.Fill(t.Context(), room, lease, n); err != nil {
		t.Fatal(err)
	}
	has(t, c, true)
}

func has(t *testing.T, c *rediscache.Cache, want bool) {
	t.Helper()
	if n, found, _, err := c.Get(t.Context(), room, 10); err != nil || found != want {
		t.Fatalf("found %v %+v, %v, want %v", found, n, err, want)
	}
}

// TestPast: Redis comes back with what it held before the last changes: a restart from an
// old file, a replica that had not heard of them. Nothing of it is used, no lease is good.
func TestPast(t *testing.T) {
	server := testenv.Redis(t)
	client := connect(t, server)
	c := newCache(t, client, "p:")
	filled(t, c, 2)
	_, _, lease, err := c.Get(t.Context(), "c_q", 10)
	if err != nil {
		t.Fatal(err)
	}
	saved := map[string]string{}
	for _, key := range client.Keys(t.Context(), "*").Val() {
		saved[key] = client.Dump(t.Context(), key).Val()
	}
	for _, room := range []protocol.RoomID{room, "c_q"} {
		if err := c.Drop(t.Context(), room, 3); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	for key, text := range saved {
		if err := client.Restore(t.Context(), key, time.Hour, text).Err(); err != nil {
			t.Fatal(err)
		}
	}
	has(t, c, true) // that is how old it would be
	for _, args := range [][]string{{"REPLICAOF", "127.0.0.1", "1"}, {"REPLICAOF", "NO", "ONE"}} {
		if answer, err := server.Do(args...); err != nil || answer != "OK" {
			t.Fatal(args, answer, err)
		}
	}
	if err := c.Fill(t.Context(), "c_q", lease, conversations.Newest{Seq: 2}); err != nil {
		t.Fatal(err)
	}
	e := protocol.ConvEvent{Room: room, Seq: 3, Person: &protocol.ConvPerson{}}
	if err := c.Apply(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if n, found, _, err := c.Get(t.Context(), "c_q", 10); found || err != nil {
		t.Errorf("filled by an old lease: %+v, %v", n, err)
	}
	has(t, c, false)
	filled(t, c, 3)
}

// TestHalfLost: Redis may evict one of the keys. What is left is not misread.
func TestHalfLost(t *testing.T) {
	client := connect(t, testenv.Redis(t))
	c := newCache(t, client, "p:")
	for i, key := range []string{"page", "order", "messages"} {
		seq := uint64(10 * (i + 1))
		for _, change := range []bool{true, false} {
			seq++
			if err := c.Drop(t.Context(), room, seq); err != nil {
				t.Fatal(err)
			}
			filled(t, c, seq)
			if n, err := client.Del(t.Context(), "p:conv:{c_r}:"+key).Result(); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			if change {
				seq++
				e := protocol.ConvEvent{Room: room, Seq: seq, Message: &protocol.ConvMessage{Seq: seq}}
				if err := c.Apply(t.Context(), e); err != nil {
					t.Fatal(err)
				}
			}
			has(t, c, false)
		}
	}
}

// TestForeign: what somebody else wrote into a key is an error, not a panic.
func TestForeign(t *testing.T) {
	client := connect(t, testenv.Redis(t))
	c := newCache(t, client, "p:")
	for name, value := range map[string]string{"json": "{", "type": "[]"} {
		if err := client.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		filled(t, c, 2)
		if err := client.HSet(t.Context(), "p:conv:{c_r}:messages", "2", value).Err(); err != nil {
			t.Fatal(err)
		}
		if n, found, _, err := c.Get(t.Context(), room, 10); err == nil || found {
			t.Errorf("%s: read %+v", name, n)
		}
	}
	if err := client.Set(t.Context(), "p:conv:{c_q}:page", "text", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if _, found, _, err := c.Get(t.Context(), "c_q", 10); err == nil || found {
		t.Error("read a key of another type")
	}
}

// TestAway: without Redis each call says so.
func TestAway(t *testing.T) {
	server := testenv.Redis(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr, MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	c := newCache(t, client, "p:")
	server.Kill()
	_, found, lease, err := c.Get(t.Context(), room, 10)
	if found || lease != "" {
		t.Errorf("found %v, lease %q", found, lease)
	}
	for _, err := range []error{err, c.Fill(t.Context(), room, "x/0", conversations.Newest{}), c.Drop(t.Context(), room, 1), c.Apply(t.Context(), protocol.ConvEvent{})} {
		if protocol.CodeOf(err) != protocol.CodeUnavailable {
			t.Errorf("without Redis: %v, want unavailable", err)
		}
	}
}

// TestLarge: a page is read and filled by one call, whatever its messages hold.
func TestLarge(t *testing.T) {
	c := newCache(t, connect(t, testenv.Redis(t)), "p:")
	_, _, lease, err := c.Get(t.Context(), room, 10)
	if err != nil {
		t.Fatal(err)
	}
	n := conversations.Newest{Seq: 1 << 52}
	for i := range conversations.CachePage {
		n.Messages = append(n.Messages, protocol.ConvMessage{Seq: 1<<52 - 300 + uint64(i), Rev: 1 << 52, Text: "ä\x00\n\U0001f600"})
	}
	if err := c.Fill(t.Context(), room, lease, n); err != nil {
		t.Fatal(err)
	}
	got, found, _, err := c.Get(t.Context(), room, conversations.CachePage)
	if err != nil || !found {
		t.Fatal(found, err)
	}
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(n)
	if string(a) != string(b) {
		t.Errorf("%s\nwant\n%s", a, b)
	}
}
