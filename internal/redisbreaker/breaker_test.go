package redisbreaker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// timeout bounds a call; the program's is longer.
const timeout = 600 * time.Millisecond

// rig is a client with a breaker.
type rig struct {
	*Breaker
	client redis.UniversalClient
	log    *logBuffer
}

func newRig(t *testing.T, client redis.UniversalClient) *rig {
	t.Helper()
	log := &logBuffer{}
	b, err := Attach(client, Config{Logger: slog.New(slog.NewTextHandler(log, nil)), Registerer: prometheus.NewPedanticRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Close()
		client.Close()
	})
	return &rig{b, client, log}
}

// single is a rig on one server, with the options that the program sets.
func single(t *testing.T, addr string) *rig {
	t.Helper()
	return newRig(t, redis.NewClient(&redis.Options{Addr: addr, DialTimeout: timeout, ReadTimeout: timeout, WriteTimeout: timeout,
		PoolTimeout: timeout, DialerRetries: 1, ContextTimeoutEnabled: true}))
}

// call writes a key, as the drivers do: with a deadline.
func (r *rig) call(key string) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return r.client.Set(ctx, key, "v", time.Minute).Err()
}

// callUntilOpen calls until the circuit is open.
func (r *rig) callUntilOpen(t *testing.T) {
	t.Helper()
	for range 20 {
		if r.call("k"); r.open() > 0 {
			return
		}
	}
	t.Fatal("the circuit does not open")
}

// refuses checks that calls and pipelines fail at once.
func (r *rig) refuses(t *testing.T) {
	t.Helper()
	const n = 21
	took := make([]time.Duration, n)
	for i := range n {
		start := time.Now()
		err := r.call("k")
		took[i] = time.Since(start)
		if !errors.Is(err, ErrOpen) {
			t.Fatalf("an open circuit answers %v", err)
		}
	}
	if slices.Sort(took); took[n/2] > 5*time.Millisecond {
		t.Errorf("refusing takes %v", took[n/2])
	}
	p := r.client.Pipeline()
	first, second := p.Get(t.Context(), "k"), p.Incr(t.Context(), "n")
	if _, err := p.Exec(t.Context()); !errors.Is(err, ErrOpen) || !errors.Is(first.Err(), ErrOpen) || !errors.Is(second.Err(), ErrOpen) {
		t.Errorf("a pipeline gets %v, %v, %v", err, first.Err(), second.Err())
	}
	if got := testutil.ToFloat64(r.m.refused); got < n+1 {
		t.Errorf("%v calls were refused, want at least %d", got, n+1)
	}
}

// back checks that calls work again within a second.
func (r *rig) back(t *testing.T) {
	t.Helper()
	start := time.Now()
	testenv.Eventually(t, 5*time.Second, func() bool { return r.call("k") == nil }, "calls work again")
	if took := time.Since(start); took > time.Second {
		t.Errorf("calls work again after %v, want less than a second", took)
	}
	if r.open() != 0 {
		t.Error("calls work and a circuit is open")
	}
}

// TestKilled: the circuit opens at once when the server is gone, and closes when
// it is back, however long it was away.
func TestKilled(t *testing.T) {
	server := testenv.Redis(t)
	r := single(t, server.Addr)
	if err := r.call("k"); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	start := time.Now()
	r.callUntilOpen(t)
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("open after %v although the server refuses connections", took)
	}
	r.refuses(t)
	err := r.Ready(t.Context())
	if !errors.Is(err, ErrOpen) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("not ready because of: %v", err)
	}
	// Long enough for go-redis to count more failed dials than its pool is large.
	var pings sync.WaitGroup
	for range 10*runtime.GOMAXPROCS(0) + 5 {
		pings.Go(func() { _ = r.circuits[0].ping(t.Context()) })
	}
	pings.Wait()
	server.Restart()
	r.back(t)
	if err := r.Ready(t.Context()); err != nil {
		t.Errorf("not ready: %v", err)
	}
	r.log.once(t, "circuit open")
	r.log.once(t, "circuit closed")
	if got := testutil.ToFloat64(r.m.opened); got != 1 {
		t.Errorf("opened %v times", got)
	}
}

