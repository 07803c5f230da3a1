package redisbus

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/bus/stream"
)

const (
	sendTimeout = 2 * time.Second
	flushTime   = 2 * time.Second

	frameBytes  = 64 << 10 // of messages a frame
	windowBytes = 1 << 20  // under way to a node
	batchBytes  = 4 << 20  // a pipeline, about
	ackAfter    = 50 * time.Millisecond
	minResend   = 500 * time.Millisecond
	maxResend   = 2 * time.Second
	logEvery    = 5 * time.Second
)

// cast is a frame that is sent once at most.
type cast struct {
	channel string
	frame   []byte
	at      time.Time
	sent    chan struct{} // of a probe: closed when sending was tried
}

// Publish implements bus.Bus. The own copy of a message for all goes by itself,
// so nodes keep hearing themselves when Redis is away.
func (b *Bus) Publish(m bus.Message) error {
	if len(m.Kind)+len(m.Key)+len(m.Payload) > bus.MaxMessage {
		return bus.ErrTooBig
	}
	if m.Kind == "" || len(m.To) > maxName {
		return errors.New("redisbus: a message needs a kind, and a node a shorter name")
	}
	if !b.open.Load() {
		return bus.ErrStopped
	}
	m.From = b.cfg.Node
	var err error
	switch m.To {
	case b.cfg.Node:
	case "":
		err = b.enqueue(cast{channel: b.allChannel(), frame: encodeCast(b.epoch, b.casts.Add(1), m), at: time.Now()})
	default:
		var soon bool
		if soon, err = b.links.push(m.To, encodeMessage(m), time.Now()); soon {
			b.wakeUp()
		}
	}
	if err != nil {
		b.m.published.full.Inc()
		return err
	}
	if m.To != "" && m.To != b.cfg.Node {
		return nil
	}
	m.Payload = append([]byte(nil), m.Payload...)
	return b.in.Offer(m)
}

// enqueue queues a cast.
func (b *Bus) enqueue(c cast) error {
	n := int64(len(c.frame))
	if b.waiting.Add(n) > b.cfg.QueueBytes {
		b.waiting.Add(-n)
		return bus.ErrFull
	}
	select {
	case b.queue <- c:
		b.wakeUp()
		return nil
	default:
		b.waiting.Add(-n)
		return bus.ErrFull
	}
}

// wakeUp has the publisher look what there is to send.
func (b *Bus) wakeUp() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// batch is what goes out in one pipeline. It is used again and again.
type batch struct {
	casts    []cast
	dispatch []dispatch
	wire     []byte
	hello    bool
	alarm    *time.Timer
}

func (t *batch) empty() bool { return len(t.casts) == 0 && len(t.dispatch) == 0 && !t.hello }

// clear lets go of what was sent, and of memory after much at once.
func (t *batch) clear() {
	clear(t.casts)
	t.casts = t.casts[:0]
	for i := range t.dispatch {
		d := &t.dispatch[i]
		clear(d.frame.Messages)
		d.peer, d.wire = nil, nil
	}
	t.dispatch = t.dispatch[:0]
	if cap(t.wire) > batchBytes {
		t.wire = nil
	}
	t.wire, t.hello = t.wire[:0], false
}

// publish sends what there is to send until the bus is closed.
func (b *Bus) publish() {
	defer close(b.flushed)
	t := batch{alarm: time.NewTimer(0)}
	defer t.alarm.Stop()
	for {
		select {
		case <-b.closing:
			b.flush(&t)
			return
		default:
		}
		if at := b.fill(&t); t.empty() {
			t.rest(at, b.wake, b.closing)
		} else {
			_ = b.send(context.Background(), &t) // it is tried again
		}
		t.clear()
	}
}

// flush sends until the others have all, or that fails or takes too long.
func (b *Bus) flush(t *batch) {
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	b.links.hurry(time.Now())
	for ctx.Err() == nil {
		if at := b.fill(t); !t.empty() {
			if b.send(ctx, t) != nil {
				return
			}
		} else if b.links.waits() {
			t.rest(at, b.wake, ctx.Done())
		} else {
			return
		}
		t.clear()
	}
}

// rest waits until at, or until there is something to do.
func (t *batch) rest(at time.Time, wake, end <-chan struct{}) {
	var alarm <-chan time.Time
	if !at.IsZero() {
		t.alarm.Reset(time.Until(at))
		alarm = t.alarm.C
	}
	select {
	case <-wake:
	case <-alarm:
	case <-end:
	}
}

