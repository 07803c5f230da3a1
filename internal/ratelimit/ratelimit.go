// Package ratelimit counts how fast something happens and says when it is too
// fast. A Bucket is one counter without a lock, small enough to sit by the
// dozen in every session; Keyed holds a bounded number of them by name. Limiter
// is a Keyed that may be shared by all nodes.
//
// The package starts no goroutine. Bucket and Keyed read no clock: callers give
// the time.
package ratelimit

import (
	"math"
	"net/netip"
	"sync"
	"time"
)

// Rate is a token bucket's shape: PerSecond tokens flow in, at most Burst are
// kept. A Rate whose PerSecond is not positive sets no limit. A Burst below 1
// counts as 1.
type Rate struct {
	PerSecond float64
	Burst     float64
}

// Unlimited reports whether the rate lets everything pass.
func (r Rate) Unlimited() bool { return !(r.PerSecond > 0) }

// cost is the time that n tokens take to flow in.
func (r Rate) cost(n float64) time.Duration {
	d := n / r.PerSecond * float64(time.Second)
	return time.Duration(min(max(d, 0), math.MaxInt64/4))
}

// depth is the time that an empty bucket takes to fill.
func (r Rate) depth() time.Duration { return r.cost(max(r.Burst, 1)) }

// Bucket is a token bucket. The zero Bucket is full. It has no lock: whoever
// owns it guards it. It costs 8 bytes.
//
// It keeps one instant instead of a count (the generic cell rate algorithm,
// ITU-T I.371), exported so that a bucket can be stored.
type Bucket struct {
	Full int64 // when the bucket is full again if nothing is taken, Unix nanoseconds
}

// stepped is by how much the times of callers may be out of order without a step of
// the clock: those who have waited for a lock.
const stepped = 5 * time.Second

// Take takes n tokens at now if they are there. If not it takes none, and retry
// says how long until they are, provided nobody else takes any. More than Burst
// are never there; retry is then the time until the bucket is full.
//
// A clock that steps back makes a bucket at worst empty, and it fills from then on;
// one that steps far back leaves it full.
func (b *Bucket) Take(now time.Time, n float64, r Rate) (ok bool, retry time.Duration) {
	if r.Unlimited() || n <= 0 {
		return true, 0
	}
	depth, cost := r.depth(), r.cost(n)
	at := now.UnixNano()
	if ahead := time.Duration(b.Full - at); ahead > depth+stepped {
		b.Full = at // whoever was refused all that time would not be for what it did
	} else if ahead > depth {
		b.Full = at + int64(depth)
	}
	lack := max(time.Duration(b.Full-at), 0)
	if lack+cost > depth {
		return false, max(min(lack+cost-depth, lack), 1)
	}
	b.Full = at + int64(lack+cost)
	return true, 0
}

// Keyed is a set of buckets of one rate, by key. Their number is bounded.
// A bucket that had time to fill is forgotten, which changes nothing; when more
// than that are busy at once, the half unused for longest is forgotten.
// Keyed is safe for concurrent use.
type Keyed struct {
	rate Rate
	half int

	mu      sync.Mutex
	rotated time.Time
	young   map[string]*Bucket // used since rotated
	old     map[string]*Bucket // used in the turn before
}

// NewKeyed makes a Keyed for at most so many keys (at least 2).
func NewKeyed(rate Rate, keys int) *Keyed {
	return &Keyed{rate: rate, half: max(keys/2, 1), young: map[string]*Bucket{}}
}

// Take takes n tokens from key's bucket; see [Bucket.Take].
func (k *Keyed) Take(key string, now time.Time, n float64) (ok bool, retry time.Duration) {
	if k.rate.Unlimited() {
		return true, 0
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.bucketLocked(key, now).Take(now, n, k.rate)
}

// Len returns how many buckets are held.
func (k *Keyed) Len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.young) + len(k.old)
}

// bucketLocked finds key's bucket among the young or the old, where it then
// leaves, or makes one.
func (k *Keyed) bucketLocked(key string, now time.Time) *Bucket {
	k.rotateLocked(now)
	if b, ok := k.young[key]; ok {
		return b
	}
	b, ok := k.old[key]
	if ok {
		delete(k.old, key)
	} else {
		b = new(Bucket)
	}
	if len(k.young) >= k.half {
		k.turnLocked(now)
	}
	k.young[key] = b
	return b
}

// rotateLocked lets a turn pass when every bucket that was not used in it is
// full by now.
func (k *Keyed) rotateLocked(now time.Time) {
	if k.rotated.IsZero() {
		k.rotated = now
	}
	if now.Sub(k.rotated) > k.rate.depth() {
		k.turnLocked(now)
	}
}

func (k *Keyed) turnLocked(now time.Time) {
	k.old, k.young, k.rotated = k.young, map[string]*Bucket{}, now
}

// AddrKey names the party behind an address for limits: the IPv4 address, or
// the /64 of an IPv6 address, because one household or host has all of it.
// IPv4 inside IPv6 counts as IPv4; zones are left out.
func AddrKey(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if !a.IsValid() {
		return "invalid"
	}
	if a.Is4() {
		return a.String()
	}
	p, err := a.Prefix(64)
	if err != nil {
		return "invalid"
	}
	return p.String()
}
