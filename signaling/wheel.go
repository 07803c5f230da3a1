package signaling

import (
	"sync"
	"time"
)

const wheelSlots = 512

// timed is something that a wheel calls when its time has come. What it returns
// is the time until the next call; zero means none.
type timed interface{ due() time.Duration }

// timer is one entry of a wheel, part of what it is for. It belongs to the
// wheel's lock.
type timer struct {
	prev, next *timer
	owner      timed
	at         int64 // tick
	off        bool  // stopped while it was being called
}

// wheel is a hashed timing wheel: one goroutine and one runtime timer for all
// sockets and sessions of a hub. It is late by up to a tick, never early.
type wheel struct {
	tick  time.Duration
	start time.Time
	stop  chan struct{}
	wg    sync.WaitGroup

	mu    sync.Mutex
	now   int64 // ticks since the start
	slots [wheelSlots]timer
}

func newWheel(tick time.Duration) *wheel {
	w := &wheel{tick: tick, start: time.Now(), stop: make(chan struct{})}
	for i := range w.slots {
		w.slots[i].prev, w.slots[i].next = &w.slots[i], &w.slots[i]
	}
	w.wg.Go(w.run)
	return w
}

func (w *wheel) close() {
	close(w.stop)
	w.wg.Wait()
}

// set lets t be called after d, instead of when it was set before.
func (w *wheel) set(t *timer, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t.off = false
	w.setLocked(t, d)
}

// ticks is how many ticks have passed since the start.
func (w *wheel) ticks() int64 { return int64(time.Since(w.start) / w.tick) }

func (w *wheel) setLocked(t *timer, d time.Duration) {
	w.unlinkLocked(t)
	// Not from w.now, which lags behind when the machine is busy: t would be early.
	t.at = max(w.now, w.ticks()) + 1 + int64((d+w.tick-1)/w.tick)
	head := &w.slots[t.at%wheelSlots]
	t.prev, t.next = head.prev, head
	head.prev.next, head.prev = t, t
}

// unset takes t out. A call that has begun may still run, but not a further one.
func (w *wheel) unset(t *timer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t.off = true
	w.unlinkLocked(t)
}

func (w *wheel) unlinkLocked(t *timer) {
	if t.next != nil {
		t.prev.next, t.next.prev = t.next, t.prev
		t.prev, t.next = nil, nil
	}
}

func (w *wheel) run() {
	ticker := time.NewTicker(w.tick)
	defer ticker.Stop()
	var ready []*timer
	for {
		select {
		case <-w.stop:
			return
		case <-ticker.C:
		}
		ready = w.advance(w.ticks(), ready[:0])
		for _, t := range ready {
			w.again(t, t.owner.due())
		}
		clear(ready)
	}
}

// advance takes out what is due up to tick to. After a long pause it visits
// each slot once.
func (w *wheel) advance(to int64, ready []*timer) []*timer {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := max(w.now+1, to-wheelSlots+1)
	for n := first; n <= to; n++ {
		head := &w.slots[n%wheelSlots]
		for t := head.next; t != head; {
			next := t.next
			if t.at <= to {
				w.unlinkLocked(t)
				ready = append(ready, t)
			}
			t = next
		}
	}
	w.now = max(w.now, to)
	return ready
}

// again sets t anew after its call, unless somebody stopped or set it meanwhile.
func (w *wheel) again(t *timer, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d > 0 && !t.off && t.next == nil {
		w.setLocked(t, d)
	}
}
