package ratelimit

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"
	"unsafe"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = time.Unix(1763697600, 0)

func TestBucket(t *testing.T) {
	r := Rate{PerSecond: 2, Burst: 3}
	var b Bucket
	steps := []struct {
		at    time.Duration
		n     float64
		ok    bool
		retry time.Duration
	}{
		{0, 1, true, 0}, {0, 2, true, 0}, {0, 1, false, 500 * time.Millisecond},
		{300 * time.Millisecond, 1, false, 200 * time.Millisecond},
		{500 * time.Millisecond, 1, true, 0},
		{500 * time.Millisecond, 2, false, time.Second},
		{time.Hour, 3, true, 0}, // no more than a burst gathers
		{time.Hour, 1, false, 500 * time.Millisecond},
		{time.Hour, 4, false, 1500 * time.Millisecond}, // more than a burst never comes
		{time.Hour, 0, true, 0},
		{2 * time.Hour, 4, false, 1},
		{2 * time.Hour, 3, true, 0},
	}
	for i, s := range steps {
		if ok, retry := b.Take(epoch.Add(s.at), s.n, r); ok != s.ok || retry != s.retry {
			t.Fatalf("step %d: %v, %v, want %v, %v", i, ok, retry, s.ok, s.retry)
		}
	}
	if size := unsafe.Sizeof(b); size > 24 {
		t.Errorf("a bucket takes %d bytes", size)
	}
}

// TestBucketClockStepsBack: a small step, which may be times out of order, leaves the
// bucket empty, and it fills from then on, not only when the clock is where it was. A
// large one leaves it full: else nobody could do anything for as long.
func TestBucketClockStepsBack(t *testing.T) {
	r := Rate{PerSecond: 1, Burst: 5}
	var b Bucket
	for _, step := range []time.Duration{time.Millisecond, 4 * time.Second} {
		b = Bucket{}
		b.Take(epoch.Add(step), 5, r)
		ok, retry := b.Take(epoch, 1, r)
		if ok || retry != time.Second {
			t.Fatalf("%v, %v after a step of %v: at worst empty, want to wait one second", ok, retry, step)
		}
		if ok, retry := b.Take(epoch.Add(time.Second), 1, r); !ok {
			t.Fatalf("empty for %v more, a second after a step of %v", retry, step)
		}
	}
	b = Bucket{}
	b.Take(epoch.Add(time.Hour), 5, r)
	for i := range 6 {
		if ok, retry := b.Take(epoch, 1, r); ok != (i < 5) || !ok && retry != time.Second {
			t.Fatalf("take %d an hour before: %v, %v", i, ok, retry)
		}
	}
	if ok, _ := b.Take(epoch.Add(-time.Hour), 1, Rate{}); !ok {
		t.Fatal("no limit refused")
	}
}

func TestOddRates(t *testing.T) {
	for _, r := range []Rate{{}, {PerSecond: -1}, {PerSecond: math.NaN()}} {
		var b Bucket
		if ok, _ := b.Take(epoch, 1e18, r); !ok {
			t.Errorf("%+v is a limit", r)
		}
	}
	var b Bucket
	tiny := Rate{PerSecond: 1e-300, Burst: 1}
	if ok, _ := b.Take(epoch, 1, tiny); !ok {
		t.Error("the first one is refused")
	}
	if ok, retry := b.Take(epoch, 1, tiny); ok || retry <= 0 {
		t.Errorf("the second one: %v, %v", ok, retry)
	}
}

// TestBucketNeverOverfull compares with a plain count of tokens on random plans:
// what passes in any window is at most burst + rate × window.
func TestBucketModel(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		r := Rate{PerSecond: 0.1 + rnd.Float64()*100, Burst: 1 + rnd.Float64()*50}
		var b Bucket
		tokens, now := r.Burst, epoch
		for range 300 {
			d := time.Duration(rnd.Float64() * float64(time.Second) * 3 / r.PerSecond)
			now = now.Add(d)
			tokens = min(r.Burst, tokens+d.Seconds()*r.PerSecond)
			n := rnd.Float64() * 4
			ok, retry := b.Take(now, n, r)
			if math.Abs(tokens-n) < 1e-5 { // too close to call in floating point
				if ok {
					tokens = max(tokens-n, 0)
				}
				continue
			}
			if ok != (tokens >= n) {
				t.Fatalf("seed %d: %v with %v tokens for %v", seed, ok, tokens, n)
			}
			if ok {
				tokens -= n
				continue
			}
			if n <= r.Burst {
				try := b
				if ok, _ := try.Take(now.Add(retry+time.Microsecond), n, r); !ok {
					t.Fatalf("seed %d: refused again after retry %v", seed, retry)
				}
			}
		}
	}
}

