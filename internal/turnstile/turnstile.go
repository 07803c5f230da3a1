// Package turnstile lets work wait that can, so that what is urgent goes first.
package turnstile

import (
	"runtime"
	"sync/atomic"
	"time"
)

const (
	// batch is how many pass before it rests, if more wait.
	batch = 16
	// rest is for how long at least; the runtime makes about 1 ms of it.
	rest = 50 * time.Microsecond
)

// Turnstile is where work waits that can: of people who come or go, and of who
// sends or asks much. It lets one through after all that is ready to run had its
// turn, so that thousands at once delay nobody's message by more than a few of
// them. Who is through holds nothing and may take its time. On a machine that has
// nothing else to do, passing costs less than a microsecond.
//
// The runtime serves goroutines in the order in which they became ready, so
// without it 5,000 sockets that open or break at once stand before whatever comes
// after them. And it looks for news from the network only when nothing is ready,
// or every 10 ms: hence the rest.
type Turnstile struct {
	turn   chan struct{}
	here   atomic.Int64 // waiting or passing
	passed int          // since the last rest; of who has the turn
}

// New makes a Turnstile.
func New() *Turnstile { return &Turnstile{turn: make(chan struct{}, 1)} }

// Pass returns when it is the caller's turn.
func (t *Turnstile) Pass() {
	t.here.Add(1)
	defer t.here.Add(-1)
	t.turn <- struct{}{} // first come, first served
	if t.passed++; t.passed >= batch && t.here.Load() > 1 {
		time.Sleep(rest)
		t.passed = 0
	} else {
		runtime.Gosched()
	}
	<-t.turn
}
