package redisratelimit_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/internal/ratelimit/redisratelimit"
	"github.com/rondo-chat/rondo/internal/rediscall"
	"github.com/rondo-chat/rondo/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// none is a Fallback that must not be asked.
type none struct{ t testing.TB }

func (n none) Take(context.Context, string, float64, ratelimit.Rate) (bool, time.Duration, error) {
	n.t.Error("the fallback was asked")
	return false, 0, nil
}

func newClient(t testing.TB, server *testenv.RedisServer) *redis.Client {
	client := redis.NewClient(&redis.Options{Addr: server.Addr, MaxRetries: -1, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func newLimiter(t testing.TB, client redis.UniversalClient, fallback ratelimit.Limiter, timeout time.Duration) *redisratelimit.Limiter {
	t.Helper()
	l, err := redisratelimit.New(redisratelimit.Config{Config: rediscall.Config{Client: client, Timeout: timeout}, Fallback: fallback})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func take(t testing.TB, l ratelimit.Limiter, key string, n float64, rate ratelimit.Rate) (bool, time.Duration) {
	t.Helper()
	ok, retry, err := l.Take(t.Context(), key, n, rate)
	if err != nil {
		t.Fatal(err)
	}
	return ok, retry
}

// TestClockStepsBack: a bucket that Redis' clock was far ahead of is full, and one that
// its own rate can have emptied is not.
func TestClockStepsBack(t *testing.T) {
	server := testenv.Redis(t)
	client := newClient(t, server)
	l := newLimiter(t, client, none{t}, 10*time.Second)
	rate := ratelimit.Rate{PerSecond: 1.0 / 60, Burst: 5}
	take(t, l, "key", 5, rate)
	keys, err := client.Keys(t.Context(), "*").Result()
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	if ok, _ := take(t, l, "key", 1, rate); ok {
		t.Fatal("it is not empty")
	}
	if err := client.Set(t.Context(), keys[0], time.Now().Add(time.Hour).UnixMicro(), time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
	if ok, retry := take(t, l, "key", 5, rate); !ok {
		t.Fatalf("an hour before: wait %v", retry)
	}
	if ok, _ := take(t, l, "key", 1, rate); ok {
		t.Fatal("more than the burst")
	}
}

// TestAllNodesShare: what passes of many callers at two nodes is one burst.
func TestAllNodesShare(t *testing.T) {
	server := testenv.Redis(t)
	rate := ratelimit.Rate{PerSecond: 1.0 / 3600, Burst: 40}
	nodes := []ratelimit.Limiter{
		newLimiter(t, newClient(t, server), none{t}, 10*time.Second), newLimiter(t, newClient(t, server), none{t}, 10*time.Second),
	}
	var passed atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 20 {
				if ok, retry := take(t, nodes[i%2], "login:addr:192.0.2.1", 1, rate); ok {
					passed.Add(1)
				} else if retry < time.Minute || retry > time.Hour {
					t.Errorf("retry %v", retry)
				}
			}
		})
	}
	wg.Wait()
	if passed.Load() != 40 {
		t.Errorf("%d passed, want 40", passed.Load())
	}
	if ok, _ := take(t, nodes[0], "login:addr:192.0.2.2", 40, rate); !ok {
		t.Error("another key is limited too")
	}
}

// TestSameAsMemory makes the same takes in memory and in Redis. Times differ by
// what a call takes, so only rates are used where that is nothing.
func TestSameAsMemory(t *testing.T) {
	server := testenv.Redis(t)
	l, memory := newLimiter(t, newClient(t, server), none{t}, 10*time.Second), ratelimit.NewMemory(100)
	for i, rate := range []ratelimit.Rate{
		{}, {PerSecond: -1}, {PerSecond: math.NaN()}, {PerSecond: 1.0 / 3600, Burst: 5}, {PerSecond: 1e-5, Burst: 2.5}, {PerSecond: 1.0 / 60, Burst: 0.2},
		{PerSecond: 1e-300, Burst: 1}, {PerSecond: 1e9, Burst: 1e9},
	} {
		for j, n := range []float64{1, 0, -1, 2, 0.5, 1e3, 1, 1, 1, 1} {
			key := fmt.Sprint("k", i)
			ok, retry := take(t, l, key, n, rate)
			wantOK, wantRetry := take(t, memory, key, n, rate)
			if ok != wantOK || (retry > 0) != (wantRetry > 0) {
				t.Errorf("rate %+v, take %d of %v: %v, %v; memory %v, %v", rate, j, n, ok, retry, wantOK, wantRetry)
			}
			if wantRetry < 24*time.Hour && (retry-wantRetry).Abs() > 10*time.Second {
				t.Errorf("rate %+v, take %d of %v: retry %v, memory %v", rate, j, n, retry, wantRetry)
			}
		}
	}
}

func TestRetryIsEnough(t *testing.T) {
	l := newLimiter(t, newClient(t, testenv.Redis(t)), none{t}, 10*time.Second)
	rate := ratelimit.Rate{PerSecond: 5, Burst: 2}
	take(t, l, "k", 2, rate)
	ok, retry := take(t, l, "k", 1, rate)
	if ok || retry > 200*time.Millisecond {
		t.Fatalf("%v, %v", ok, retry)
	}
	<-time.After(retry)
	if ok, retry := take(t, l, "k", 1, rate); !ok {
		t.Errorf("after what was asked for: wait another %v", retry)
	}
}

// TestEveryKeyExpires: hostile keys do not stay in Redis, and are no longer than
// the caller makes them.
func TestEveryKeyExpires(t *testing.T) {
	client := newClient(t, testenv.Redis(t))
	l := newLimiter(t, client, none{t}, 10*time.Second)
	rate := ratelimit.Rate{PerSecond: 1, Burst: 30}
	for _, key := range []string{"a", "b{c}", "é\x00\r\nFLUSHALL\r\n", strings.Repeat("k", 500)} {
		for range 40 {
			take(t, l, key, 1, rate)
		}
	}
	keys, err := client.Keys(t.Context(), "*").Result()
	if err != nil || len(keys) != 4 {
		t.Fatalf("%q, %v", keys, err)
	}
	for _, key := range keys {
		ttl, err := client.PTTL(t.Context(), key).Result()
		if err != nil || ttl <= 0 || ttl > 31*time.Second || !strings.HasPrefix(key, "rondo:limit:") {
			t.Errorf("%q stays for %v, %v", key, ttl, err)
		}
	}
}

// TestRedisAway: then each node limits by itself, and goes back when it is there.
func TestRedisAway(t *testing.T) {
	server := testenv.Redis(t)
	l := newLimiter(t, newClient(t, server), ratelimit.NewMemory(100), 300*time.Millisecond)
	rate := ratelimit.Rate{PerSecond: 1.0 / 3600, Burst: 3}
	count := func(key string) (passed int) {
		for range 6 {
			if ok, _ := take(t, l, key, 1, rate); ok {
				passed++
			}
		}
		return passed
	}
	if n := count("there"); n != 3 {
		t.Errorf("with Redis %d passed", n)
	}
	server.Stall()
	if n := count("stalled"); n != 3 {
		t.Errorf("while Redis is stalled %d passed", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if ok, _, err := l.Take(ctx, "gone", 1, rate); ok || err != context.Canceled {
		t.Errorf("a caller that is gone: %v, %v", ok, err)
	}
	server.Continue()
	server.Kill()
	if n := count("killed"); n != 3 {
		t.Errorf("while Redis is dead %d passed", n)
	}
	server.Restart()
	testenv.Eventually(t, 10*time.Second, func() bool {
		_, _, err := l.Take(t.Context(), "back", 1, rate)
		return err == nil && server.Ping() == nil
	}, "Redis is not back")
	testenv.Eventually(t, 10*time.Second, func() bool {
		take(t, l, "again", 1, rate)
		out, err := server.Do("EXISTS", "rondo:limit:again")
		return err == nil && strings.Contains(out, "1")
	}, "the limiter did not go back to Redis")
}

func TestConfig(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer client.Close()
	memory := ratelimit.NewMemory(2)
	for _, cfg := range []redisratelimit.Config{
		{Fallback: memory}, {Config: rediscall.Config{Client: client}}, {Config: rediscall.Config{Client: client, Prefix: "{"}, Fallback: memory},
		{Config: rediscall.Config{Client: client, Timeout: -1}, Fallback: memory},
	} {
		if _, err := redisratelimit.New(cfg); err == nil {
			t.Errorf("%+v: accepted", cfg)
		}
	}
}
