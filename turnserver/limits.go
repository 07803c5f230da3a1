package turnserver

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/internal/ratelimit"
)

// Limits bounds what clients can take. A zero field means its default; a
// negative number means no limit, where that makes sense.
type Limits struct {
	AllocationsPerUser int            // default 10
	AllocationsPerAddr int            // per IPv4 address or IPv6 /64; default 64
	Allocations        int            // in all; default and at most: the relay ports
	AllocationRate     ratelimit.Rate // new ones per IPv4 address or /64; default 5/s, burst 20

	Permissions    int   // per allocation; default 64
	Channels       int   // per allocation; default 16
	Bandwidth      int64 // bytes/s each way per allocation; default 1,000,000
	BandwidthBurst int64 // bytes; default a quarter of a second of Bandwidth, at least 64 KiB
	TotalBandwidth int64 // bytes/s of all allocations and both ways together; default none

	Answers      ratelimit.Rate // to the unauthenticated, per IPv4 /24 or IPv6 /56; default 20/s, burst 60
	AnswersTotal ratelimit.Rate // to all of them over UDP; default 5,000/s, burst 5,000

	Conns           int           // TCP and TLS; default 4,096
	ConnsPerAddr    int           // per IPv4 address or /64; default 64
	Handshake       time.Duration // TLS; default 10 s
	FirstMessage    time.Duration // from connect to the first whole message; default 10 s
	AllocateWithin  time.Duration // a connection without allocation lives so long; default 30 s
	WriteTimeout    time.Duration // for a connection that takes nothing; default 5 s
	WriteQueueBytes int           // per connection; more is dropped; default 256 KiB
}

func (l *Limits) setDefaults(ports int) {
	def(&l.AllocationsPerUser, 10)
	def(&l.AllocationsPerAddr, 64)
	if l.Allocations <= 0 || l.Allocations > ports {
		l.Allocations = ports
	}
	def(&l.AllocationRate, ratelimit.Rate{PerSecond: 5, Burst: 20})
	def(&l.Permissions, 64)
	def(&l.Channels, 16)
	l.Permissions = min(l.Permissions, maxAttrs/2)
	def(&l.Bandwidth, 1_000_000)
	def(&l.BandwidthBurst, max(l.Bandwidth/4, 64<<10))
	def(&l.Answers, ratelimit.Rate{PerSecond: 20, Burst: 60})
	def(&l.AnswersTotal, ratelimit.Rate{PerSecond: 5000, Burst: 5000})
	def(&l.Conns, 4096)
	def(&l.ConnsPerAddr, 64)
	def(&l.Handshake, 10*time.Second)
	def(&l.FirstMessage, 10*time.Second)
	def(&l.AllocateWithin, 30*time.Second)
	def(&l.WriteTimeout, 5*time.Second)
	def(&l.WriteQueueBytes, 256<<10)
}

// def sets a field that is zero.
func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// bandwidth is the rate of one direction of one allocation.
func (l *Limits) bandwidth() ratelimit.Rate {
	return ratelimit.Rate{PerSecond: float64(l.Bandwidth), Burst: float64(l.BandwidthBurst)}
}

// answerSlots is the size of the table of address prefixes, in buckets of 8
// bytes. Prefixes that share a slot share its rate.
const answerSlots = 1 << 14

// answers says whether someone unauthenticated gets one more answer. Its memory
// is fixed, whatever the number of (spoofed) sources.
type answers struct {
	each, all ratelimit.Rate
	seed      maphash.Seed

	mu    sync.Mutex
	total ratelimit.Bucket
	slots [answerSlots]ratelimit.Bucket
}

func newAnswers(each, all ratelimit.Rate) *answers {
	return &answers{each: each, all: all, seed: maphash.MakeSeed()}
}

// take counts one answer to from. Those whose address is proven (by a connection
// or a nonce) do not use up what all share: only spoofed floods do.
func (t *answers) take(from netip.Addr, proven bool, now time.Time) bool {
	slot := maphash.Comparable(t.seed, answerPrefix(from)) % answerSlots
	t.mu.Lock()
	defer t.mu.Unlock()
	if ok, _ := t.slots[slot].Take(now, 1, t.each); !ok {
		return false
	}
	if proven {
		return true
	}
	ok, _ := t.total.Take(now, 1, t.all)
	return ok
}

func answerPrefix(a netip.Addr) netip.Prefix {
	bits := 56
	if a.Is4() {
		bits = 24
	}
	p, _ := a.Prefix(bits) // never fails for these
	return p
}

// quota counts by name, within a limit each.
type quota struct {
	limit int

	mu    sync.Mutex
	count map[string]int
}

func newQuota(limit int) *quota { return &quota{limit: limit, count: map[string]int{}} }

func (q *quota) take(name string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.limit >= 0 && q.count[name] >= q.limit {
		return false
	}
	q.count[name]++
	return true
}

func (q *quota) release(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.count[name]--; q.count[name] <= 0 {
		delete(q.count, name)
	}
}

func (q *quota) holds(name string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.count[name] > 0
}
