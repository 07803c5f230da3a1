package redisbus

import (
	"strings"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/bus/stream"
	"github.com/rondo-chat/rondo/protocol"
)

// maxNodes is how many other nodes a node keeps in mind.
const maxNodes = 4096

// links are the streams to and from other nodes.
type links struct {
	limits stream.Limits
	self   uint64 // the own epoch
	total  int64  // bytes kept for all nodes together
	forget time.Duration
	prefix string // of the channel of a node

	mu     sync.Mutex
	byNode map[protocol.NodeID]*peer
	kept   int64
	end    uint64 // greatest number that a forgotten link ended with
	lost   stream.Lost
	late   bool      // an acknowledgement became overdue somewhere
	alarm  time.Time // when next is called anyway; zero: when it is told to be
}

// peer is another node; its link is guarded by the mutex of links.
type peer struct {
	node    protocol.NodeID
	channel string
	link    *stream.Link
}

// dispatch is a frame to be sent.
type dispatch struct {
	peer  *peer
	frame stream.Frame
	wire  []byte
}

func newLinks(cfg Config, self uint64) *links {
	return &links{
		limits: stream.Limits{
			Messages: cfg.Queue, Bytes: cfg.QueueBytes, Window: windowBytes, Frame: frameBytes, Keep: cfg.Keep,
			AckAfter: ackAfter, AckBytes: windowBytes / 4, Resend: minResend, MaxResend: maxResend,
		},
		self: self, total: cfg.TotalBytes, forget: max(forgetAfter, 4*cfg.Keep), prefix: cfg.Prefix + "n:",
		byNode: map[protocol.NodeID]*peer{}, end: 1,
	}
}

// peerLocked returns the node's peer; nil if there are too many.
func (l *links) peerLocked(node protocol.NodeID, now time.Time) *peer {
	p := l.byNode[node]
	if p == nil && len(l.byNode) < maxNodes {
		node = protocol.NodeID(strings.Clone(string(node))) // not a part of a frame
		p = &peer{node: node, channel: l.prefix + string(node), link: stream.New(&l.limits, l.self, l.end, now)}
		l.byNode[node] = p
	}
	return p
}

// push keeps a message until its node has it. Like receive and hello it reports
// whether next is to be called sooner than it would be.
func (l *links) push(to protocol.NodeID, msg []byte, now time.Time) (soon bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.peerLocked(to, now)
	if p == nil || l.kept+int64(len(msg)) > l.total || p.link.Push(msg, now) != nil {
		return false, bus.ErrFull
	}
	l.kept += int64(len(msg))
	return l.soonLocked(p, now), nil
}

func (l *links) soonLocked(p *peer, now time.Time) bool {
	at, ok := p.link.Due(now)
	if !ok || !l.alarm.IsZero() && !at.Before(l.alarm) {
		return false
	}
	l.alarm = at
	return true
}

// receive takes a frame.
func (l *links) receive(in incoming, now time.Time) (from protocol.NodeID, skip int, v stream.Verdict, soon bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.peerLocked(protocol.NodeID(in.from), now)
	if p == nil {
		return "", 0, stream.Strange, false
	}
	before := p.link.Bytes()
	skip, v = p.link.Receive(in.head, len(in.body), now)
	l.kept += p.link.Bytes() - before
	return p.node, skip, v, l.soonLocked(p, now)
}

// hello takes the news that a node has begun or can hear again.
func (l *links) hello(in incoming, now time.Time) (soon bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.peerLocked(protocol.NodeID(in.from), now)
	if p == nil {
		return false
	}
	p.link.Hello(in.head.Epoch, now)
	return l.soonLocked(p, now)
}

// again has everything sent again: what came may not have been heard.
func (l *links) again() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.byNode {
		p.link.Again(true)
	}
}

// hurry has all acknowledgements go out now.
func (l *links) hurry(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.byNode {
		p.link.Hurry(now)
	}
}

// next adds frames that are to be sent now to list, up to most, and returns when
// to ask again; zero: when something happens.
func (l *links) next(list []dispatch, most int, now time.Time) ([]dispatch, time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var at time.Time // of all
	size := 0
	for node, p := range l.byNode {
		before := p.link.Bytes()
		for len(list) < most && size < batchBytes {
			if len(list) < cap(list) {
				list = list[:len(list)+1]
			} else {
				list = append(list, dispatch{})
			}
			d := &list[len(list)-1]
			if !p.link.Next(now, &d.frame) {
				list = list[:len(list)-1]
				break
			}
			d.peer = p
			for _, m := range d.frame.Messages {
				size += len(m)
			}
		}
		l.settleLocked(p, before)
		due, ok := p.link.Due(now)
		switch {
		case ok && (at.IsZero() || due.Before(at)):
			at = due
		case !ok && p.link.Idle(now, l.forget):
			l.end = max(l.end, p.link.End())
			delete(l.byNode, node)
		}
	}
	l.alarm = at
	return list, at
}

// settleLocked counts what the link has dropped, and whether it is overdue.
func (l *links) settleLocked(p *peer, before int64) {
	l.kept += p.link.Bytes() - before
	lost := p.link.TakeLost()
	l.lost.Expired += lost.Expired
	l.lost.Restarted += lost.Restarted
	l.late = p.link.TakeLate() || l.late
}

// outcome tells a link what became of its frame.
func (l *links) outcome(d *dispatch, failed bool, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if failed {
		d.peer.link.Failed(&d.frame, now)
	} else {
		d.peer.link.Sent(now)
	}
}

// takeLost returns what was dropped, and whether an acknowledgement became
// overdue, since the last call.
func (l *links) takeLost() (lost stream.Lost, late bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lost, late = l.lost, l.late
	l.lost, l.late = stream.Lost{}, false
	return lost, late
}

// waits reports whether something is kept that may be acknowledged soon.
func (l *links) waits() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.byNode {
		if p.link.Waits() {
			return true
		}
	}
	return false
}

// pending returns how many bytes are kept, and for how long the oldest of them.
func (l *links) pending(now time.Time) (bytes int64, age time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.byNode {
		if at, ok := p.link.Oldest(); ok {
			age = max(age, now.Sub(at))
		}
	}
	return l.kept, age
}
