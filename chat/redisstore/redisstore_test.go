package redisstore_test

import (
	"context"
	"fmt"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/chat"
	"github.com/rondo-chat/rondo/chat/redisstore"
	"github.com/rondo-chat/rondo/chat/storetest"
	"github.com/rondo-chat/rondo/internal/rediscall"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// opener gives each test a prefix, and so an empty store, of its own.
func opener(client redis.UniversalClient) func(testing.TB, chat.Retention) chat.Store {
	var n atomic.Int32
	return func(t testing.TB, keep chat.Retention) chat.Store {
		return newStore(t, client, fmt.Sprintf("t%d:", n.Add(1)), keep)
	}
}

func newStore(t testing.TB, client redis.UniversalClient, prefix string, keep chat.Retention) *redisstore.Store {
	t.Helper()
	s, err := redisstore.New(redisstore.Config{Config: rediscall.Config{Client: client, Prefix: prefix, Timeout: 10 * time.Second}, Keep: keep})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSingle(t *testing.T) {
	server := testenv.Redis(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	t.Cleanup(func() { _ = client.Close() })
	open := opener(client)
	storetest.Run(t, open)
	storetest.RunLosses(t, func(t testing.TB) (chat.Store, func() func(bool)) {
		return open(t, chat.Retention{}), func() func(bool) { return save(t, server, client) }
	})
	everyKeyExpires(t, client)
}

// save returns a function that brings Redis back to what it holds now; if fresh,
// it is another server then as far as one can see, as after a fail-over.
func save(t testing.TB, server *testenv.RedisServer, client redis.UniversalClient) func(fresh bool) {
	t.Helper()
	ctx := t.Context()
	keys, err := client.Keys(ctx, "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	saved := map[string]string{}
	for _, key := range keys {
		if saved[key], err = client.Dump(ctx, key).Result(); err != nil {
			t.Fatal(err)
		}
	}
	return func(fresh bool) {
		t.Helper()
		if err := client.FlushAll(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		for key, text := range saved {
			if err := client.Restore(ctx, key, time.Hour, text).Err(); err != nil {
				t.Fatal(err)
			}
		}
		if !fresh {
			return
		}
		for _, args := range [][]string{{"REPLICAOF", "127.0.0.1", "1"}, {"REPLICAOF", "NO", "ONE"}} {
			if answer, err := server.Do(args...); err != nil || answer != "OK" {
				t.Fatal(args, answer, err)
			}
		}
	}
}

func TestCluster(t *testing.T) {
	cluster := testenv.RedisCluster(t)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: cluster.Addrs})
	t.Cleanup(func() { _ = client.Close() })
	storetest.Run(t, opener(client))
	err := client.ForEachMaster(t.Context(), func(_ context.Context, master *redis.Client) error {
		everyKeyExpires(t, master)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
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

func newLog(t *testing.T, s chat.Store) *chat.Log {
	t.Helper()
	l, err := chat.New(chat.Config{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var hello = chat.Message{ChatMessage: protocol.ChatMessage{From: "1", CID: "c", Text: "hello"}}

// TestAway: without Redis calls fail with a code that clients understand; once
// it is back, empty, rooms begin anew.
func TestAway(t *testing.T) {
	server := testenv.Redis(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	t.Cleanup(func() { _ = client.Close() })
	s, err := redisstore.New(redisstore.Config{Config: rediscall.Config{Client: client, Timeout: time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	l := newLog(t, s)
	if _, _, err := l.Send(t.Context(), "r", hello); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	_, _, errSend := l.Send(t.Context(), "r", hello)
	_, errHistory := l.History(t.Context(), "r", protocol.ChatQuery{})
	for _, err := range []error{errSend, errHistory, l.Drop(t.Context(), "r"), l.Touch(t.Context(), []protocol.RoomID{"r"})} {
		if protocol.CodeOf(err) != protocol.CodeUnavailable {
			t.Errorf("without Redis: %v, want unavailable", err)
		}
	}
	server.Restart()
	testenv.Eventually(t, 20*time.Second, func() bool {
		got, dup, err := l.Send(t.Context(), "r", hello)
		return err == nil && !dup && got.Off == 1
	}, "messages can be sent again")
}

// TestHalfLost: Redis may evict one of a room's two keys. What is left is not
// misread.
func TestHalfLost(t *testing.T) {
	server := testenv.Redis(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	t.Cleanup(func() { _ = client.Close() })
	for _, key := range []string{"room", "log"} {
		s := newStore(t, client, key+":", chat.Retention{})
		l := newLog(t, s)
		for i := range 5 {
			m := hello
			m.CID = fmt.Sprint(i)
			if _, _, err := l.Send(t.Context(), "r", m); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := client.Del(t.Context(), key+":chat:{r}:"+key).Result(); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if h, err := l.History(t.Context(), "r", protocol.ChatQuery{}); err != nil || len(h.Messages) != 0 {
			t.Errorf("without %s: %+v, %v", key, h, err)
		}
		m := hello
		m.CID = "1"
		got, dup, err := l.Send(t.Context(), "r", m)
		if err != nil || dup {
			t.Errorf("without %s: sent %+v, %v, %v", key, got, dup, err)
		}
		h, err := l.History(t.Context(), "r", protocol.ChatQuery{})
		if err != nil || len(h.Messages) != 1 || h.Messages[0].Off != got.Off || h.Off != got.Off {
			t.Errorf("without %s, after one more: %+v, %v", key, h, err)
		}
	}
}

// TestBounded: what is kept for retries is kept no longer than the messages.
func TestBounded(t *testing.T) {
	server := testenv.Redis(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	t.Cleanup(func() { _ = client.Close() })
	l := newLog(t, newStore(t, client, "p:", chat.Retention{Messages: 10}))
	for i := range 100 {
		m := hello
		m.CID = fmt.Sprint(i)
		if _, _, err := l.Send(t.Context(), "r", m); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := client.HLen(t.Context(), "p:chat:{r}:room").Result(); n != 15 || err != nil {
		t.Errorf("%d fields, %v, want 10 client ids, 3 counters, generation and epoch", n, err)
	}
	if n, err := client.ZCard(t.Context(), "p:chat:{r}:log").Result(); n != 10 || err != nil {
		t.Errorf("%d messages, %v", n, err)
	}
}

// TestForeign: what somebody else wrote into a key is an error, not a panic.
func TestForeign(t *testing.T) {
	server := testenv.Redis(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	t.Cleanup(func() { _ = client.Close() })
	l := newLog(t, newStore(t, client, "p:", chat.Retention{}))
	if err := client.HSet(t.Context(), "p:chat:{r}:room", "last", "3").Err(); err != nil {
		t.Fatal(err)
	}
	for i, entry := range []string{"a", "1\n2\n3\n4\n{", "x\n2\n3\n4\n{}"} {
		if err := client.ZAdd(t.Context(), "p:chat:{r}:log", redis.Z{Score: float64(i + 1), Member: entry}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, before := range []uint64{0, 3, 2} {
		if h, err := l.History(t.Context(), "r", protocol.ChatQuery{Before: before, Limit: 1}); err == nil {
			t.Errorf("read %+v", h)
		}
	}
	if err := client.Set(t.Context(), "p:chat:{q}:room", "text", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.Send(t.Context(), "q", hello); err == nil {
		t.Error("sent into a key of another type")
	}
}

// TestFailover: a replica that takes over counts on above what the lost master may
// have given out, and what was said before is in the history.
func TestFailover(t *testing.T) {
	sentinel := testenv.RedisSentinel(t)
	u, err := url.Parse(sentinel.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: u.Query().Get("master_name"), SentinelAddrs: append(u.Query()["addr"], u.Host)})
	t.Cleanup(func() { _ = client.Close() })
	l, err := chat.New(chat.Config{Store: newStore(t, client, "p:", chat.Retention{}), Settle: time.Millisecond,
		Follows: func(protocol.RoomID) bool { return true }})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		m := hello
		m.CID = fmt.Sprint(i)
		if got, _, err := l.Send(t.Context(), "r", m); err != nil || got.Off != uint64(i+1) {
			t.Fatal(got, err)
		}
	}
	old := sentinel.KillMaster()
	sentinel.AwaitFailover(old)
	var got chat.Message
	testenv.Eventually(t, 30*time.Second, func() bool {
		m := hello
		m.CID = "after"
		var err error
		got, _, err = l.Send(t.Context(), "r", m)
		return err == nil
	}, "one can write again")
	h, err := l.History(t.Context(), "r", protocol.ChatQuery{})
	if err != nil || got.Off != 5+chat.Leap+1 || len(h.Messages) != 6 || h.Messages[4].Off != 5 || h.Messages[5].Off != got.Off {
		t.Fatalf("after the fail-over: off %d, history %+v, %v", got.Off, h, err)
	}
}
