package bus

import (
	"fmt"
	"hash/maphash"
	"log/slog"
	"runtime/debug"
	"sync"
)

const (
	defaultWorkers = 4
	defaultDepth   = 16384
)

// Dispatcher runs handlers for a driver: a few workers, each with a bounded
// queue; messages of one From and Key go to one worker, so they stay in order.
type Dispatcher struct {
	log     *slog.Logger
	seed    maphash.Seed
	workers []*worker
	wg      sync.WaitGroup

	mu       sync.RWMutex // also held while a message is put into a queue
	handlers map[Kind]Handler
	running  bool
	stop     chan struct{}
}

type worker struct{ queue chan Message }

// NewDispatcher makes a Dispatcher whose workers keep at most depth waiting
// messages each. Zero means 4 workers and 16,384 messages; a nil logger logs nothing.
func NewDispatcher(workers, depth int, log *slog.Logger) *Dispatcher {
	if workers <= 0 {
		workers = defaultWorkers
	}
	if depth <= 0 {
		depth = defaultDepth
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	d := &Dispatcher{log: log, seed: maphash.MakeSeed(), handlers: map[Kind]Handler{}, stop: make(chan struct{})}
	for range workers {
		d.workers = append(d.workers, &worker{queue: make(chan Message, depth)})
	}
	return d
}

// Handle sets the handler of a kind. A second one for the same kind, or one
// after Start, is a bug of the program and panics.
func (d *Dispatcher) Handle(k Kind, h Handler) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, twice := d.handlers[k]; twice || d.running || h == nil {
		panic(fmt.Sprintf("bus: handler of kind %q set twice, too late or nil", k))
	}
	d.handlers[k] = h
}

// Start lets the workers run.
func (d *Dispatcher) Start() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.running || d.stoppedLocked() {
		return ErrStopped
	}
	d.running = true
	for _, w := range d.workers {
		d.wg.Go(func() { d.work(w) })
	}
	return nil
}

// Close stops the workers; what waits is dropped. No handler runs when it has
// returned. It must not be called by a handler.
func (d *Dispatcher) Close() {
	d.mu.Lock()
	if !d.stoppedLocked() {
		close(d.stop)
	}
	d.running = false
	d.mu.Unlock()
	d.wg.Wait()
}

func (d *Dispatcher) stoppedLocked() bool {
	select {
	case <-d.stop:
		return true
	default:
		return false
	}
}

// Running reports whether messages are handled.
func (d *Dispatcher) Running() bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.running
}

// Offer hands over m, whose Payload is then the handler's, or returns ErrFull
// or ErrStopped. It does not wait.
func (d *Dispatcher) Offer(m Message) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if !d.running {
		return ErrStopped
	}
	select {
	case d.workerOf(m).queue <- m:
		return nil
	default:
		return ErrFull
	}
}

// Deliver hands over m like Offer, but waits while the queue is full: it is for
// a receive loop, whose network then holds the rest.
func (d *Dispatcher) Deliver(m Message) error {
	if !d.Running() {
		return ErrStopped
	}
	select {
	case d.workerOf(m).queue <- m:
		return nil
	case <-d.stop:
		return ErrStopped
	}
}

func (d *Dispatcher) workerOf(m Message) *worker {
	var h maphash.Hash
	h.SetSeed(d.seed)
	h.WriteString(string(m.From))
	h.WriteByte(0)
	h.WriteString(m.Key)
	return d.workers[h.Sum64()%uint64(len(d.workers))]
}

func (d *Dispatcher) work(w *worker) {
	for {
		select {
		case <-d.stop:
			return
		case m := <-w.queue:
			select { // after Close nothing more is handled, even if it waits
			case <-d.stop:
				return
			default:
			}
			d.handle(m)
		}
	}
}

func (d *Dispatcher) handle(m Message) {
	d.mu.RLock()
	h := d.handlers[m.Kind]
	d.mu.RUnlock()
	if h == nil {
		d.log.Debug("bus: message of a kind that nobody handles", "kind", string(m.Kind), "from", string(m.From))
		return
	}
	defer func() {
		if r := recover(); r != nil {
			d.log.Error("bus: handler panicked", "kind", string(m.Kind), "panic", r, "stack", string(debug.Stack()))
		}
	}()
	h(m)
}
