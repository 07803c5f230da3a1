package signaling

import (
	"bytes"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/rondo-chat/rondo/protocol"
)

const (
	coalesceBytes = 64 << 10 // greatest write of several frames
	fewItems      = 8        // room for frames that a socket is lent while something waits
	manyItems     = 64       // and where that is not enough
)

type putResult uint8

const (
	put       putResult = iota
	putFull             // the client is too slow
	putClosed           // nothing more goes out
)

// outbox is what waits to be written to one socket; putting never waits. Whoever puts
// something in while nothing is being written must see to its writing: now, if that does
// not wait (flush), or by the flusher.
type outbox struct {
	t      transport
	limits *Limits
	queued *atomic.Int64 // bytes in all outboxes
	flow   *flusher

	mu      sync.Mutex
	waiting []item        // lent
	bytes   int           // waiting or being written
	count   int           // waiting or being written
	writing bool          // somebody sees to the writing
	ended   bool          // nothing more is taken
	idle    chan struct{} // if somebody waits for the writing's end
}

type item struct {
	b   []byte
	key string // of class Latest
}

// put appends a frame if there is room, and has it written.
func (o *outbox) put(b []byte, key string) putResult {
	result, mine := o.add(b, key)
	if mine {
		o.flow.add(o)
	}
	return result
}

// add appends a frame if there is room. mine: the caller must see to its writing.
func (o *outbox) add(b []byte, key string) (result putResult, mine bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return putClosed, false
	}
	if key != "" {
		o.dropLocked(key)
	}
	if o.count > 0 && (o.bytes+len(b) > o.roomLocked() || o.count >= o.limits.OutboxMessages) {
		return putFull, false
	}
	return put, o.addLocked(item{b, key})
}

// roomLocked is how many bytes may wait here; less when much waits everywhere.
func (o *outbox) roomLocked() int {
	if o.queued.Load() > o.limits.QueueBytes {
		return o.limits.OutboxBytes / 8
	}
	return o.limits.OutboxBytes
}

// force appends frames whose number is bounded by other means.
func (o *outbox) force(frames ...[]byte) {
	if o.forced(frames) {
		o.flow.add(o)
	}
}

func (o *outbox) forced(frames [][]byte) (mine bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return false
	}
	for _, b := range frames {
		mine = o.addLocked(item{b: b}) || mine
	}
	return mine
}

// finish appends the close frame as the last one; with drop before all that
// waits. It reports whether it was the first to do so.
func (o *outbox) finish(code protocol.CloseCode, reason string, drop bool) bool {
	first, mine := o.finished(closeFrame(code, reason), drop)
	if mine {
		o.flow.add(o)
	}
	return first
}

func (o *outbox) finished(frame []byte, drop bool) (first, mine bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return false, false
	}
	o.ended = true
	if drop {
		o.clearLocked()
	}
	return true, o.addLocked(item{b: frame})
}

// stop ends all writing and returns when that has ended.
func (o *outbox) stop() {
	o.mu.Lock()
	o.ended = true
	o.clearLocked()
	o.mu.Unlock()
	o.t.close()
	o.wait()
}

// wait returns when nothing is being written.
func (o *outbox) wait() {
	o.mu.Lock()
	if !o.writing {
		o.mu.Unlock()
		return
	}
	if o.idle == nil {
		o.idle = make(chan struct{})
	}
	idle := o.idle
	o.mu.Unlock()
	<-idle
}

// addLocked appends i. mine: the caller must see to the writing.
func (o *outbox) addLocked(i item) (mine bool) {
	if len(o.waiting) == cap(o.waiting) {
		o.waiting = o.flow.lend(o.waiting)
	}
	o.waiting = append(o.waiting, i)
	o.bytes += len(i.b)
	o.count++
	o.queued.Add(int64(len(i.b)))
	mine = !o.writing
	o.writing = true
	return mine
}

func (o *outbox) goneLocked(n, bytes int) {
	o.count -= n
	o.bytes -= bytes
	o.queued.Add(-int64(bytes))
}

func (o *outbox) clearLocked() {
	for _, i := range o.waiting {
		o.goneLocked(1, len(i.b))
	}
	clear(o.waiting)
	o.waiting = o.waiting[:0]
}

// dropLocked takes out what waits under key.
func (o *outbox) dropLocked(key string) {
	for n := range o.waiting {
		if o.waiting[n].key == key {
			o.goneLocked(1, len(o.waiting[n].b))
			o.waiting = slices.Delete(o.waiting, n, n+1)
			return
		}
	}
}

// write writes until nothing waits. It waits for the client.
func (o *outbox) write() {
	for {
		batch := o.take()
		if batch == nil || o.done(batch, o.send(batch)) {
			return
		}
	}
}

// flush writes what waits without waiting for the client. It returns false if somebody
// must see to more that waits by now; what the client does not take is written by a
// goroutine.
func (o *outbox) flush(a *attempt) (empty bool) {
	batch := o.take()
	if batch == nil {
		return true
	}
	b, whole := a.join(batch)
	n, err := 0, error(nil)
	if whole {
		n, err = o.t.try(b, a)
	}
	switch {
	case err != nil || n == len(b):
		return o.done(batch, err)
	case n == 0:
		go o.goOn(batch, nil)
	default:
		go o.goOn(batch, bytes.Clone(b[n:]))
	}
	return true
}

// goOn writes the rest of a batch, nil for all of it, and then all that waits.
func (o *outbox) goOn(batch []item, rest []byte) {
	var err error
	if rest != nil {
		err = o.t.write(rest)
	} else {
		err = o.send(batch)
	}
	if !o.done(batch, err) {
		o.write()
	}
}

// take returns what waits, or nil after it has declared the writing ended.
func (o *outbox) take() []item {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.waiting) == 0 {
		o.endLocked()
		return nil
	}
	batch := o.waiting
	o.waiting = nil
	return batch
}

func (o *outbox) endLocked() {
	o.writing = false
	if o.idle != nil {
		close(o.idle)
		o.idle = nil
	}
}

// done notes that a batch was written, or could not be. empty: nothing waits, and the
// writing has ended; else the caller must go on with it.
func (o *outbox) done(batch []item, err error) (empty bool) {
	if err != nil {
		o.t.close() // the read loop sees it and ends the socket
	}
	bytes := size(batch)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.goneLocked(len(batch), bytes)
	if err != nil {
		o.ended = true
		o.clearLocked()
	}
	o.flow.giveBack(batch)
	if len(o.waiting) > 0 {
		return false
	}
	o.endLocked()
	return true
}

func size(batch []item) (n int) {
	for _, i := range batch {
		n += len(i.b)
	}
	return n
}

// send writes the batch, several frames in one write where they fit.
func (o *outbox) send(batch []item) error {
	if len(batch) == 1 {
		return o.t.write(batch[0].b)
	}
	a := o.flow.attempts.Get().(*attempt)
	defer o.flow.attempts.Put(a)
	for len(batch) > 0 {
		b, n := a.some(batch)
		if err := o.t.write(b); err != nil {
			return err
		}
		batch = batch[n:]
	}
	return nil
}
