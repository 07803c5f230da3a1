package matchmaking

import (
	"context"
	"math"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// pool is a pool with its parts.
type pool struct {
	PoolConfig
	parts  []*part
	spread atomic.Int32 // over how many of them searches are spread
	looked atomic.Int32 // the greatest spread there was: in those there may be searches
}

func newPool(c PoolConfig, parts int) *pool {
	p := &pool{PoolConfig: c}
	for i := range parts {
		q := &part{pool: p, index: i, name: c.Name}
		if i > 0 {
			q.name += partSep + strconv.Itoa(i)
		}
		p.parts = append(p.parts, q)
	}
	p.spread.Store(1)
	p.looked.Store(1)
	return p
}

// fewWaits is how many recent waits it takes to say anything about the next.
const fewWaits = 5

// statsTTL is how old counts may be.
const statsTTL = time.Second

// counts returns how many wait, and the median of recent waits, nil if too few
// are known.
func (p *pool) counts() (int, *int64) {
	n, known, sum := 0, int64(0), int64(0)
	for _, q := range p.parts {
		n += int(q.waiting.Load())
		if e := q.estimateMS.Load(); q.seen.Load() != 0 && e >= 0 {
			known, sum = known+1, sum+e
		}
	}
	if known == 0 {
		return n, nil
	}
	sum /= known
	return n, &sum
}

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

// refresh looks how the part stands, unless somebody else is at it or did so
// just now.
func (m *Matcher) refresh(ctx context.Context, p *part) {
	now := time.Now()
	if now.UnixMilli()-p.seen.Load() < statsTTL.Milliseconds()/2 || !p.refreshing.CompareAndSwap(false, true) {
		return
	}
	defer p.refreshing.Store(false)
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()
	st, err := m.cfg.Queue.Stats(ctx, p.name)
	m.metrics.called("stats", now, err)
	if err != nil {
		return
	}
	p.waiting.Store(int64(st.Waiting))
	p.estimateMS.Store(median(st.Waits))
	p.rate.Store(math.Float64bits(st.Rate))
	p.seen.Store(now.UnixMilli())
	all, _ := p.pool.counts()
	m.metrics.waiting.WithLabelValues(p.pool.Name).Set(float64(all))
}

// Stats returns how the pools stand, at most about a second old while the queue
// answers.
func (m *Matcher) Stats(ctx context.Context) []protocol.PoolStats {
	list := make([]protocol.PoolStats, 0, len(m.order))
	for _, p := range m.order {
		for _, q := range p.parts[:p.looked.Load()] {
			if !q.down.Load() {
				m.refresh(ctx, q)
			}
		}
		n, e := p.counts()
		list = append(list, protocol.PoolStats{Name: p.Name, Waiting: n, EstimateMS: e})
	}
	return list
}
