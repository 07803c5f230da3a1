package accounts

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/protocol"
)

// memoryLimiterKeys bounds the busy buckets of each rate.
const memoryLimiterKeys = 100_000

// memoryLimiter is the Limiter of one process. It holds one set of buckets
// for each rate, of which there are as many as fields in Limits.
type memoryLimiter struct {
	now func() time.Time

	mu   sync.Mutex
	sets map[ratelimit.Rate]*ratelimit.Keyed
}

func newMemoryLimiter(now func() time.Time) *memoryLimiter {
	return &memoryLimiter{now: now, sets: map[ratelimit.Rate]*ratelimit.Keyed{}}
}

// Take implements Limiter.
func (m *memoryLimiter) Take(_ context.Context, key string, n float64, rate ratelimit.Rate) (bool, time.Duration, error) {
	m.mu.Lock()
	set := m.sets[rate]
	if set == nil {
		set = ratelimit.NewKeyed(rate, memoryLimiterKeys)
		m.sets[rate] = set
	}
	m.mu.Unlock()
	ok, retry := set.Take(key, m.now(), n)
	return ok, retry, nil
}

// limit takes one from the bucket, or says when there will be one. Keys hold no
// text of a client: they may stand in a store that others read.
func (a *Accounts) limit(ctx context.Context, what, who string, rate ratelimit.Rate) error {
	ok, retry, err := a.cfg.Limiter.Take(ctx, "accounts:"+what+":"+who, 1, rate)
	if err != nil {
		return err
	}
	if ok {
		return nil
	}
	a.metrics.limited(what)
	e := protocol.Errorf(protocol.CodeRateLimited, "too many attempts: wait a little")
	e.Retry = retry
	return e
}

// limitAddr is limit by address; those that are not known are one.
func (a *Accounts) limitAddr(ctx context.Context, what string, addr netip.Addr, rate ratelimit.Rate) error {
	return a.limit(ctx, what, ratelimit.AddrKey(addr), rate)
}
