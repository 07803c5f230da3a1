package matchmaking

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// pool is a pool with how it stood when last looked at.
type pool struct {
	PoolConfig
	down       atomic.Bool // its part of the queue did not answer the last renewal
	waiting    atomic.Int64
	estimateMS atomic.Int64 // -1: not known
	seen       atomic.Int64 // Unix milliseconds of the last refresh; 0: never
	refreshing atomic.Bool
}

// fewWaits is how many recent waits it takes to say anything about the next.
const fewWaits = 5

// statsTTL is how old counts may be.
const statsTTL = time.Second

// counts returns how many wait, and the median of recent waits, nil if too few
// are known.
func (p *pool) counts() (int, *int64) {
	n := int(p.waiting.Load())
	if p.seen.Load() == 0 {
		return n, nil
	}
	e := p.estimateMS.Load()
	if e < 0 {
		return n, nil
	}
	return n, &e
}

// sawWaiting takes in a count that came along with another answer.
func (p *pool) sawWaiting(n int) { p.waiting.Store(int64(n)) }

// median returns the median in milliseconds, -1 of too few.
func median(waits []time.Duration) int64 {
	if len(waits) < fewWaits {
		return -1
	}
	waits = slices.Clone(waits)
	slices.Sort(waits)
	mid := len(waits) / 2
	if len(waits)%2 == 1 {
		return waits[mid].Milliseconds()
	}
	return ((waits[mid-1] + waits[mid]) / 2).Milliseconds()
}

// refresh looks how the pool stands, unless somebody else is at it or did so
// just now.
func (m *Matcher) refresh(ctx context.Context, p *pool) {
	now := time.Now()
	if now.UnixMilli()-p.seen.Load() < statsTTL.Milliseconds()/2 || !p.refreshing.CompareAndSwap(false, true) {
		return
	}
	defer p.refreshing.Store(false)
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()
	st, err := m.cfg.Queue.Stats(ctx, p.Name)
	m.metrics.called("stats", now, err)
	if err != nil {
		return
	}
	p.waiting.Store(int64(st.Waiting))
	p.estimateMS.Store(median(st.Waits))
	p.seen.Store(now.UnixMilli())
	m.metrics.waiting.WithLabelValues(p.Name).Set(float64(st.Waiting))
}

// Stats returns how the pools stand, at most about a second old while the queue
// answers.
func (m *Matcher) Stats(ctx context.Context) []protocol.PoolStats {
	list := make([]protocol.PoolStats, 0, len(m.order))
	for _, p := range m.order {
		if !p.down.Load() {
			m.refresh(ctx, p)
		}
		n, e := p.counts()
		list = append(list, protocol.PoolStats{Name: p.Name, Waiting: n, EstimateMS: e})
	}
	return list
}
