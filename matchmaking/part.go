package matchmaking

import (
	"context"
	"hash/fnv"
	"math"
	"sync/atomic"
	"time"
)

// A large pool is split into parts, so that more than one Redis can serve it. Each
// search stands in one part at a time, and those of two parts do not find each other:
// so a pool has one part until it is so large that each of them is a large pool, and
// who has waited for a while in the part where chance put it goes where all go who
// wish the same.

// MaxParts bounds Config.Parts.
const MaxParts = 64

// rateWindow is over how much time matches are counted at most.
const rateWindow = 10 * time.Second

// MatchRate is Stats.Rate: n waits are younger than 10 seconds, the oldest of those has this age.
func MatchRate(n int, oldest time.Duration) float64 {
	if n < WaitsKept {
		return float64(n) / rateWindow.Seconds()
	}
	return float64(n) / max(oldest, time.Millisecond).Seconds()
}

// Lately reports whether a wait of this age counts for MatchRate.
func Lately(age time.Duration) bool { return age < rateWindow }

// part is a part of a pool, with how it stood when last looked at.
type part struct {
	pool  *pool
	index int
	name  string // in the queue

	down       atomic.Bool // it did not answer the last renewal
	waiting    atomic.Int64
	estimateMS atomic.Int64  // -1: not known
	rate       atomic.Uint64 // float64 bits
	seen       atomic.Int64  // Unix milliseconds of the last refresh; 0: never
	refreshing atomic.Bool
}

func (q *part) matchRate() float64 { return math.Float64frombits(q.rate.Load()) }

// sawWaiting takes in a count that came along with another answer.
func (q *part) sawWaiting(n int) { q.waiting.Store(int64(n)) }

// partFor returns the part for a search that stands in was and has moved on turn times.
func (p *pool) partFor(session string, words []string, turn int) *part {
	n := uint32(p.spread.Load())
	word := ""
	switch {
	case n == 1:
		return p.parts[0]
	case turn == 0:
		word = session
	case len(words) > 0:
		word = words[(turn-1)%len(words)]
	default:
		return p.parts[0]
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(word)) // never fails
	return p.parts[h.Sum32()%n]
}

// partLocked returns the part where the search should stand.
func (s *search) partLocked() *part {
	var words []string
	switch rank(s.reach) {
	case 0:
		words = s.profile.Tags
	case 1:
		words = s.profile.Languages
	}
	return s.pool.partFor(string(s.asker.Session), words, s.turn)
}

// settled is how long a search waits in a part before it moves on.
const settled = time.Second

// strayedLocked reports whether a search should go to another part.
func (s *search) strayedLocked(now time.Time) bool {
	if s.pool.spread.Load() > 1 && now.Sub(s.start) >= settled {
		s.turn++
	}
	return s.partLocked() != s.part
}

// changePart brings a waiting search into another part: from now on it has a new
// epoch, so that whatever the old part proposes is turned down.
func (m *Matcher) changePart(ctx context.Context, s *search) {
	m.mu.Lock()
	if s.state != waiting {
		m.mu.Unlock()
		return
	}
	old, ref := s.part, s.ref()
	s.part = s.partLocked()
	listed := !s.since.IsZero()
	if listed {
		s.epoch = m.nextEpoch()
	}
	m.mu.Unlock()
	if listed {
		m.leave(ctx, old.name, ref)
	}
}

// resize splits a pool further, or less, by how many matches it makes: all nodes see
// the same, and what they decide need not agree.
func (m *Matcher) resize(p *pool) {
	n, total := int(p.spread.Load()), 0.0
	for i, q := range p.parts {
		if i <= n { // the one beyond is where others are who see more
			total += q.matchRate()
		}
	}
	limit, want := m.cfg.PartRate, n
	switch joins := n < len(p.parts) && p.parts[n].matchRate() > 0; {
	case total > limit*float64(n), joins && total >= limit*float64(n)/2:
		want = min(n+1, len(p.parts))
	case total < limit*float64(n-1)/2:
		want = int(2*total/limit) + 1
	}
	if want == n {
		return
	}
	p.spread.Store(int32(want))
	p.looked.Store(max(p.looked.Load(), int32(want)))
	m.metrics.parts.WithLabelValues(p.Name).Set(float64(want))
	m.cfg.Logger.Info("pool split", "pool", p.Name, "parts", want, "matches_per_second", int(total))
}
