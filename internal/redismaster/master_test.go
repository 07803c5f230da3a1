package redismaster

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestSubscriptionFollows: a subscription at a master that hangs is cut when the
// client goes to the new one.
func TestSubscriptionFollows(t *testing.T) {
	s := testenv.RedisSentinel(t)
	o, err := redis.ParseFailoverURL(strings.Replace(s.URL, "redis+sentinel", "redis", 1))
	if err != nil {
		t.Fatal(err)
	}
	o.DialTimeout, o.ReadTimeout, o.ContextTimeoutEnabled = time.Second, time.Second, true
	client := redis.NewFailoverClient(o)
	defer client.Close()
	Attach(client)
	sub := client.Subscribe(t.Context(), "c")
	defer sub.Close()
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	cut := make(chan error, 1)
	go func() {
		_, err := sub.Receive(context.Background())
		cut <- err
	}()
	old := s.StallMaster()
	s.AwaitFailover(old)
	testenv.Eventually(t, 15*time.Second, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return client.Set(ctx, "k", "v", 0).Err() == nil
	}, "the client finds the new master")
	select {
	case err := <-cut:
		if err == nil {
			t.Error("it received something")
		}
	case <-time.After(2 * time.Second):
		t.Error("the subscription still hangs at the old master")
	}
}

func TestKeepsOpenConnectionsOnly(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	h := &hook{}
	for range 10 {
		c := dial()
		if old := h.keep(c); len(old) != 0 {
			t.Fatalf("%d connections of the same master were cut", len(old))
		}
		c.Close()
	}
	open := dial()
	h.keep(open)
	h.keep(dial())
	if len(h.conns) != 2 {
		t.Errorf("%d connections are kept, want 2", len(h.conns))
	}
	h.addr = "another"
	if old := h.keep(dial()); len(old) != 2 || len(h.conns) != 1 {
		t.Errorf("%d connections to the old master, %d to the new one", len(old), len(h.conns))
	}
}
