package redisbus

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/bus"
)

// receive subscribes, hands on what comes, and subscribes anew after any error,
// until the bus stops.
func (b *Bus) receive() {
	var wait backoff
	var seen order
	for !b.stopped() {
		confirmed, err := b.listen(&seen)
		b.lost(err)
		if confirmed {
			wait = 0
		}
		b.pause(wait.next())
	}
}

// listen lives as long as one subscription. It does not use PubSub.Channel,
// which drops messages when it is not read for a while.
func (b *Bus) listen(seen *order) (confirmed bool, err error) {
	ctx := context.Background() // Close ends it by closing the subscription
	sub := b.cfg.Client.Subscribe(ctx)
	defer func() { _ = sub.Close() }() // perhaps closed already
	if !b.keep(sub) {
		return false, nil
	}
	if err := sub.Subscribe(ctx, b.ownChannel(), b.allChannel()); err != nil {
		return false, err
	}
	missing := map[string]bool{b.ownChannel(): true, b.allChannel(): true}
	for {
		msg, err := sub.Receive(ctx)
		if err != nil {
			return confirmed, err
		}
		switch msg := msg.(type) {
		case *redis.Subscription:
			delete(missing, msg.Channel)
			if len(missing) == 0 && !confirmed {
				confirmed = true
				b.subscribed()
			}
		case *redis.Message:
			b.take(msg, seen)
		}
	}
}

// keep makes sub the subscription that Close and the prober end.
func (b *Bus) keep(sub *redis.PubSub) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sub = sub
	return b.phase == started
}

func (b *Bus) subscribed() {
	b.m.subscriptions.Inc()
	b.mu.Lock()
	b.subOK = true
	b.mu.Unlock()
	select {
	case <-b.ready:
		b.log.Info("redisbus: subscribed again")
	default:
		close(b.ready)
	}
	select {
	case b.fresh <- struct{}{}:
	default:
	}
}

func (b *Bus) lost(err error) {
	b.mu.Lock()
	was := b.subOK
	b.subOK = false
	b.mu.Unlock()
	if was && !b.stopped() {
		b.log.Error("redisbus: subscription lost", "err", err)
	}
}

// take hands one message on. It waits for a busy worker: Redis then holds what
// comes, and closes the subscription if it is too much for it.
func (b *Bus) take(msg *redis.Message, seen *order) {
	in, err := decode([]byte(msg.Payload))
	if err != nil {
		b.m.received.WithLabelValues("unreadable").Inc()
		return
	}
	all := msg.Channel == b.allChannel()
	own := in.msg.From == b.cfg.Node && in.epoch == b.epoch
	if !all {
		b.own.Add(1)
	}
	switch {
	case own && !all && in.msg.Kind == "":
		select {
		case b.echoes <- in.number:
		default:
		}
	case own: // delivered when it was published
	case !seen.pass(in, all, time.Now()):
		b.m.received.WithLabelValues("repeated").Inc()
	default:
		if !all {
			in.msg.To = b.cfg.Node
		}
		b.m.received.WithLabelValues("taken").Inc()
		b.busy.Store(true)
		_ = b.in.Deliver(in.msg) // fails only when the bus stops
		b.busy.Store(false)
	}
}

// probe sends the node a message through Redis now and then, and ends a
// subscription that does not bring it.
func (b *Bus) probe() {
	wait := b.cfg.Probe
	for {
		t := time.NewTimer(wait)
		select {
		case <-b.stop:
			t.Stop()
			return
		case <-b.fresh:
			t.Stop()
		case <-t.C:
		}
		wait = b.cfg.Probe
		if !b.probeOnce() {
			wait = b.cfg.ProbeWait
		}
	}
}

// probeOnce reports whether a probe came back in time. Its time begins when it
// was sent, however long the queue was. A subscription that brings other messages
// for this node, or whose receiver waits for a busy worker, is not silent: ending
// it would lose messages just when there are many.
func (b *Bus) probeOnce() bool {
	for len(b.echoes) > 0 { // late ones of former probes
		<-b.echoes
	}
	begin := time.Now()
	back := b.echo()
	if b.stopped() {
		return true
	}
	if back {
		b.m.probe.Set(time.Since(begin).Seconds())
	} else {
		b.m.silences.Inc()
	}
	b.mu.Lock()
	was := b.silent
	b.silent = !back
	sub := b.sub
	hung := b.subOK && b.sendErr == nil // else it is known to be down, and mended elsewhere
	b.mu.Unlock()
	if back {
		return true
	}
	if !was {
		b.log.Error("redisbus: a probe did not come back")
	}
	if hung && sub != nil {
		_ = sub.Close() // the receiver makes a new one
	}
	return false
}

// echo sends a probe and waits for a sign of the subscription's life.
func (b *Bus) echo() bool {
	sent := make(chan struct{})
	if b.enqueue(bus.Message{From: b.cfg.Node, To: b.cfg.Node}, sent) != nil {
		return false
	}
	select {
	case <-sent:
	case <-b.stop:
		return false
	}
	before := b.own.Load()
	t := time.NewTimer(b.cfg.ProbeWait)
	defer t.Stop()
	select {
	case <-b.echoes:
		return true
	case <-t.C:
	case <-b.stop:
	}
	return b.busy.Load() || b.own.Load() != before
}