// fill takes what is to be sent now, and returns when there may be more.
func (b *Bus) fill(t *batch) (at time.Time) {
	now := time.Now()
	t.hello = b.greet.Load() && !now.Before(b.greetAt)
	for len(t.casts) < b.cfg.Batch/2+1 {
		select {
		case c := <-b.queue:
			b.waiting.Add(-int64(len(c.frame)))
			if c.sent == nil && now.Sub(c.at) > b.cfg.MaxAge { // a probe is never too old
				b.m.published.stale.Inc()
				continue
			}
			t.casts = append(t.casts, c)
			continue
		default:
		}
		break
	}
	t.dispatch, at = b.links.next(t.dispatch, max(b.cfg.Batch-len(t.casts), 1), now)
	lost, late := b.links.takeLost()
	b.dropped(lost, now)
	if late {
		b.nudge() // perhaps it is the own subscription that is silent
	}
	if b.greet.Load() && !t.hello && (at.IsZero() || b.greetAt.Before(at)) {
		at = b.greetAt
	}
	return at
}

// dropped counts messages that were kept and dropped, and logs them once in a while.
func (b *Bus) dropped(lost stream.Lost, now time.Time) {
	b.m.published.expired.Add(float64(lost.Expired))
	b.m.published.restarted.Add(float64(lost.Restarted))
	b.unlogged.Expired += lost.Expired
	b.unlogged.Restarted += lost.Restarted
	if b.unlogged == (stream.Lost{}) || now.Before(b.logAt) {
		return
	}
	b.log.Warn("redisbus: messages dropped", "no_sign_of_the_node", b.unlogged.Expired, "node_replaced", b.unlogged.Restarted)
	b.unlogged, b.logAt = stream.Lost{}, now.Add(logEvery)
}

// send publishes a batch in one pipeline and returns the first error.
func (b *Bus) send(ctx context.Context, t *batch) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	pipe := b.cfg.Client.Pipeline()
	if t.hello {
		b.greet.Store(false)
		add(ctx, pipe, b.allChannel(), appendHead(nil, formHello, b.epoch, b.cfg.Node))
	}
	for _, c := range t.casts {
		add(ctx, pipe, c.channel, c.frame)
	}
	for i := range t.dispatch {
		d := &t.dispatch[i]
		begin := len(t.wire)
		t.wire = appendStream(t.wire, b.cfg.Node, &d.frame)
		d.wire = t.wire[begin:len(t.wire):len(t.wire)]
		add(ctx, pipe, d.peer.channel, d.wire)
	}
	cmds, err := pipe.Exec(ctx)
	b.outcome(t, cmds)
	b.sent(err)
	return err
}

// add puts a PUBLISH into a pipeline. It has no key, and a cluster client would
// send each to another master, where they overtake each other. Routed by the
// channel's slot they stay in order.
func add(ctx context.Context, pipe redis.Pipeliner, channel string, frame []byte) {
	cmd := redis.NewIntCmd(ctx, "publish", channel, frame)
	cmd.SetFirstKeyPos(1)
	_ = pipe.Process(ctx, cmd) // into the pipeline
}

// outcome notes what became of a batch.
func (b *Bus) outcome(t *batch, cmds []redis.Cmder) {
	now := time.Now()
	failed := func() (f bool) {
		f = cmds[0].Err() != nil
		cmds = cmds[1:]
		return f
	}
	if t.hello && failed() {
		b.greetAt = now.Add(b.greetWait.next())
		b.greet.Store(true)
	} else if t.hello {
		b.greetWait = 0
	}
	sent := 0
	for _, c := range t.casts {
		if c.sent != nil {
			close(c.sent)
		}
		if failed() {
			b.m.published.failed.Inc()
		} else {
			sent++
		}
	}
	for i := range t.dispatch {
		d := &t.dispatch[i]
		f := failed()
		if f {
			b.m.published.failed.Add(float64(len(d.frame.Messages)))
		} else {
			sent += len(d.frame.Messages)
		}
		b.links.outcome(d, f, now)
	}
	b.m.published.sent.Add(float64(sent))
	b.m.batch.Observe(float64(sent))
}

// sent notes how sending goes, and logs when that changes.
func (b *Bus) sent(err error) {
	b.mu.Lock()
	was := b.sendErr
	b.sendErr = err
	b.mu.Unlock()
	switch {
	case was == nil && err != nil:
		b.log.Error("redisbus: cannot send", "err", err)
	case was != nil && err == nil:
		b.log.Info("redisbus: sending works again")
		b.nudge() // does the subscription, too?
	}
}
