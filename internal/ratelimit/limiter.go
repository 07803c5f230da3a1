package ratelimit

import (
	"context"
	"sync"
	"time"
)

// Limiter holds buckets by key, for one node or for all of them. A key always
// comes with the same rate; it begins with what is limited ("login:account:").
type Limiter interface {
	// Take takes n tokens from key's bucket; see [Bucket.Take]. The error is that
	// of a context that ended: a Limiter that others depend on has its own answer
	// when it cannot ask.
	Take(ctx context.Context, key string, n float64, rate Rate) (ok bool, retry time.Duration, err error)
}

const maxRates = 64

// Memory is a Limiter for one node. Its number of buckets is bounded.
type Memory struct {
	keys int
	now  func() time.Time

	mu    sync.Mutex
	rates map[Rate]*Keyed
}

var _ Limiter = (*Memory)(nil)

// NewMemory makes a Memory for at most so many keys of each rate (at least 2) and
// 64 rates; with more than that, those known are forgotten.
func NewMemory(keys int) *Memory { return NewMemoryAt(keys, time.Now) }

// NewMemoryAt is NewMemory with another clock.
func NewMemoryAt(keys int, now func() time.Time) *Memory {
	return &Memory{keys: keys, now: now, rates: map[Rate]*Keyed{}}
}

// Take implements Limiter. It never fails.
func (m *Memory) Take(_ context.Context, key string, n float64, rate Rate) (bool, time.Duration, error) {
	if rate.Unlimited() {
		return true, 0, nil
	}
	ok, retry := m.keyed(rate).Take(key, m.now(), n)
	return ok, retry, nil
}

func (m *Memory) keyed(rate Rate) *Keyed {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, ok := m.rates[rate]
	if !ok {
		if len(m.rates) >= maxRates {
			clear(m.rates)
		}
		k = NewKeyed(rate, m.keys)
		m.rates[rate] = k
	}
	return k
}
