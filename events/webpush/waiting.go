package webpush

import (
	"cmp"
	"context"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

const (
	minPause = 5 * time.Second
	// MaxPause is how long a device is left alone at most, unless its push service asks for more.
	MaxPause    = 15 * time.Minute
	maxWaiting  = 5_000 // devices
	maxOfDevice = 5     // rooms
)

// waiting holds what could not be sent, and sends it later.
type waiting struct {
	sink *Sink
	wake chan struct{} // of one
	life context.Context
	end  context.CancelFunc
	work sync.WaitGroup

	mu      sync.Mutex
	devices map[string]*patient
	running bool
}

// patient is a device that took nothing the last time.
type patient struct {
	pushes map[protocol.RoomID]push
	next   time.Time
	tries  int
}

func newWaiting(s *Sink) *waiting {
	w := &waiting{sink: s, wake: make(chan struct{}, 1), devices: map[string]*patient{}}
	w.life, w.end = context.WithCancel(context.Background())
	return w
}

func (w *waiting) close() {
	w.end()
	w.mu.Lock()
	w.running = true // nothing starts any more
	w.mu.Unlock()
	w.work.Wait()
}

func (w *waiting) len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, d := range w.devices {
		n += len(d.pushes)
	}
	return n
}

func (w *waiting) has(device string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.devices[device] != nil
}

// put keeps a push, unless there is no room; at the earliest after the time the device is tried again.
func (w *waiting) put(p push, after time.Duration) {
	w.mu.Lock()
	d := w.devices[p.to.ID]
	if d == nil && len(w.devices) < maxWaiting {
		d = &patient{pushes: map[protocol.RoomID]push{}, next: time.Now().Add(max(jitter(minPause), min(after, TTL)))}
		w.devices[p.to.ID] = d
	}
	fits := d != nil
	if fits {
		_, known := d.pushes[p.room]
		if fits = known || len(d.pushes) < maxOfDevice; fits {
			d.pushes[p.room] = p
		}
	}
	if !w.running {
		w.running = true
		w.work.Go(w.run)
	}
	w.mu.Unlock()
	if !fits {
		w.sink.metrics.count(dropped)
		return
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run tries devices whose time has come until none waits.
func (w *waiting) run() {
	for w.life.Err() == nil {
		due, next, left := w.due(time.Now())
		if !left {
			return
		}
		var wait sync.WaitGroup
		for _, id := range due {
			wait.Go(func() { w.try(id) })
		}
		wait.Wait()
		if len(due) > 0 {
			continue
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-timer.C:
		case <-w.wake:
		case <-w.life.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// due returns devices that are to be tried now, those first that failed the least, or when the first one is; left is false if there is none
// and run must end.
func (w *waiting) due(now time.Time) (due []string, next time.Time, left bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.devices) == 0 {
		w.running = w.life.Err() != nil
		return nil, next, false
	}
	for id, d := range w.devices {
		switch {
		case !d.next.After(now):
			due = append(due, id)
		case next.IsZero() || d.next.Before(next):
			next = d.next
		}
	}
	slices.SortFunc(due, func(a, b string) int { return cmp.Compare(w.devices[a].tries, w.devices[b].tries) })
	return due[:min(len(due), atOnce)], next, true
}

// try sends what a device waits for until it takes something not.
func (w *waiting) try(id string) {
	for {
		p, ok := w.first(id)
		if !ok {
			return
		}
		if !time.Now().Before(p.until) {
			w.sink.metrics.count(dropped)
			w.sink.failed(w.life, p.to)
			w.sent(p)
			continue
		}
		still, err := w.sink.cfg.Devices.Still(w.life, p.to)
		if err == nil && !still {
			w.forget(id)
			return
		}
		var after time.Duration
		again := err != nil // the database does not answer
		if !again {
			after, again = w.sink.send(w.life, p)
		}
		if again {
			w.postpone(id, after)
			return
		}
		w.sent(p)
	}
}

// first returns a push that the device waits for; without one it is forgotten.
func (w *waiting) first(id string) (push, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.devices[id]
	if d == nil || w.life.Err() != nil {
		return push{}, false
	}
	for _, p := range d.pushes {
		return p, true
	}
	delete(w.devices, id)
	return push{}, false
}

// sent takes a push away, unless a newer one has come since.
func (w *waiting) sent(p push) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.devices[p.to.ID]
	if d == nil {
		return
	}
	d.tries = 0
	if &d.pushes[p.room].plain[0] == &p.plain[0] {
		delete(d.pushes, p.room)
	}
}

func (w *waiting) forget(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.devices, id)
}

func (w *waiting) postpone(id string, after time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d := w.devices[id]; d != nil {
		d.tries++
		pause := MaxPause
		if d.tries < 16 {
			pause = min(MaxPause, minPause<<d.tries)
		}
		d.next = time.Now().Add(max(jitter(pause), min(after, TTL)))
	}
}

func jitter(d time.Duration) time.Duration { return d - time.Duration(mathrand.Int64N(int64(d)/4+1)) }
