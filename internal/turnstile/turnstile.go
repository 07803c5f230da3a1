// Package turnstile lets work wait that can, so that what is urgent goes first.
package turnstile

import (
	"runtime"
	"sync/atomic"
	"time"
)

const (
	// each is how much passes between rests, for each core.
	each = 4
	// stretch is for how long work passes between rests, if that is not long; rest
	// is the shortest rest. The runtime makes about 1 ms of it.
	stretch, rest = 500 * time.Microsecond, 500 * time.Microsecond
	// longStretch and longRest bound both on a machine that is busy.
	longStretch, longRest = 2 * time.Millisecond, 5 * time.Millisecond
	// pause is without any work for so long that it is as good as a rest.
	pause = time.Millisecond
)

// Turnstile is where work waits that can: of people who come or go, and of who
// sends or asks much. It lets one through after all that is ready to run had its
// turn, and rests after a few, so that thousands at once delay nobody's message by
// more than a few of them. Who is through holds nothing and may take its time.
// Where nothing else waits, passing costs about a microsecond.
//
// The runtime serves goroutines in the order in which they became ready, so
// without it 5,000 sockets that open or break at once stand before whatever comes
// after them. And it looks for news from the network only when nothing is ready,
// or every 10 ms: hence the rests. They are as long as what passed before needed,
// with everything that was more urgent: the busier the process is, the less passes.
// On two cores with nothing else to do it is some 5,000 in a second.
type Turnstile struct {
	lane chan struct{} // first come, first served
	pace *pace
}

// pace is what turnstiles share that stand beside each other.
type pace struct {
	turn chan struct{}
	most int          // passes in a stretch
	here atomic.Int64 // waiting or passing, at all of them

	// Of who has the turn.
	since  time.Time     // when this stretch began
	last   time.Time     // when the last one passed
	allow  time.Duration // how long the stretch may be
	passed int           // in this stretch
}

// New makes a Turnstile.
func New() *Turnstile {
	return &Turnstile{make(chan struct{}, 1), &pace{turn: make(chan struct{}, 1), most: each * runtime.GOMAXPROCS(0)}}
}

// Beside makes a Turnstile for other work that takes turns with t's: however many
// wait at one of them, every second to pass is of the other.
func (t *Turnstile) Beside() *Turnstile { return &Turnstile{make(chan struct{}, 1), t.pace} }

// Pass returns when it is the caller's turn. There are no rests where nobody else
// waits.
func (t *Turnstile) Pass() { t.pass(false) }

// Next is Pass for a loop that makes work for others: it waits for nobody, and still
// there must be rests.
func (t *Turnstile) Next() { t.pass(true) }

func (t *Turnstile) pass(loop bool) {
	t.pace.here.Add(1)
	defer t.pace.here.Add(-1)
	t.lane <- struct{}{}
	t.pace.turn <- struct{}{}
	t.pace.pass(loop)
	<-t.pace.turn
	<-t.lane
}

func (p *pace) pass(loop bool) {
	if now := time.Now(); now.Sub(p.last) >= pause {
		p.begin(now, stretch)
	}
	runtime.Gosched()
	p.passed++
	p.last = time.Now()
	busy := p.last.Sub(p.since)
	if busy < p.allow && p.passed < p.most || !loop && p.here.Load() <= 1 {
		return
	}
	began := p.last
	time.Sleep(min(max(busy, rest), longRest))
	p.last = time.Now()
	// A machine that makes rests long makes everything long: where others need the
	// cores too, newcomers shall not wait for ever.
	p.begin(p.last, p.last.Sub(began)/2)
}

// begin begins a stretch.
func (p *pace) begin(now time.Time, allow time.Duration) {
	p.since, p.passed, p.allow = now, 0, min(max(allow, stretch), longStretch)
}
