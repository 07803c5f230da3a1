package redisbus

import (
	"errors"
	"runtime"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// benchPair starts nodes a and b; what comes to b goes to handle.
func benchPair(tb testing.TB, handle func(from *Bus, m bus.Message)) (a, b *Bus, back chan struct{}) {
	tb.Helper()
	srv := testenv.Redis(tb)
	back = make(chan struct{}, 1<<20)
	list := map[protocol.NodeID]*Bus{}
	for _, node := range []protocol.NodeID{"a", "b"} {
		c := redis.NewClient(&redis.Options{Addr: srv.Addr})
		tb.Cleanup(func() { _ = c.Close() })
		x, err := New(Config{Client: c, Node: node})
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = x.Close() })
		list[node] = x
	}
	a, b = list["a"], list["b"]
	b.Handle("test", func(m bus.Message) { handle(b, m) })
	a.Handle("test", func(bus.Message) { back <- struct{}{} })
	for _, x := range list {
		if err := x.Start(tb.Context()); err != nil {
			tb.Fatal(err)
		}
	}
	return a, b, back
}

func signal(to protocol.NodeID) bus.Message {
	return bus.Message{To: to, Kind: "test", Key: "r_0123456789abcdef", Payload: make([]byte, 400)}
}

// BenchmarkThroughput: as many messages as go through.
func BenchmarkThroughput(b *testing.B) {
	got := make(chan struct{}, 1<<20)
	a, _, _ := benchPair(b, func(*Bus, bus.Message) { got <- struct{}{} })
	m := signal("b")
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		for range b.N {
			for errors.Is(a.Publish(m), bus.ErrFull) {
				runtime.Gosched()
			}
		}
	}()
	for range b.N {
		<-got
	}
}

// BenchmarkRoundTrip: one message there and one back at a time.
func BenchmarkRoundTrip(b *testing.B) {
	a, _, back := benchPair(b, func(x *Bus, _ bus.Message) { _ = x.Publish(signal("a")) })
	m := signal("b")
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if err := a.Publish(m); err != nil {
			b.Fatal(err)
		}
		<-back
	}
}
