package redisqueue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/matchmaking"
	"github.com/rondo-chat/rondo/matchmaking/redisqueue"
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

// rounds measures things in turns, so that all meet the same moods of the
// machine, and reports medians: what a benchmark here compares was done together.
type rounds struct {
	b *testing.B
	c redis.UniversalClient

	redis, own map[string][]float64 // microseconds for each operation
}

func newRounds(b *testing.B, c redis.UniversalClient) *rounds {
	return &rounds{b: b, c: c, redis: map[string][]float64{}, own: map[string][]float64{}}
}

// measure does something n times and notes Redis' work and this process'.
func (r *rounds) measure(name string, n int, f func()) {
	redis0, own0 := cpu(r.b, r.c), ownCPU(r.b)
	f()
	r.redis[name] = append(r.redis[name], (cpu(r.b, r.c)-redis0).Seconds()*1e6/float64(n))
	r.own[name] = append(r.own[name], (ownCPU(r.b)-own0).Seconds()*1e6/float64(n))
}

// references are what the others are held against: plain commands, one by one.
func (r *rounds) references() {
	const n = 3000
	r.measure("ping", n, func() { many(n, func(int) { r.check(r.c.Ping(r.b.Context()).Err()) }) })
	r.measure("zadd-alone", n/3, func() {
		for i := range n / 3 {
			r.check(r.c.ZAdd(r.b.Context(), "y", redis.Z{Score: float64(len(r.redis["zadd"])*n + i), Member: fmt.Sprint("member", i)}).Err())
		}
	})
	r.measure("zadd", n, func() {
		many(n, func(i int) {
			r.check(r.c.ZAdd(r.b.Context(), "z", redis.Z{Score: float64(len(r.redis["zadd"])*n + i), Member: fmt.Sprint("member", i)}).Err())
		})
	})
}

func (r *rounds) check(err error) {
	if err != nil {
		r.b.Error(err)
	}
}

// many calls f n times on 16 goroutines.
func many(n int, f func(i int)) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				f(int(i))
			}
		})
	}
	all.Wait()
}

// report reports medians of Redis' work, and how many ZADDs one is.
func (r *rounds) report(names ...string) {
	r.b.ReportMetric(0, "ns/op") // rounds say nothing
	for _, name := range names {
		var ratios []float64
		reference := r.redis["zadd"]
		if strings.HasSuffix(name, "-alone") {
			reference = r.redis["zadd-alone"]
		}
		for i, us := range r.redis[name] {
			ratios = append(ratios, us/reference[i])
		}
		r.b.ReportMetric(median(r.redis[name]), name+"-redis-us")
		r.b.ReportMetric(median(ratios), name+"/zadd")
	}
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// BenchmarkMatch is what a match costs Redis (Enter, Enter and Ack, with three tags
// and five exclusions) where all come one by one, and where sixteen come at a time,
// beside plain ZADDs and PINGs in the same rounds; with others waiting who fit
// nobody.
func BenchmarkMatch(b *testing.B) {
	for _, waiting := range []int{0, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(waiting), func(b *testing.B) {
			c := dial(b, testenv.Redis(b).Addr)
			q, _ := drivers(b, c)
			fill(b, c, "video", waiting)
			r := newRounds(b, c)
			var n atomic.Int64
			// The same without others, in the same rounds.
			match := func(pool string) { r.check(match(b.Context(), q, pool, n.Add(1))) }
			for b.Loop() {
				r.references()
				for _, pool := range []string{"video", "empty"} {
					r.measure(pool+"-alone", 500, func() {
						for range 500 {
							match(pool)
						}
					})
					r.measure(pool, 2000, func() { many(2000, func(int) { match(pool) }) })
				}
			}
			r.report("ping", "video", "video-alone")
			for _, how := range []string{"", "-alone"} {
				var ratios []float64
				for i, us := range r.redis["video"+how] {
					ratios = append(ratios, us/r.redis["empty"+how][i])
				}
				b.ReportMetric(median(ratios), "video/empty"+how)
			}
		})
	}
}

