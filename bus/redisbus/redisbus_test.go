package redisbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/bus/bustest"
	"github.com/rondo-chat/rondo/bus/stream"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

func newBus(t *testing.T, c redis.UniversalClient, node protocol.NodeID, prefix string) *Bus {
	t.Helper()
	b, err := New(Config{
		Client: c, Node: node, Prefix: prefix, Probe: 100 * time.Millisecond, ProbeWait: 500 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(testWriter{t}, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) { w.t.Logf("%s", b); return len(b), nil }

func client(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func clusterClient(t *testing.T, addrs []string) redis.UniversalClient {
	t.Helper()
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func suite(t *testing.T, c redis.UniversalClient) {
	var n atomic.Int64
	bustest.Run(t, func(t *testing.T) func(protocol.NodeID) bus.Bus {
		prefix := fmt.Sprintf("t%d:", n.Add(1))
		return func(node protocol.NodeID) bus.Bus { return newBus(t, c, node, prefix) }
	})
}

func TestRedis(t *testing.T)        { suite(t, client(t, testenv.Redis(t).URL)) }
func TestRedisCluster(t *testing.T) { suite(t, clusterClient(t, testenv.RedisCluster(t).Addrs)) }

// pair is two buses; b counts what comes from a.
func pair(t *testing.T, c redis.UniversalClient) (a, b *Bus, got *atomic.Int64) {
	t.Helper()
	a, b = newBus(t, c, "a", "p:"), newBus(t, c, "b", "p:")
	got = &atomic.Int64{}
	b.Handle("test", func(bus.Message) { got.Add(1) })
	for _, x := range []*Bus{a, b} {
		if err := x.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return a, b, got
}

// flows publishes until something arrives, as messages may be lost.
func flows(t *testing.T, a *Bus, got *atomic.Int64) {
	t.Helper()
	before := got.Load()
	testenv.Eventually(t, patience, func() bool {
		_ = a.Publish(bus.Message{To: "b", Kind: "test"})
		return got.Load() > before
	}, "a message")
}

func healthy(x *Bus) func() bool   { return func() bool { return x.Healthy() == nil } }
func unhealthy(x *Bus) func() bool { return func() bool { return x.Healthy() != nil } }

func TestRedisKilledAndRestarted(t *testing.T) {
	srv := testenv.Redis(t)
	a, b, got := pair(t, client(t, srv.URL))
	flows(t, a, got)
	srv.Kill()
	testenv.Eventually(t, patience, unhealthy(a), "a to notice")
	testenv.Eventually(t, patience, unhealthy(b), "b to notice")
	for range 100 { // while it is away nothing blocks
		if err := a.Publish(bus.Message{To: "b", Kind: "test"}); err != nil && !errors.Is(err, bus.ErrFull) {
			t.Fatal(err)
		}
	}
	srv.Restart()
	testenv.Eventually(t, patience, healthy(a), "a to be well")
	testenv.Eventually(t, patience, healthy(b), "b to be well")
	flows(t, a, got)
}

func TestSubscriptionKilled(t *testing.T) {
	srv := testenv.Redis(t)
	a, b, got := pair(t, client(t, srv.URL))
	flows(t, a, got)
	if _, err := srv.Do("CLIENT", "KILL", "TYPE", "pubsub"); err != nil {
		t.Fatal(err)
	}
	flows(t, a, got)
	testenv.Eventually(t, patience, healthy(b), "b to be well")
}

// TestSilentSubscription: the connection lives, but brings nothing any more.
func TestSilentSubscription(t *testing.T) {
	srv := testenv.Redis(t)
	a, b, got := pair(t, client(t, srv.URL))
	flows(t, a, got)
	b.mu.Lock()
	sub := b.sub
	b.mu.Unlock()
	if err := sub.Unsubscribe(context.Background()); err != nil { // behind the bus's back
		t.Fatal(err)
	}
	testenv.Eventually(t, patience, func() bool { // the time it is unwell is short
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.sub != sub
	}, "b to subscribe anew")
	testenv.Eventually(t, patience, healthy(b), "b to be well")
	flows(t, a, got)
}

func TestStartWithoutRedis(t *testing.T) {
	srv := testenv.Redis(t)
	c := client(t, srv.URL)
	srv.Kill()
	b := newBus(t, c, "a", "p:")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := b.Start(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}

func TestCloseFlushes(t *testing.T) {
	a, _, got := pair(t, client(t, testenv.Redis(t).URL))
	const n = 1000
	for range n {
		if err := a.Publish(bus.Message{To: "b", Kind: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, patience, func() bool { return got.Load() == n }, "all messages")
}

func TestOrderPassesOnce(t *testing.T) {
	var o order
	now := time.Now()
	in := func(from string, epoch, n uint64) incoming {
		return incoming{from: from, head: stream.Header{Epoch: epoch}, number: n}
	}
	for i, step := range []struct {
		epoch, n uint64
		want     bool
	}{
		{1, 1, true}, {1, 1, false}, {1, 3, true}, {1, 2, false}, // twice; overtaken
		{2, 1, true}, {2, 1, false}, // the node was started anew
	} {
		if got := o.pass(in("a", step.epoch, step.n), now); got != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
	o.pass(in("b", 1, 1), now.Add(2*forgetAfter))
	if len(o.last) != 1 {
		t.Errorf("remembers %d senders", len(o.last))
	}
}

func TestConfigRefuses(t *testing.T) {
	c := client(t, "redis://127.0.0.1:1/0")
	for name, cfg := range map[string]Config{
		"no client": {Node: "a"}, "no node": {Client: c}, "negative": {Client: c, Node: "a", Queue: -1},
	} {
		if _, err := New(cfg); err == nil {
			t.Error(name)
		}
	}
}
