package signaling

import (
	"bytes"
	"encoding/binary"

	"github.com/rondo-chat/rondo/protocol"
)

// Class is how a push is treated when the client is slow or away.
type Class uint8

// Classes.
const (
	// MustDeliver pushes carry seq and are kept until acknowledged.
	MustDeliver Class = iota
	// Ordered pushes carry no seq, but keep their place among the others, also
	// when they are sent again after a resume: room frames with an order of
	// their own, such as chat.
	Ordered
	// Latest pushes replace one of the same Key that still waits, and are
	// dropped while the client is away.
	Latest
)

// Push is a message for a client.
type Push struct {
	Type  protocol.Type
	Room  protocol.RoomID
	From  protocol.MemberID
	Kind  protocol.SignalKind
	N     uint32 // of a signal: its sender's request number; 0: none
	D     []byte // well-formed JSON; nothing of it is kept
	Class Class
	Key   string // of class Latest
	// Unstated: no state tells of it. What comes while a session is resumed then
	// follows that state, if the client needs one.
	Unstated bool
	// Turn is the session whose handler, a brief one, pushes this right now; nil: none.
	// It is written as soon as that has returned, without the help of a goroutine.
	Turn *Session
}

func (p *Push) wire(seq uint64) []byte {
	b := newFrame(len(p.D) + len(p.Room) + len(p.Type) + 64)
	return seal(protocol.AppendPush(b, protocol.Push{Type: p.Type, Seq: seq, Room: p.Room, From: p.From, Kind: p.Kind, N: p.N, D: p.D}))
}

// Frame is a push prepared once for many sessions.
type Frame struct {
	push Push
	wire []byte // nil for MustDeliver, whose seq differs from session to session
}

// Prepare encodes p for [Session.PushFrame].
func Prepare(p Push) Frame {
	if p.Class == MustDeliver {
		p.D = bytes.Clone(p.D)
		return Frame{push: p}
	}
	return Frame{push: p, wire: p.wire(0)}
}

// A server's frames (RFC 6455, section 5.2) are never masked, so that one
// encoded frame serves any number of sockets.
const (
	opText  = 0x1
	opClose = 0x8
	opPong  = 0xA
	final   = 0x80

	headerRoom    = 10
	maxCloseBytes = 123 // of a close reason
)

// newFrame returns an empty text with room for a frame header before it.
func newFrame(size int) []byte { return make([]byte, headerRoom, headerRoom+size) }

// seal puts the header right before the text and returns the whole frame.
func seal(b []byte) []byte {
	n := len(b) - headerRoom
	switch {
	case n <= 125:
		b = b[headerRoom-2:]
		b[1] = byte(n)
	case n <= 1<<16-1:
		b = b[headerRoom-4:]
		b[1] = 126
		binary.BigEndian.PutUint16(b[2:], uint16(n))
	default:
		b[1] = 127
		binary.BigEndian.PutUint64(b[2:], uint64(n))
	}
	b[0] = final | opText
	return b
}

func controlFrame(op byte, payload []byte) []byte {
	return append([]byte{final | op, byte(len(payload))}, payload...)
}

// closeFrame makes a close frame; code 0 is one without a code (RFC 6455, 5.5.1).
func closeFrame(code protocol.CloseCode, reason string) []byte {
	if code == 0 {
		return controlFrame(opClose, nil)
	}
	p := binary.BigEndian.AppendUint16(nil, uint16(code))
	return controlFrame(opClose, append(p, reason[:min(len(reason), maxCloseBytes)]...))
}

func textFrame(s string) []byte { return seal(append(newFrame(len(s)), s...)) }
