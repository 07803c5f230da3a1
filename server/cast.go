package server

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/internal/seeded"
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
	N        uint32              `json:"n,omitempty"` // of a signal: the sender's number
	Key      string              `json:"l,omitempty"`
	Except   protocol.MemberID   `json:"x,omitempty"`
	Session  protocol.SessionID  `json:"s,omitempty"`
	Snapshot *rooms.Room         `json:"m,omitempty"`
	Ends     bool                `json:"e,omitempty"` // the room is over: seats in it are given up

	// Elsewhere are the members that the sender told on other nodes: one that has
	// just come here from there gets the push through its former node.
	Elsewhere []protocol.SessionID `json:"o,omitempty"`
	// Move is of who passed it on, the number of the session's move away from
	// there; 0: it comes from the sender. A node that the session left before that
	// knows nothing of where it is.
	Move int `json:"h,omitempty"`

	// Recorded: peer.reconnecting or peer.back (of Except) is what the registry
	// says in Snapshot. Two nodes may send the one and the other, and the bus keeps
	// no order between nodes.
	Recorded bool `json:"p,omitempty"`

	turn *signaling.Session // whose handler sends it; nil: none, or it has returned

	// Orphan: peer.back (of Except) of who came from a node that died, and with it
	// perhaps what was sent there.
	Orphan bool `json:"d,omitempty"`
}

func (h *castHead) push(d []byte) signaling.Push {
	return signaling.Push{Type: h.Type, Room: h.Room, From: h.From, Kind: h.Kind, N: h.N, D: d, Class: h.Class, Key: h.Key, Unstated: h.Type == protocol.TypeSignal, Turn: h.turn}
}

// concerns reports whether the push is for the member me. Who comes after somebody
// has them in the state that the join is answered with; ids rise as members come.
func (h castHead) concerns(me protocol.MemberID) bool {
	if h.Type == protocol.TypePeerJoined && (len(me) > len(h.Except) || len(me) == len(h.Except) && me > h.Except) {
		return false
	}
	return me != h.Except
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
	told := map[protocol.NodeID]bool{}
	for _, m := range to.Members {
		if told[m.Node] {
			continue
		}
		told[m.Node] = true
		h.Elsewhere = elsewhere(to, m.Node)
		if m.Node == s.node {
			s.deliverCast(h, d)
			continue
		}
		payload, err := encodeCast(h, d)
		if err != nil {
			s.log.Error("encode push", "type", h.Type, "err", err)
			return
		}
		if seeded.PublishLost.Hit() {
			continue
		}
		s.publish(bus.Message{To: m.Node, Kind: kindRoom, Key: string(to.ID), Payload: payload})
	}
}

// elsewhere returns the room's sessions on other nodes than node.
func elsewhere(room rooms.Room, node protocol.NodeID) (list []protocol.SessionID) {
	for _, m := range room.Members {
		if m.Node != node {
			list = append(list, m.Session)
		}
	}
	return list
}

// deliverCast hands a push to the local members of its room, and to those that
// were local until just now.
func (s *Server) deliverCast(h castHead, d []byte) {
	switch {
	case h.Snapshot == nil:
	case h.Orphan:
		s.resend(h)
	default:
		s.seats.update(*h.Snapshot)
	}
	if h.Recorded && !s.seats.newsOf(h.Room, h.Except, h.Type == protocol.TypePeerReconnecting) {
		return // who moved to another node is here again already
	}
	targets := s.seats.locals(h.Room, h.concerns, h.Elsewhere)
	gone := s.passage.from(h.Room)
	if len(targets) > 0 {
		push := h.push(d)
		var frame *signaling.Frame
		if h.Class == signaling.Ordered { // encoded once for all
			f := signaling.Prepare(push)
			frame = &f
		}
		for _, id := range targets {
			if !s.pushTo(id, &h, &push, frame) { // it moved in this moment
				if to, ok := s.passage.from(h.Room)[id]; ok {
					s.forward(id, to, h, d)
				}
			}
		}
	}
	for id, to := range gone {
		if h.concerns(to.me) && !slices.Contains(h.Elsewhere, id) && !slices.Contains(targets, id) {
			s.forward(id, to, h, d)
		}
	}
}

