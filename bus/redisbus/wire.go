package redisbus

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/bus/stream"
	"github.com/rondo-chat/rondo/protocol"
)

// A frame is: version, form, epoch of the sender (8 bytes), its name with its
// length before it, and then by form
//
//	stream: 6 numbers of 8 bytes (to, nonce, echo, ack, base, first) and a byte
//	        of flags, then the messages
//	cast:   a number (8 bytes), one message
//	probe:  a number (8 bytes)
//	hello:  nothing
//
// A message is kind, key and payload, each with its length before it. The epoch
// is drawn when a node starts. Other versions are not read: nodes of two
// versions do not hear each other.
const frameVersion = 2

type form byte

const (
	formStream form = iota + 1 // between two nodes
	formCast                   // a message for all
	formProbe                  // to oneself
	formHello                  // to all: I have begun, or can hear again
)

const (
	maxName    = 1 << 10
	flagAgain  = 1
	streamHead = 6*8 + 1
	// frameRoom is what a frame has beside its messages, at most.
	frameRoom = 2 + 8 + binary.MaxVarintLen64 + maxName + streamHead
	// messageRoom is what a message has beside its kind, key and payload.
	messageRoom = 3 * binary.MaxVarintLen32
	maxFrame    = bus.MaxMessage + messageRoom + frameRoom
)

// incoming is a frame that came. Its strings are part of what was decoded.
type incoming struct {
	form   form
	from   string
	head   stream.Header // of a stream frame; else only Epoch
	number uint64        // of a cast or probe
	body   string        // messages
}

func newEpoch() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return max(binary.BigEndian.Uint64(b[:]), 1)
}

// encodeMessage is what goes into frames.
func encodeMessage(m bus.Message) []byte {
	b := make([]byte, 0, messageSize(m))
	return appendMessage(b, m)
}

func messageSize(m bus.Message) int {
	return len(m.Kind) + len(m.Key) + len(m.Payload) + messageRoom
}

func appendMessage(b []byte, m bus.Message) []byte {
	b = appendString(b, string(m.Kind))
	b = appendString(b, m.Key)
	b = binary.AppendUvarint(b, uint64(len(m.Payload)))
	return append(b, m.Payload...)
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendHead(b []byte, f form, epoch uint64, from protocol.NodeID) []byte {
	b = append(b, frameVersion, byte(f))
	b = binary.BigEndian.AppendUint64(b, epoch)
	return appendString(b, string(from))
}

func appendStream(b []byte, from protocol.NodeID, f *stream.Frame) []byte {
	b = appendHead(b, formStream, f.Epoch, from)
	for _, n := range [...]uint64{f.To, f.Nonce, f.Echo, f.Ack, f.Base, f.First} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	var flags byte
	if f.Again {
		flags |= flagAgain
	}
	b = append(b, flags)
	for _, m := range f.Messages {
		b = append(b, m...)
	}
	return b
}

func encodeCast(epoch, number uint64, m bus.Message) []byte {
	b := make([]byte, 0, frameRoom-maxName+len(m.From)+messageSize(m))
	b = appendHead(b, formCast, epoch, m.From)
	b = binary.BigEndian.AppendUint64(b, number)
	return appendMessage(b, m)
}

func encodeProbe(epoch, number uint64, from protocol.NodeID) []byte {
	return binary.BigEndian.AppendUint64(appendHead(nil, formProbe, epoch, from), number)
}

var errFrame = errors.New("redisbus: not a frame")

// reader takes fields off a frame; bad stays true after the first that is not there.
type reader struct {
	rest string
	bad  bool
}

func (r *reader) byte() byte {
	if len(r.rest) < 1 {
		r.bad = true
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) uint64() (n uint64) {
	if len(r.rest) < 8 {
		r.bad = true
		return 0
	}
	for i := range 8 {
		n = n<<8 | uint64(r.rest[i])
	}
	r.rest = r.rest[8:]
	return n
}

func (r *reader) uvarint() (n uint64) {
	for shift := 0; shift < 35; shift += 7 { // no length here needs more
		b := r.byte()
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
	}
	r.bad = true
	return 0
}

func (r *reader) string() string {
	n := r.uvarint()
	if r.bad || n > uint64(len(r.rest)) {
		r.bad = true
		return ""
	}
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

// message takes one message off; its strings are part of the frame.
func (r *reader) message() (kind, key, payload string) {
	kind, key, payload = r.string(), r.string(), r.string()
	if kind == "" || len(kind)+len(key)+len(payload) > bus.MaxMessage {
		r.bad = true
	}
	return kind, key, payload
}

// decode reads a frame and checks all of it.
func decode(b string) (incoming, error) {
	r := reader{rest: b}
	if len(b) > maxFrame+binary.MaxVarintLen64 || r.byte() != frameVersion {
		return incoming{}, errFrame
	}
	in := incoming{form: form(r.byte())}
	in.head.Epoch = r.uint64()
	in.from = r.string()
	if in.head.Epoch == 0 || in.from == "" || len(in.from) > maxName {
		return incoming{}, errFrame
	}
	switch in.form {
	case formStream:
		r.stream(&in)
	case formCast:
		in.number = r.uint64()
		in.body = r.rest
		r.message()
	case formProbe:
		in.number = r.uint64()
	case formHello:
	default:
		r.bad = true
	}
	if r.bad || len(r.rest) > 0 {
		return incoming{}, errFrame
	}
	return in, nil
}

func (r *reader) stream(in *incoming) {
	h := &in.head
	for _, n := range [...]*uint64{&h.To, &h.Nonce, &h.Echo, &h.Ack, &h.Base, &h.First} {
		*n = r.uint64()
	}
	flags := r.byte()
	h.Again = flags&flagAgain != 0
	in.body = r.rest
	for len(r.rest) > 0 && !r.bad {
		r.message()
		h.Count++
	}
	const most = 1 << 62 // numbers of messages stay below
	if h.Count > stream.MaxCount || flags > flagAgain || h.Base > h.First || h.First > most ||
		h.Count == 0 && h.First != 0 || h.Count > 0 && h.Base == 0 {
		r.bad = true
	}
}

// forgetAfter is when a sender that was not heard of is forgotten: long after
// any retry could still bring an old frame.
const forgetAfter = 10 * time.Minute

// order lets each message for all pass once and none that was overtaken.
type order struct {
	last  map[string]position // by sender
	swept time.Time
}

type position struct {
	epoch, number uint64
	at            time.Time
}

func (o *order) pass(in incoming, now time.Time) bool {
	if o.last == nil {
		o.last, o.swept = map[string]position{}, now
	}
	if now.Sub(o.swept) > forgetAfter {
		for s, p := range o.last {
			if now.Sub(p.at) > forgetAfter {
				delete(o.last, s)
			}
		}
		o.swept = now
	}
	p, known := o.last[in.from]
	if p.epoch == in.head.Epoch && in.number <= p.number || !known && len(o.last) >= maxNodes {
		return false
	}
	o.last[strings.Clone(in.from)] = position{in.head.Epoch, in.number, now}
	return true
}
