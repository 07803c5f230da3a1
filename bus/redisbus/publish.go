package redisbus

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/bus"
)

const (
	sendTimeout = 3 * time.Second
	flushTime   = 2 * time.Second
)

// Publish implements bus.Bus. The own copy of a message for all goes by itself,
// so nodes keep hearing themselves when Redis is away.
func (b *Bus) Publish(m bus.Message) error {
	if len(m.Kind)+len(m.Key)+len(m.Payload) > bus.MaxMessage {
		return bus.ErrTooBig
	}
	if m.Kind == "" {
		return errors.New("redisbus: a message needs a kind")
	}
	if !b.in.Running() {
		return bus.ErrStopped
	}
	m.From = b.cfg.Node
	if m.To != b.cfg.Node {
		if err := b.enqueue(m, nil); err != nil {
			b.m.published.WithLabelValues("full").Inc()
			return err
		}
	}
	if m.To != "" && m.To != b.cfg.Node {
		return nil
	}
	m.Payload = append([]byte(nil), m.Payload...)
	return b.in.Offer(m)
}

// enqueue queues m; sent, if not nil, is closed when sending it was tried.
func (b *Bus) enqueue(m bus.Message, sent chan struct{}) error {
	o := outgoing{channel: b.channel(m.To), frame: encode(b.epoch, m), at: time.Now(), sent: sent}
	n := int64(len(o.frame))
	if b.waiting.Add(n) > b.cfg.QueueBytes {
		b.waiting.Add(-n)
		return bus.ErrFull
	}
	select {
	case b.queue <- o:
		return nil
	default:
		b.waiting.Add(-n)
		return bus.ErrFull
	}
}

// publish sends what is queued until the bus stops, and then what is left.
func (b *Bus) publish() {
	var number uint64
	var wait backoff
	batch := make([]outgoing, 0, b.cfg.Batch)
	for {
		select {
		case <-b.stop:
			b.flush(&number, batch[:0])
			return
		case o := <-b.queue:
			batch = b.fill(append(batch[:0], o))
		}
		err := b.send(context.Background(), batch, &number)
		b.sent(err)
		clear(batch)
		if err == nil {
			wait = 0
		} else {
			b.pause(wait.next())
		}
	}
}

// flush sends the rest as long as that works.
func (b *Bus) flush(number *uint64, batch []outgoing) {
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	for ctx.Err() == nil {
		if batch = b.fill(batch[:0]); len(batch) == 0 || b.send(ctx, batch, number) != nil {
			return
		}
	}
}

// fill adds what waits, up to a batch.
func (b *Bus) fill(batch []outgoing) []outgoing {
	for len(batch) < b.cfg.Batch {
		select {
		case o := <-b.queue:
			batch = append(batch, o)
		default:
			return batch
		}
	}
	return batch
}

// send publishes a batch in one pipeline and returns the first error.
func (b *Bus) send(ctx context.Context, batch []outgoing, number *uint64) error {
	defer func() {
		for _, o := range batch {
			if o.sent != nil {
				close(o.sent)
			}
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	pipe := b.cfg.Client.Pipeline()
	now := time.Now()
	for _, o := range batch {
		b.waiting.Add(-int64(len(o.frame)))
		if o.sent == nil && now.Sub(o.at) > b.cfg.MaxAge { // a probe is never too old
			b.m.published.WithLabelValues("stale").Inc()
			continue
		}
		*number++
		o.number(*number)
		cmd := redis.NewIntCmd(ctx, "publish", o.channel, o.frame)
		// PUBLISH has no key, and a cluster client would send each to another
		// master, where they overtake each other. Routed by the channel's slot
		// they stay in order.
		cmd.SetFirstKeyPos(1)
		_ = pipe.Process(ctx, cmd) // into the pipeline
	}
	if pipe.Len() == 0 {
		return nil
	}
	cmds, err := pipe.Exec(ctx)
	failed := 0
	for _, c := range cmds {
		if c.Err() != nil {
			failed++
		}
	}
	b.m.published.WithLabelValues("failed").Add(float64(failed))
	b.m.published.WithLabelValues("sent").Add(float64(len(cmds) - failed))
	b.m.batch.Observe(float64(len(cmds)))
	return err
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
	}
}