// TestStalled: a server that takes connections and does not answer.
func TestStalled(t *testing.T) {
	server := testenv.Redis(t)
	r := single(t, server.Addr)
	for range 3 {
		if err := r.call("k"); err != nil {
			t.Fatal(err)
		}
	}
	server.Stall()
	r.callUntilOpen(t)
	r.refuses(t)
	server.Continue()
	r.back(t)
}

// TestManyThroughAStall: hundreds of callers do not pile up while the server
// stalls, and are served at once when it goes on.
func TestManyThroughAStall(t *testing.T) {
	server := testenv.Redis(t)
	r := single(t, server.Addr)
	if err := r.call("k"); err != nil {
		t.Fatal(err)
	}
	const callers = 200
	var (
		mu    sync.Mutex
		late  []time.Duration // of calls that began when it was time to measure
		after atomic.Bool
		wg    sync.WaitGroup
		stop  = make(chan struct{})
	)
	before := runtime.NumGoroutine()
	server.Stall()
	for i := range callers {
		wg.Go(func() {
			for pause := 10 * time.Millisecond; ; {
				counts, start := after.Load(), time.Now()
				err := r.call(fmt.Sprint("k", i))
				if counts {
					mu.Lock()
					late = append(late, time.Since(start))
					mu.Unlock()
					if err != nil {
						t.Errorf("a call after the stall: %v", err)
						return
					}
					pause = 100 * time.Millisecond
				}
				select {
				case <-stop:
					return
				case <-time.After(pause):
				}
			}
		})
	}
	most := 0
	stall := time.Now()
	testenv.Eventually(t, 10*time.Second, func() bool {
		most = max(most, runtime.NumGoroutine()-before)
		return time.Since(stall) > 5*time.Second
	}, "five seconds")
	// A goroutine each, and two for each dial that is under way.
	if limit := callers + 2*10*runtime.GOMAXPROCS(0) + 50; most > limit {
		t.Errorf("%d goroutines during the stall, want at most %d", most, limit)
	}
	server.Continue()
	r.back(t)
	after.Store(true)
	measured := time.Now()
	testenv.Eventually(t, 10*time.Second, func() bool { return time.Since(measured) > 2*time.Second }, "two seconds")
	close(stop)
	wg.Wait()
	if len(late) < callers {
		t.Fatalf("only %d calls after the stall", len(late))
	}
	slices.Sort(late)
	p99 := late[len(late)*99/100]
	t.Logf("%d goroutines more during the stall; %d calls after it, p99 %v, longest %v", most, len(late), p99, late[len(late)-1])
	if p99 > 100*time.Millisecond {
		t.Errorf("p99 of calls after the stall is %v", p99)
	}
}

// TestCluster: a dead master opens its own circuit only.
func TestCluster(t *testing.T) {
	cluster := testenv.RedisCluster(t)
	r := newRig(t, redis.NewClusterClient(&redis.ClusterOptions{Addrs: cluster.Addrs, DialTimeout: timeout, ReadTimeout: timeout,
		WriteTimeout: timeout, PoolTimeout: timeout, DialerRetries: 1, ContextTimeoutEnabled: true}))
	keys := keysOf(t, r, cluster)
	cluster.Nodes[1].Stall()
	testenv.Eventually(t, 10*time.Second, func() bool { r.call(keys[1]); return r.open() == 1 }, "the circuit of the stalled master opens")
	for _, i := range []int{0, 2} {
		if err := r.call(keys[i]); err != nil {
			t.Errorf("a key of master %d, which lives: %v", i, err)
		}
	}
	if err := r.call(keys[1]); !errors.Is(err, ErrOpen) {
		t.Errorf("a key of the stalled master: %v", err)
	}
	p := r.client.Pipeline()
	dead, alive := p.Get(t.Context(), keys[1]), p.Get(t.Context(), keys[0])
	if _, err := p.Exec(t.Context()); !errors.Is(err, ErrOpen) || !errors.Is(dead.Err(), ErrOpen) || alive.Err() != nil {
		t.Errorf("a pipeline over both: %v; %v, %v", err, dead.Err(), alive.Err())
	}
	if err := r.Ready(t.Context()); err != nil {
		t.Errorf("two masters of three serve, and: %v", err)
	}
	cluster.Nodes[1].Continue()
	start := time.Now()
	testenv.Eventually(t, 10*time.Second, func() bool { return r.call(keys[1]) == nil }, "the master serves again")
	if took := time.Since(start); took > time.Second && r.open() > 0 {
		t.Errorf("closed after %v", took)
	}
}

