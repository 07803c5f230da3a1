package bench

import (
	"encoding/json"
	"math"
	"slices"
	"sync"
	"time"
)

// Times are measured durations. They may be added by any number of goroutines.
type Times struct {
	mu  sync.Mutex
	all []time.Duration
}

// Add adds one.
func (t *Times) Add(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, d)
}

// Quantiles sum up Times.
type Quantiles struct {
	Count                    int
	P50, P90, P99, P999, Max time.Duration
}

// Quantiles of what was added so far.
func (t *Times) Quantiles() Quantiles {
	t.mu.Lock()
	list := slices.Clone(t.all)
	t.mu.Unlock()
	if len(list) == 0 {
		return Quantiles{}
	}
	slices.Sort(list)
	at := func(q float64) time.Duration { return list[min(len(list)-1, int(math.Ceil(q*float64(len(list))))-1)] }
	return Quantiles{Count: len(list), P50: at(0.5), P90: at(0.9), P99: at(0.99), P999: at(0.999), Max: list[len(list)-1]}
}

// MarshalJSON writes milliseconds.
func (q Quantiles) MarshalJSON() ([]byte, error) {
	ms := func(d time.Duration) float64 { return math.Round(d.Seconds()*1e6) / 1e3 }
	return json.Marshal(map[string]any{
		"count": q.Count, "p50_ms": ms(q.P50), "p90_ms": ms(q.P90), "p99_ms": ms(q.P99), "p999_ms": ms(q.P999), "max_ms": ms(q.Max),
	})
}
