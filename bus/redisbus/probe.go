package redisbus

import "time"

// nudge has the prober send a probe now.
func (b *Bus) nudge() {
	select {
	case b.fresh <- struct{}{}:
	default:
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
// it would cost time just when there are many messages.
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
	if b.enqueue(cast{channel: b.ownChannel(), frame: encodeProbe(b.epoch, 0, b.cfg.Node), at: time.Now(), sent: sent}) != nil {
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
