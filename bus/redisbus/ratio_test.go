//go:build unix

package redisbus

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

const (
	publishers = 64
	turnOf     = 16_000 // messages
	bareName   = "bare"
)

// spent is what a number of messages cost.
type spent struct{ here, redis time.Duration }

// BenchmarkPublishRatio: messages of 500 bytes from one node to another, by 64 publishers at
// once, beside one PUBLISH for each and a subscriber that reads them. Both ends are in this
// process on both sides, and both sides take turns at one Redis. Run at least five turns
// (-benchtime 7x).
func BenchmarkPublishRatio(b *testing.B) {
	srv := testenv.Redis(b)
	ours, bare := busTurn(b, srv.Addr), bareTurn(b, srv.Addr)
	var here, there, hereOf, thereOf []float64
	each := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 / turnOf }
	for b.Loop() {
		one, other := cost(b, srv, bare), cost(b, srv, ours)
		here, there = append(here, each(other.here)), append(there, each(other.redis))
		hereOf = append(hereOf, other.here.Seconds()/one.here.Seconds())
		thereOf = append(thereOf, other.redis.Seconds()/one.redis.Seconds())
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(here), "go-µs/message")
	b.ReportMetric(median(there), "redis-µs/message")
	for name, list := range map[string][]float64{"go-ratio": hereOf, "redis-ratio": thereOf} {
		b.ReportMetric(median(list), name)
		b.ReportMetric(slices.Min(list), name+"-min")
		b.ReportMetric(slices.Max(list), name+"-max")
	}
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// atOnce has the publishers send so many messages.
func atOnce(n int, publish func() error) error {
	var wg sync.WaitGroup
	failed := make([]error, publishers)
	for i := range publishers {
		wg.Go(func() {
			for range n / publishers {
				if failed[i] = publish(); failed[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(failed...)
}

// newNode starts a bus.
func newNode(tb testing.TB, addr string, node protocol.NodeID, handle bus.Handler) *Bus {
	tb.Helper()
	c := redis.NewClient(&redis.Options{Addr: addr})
	tb.Cleanup(func() { _ = c.Close() })
	b, err := New(Config{Client: c, Node: node})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = b.Close() })
	b.Handle("test", handle)
	if err := b.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return b
}

func message500() bus.Message {
	return bus.Message{To: "b", Kind: "test", Key: "r_0123456789abcdef", Payload: make([]byte, 500)}
}

// busTurn sends over a bus, until all has come.
func busTurn(tb testing.TB, addr string) func() error {
	got := make(chan struct{}, turnOf)
	newNode(tb, addr, "b", func(bus.Message) { got <- struct{}{} })
	a := newNode(tb, addr, "a", func(bus.Message) {})
	return func() error {
		err := atOnce(turnOf, func() error {
			for {
				err := a.Publish(message500())
				if !errors.Is(err, bus.ErrFull) {
					return err
				}
				runtime.Gosched()
			}
		})
		for range turnOf {
			<-got
		}
		return err
	}
}

// bareTurn is busTurn without a bus.
func bareTurn(tb testing.TB, addr string) func() error {
	c := redis.NewClient(&redis.Options{Addr: addr, PoolSize: publishers})
	tb.Cleanup(func() { _ = c.Close() })
	sub := c.Subscribe(context.Background(), bareName)
	tb.Cleanup(func() { _ = sub.Close() })
	if _, err := sub.Receive(context.Background()); err != nil { // that it is subscribed
		tb.Fatal(err)
	}
	payload := make([]byte, 500)
	return func() error {
		got := make(chan error, 1)
		go func() {
			for range turnOf {
				if _, err := sub.ReceiveMessage(context.Background()); err != nil {
					got <- err
					return
				}
			}
			got <- nil
		}()
		err := atOnce(turnOf, func() error { return c.Publish(context.Background(), bareName, payload).Err() })
		return errors.Join(err, <-got)
	}
}

// cost measures a turn.
func cost(tb testing.TB, srv *testenv.RedisServer, turn func() error) spent {
	tb.Helper()
	here, there := workedHere(tb), workedThere(tb, srv)
	if err := turn(); err != nil {
		tb.Fatal(err)
	}
	return spent{workedHere(tb) - here, workedThere(tb, srv) - there}
}

func workedHere(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func workedThere(tb testing.TB, srv *testenv.RedisServer) (d time.Duration) {
	tb.Helper()
	text, err := srv.Do("INFO", "cpu")
	for line := range strings.Lines(text) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), ":"); name == "used_cpu_user" || name == "used_cpu_sys" {
			var s float64
			if s, err = strconv.ParseFloat(value, 64); err != nil {
				break
			}
			d += time.Duration(s * float64(time.Second))
		}
	}
	if err != nil || d == 0 {
		tb.Fatal(text, err)
	}
	return d
}

// TestCostPublish: many messages go to Redis in few commands. While Redis does nothing
// they gather, so their number does not depend on how fast anything is.
func TestCostPublish(t *testing.T) {
	srv := testenv.Redis(t)
	got := make(chan struct{}, turnOf)
	newNode(t, srv.Addr, "b", func(bus.Message) { got <- struct{}{} })
	a := newNode(t, srv.Addr, "a", func(bus.Message) {})
	if _, err := srv.Do("CONFIG", "RESETSTAT"); err != nil {
		t.Fatal(err)
	}
	const messages = 6400
	srv.Stall()
	err := atOnce(messages, func() error { return a.Publish(message500()) })
	srv.Continue()
	if err != nil {
		t.Fatal(err)
	}
	for range messages {
		<-got
	}
	text, err := srv.Do("INFO", "commandstats")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(text, "cmdstat_publish:calls=")
	calls, _, _ := strings.Cut(rest, ",")
	n, err := strconv.Atoi(calls)
	if t.Logf("%d messages in %d commands", messages, n); err != nil || n == 0 || n > messages/20 {
		t.Errorf("%d commands for %d messages, %v", n, messages, err)
	}
}