// keysOf returns a key of each master and lets the client learn of all.
func keysOf(t *testing.T, r *rig, cluster *testenv.Cluster) []string {
	t.Helper()
	keys := make([]string, len(cluster.Nodes))
	for i := range 100 {
		key := fmt.Sprint("k", i)
		if err := r.call(key); err != nil {
			t.Fatal(err)
		}
		for n, node := range cluster.Nodes {
			if got, err := node.Do("EXISTS", key); err == nil && got == "1" {
				keys[n] = key
			}
		}
	}
	if slices.Contains(keys, "") {
		t.Fatalf("no key for each master: %v", keys)
	}
	return keys
}

// TestHarmless: errors that say nothing about reachability do not open it.
func TestHarmless(t *testing.T) {
	server := testenv.Redis(t)
	r := single(t, server.Addr)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 10 {
		r.client.Get(t.Context(), "not there")
		r.client.Do(t.Context(), "nonsense")
		r.client.EvalSha(t.Context(), "0000", nil)
		r.client.Get(ended, "k")
	}
	server.Stall()
	for range 10 { // too impatient to know
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		r.client.Get(ctx, "k")
		cancel()
	}
	server.Continue()
	if r.open() != 0 || testutil.ToFloat64(r.m.opened) != 0 {
		t.Errorf("the circuit opened: %s", r.log.String())
	}
	r.back(t)
}

// TestLateFailures: calls of the time before it closed do not open it again.
func TestLateFailures(t *testing.T) {
	server := testenv.Redis(t)
	r := single(t, server.Addr)
	c := r.circuits[0]
	early := time.Now()
	for range r.cfg.Failures {
		c.note(early, io.EOF)
	}
	if r.open() != 1 {
		t.Fatal("not open")
	}
	testenv.Eventually(t, 5*time.Second, func() bool { return r.open() == 0 }, "the server answers")
	for range 2 * r.cfg.Failures {
		c.note(early, io.EOF)
	}
	if r.open() != 0 {
		t.Error("late failures opened it")
	}
	if c.note(time.Now(), io.EOF); r.open() != 0 {
		t.Error("late failures count")
	}
}

// TestSubscriptionPasses: a subscription is made whatever the circuit says.
func TestSubscriptionPasses(t *testing.T) {
	server := testenv.Redis(t)
	r := single(t, server.Addr)
	r.circuits[0].isOpen.Store(true)
	sub := r.client.Subscribe(t.Context(), "c")
	defer sub.Close()
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Errorf("subscribe: %v", err)
	}
}

func TestVerdict(t *testing.T) {
	for _, test := range []struct {
		err     error
		patient bool
		want    result
	}{
		{nil, true, answered},
		{redis.Nil, true, answered},
		{redis.ErrNoScript, true, answered},
		{fmt.Errorf("wrapped: %w", redis.ErrNoScript), true, answered},
		{context.Canceled, true, nothing},
		{redis.ErrClosed, true, nothing},
		{redis.ErrPoolTimeout, true, nothing},
		{context.DeadlineExceeded, false, nothing},
		{os.ErrDeadlineExceeded, false, nothing},
		{context.DeadlineExceeded, true, unreachable},
		{os.ErrDeadlineExceeded, true, unreachable},
		{io.EOF, false, unreachable},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, false, unreachable},
	} {
		if got := verdict(test.err, test.patient); got != test.want {
			t.Errorf("%v (patient %v): %v, want %v", test.err, test.patient, got, test.want)
		}
	}
}

func TestAttachKnowsItsClients(t *testing.T) {
	ring := redis.NewRing(&redis.RingOptions{})
	defer ring.Close()
	if _, err := Attach(ring, Config{}); err == nil {
		t.Error("a ring is accepted")
	}
}

// logBuffer is a log that tests read.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) once(t *testing.T, what string) {
	t.Helper()
	if n := strings.Count(l.String(), what); n != 1 {
		t.Errorf("%q was logged %d times:\n%s", what, n, l)
	}
}
