package redisbus

import (
	"context"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/bus/stream"
	"github.com/rondo-chat/rondo/protocol"
)

// receive subscribes, hands on what comes, and subscribes anew after any error,
// until the bus stops.
func (b *Bus) receive() {
	var wait backoff
	var box inbox
	for !b.stopped() {
		confirmed, err := b.listen(&box)
		b.lost(err)
		if confirmed {
			wait = 0
		}
		b.pause(wait.next())
	}
}

// listen lives as long as one subscription. It does not use PubSub.Channel,
// which drops messages when it is not read for a while.
func (b *Bus) listen(box *inbox) (confirmed bool, err error) {
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
			b.take(msg, box)
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
	b.greet.Store(true) // others send again what this node did not hear
	b.links.again()     // and it did not hear whether they did
	b.wakeUp()
	b.nudge()
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

// inbox is what the receiver keeps from frame to frame.
type inbox struct {
	casts order
	kinds map[string]bus.Kind // so that each is allocated once
}

const maxKinds = 256

func (i *inbox) kind(s string) bus.Kind {
	if k, ok := i.kinds[s]; ok {
		return k
	}
	k := bus.Kind(strings.Clone(s))
	if i.kinds == nil {
		i.kinds = map[string]bus.Kind{}
	}
	if len(i.kinds) < maxKinds {
		i.kinds[string(k)] = k
	}
	return k
}

// take handles one frame.
func (b *Bus) take(msg *redis.Message, box *inbox) {
	in, err := decode(msg.Payload)
	if err != nil {
		b.m.received.unreadable.Inc()
		return
	}
	own := in.from == string(b.cfg.Node) && in.head.Epoch == b.epoch
	all := msg.Channel == b.allChannel()
	if !all {
		b.own.Add(1)
	}
	switch {
	case own && in.form == formProbe && !all:
		select {
		case b.echoes <- in.number:
		default:
		}
	case own: // delivered when it was published
	case in.form == formCast && all:
		b.takeCast(in, box)
	case in.form == formHello && all && in.from != string(b.cfg.Node):
		if b.links.hello(in, time.Now()) {
			b.wakeUp()
		}
	case in.form == formStream && !all && in.from != string(b.cfg.Node):
		b.takeStream(in, box)
	default:
		b.m.received.strange.Inc()
	}
}

func (b *Bus) takeCast(in incoming, box *inbox) {
	if !box.casts.pass(in, time.Now()) {
		b.m.received.repeated.Inc()
		return
	}
	b.m.received.taken.Inc()
	r := reader{rest: in.body}
	b.deliver(r.next(box, protocol.NodeID(strings.Clone(in.from)), ""))
}

func (b *Bus) takeStream(in incoming, box *inbox) {
	from, skip, v, soon := b.links.receive(in, time.Now())
	if soon {
		b.wakeUp()
	}
	switch v {
	case stream.Repeated:
		b.m.received.repeated.Add(float64(in.head.Count))
	case stream.Early:
		b.m.received.early.Add(float64(in.head.Count))
	case stream.Strange:
		b.m.received.strange.Add(float64(in.head.Count))
	case stream.Taken:
		b.m.received.repeated.Add(float64(skip))
		b.m.received.taken.Add(float64(in.head.Count - skip))
		r := reader{rest: in.body}
		for i := range in.head.Count {
			if i < skip {
				r.message()
				continue
			}
			b.deliver(r.next(box, from, b.cfg.Node))
		}
	}
}

// next takes a message off; nothing in it is part of the frame.
func (r *reader) next(box *inbox, from, to protocol.NodeID) bus.Message {
	kind, key, payload := r.message()
	return bus.Message{From: from, To: to, Kind: box.kind(kind), Key: strings.Clone(key), Payload: []byte(payload)}
}

// deliver hands one message on. It waits for a busy worker: Redis then holds what
// comes, and closes the subscription if it is too much for it.
func (b *Bus) deliver(m bus.Message) {
	b.busy.Store(true)
	_ = b.in.Deliver(m) // fails only when the bus stops
	b.busy.Store(false)
}
