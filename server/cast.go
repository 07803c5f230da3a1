package server

import (
	"encoding/binary"
	"encoding/json"
	"errors"

	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/rooms"
	"github.com/rondo-chat/rondo/signaling"
)

// Bus kinds of this package. All messages of a room or match carry its id as
// key, so a node learns of a match before the first signal in it.
const (
	kindRoom   bus.Kind = "room"   // a push for the members of a room
	kindSignal bus.Kind = "signal" // a push for one member
	kindMatch  bus.Kind = "match"  // matchmaking's own
)

// castHead goes before the raw d of a push that travels between nodes.
type castHead struct {
	Type     protocol.Type       `json:"t"`
	Room     protocol.RoomID     `json:"r"`
	From     protocol.MemberID   `json:"f,omitempty"`
	Kind     protocol.SignalKind `json:"k,omitempty"`
	Class    signaling.Class     `json:"c"`
	Key      string              `json:"l,omitempty"`
	Except   protocol.MemberID   `json:"x,omitempty"`
	Session  protocol.SessionID  `json:"s,omitempty"`
	Snapshot *rooms.Room         `json:"m,omitempty"`
	Ends     bool                `json:"e,omitempty"` // the room is over: seats in it are given up
}

func (h castHead) push(d []byte) signaling.Push {
	return signaling.Push{Type: h.Type, Room: h.Room, From: h.From, Kind: h.Kind, D: d, Class: h.Class, Key: h.Key}
}

// encodeCast is uvarint length of the head, head, d.
func encodeCast(h castHead, d []byte) ([]byte, error) {
	head, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, binary.MaxVarintLen32+len(head)+len(d))
	out = binary.AppendUvarint(out, uint64(len(head)))
	out = append(out, head...)
	return append(out, d...), nil
}

var errCast = errors.New("server: malformed message from another node")

func decodeCast(b []byte) (castHead, []byte, error) {
	var h castHead
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return h, nil, errCast
	}
	if err := json.Unmarshal(b[w:w+int(n)], &h); err != nil {
		return h, nil, errCast
	}
	return h, b[w+int(n):], nil
}

// cast sends a push to all members of the room on all nodes. The snapshot, if
// the membership changed, replaces older ones there.
func (s *Server) cast(to rooms.Room, h castHead, payload any) {
	d, err := json.Marshal(payload)
	if err != nil {
		s.log.Error("push payload", "type", h.Type, "err", err)
		return
	}
	s.castRaw(to, h, d)
}

func (s *Server) castRaw(to rooms.Room, h castHead, d []byte) {
	h.Room = to.ID
	var payload []byte
	told := map[protocol.NodeID]bool{}
	for _, m := range to.Members {
		if told[m.Node] {
			continue
		}
		told[m.Node] = true
		if m.Node == s.node {
			s.deliverCast(h, d)
			continue
		}
		if payload == nil {
			var err error
			if payload, err = encodeCast(h, d); err != nil {
				s.log.Error("encode push", "type", h.Type, "err", err)
				return
			}
		}
		s.publish(bus.Message{To: m.Node, Kind: kindRoom, Key: string(to.ID), Payload: payload})
	}
}

// deliverCast hands a push to the local members of its room.
func (s *Server) deliverCast(h castHead, d []byte) {
	if h.Snapshot != nil {
		s.seats.update(*h.Snapshot)
	}
	targets := s.seats.locals(h.Room, h.Except)
	if len(targets) == 0 {
		return
	}
	push := h.push(d)
	var frame signaling.Frame
	if h.Class == signaling.Ordered { // encoded once for all
		frame = signaling.Prepare(push)
	}
	for _, id := range targets {
		if h.Ends {
			s.seats.leave(id, h.Room)
		}
		sess, ok := s.hub.Lookup(id)
		switch {
		case !ok:
		case h.Class == signaling.Ordered:
			sess.PushFrame(frame)
		default:
			sess.Push(push)
		}
	}
}

// sendTo hands a push to one member, on whatever node; it arrives only if that
// session still sits in the room then.
func (s *Server) sendTo(m rooms.Member, h castHead, d []byte) error {
	h.Session = m.Session
	if m.Node == s.node {
		s.deliverOne(h, d)
		return nil
	}
	payload, err := encodeCast(h, d)
	if err != nil {
		return err
	}
	return s.bus.Publish(bus.Message{To: m.Node, Kind: kindSignal, Key: string(h.Room), Payload: payload})
}

func (s *Server) deliverOne(h castHead, d []byte) {
	if !s.seats.sits(h.Session, h.Room) {
		return
	}
	if sess, ok := s.hub.Lookup(h.Session); ok {
		sess.Push(h.push(d))
	}
}

func (s *Server) receiveRoom(m bus.Message) {
	h, d, err := decodeCast(m.Payload)
	if err != nil {
		s.log.Warn("message from node dropped", "from", m.From, "err", err)
		return
	}
	s.deliverCast(h, d)
}

func (s *Server) receiveSignal(m bus.Message) {
	h, d, err := decodeCast(m.Payload)
	if err != nil {
		s.log.Warn("message from node dropped", "from", m.From, "err", err)
		return
	}
	s.deliverOne(h, d)
}

func (s *Server) publish(m bus.Message) {
	if err := s.bus.Publish(m); err != nil {
		s.log.Warn("message to node lost", "to", m.To, "kind", m.Kind, "err", err)
	}
}