// match brings two people together who fit nobody else.
func match(ctx context.Context, q *redisqueue.Queue, pool string, i int64) error {
	id := strconv.FormatInt(i, 10)
	p := matchmaking.Profile{Languages: []string{"en"}, Tags: []string{"a" + id, "b" + id, "c" + id}, Strict: true}
	offers, seeks := matchmaking.Terms(p, false, protocol.ReachTags)
	var r matchmaking.Result
	for _, side := range []string{"a", "b"} {
		t, s := ticket(side+id, offers...)
		t.Pool, s.Seeks = pool, seeks
		s.Exclude = append(s.Exclude, "e1", "e2", "e3", "e4", "e5")
		var err error
		if r, err = q.Enter(ctx, t, s); err != nil {
			return err
		}
	}
	if r.Outcome != matchmaking.Proposed {
		return errors.New("not proposed")
	}
	v, err := q.Ack(ctx, matchmaking.Claim{Pool: pool, Match: r.Pair.Match, Ref: r.Pair.Entrants[0].Ref})
	if err == nil && v != matchmaking.Live {
		err = errors.New("not live")
	}
	return err
}

// fill lists people who fit nobody.
func fill(b *testing.B, c redis.UniversalClient, pool string, n int) {
	b.Helper()
	for from := 0; from < n; from += 1000 {
		pipe := c.Pipeline()
		for i := from; i < from+1000; i++ {
			var z []redis.Z
			for _, term := range []string{"@n1", "t\x1fen\x1fw" + strconv.Itoa(i), "t\x1f+\x1fw" + strconv.Itoa(i)} {
				z = append(z, redis.Z{Member: fmt.Sprintf("%s\x00%016d\x00w%d\x00u%d", term, i, i, i)})
			}
			pipe.ZAdd(b.Context(), "test:match:{"+pool+"}:index", z...)
		}
		if _, err := pipe.Exec(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCrowd is a thousand people who ask at once through two matchers over one
// Redis: exclusions, terms, enter, proposal, probe, yes, room and both told. CPU is
// that of this process, both matchers and those who ask.
func BenchmarkCrowd(b *testing.B) {
	const people = 1000
	addr := testenv.Redis(b).Addr
	c := dial(b, addr)
	m := newPairs(b, func() redis.UniversalClient { return dial(b, addr) })
	m.run(people/2, people)
	r := newRounds(b, c)
	var rates []float64
	for b.Loop() {
		r.references()
		r.measure("pair", people/2, func() {
			start := time.Now()
			m.run(people/2, people)
			rates = append(rates, people/2/time.Since(start).Seconds())
		})
	}
	r.report("ping", "pair")
	b.ReportMetric(median(rates), "pairs/s")
	b.ReportMetric(median(r.own["pair"]), "pair-cpu-us")
}

// BenchmarkPairs is the same with as many at a time as a steady stream has.
func BenchmarkPairs(b *testing.B) {
	addr := testenv.Redis(b).Addr
	c := dial(b, addr)
	m := newPairs(b, func() redis.UniversalClient { return dial(b, addr) })
	m.run(100, 64)
	redis0, own0 := cpu(b, c), ownCPU(b)
	b.ReportAllocs()
	b.ResetTimer()
	m.run(b.N, 64)
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
	b.ReportMetric((cpu(b, c)-redis0).Seconds()*1e6/float64(b.N), "redis-us/op")
	b.ReportMetric((ownCPU(b)-own0).Seconds()*1e6/float64(b.N), "cpu-us/op")
}

// BenchmarkLonePair is two people who ask when nobody else does: from the second's
// asking until both are told, beside a PING of the same Redis.
func BenchmarkLonePair(b *testing.B) {
	addr := testenv.Redis(b).Addr
	c := dial(b, addr)
	m := newPairs(b, func() redis.UniversalClient { return dial(b, addr) })
	var told, pings []float64
	m.run(100, 1)
	for b.Loop() {
		start := time.Now()
		if err := c.Ping(b.Context()).Err(); err != nil {
			b.Fatal(err)
		}
		pings = append(pings, time.Since(start).Seconds()*1e6)
		start = time.Now()
		m.run(1, 2)
		told = append(told, time.Since(start).Seconds()*1e6)
	}
	slices.Sort(told)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(pings), "ping-p50-us")
	b.ReportMetric(median(told), "told-p50-us")
	b.ReportMetric(told[len(told)*99/100], "told-p99-us")
}

// ownCPU returns how long this process has worked.
func ownCPU(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
