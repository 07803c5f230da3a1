package signaling

import (
	"encoding/binary"
	"errors"

	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/protocol"
)

// Address says where a session is.
type Address struct {
	Node    protocol.NodeID
	Session protocol.SessionID
}

const pushKind bus.Kind = "push"

// Deliver pushes to a session on any node; what goes to one session from here
// arrives in order. The error says that it was not sent: ErrNoSession for a
// session of this node that is not here, or one of the bus. Another node that
// does not have the session says nothing.
func (h *Hub) Deliver(a Address, p Push) error {
	if a.Node == h.cfg.Node {
		s, ok := h.Lookup(a.Session)
		if !ok {
			return ErrNoSession
		}
		s.Push(p)
		return nil
	}
	return h.cfg.Bus.Publish(bus.Message{To: a.Node, Kind: pushKind, Key: string(a.Session), Payload: encodePush(p)})
}

// receive takes a push of another node.
func (h *Hub) receive(m bus.Message) {
	p, err := decodePush(m.Payload)
	if err != nil {
		h.log.Error("signaling: unreadable push", "from", string(m.From), "err", err)
		return
	}
	if s, ok := h.Lookup(protocol.SessionID(m.Key)); ok {
		s.Push(p)
	}
}

const pushVersion = 1

// encodePush writes version and class, then each field with its length before it.
func encodePush(p Push) []byte {
	fields := [...]string{string(p.Type), string(p.Room), string(p.From), string(p.Kind), p.Key}
	b := make([]byte, 0, 32+len(p.D)+len(p.Room)+len(p.Key))
	b = append(b, pushVersion, byte(p.Class))
	for _, f := range fields {
		b = binary.AppendUvarint(b, uint64(len(f)))
		b = append(b, f...)
	}
	if p.D == nil {
		return b
	}
	return append(b, p.D...)
}

var errPush = errors.New("signaling: not a push")

func decodePush(b []byte) (Push, error) {
	if len(b) < 2 || b[0] != pushVersion || b[1] > byte(Latest) {
		return Push{}, errPush
	}
	p := Push{Class: Class(b[1])}
	b = b[2:]
	var fields [5]string
	for i := range fields {
		n, w := binary.Uvarint(b)
		if w <= 0 || n > uint64(len(b)-w) {
			return Push{}, errPush
		}
		fields[i] = string(b[w : w+int(n)])
		b = b[w+int(n):]
	}
	p.Type, p.Room, p.From = protocol.Type(fields[0]), protocol.RoomID(fields[1]), protocol.MemberID(fields[2])
	p.Kind, p.Key = protocol.SignalKind(fields[3]), fields[4]
	if len(b) > 0 {
		p.D = b
	}
	return p, nil
}
