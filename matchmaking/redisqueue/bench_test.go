package redisqueue_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/matchmaking"
	"github.com/rondo-chat/rondo/protocol"
)

// cpu returns how long the server's main thread has worked.
func cpu(b *testing.B, c redis.UniversalClient) time.Duration {
	b.Helper()
	var sum float64
	for line := range strings.SplitSeq(c.Info(b.Context(), "cpu").Val(), "\r\n") {
		if name, v, ok := strings.Cut(line, ":"); ok && strings.HasSuffix(name, "_main_thread") {
			f, err := strconv.ParseFloat(v, 64)
			if err != nil {
				b.Fatal(err)
			}
			sum += f
		}
	}
	return time.Duration(sum * float64(time.Second))
}

// measure runs f on some goroutines and reports Redis' own CPU per operation.
func measure(b *testing.B, c redis.UniversalClient, f func(i int64)) {
	var n atomic.Int64
	b.SetParallelism(8)
	before := cpu(b, c)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			f(n.Add(1))
		}
	})
	b.StopTimer()
	b.ReportMetric(float64((cpu(b, c)-before).Nanoseconds())/float64(b.N), "redis-ns/op")
}

// BenchmarkZADD is what the others are held against.
func BenchmarkZADD(b *testing.B) {
	c := dial(b, testenv.Redis(b).Addr)
	measure(b, c, func(i int64) {
		if err := c.ZAdd(b.Context(), "z", redis.Z{Score: float64(i), Member: fmt.Sprint("member", i)}).Err(); err != nil {
			b.Error(err)
		}
	})
}

// BenchmarkEnter is an arrival of somebody with three tags and five exclusions:
// every second one is matched, and acknowledged; the others are listed.
func BenchmarkEnter(b *testing.B) {
	for _, waiting := range []int{0, 100_000} {
		b.Run(fmt.Sprint(waiting), func(b *testing.B) {
			c := dial(b, testenv.Redis(b).Addr)
			q, _ := drivers(b, c)
			fill(b, c, waiting)
			measure(b, c, func(i int64) {
				tag := strconv.FormatInt(i/2%50, 10)
				p := matchmaking.Profile{Languages: []string{"en"}, Tags: []string{"a" + tag, "b" + tag, "c" + tag}, Strict: true}
				offers, seeks := matchmaking.Terms(p, false, protocol.ReachTags)
				id := strconv.FormatInt(i, 10)
				t, s := ticket("s"+id, offers...)
				s.Seeks, s.Exclude = seeks, append(s.Exclude, "e1", "e2", "e3", "e4", "e5")
				r, err := q.Enter(b.Context(), t, s)
				if err == nil && r.Outcome == matchmaking.Proposed {
					_, err = q.Ack(b.Context(), matchmaking.Claim{Pool: "video", Match: r.Pair.Match, Ref: r.Pair.Entrants[0].Ref})
				}
				if err != nil {
					b.Error(err)
				}
			})
		})
	}
}

// fill lists people who fit nobody.
func fill(b *testing.B, c redis.UniversalClient, n int) {
	b.Helper()
	for from := 0; from < n; from += 1000 {
		pipe := c.Pipeline()
		for i := from; i < from+1000; i++ {
			var z []redis.Z
			for _, term := range []string{"@n1", "t\x1fen\x1fw" + strconv.Itoa(i), "t\x1f+\x1fw" + strconv.Itoa(i)} {
				z = append(z, redis.Z{Member: fmt.Sprintf("%s\x00%016d\x00w%d\x00u%d", term, i, i, i)})
			}
			pipe.ZAdd(b.Context(), base+"index", z...)
		}
		if _, err := pipe.Exec(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPairs is whole matches through two matchers: exclusions, terms,
// enter, proposal, probe, yes, room and both told.
func BenchmarkPairs(b *testing.B) {
	addr := testenv.Redis(b).Addr
	m := newPairs(b, addr)
	b.ResetTimer()
	m.run(b.N)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
}