func TestKeyed(t *testing.T) {
	k := NewKeyed(Rate{PerSecond: 1, Burst: 2}, 1000)
	for i := range 2 {
		if ok, _ := k.Take("a", epoch, 1); !ok {
			t.Fatalf("take %d refused", i)
		}
	}
	if ok, retry := k.Take("a", epoch, 1); ok || retry != time.Second {
		t.Fatalf("third: %v, %v", ok, retry)
	}
	if ok, _ := k.Take("b", epoch, 2); !ok {
		t.Fatal("another key is limited too")
	}
	if ok, _ := k.Take("a", epoch.Add(time.Second), 1); !ok {
		t.Fatal("after retry refused")
	}
}

func TestKeyedIsBounded(t *testing.T) {
	k := NewKeyed(Rate{PerSecond: 1, Burst: 2}, 100)
	for i := range 10_000 {
		k.Take(fmt.Sprint(i), epoch, 1)
		if n := k.Len(); n > 100 {
			t.Fatalf("%d keys after %d", n, i)
		}
	}
	k.Take("busy", epoch, 2)
	for i := range 40 { // fewer than half push nobody out
		k.Take(fmt.Sprint("x", i), epoch, 1)
	}
	if ok, _ := k.Take("busy", epoch, 1); ok {
		t.Fatal("a key in use was forgotten")
	}
	k.Take("later", epoch.Add(time.Minute), 1)
	k.Take("later", epoch.Add(2*time.Minute), 1)
	if n := k.Len(); n > 2 {
		t.Fatalf("%d idle keys are kept", n)
	}
}

// TestKeyedForgetsNothing: below its bound Keyed decides as a bucket per key.
func TestKeyedForgetsNothing(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 4))
	r := Rate{PerSecond: 1, Burst: 3}
	k, plain, now := NewKeyed(r, 100), map[string]*Bucket{}, epoch
	for i := range 20_000 {
		now = now.Add(time.Duration(rnd.IntN(200)) * time.Millisecond)
		key := fmt.Sprint(rnd.IntN(20))
		if plain[key] == nil {
			plain[key] = new(Bucket)
		}
		ok, retry := k.Take(key, now, 1)
		wantOK, wantRetry := plain[key].Take(now, 1, r)
		if ok != wantOK || retry != wantRetry {
			t.Fatalf("step %d: %v, %v, want %v, %v", i, ok, retry, wantOK, wantRetry)
		}
	}
}

func TestKeyedConcurrent(t *testing.T) {
	k := NewKeyed(Rate{PerSecond: 1, Burst: 100}, 10)
	var wg sync.WaitGroup
	var mu sync.Mutex
	passed := 0
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if ok, _ := k.Take("a", epoch, 1); ok {
					mu.Lock()
					passed++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if passed != 100 {
		t.Fatalf("%d passed, want 100", passed)
	}
}

func TestAddrKey(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1":            "192.0.2.1",
		"::ffff:192.0.2.1":     "192.0.2.1",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::":  "2001:db8:1:2::/64",
		"2001:db8:1:3::1":      "2001:db8:1:3::/64",
		"fe80::1%eth0":         "fe80::/64",
		"::1":                  "::/64",
	} {
		if got := AddrKey(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
	if got := AddrKey(netip.Addr{}); got != "invalid" {
		t.Errorf("no address: %s", got)
	}
}

func TestMemory(t *testing.T) {
	now := epoch
	m := NewMemory(100)
	m.now = func() time.Time { return now }
	slow, fast := Rate{PerSecond: 1, Burst: 1}, Rate{PerSecond: 100, Burst: 100}
	for _, r := range []Rate{slow, fast} {
		if ok, _, err := m.Take(t.Context(), fmt.Sprint("k", r), r.Burst, r); !ok || err != nil {
			t.Errorf("%+v: %v, %v", r, ok, err)
		}
		if ok, retry, _ := m.Take(t.Context(), fmt.Sprint("k", r), r.Burst, r); ok || retry != time.Second {
			t.Errorf("%+v again: %v, %v", r, ok, retry)
		}
	}
	now = now.Add(time.Second)
	if ok, _, _ := m.Take(t.Context(), fmt.Sprint("k", slow), 1, slow); !ok {
		t.Error("refused after a second")
	}
	if ok, _, _ := m.Take(t.Context(), "k", 1e9, Rate{}); !ok {
		t.Error("no limit refused")
	}
	for i := range 1000 {
		_, _, _ = m.Take(t.Context(), "k", 1, Rate{PerSecond: float64(i + 1)})
	}
	if n := len(m.rates); n > maxRates {
		t.Errorf("%d rates are held", n)
	}
}
