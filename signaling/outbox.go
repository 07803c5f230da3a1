package signaling

import (
	"sync"
	"sync/atomic"

	"github.com/rondo-chat/rondo/protocol"
)

const (
	coalesceBytes = 64 << 10 // greatest write of several frames
	keepItems     = 4        // queue capacity that an idle socket keeps
)

type putResult uint8

const (
	put       putResult = iota
	putFull             // the client is too slow
	putClosed           // nothing more goes out
)

// outbox is what waits to be written to one socket. Whoever puts something in
// starts a goroutine that writes until nothing waits; putting never waits.
type outbox struct {
	t       transport
	limits  *Limits
	queued  *atomic.Int64 // bytes in all outboxes
	scratch *sync.Pool    // of *[]byte with coalesceBytes
	run     func()        // write, made a func value once instead of at each start

	mu      sync.Mutex
	waiting []item
	spare   []item        // the other one of two slices that take turns
	bytes   int           // waiting or being written
	count   int           // waiting or being written
	writing bool          // the writer runs
	ended   bool          // nothing more is taken
	idle    chan struct{} // if somebody waits for the writer's end
}

type item struct {
	b   []byte
	key string // of class Latest
}

// put appends a frame if there is room.
func (o *outbox) put(b []byte, key string) putResult {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return putClosed
	}
	if key != "" {
		o.dropLocked(key)
	}
	if o.count > 0 && (o.bytes+len(b) > o.roomLocked() || o.count >= o.limits.OutboxMessages) {
		return putFull
	}
	o.addLocked(item{b, key})
	return put
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
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return
	}
	for _, b := range frames {
		o.addLocked(item{b: b})
	}
}

// finish appends the close frame as the last one; with drop before all that
// waits. It reports whether it was the first to do so.
func (o *outbox) finish(code protocol.CloseCode, reason string, drop bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return false
	}
	o.ended = true
	if drop {
		o.clearLocked()
	}
	o.addLocked(item{b: closeFrame(code, reason)})
	return true
}

// stop ends all writing and returns when the writer has ended.
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

func (o *outbox) addLocked(i item) {
	o.waiting = append(o.waiting, i)
	o.bytes += len(i.b)
	o.count++
	o.queued.Add(int64(len(i.b)))
	if !o.writing {
		o.writing = true
		go o.run()
	}
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
			o.waiting = append(o.waiting[:n], o.waiting[n+1:]...)
			return
		}
	}
}

// write is the writer: it ends when nothing waits.
func (o *outbox) write() {
	for {
		batch := o.take()
		if batch == nil {
			return
		}
		n := size(batch)
		err := o.send(batch)
		if err != nil {
			o.t.close() // the read loop sees it and ends the socket
		}
		o.done(batch, n, err != nil)
	}
}

// take returns what waits, or nil after it has declared the writer ended.
func (o *outbox) take() []item {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.waiting) == 0 {
		o.writing = false
		if o.idle != nil {
			close(o.idle)
			o.idle = nil
		}
		return nil
	}
	batch := o.waiting
	o.waiting, o.spare = o.spare, nil
	return batch
}

func (o *outbox) done(batch []item, bytes int, failed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.goneLocked(len(batch), bytes)
	if failed {
		o.ended = true
		o.clearLocked()
	}
	if cap(batch) <= keepItems {
		clear(batch)
		o.spare = batch[:0]
	}
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
	p := o.scratch.Get().(*[]byte)
	defer o.scratch.Put(p)
	buf := (*p)[:0]
	for _, i := range batch {
		if len(buf) > 0 && len(buf)+len(i.b) > coalesceBytes {
			if err := o.t.write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
		if len(i.b) > coalesceBytes {
			if err := o.t.write(i.b); err != nil {
				return err
			}
			continue
		}
		buf = append(buf, i.b...)
	}
	if len(buf) == 0 {
		return nil
	}
	return o.t.write(buf)
}