// pushTo hands a push to one local session. It returns false if the session has
// moved.
func (s *Server) pushTo(id protocol.SessionID, h *castHead, push *signaling.Push, frame *signaling.Frame) bool {
	sess, ok := s.hub.Lookup(id)
	switch {
	case !ok:
		if h.Ends {
			s.seats.leave(id, h.Room)
		}
		return true
	case frame != nil:
		ok = sess.PushFrame(*frame)
	default:
		ok = sess.Push(*push)
	}
	if h.Ends && ok {
		s.seats.leave(id, h.Room)
		s.noteDown(sess)
	}
	return ok
}

// deliverTo hands a push to one session, here or where it went; false if
// nobody knows of it. Heads are passed on by reference on the way of a signal: with
// a copy in each of its calls a stack of 4 KiB would not do.
func (s *Server) deliverTo(id protocol.SessionID, h *castHead, d []byte) bool {
	if s.seats.sits(id, h.Room) {
		if h.Snapshot != nil {
			s.seats.update(*h.Snapshot)
		}
		if s.pushSignal(id, h, d) {
			return true
		}
	}
	return s.deliverAfter(id, h, d)
}

func (s *Server) pushSignal(id protocol.SessionID, h *castHead, d []byte) bool {
	push := h.push(d)
	return s.pushTo(id, h, &push, nil)
}

// deliverAfter hands a push to where the session went; false if nobody knows of that.
func (s *Server) deliverAfter(id protocol.SessionID, h *castHead, d []byte) bool {
	to, ok := s.passage.from(h.Room)[id]
	if !ok || to.move <= h.Move {
		return false
	}
	s.forward(id, to, *h, d)
	return true
}

// sendTo hands a push to one member, on whatever node; it arrives only if that
// session still sits in the room then.
func (s *Server) sendTo(m *rooms.Member, h *castHead, d []byte) error {
	h.Session = m.Session
	if seeded.SignalLate.Hit() {
		s.sendLate(*m, *h, slices.Clone(d))
		return nil
	}
	if m.Node != s.node && seeded.SignalLost.Hit() {
		return nil
	}
	return s.sendSignal(m, h, d)
}

// sendLate is sendTo after a while.
func (s *Server) sendLate(m rooms.Member, h castHead, d []byte) {
	h.turn = nil
	time.AfterFunc(100*time.Millisecond, func() { _ = s.sendTo(&m, &h, d) })
}

// deliverOne hands a push to one member, now or when it takes its seat: its former
// node may pass this on while the session itself is still on its way, and its
// partner may have been told of their match earlier. The caller holds kept.mu, at
// least for reading.
func (s *Server) deliverOne(h *castHead, d []byte) {
	if s.deliverTo(h.Session, h, d) {
		return
	}
	if _, here := s.hub.Lookup(h.Session); h.Move != 0 || here && !s.seats.hasLeft(h.Session, h.Room) {
		s.keepEarly(h, d)
	}
}

// keepEarly keeps what comes before its session takes its seat.
func (s *Server) keepEarly(h *castHead, d []byte) {
	early := *h
	early.turn = nil // it will be over
	s.passage.keep(h.Session, early, d)
}

// deliverEarly hands on what came before the session took its seat. The caller
// holds kept.mu.
func (s *Server) deliverEarly(id protocol.SessionID, room protocol.RoomID) {
	for _, p := range s.passage.arrived(id, room) {
		s.deliverTo(id, &p.head, p.d)
	}
}

func (s *Server) receiveRoom(m bus.Message) {
	h, d, err := decodeCast(m.Payload)
	if err != nil {
		s.log.Warn("message from node dropped", "from", m.From, "err", err)
		return
	}
	s.remember(h, d)
	s.deliverCast(h, d)
}

func (s *Server) receiveSignal(m bus.Message) {
	h, d, err := decodeCast(m.Payload)
	if err != nil {
		s.log.Warn("message from node dropped", "from", m.From, "err", err)
		return
	}
	s.remember(h, d)
	s.kept.mu.RLock()
	defer s.kept.mu.RUnlock()
	s.deliverOne(&h, d)
}

func (s *Server) publish(m bus.Message) {
	if err := s.bus.Publish(m); err != nil {
		s.log.Warn("message to node lost", "to", m.To, "kind", m.Kind, "err", err)
	}
}
