package redisbus

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"time"

	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/protocol"
)

// A frame is: version, epoch (8 bytes), number (8 bytes), then from, kind and
// key, each with its length before it, then the payload. The epoch is drawn when
// a node starts; numbers rise by one with each frame it sends. A probe is a
// frame without kind.
const (
	frameVersion = 1
	numberAt     = 1 + 8
	fixedBytes   = numberAt + 8
)

// outgoing is a frame on its way; the publisher numbers it.
type outgoing struct {
	channel string
	frame   []byte
	at      time.Time
	sent    chan struct{} // of a probe: closed when sending was tried
}

func (o outgoing) number(n uint64) { binary.BigEndian.PutUint64(o.frame[numberAt:], n) }

// incoming is a frame that came.
type incoming struct {
	epoch, number uint64
	msg           bus.Message
}

func newEpoch() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:])
}

func encode(epoch uint64, m bus.Message) []byte {
	b := make([]byte, fixedBytes, fixedBytes+len(m.From)+len(m.Kind)+len(m.Key)+len(m.Payload)+12)
	b[0] = frameVersion
	binary.BigEndian.PutUint64(b[1:], epoch)
	for _, f := range [...]string{string(m.From), string(m.Kind), m.Key} {
		b = binary.AppendUvarint(b, uint64(len(f)))
		b = append(b, f...)
	}
	return append(b, m.Payload...)
}

var errFrame = errors.New("redisbus: not a frame")

// decode reads a frame; the payload is part of b.
func decode(b []byte) (incoming, error) {
	if len(b) < fixedBytes || b[0] != frameVersion {
		return incoming{}, errFrame
	}
	in := incoming{epoch: binary.BigEndian.Uint64(b[1:]), number: binary.BigEndian.Uint64(b[numberAt:])}
	b = b[fixedBytes:]
	var fields [3]string
	for i := range fields {
		n, w := binary.Uvarint(b)
		if w <= 0 || n > uint64(len(b)-w) {
			return incoming{}, errFrame
		}
		fields[i] = string(b[w : w+int(n)])
		b = b[w+int(n):]
	}
	in.msg = bus.Message{From: protocol.NodeID(fields[0]), Kind: bus.Kind(fields[1]), Key: fields[2], Payload: b}
	return in, nil
}

// forgetAfter is when a sender that was not heard of is forgotten: long after
// any retry could still bring an old frame.
const forgetAfter = 10 * time.Minute

// order lets each frame of a sender pass once and none that was overtaken. The
// channels of one node and of all nodes are ordered each by itself.
type order struct {
	last  map[sender]position
	swept time.Time
}

type sender struct {
	node protocol.NodeID
	all  bool
}

type position struct {
	epoch, number uint64
	at            time.Time
}

func (o *order) pass(in incoming, all bool, now time.Time) bool {
	if o.last == nil {
		o.last, o.swept = map[sender]position{}, now
	}
	if now.Sub(o.swept) > forgetAfter {
		for s, p := range o.last {
			if now.Sub(p.at) > forgetAfter {
				delete(o.last, s)
			}
		}
		o.swept = now
	}
	s := sender{in.msg.From, all}
	if p := o.last[s]; p.epoch == in.epoch && in.number <= p.number {
		return false
	}
	o.last[s] = position{in.epoch, in.number, now}
	return true
}
