package signaling

import (
	"runtime"
	"sync"
)

// flusher writes what waits in outboxes, on a goroutine for each core while there is
// something to write. Outboxes take turns: the more there is to do, the longer they wait,
// and the more goes out in one write. No goroutine of it waits for a client.
type flusher struct {
	most     int       // goroutines
	attempts sync.Pool // of *attempt
	few      sync.Pool // of *[fewItems]item
	many     sync.Pool // of *[manyItems]item

	mu      sync.Mutex
	waiting []*outbox // first come, first served
	first   int       // before it all are done
	busy    int       // goroutines
}

func newFlusher() *flusher {
	return &flusher{
		most:     runtime.GOMAXPROCS(0),
		attempts: sync.Pool{New: func() any { return newAttempt() }},
		few:      sync.Pool{New: func() any { return new([fewItems]item) }},
		many:     sync.Pool{New: func() any { return new([manyItems]item) }},
	}
}

// lend returns a list with what is in the full one, and room for more.
func (f *flusher) lend(full []item) []item {
	switch n := len(full); {
	case n == 0:
		return f.few.Get().(*[fewItems]item)[:0]
	case n < manyItems:
		more := append(f.many.Get().(*[manyItems]item)[:0], full...)
		f.giveBack(full)
		return more
	default: // hardly ever, and bounded by Limits.OutboxMessages
		more := append(make([]item, 0, 4*n), full...)
		f.giveBack(full)
		return more
	}
}

// giveBack takes a list back that was lent.
func (f *flusher) giveBack(list []item) {
	clear(list)
	switch cap(list) {
	case fewItems:
		f.few.Put((*[fewItems]item)(list[:fewItems]))
	case manyItems:
		f.many.Put((*[manyItems]item)(list[:manyItems]))
	}
}

// add has o written. The caller must be the one who sees to it.
func (f *flusher) add(o *outbox) {
	if !o.t.tries() {
		go o.write()
		return
	}
	f.mu.Lock()
	f.waiting = append(f.waiting, o)
	more := f.busy < min(f.most, 1+(len(f.waiting)-f.first)/shareOf)
	if more {
		f.busy++
	}
	f.mu.Unlock()
	if more {
		go f.run()
	}
}

// now writes o from here, as far as that does not wait.
func (f *flusher) now(o *outbox) {
	if !o.t.tries() {
		go o.write()
		return
	}
	a := f.attempts.Get().(*attempt)
	if !o.flush(a) {
		f.add(o)
	}
	f.attempts.Put(a)
}

func (f *flusher) run() {
	a := f.attempts.Get().(*attempt)
	defer f.attempts.Put(a)
	var again *outbox
	for {
		o := f.next(again)
		if o == nil {
			return
		}
		if again = o; o.flush(a) {
			again = nil
		}
	}
}

// next returns the next outbox after it has put again behind all; nil: this goroutine
// is not needed any more.
func (f *flusher) next(again *outbox) *outbox {
	f.mu.Lock()
	defer f.mu.Unlock()
	if again != nil {
		f.waiting = append(f.waiting, again)
	}
	if f.first == len(f.waiting) {
		f.busy--
		f.waiting, f.first = f.waiting[:0], 0
		if cap(f.waiting) > keepWaiting {
			f.waiting = nil
		}
		return nil
	}
	o := f.waiting[f.first]
	f.waiting[f.first] = nil
	if f.first++; f.first > keepWaiting && 2*f.first > len(f.waiting) {
		n := copy(f.waiting, f.waiting[f.first:])
		clear(f.waiting[n:])
		f.waiting, f.first = f.waiting[:n], 0
	}
	return o
}

// shareOf is how many outboxes must wait for each further goroutine. Fewer are written
// sooner by one, while another core sees to what comes meanwhile.
const shareOf = 128

// keepWaiting is for how many outboxes a flusher keeps room.
const keepWaiting = 1024

// attempt is what it takes to write without waiting.
type attempt struct {
	scratch []byte // frames that go out together

	b    []byte
	n    int
	err  error
	call func(fd uintptr) bool // made once
}

// some returns the first frames of a batch as one text, as many as belong in one write.
func (a *attempt) some(batch []item) (b []byte, n int) {
	if len(batch) == 1 || len(batch[0].b)+len(batch[1].b) > coalesceBytes {
		return batch[0].b, 1
	}
	a.scratch = a.scratch[:0]
	for _, i := range batch {
		if len(a.scratch)+len(i.b) > coalesceBytes {
			break
		}
		a.scratch = append(a.scratch, i.b...)
		n++
	}
	return a.scratch, n
}

// join returns the batch as one text; whole: all of it.
func (a *attempt) join(batch []item) (b []byte, whole bool) {
	b, n := a.some(batch)
	return b, n == len(batch)
}
