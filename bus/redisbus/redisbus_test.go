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
	in := func(epoch, n uint64) incoming { return incoming{epoch: epoch, number: n, msg: bus.Message{From: "a"}} }
	for i, step := range []struct {
		epoch, n uint64
		all      bool
		want     bool
	}{
		{1, 1, false, true}, {1, 1, false, false}, {1, 3, false, true}, {1, 2, false, false}, // twice; overtaken
		{1, 2, true, true}, {1, 2, true, false}, // the other channel
		{2, 1, false, true}, {2, 1, false, false}, // the node was started anew
	} {
		if got := o.pass(in(step.epoch, step.n), step.all, now); got != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
	o.pass(incoming{epoch: 1, number: 1, msg: bus.Message{From: "b"}}, false, now.Add(2*forgetAfter))
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

func FuzzDecode(f *testing.F) {
	f.Add(encode(7, bus.Message{From: "a", Kind: "k", Key: "key", Payload: []byte("p")}))
	f.Add([]byte{frameVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := decode(b)
		if err != nil {
			return
		}
		again := encode(in.epoch, in.msg)
		outgoing{frame: again}.number(in.number)
		in2, err := decode(again)
		if err != nil || in2.epoch != in.epoch || in2.number != in.number || in2.msg.From != in.msg.From || in2.msg.Kind != in.msg.Kind ||
			in2.msg.Key != in.msg.Key || string(in2.msg.Payload) != string(in.msg.Payload) {
			t.Fatalf("%+v became %+v, %v", in, in2, err)
		}
	})
}
