package server

import (
	"sync"
	"time"

	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/rooms"
)

const (
	maxKept     = 32 << 20 // bytes of kept signals in all
	maxKeptRoom = 1024     // signals in one room
)

// kept are the signals that went to sessions on other nodes lately. Their senders
// were told that they are on their way; if that node dies with them in its hands,
// they go once more to the node that the session comes to. What had arrived
// before comes twice then, with the same number.
type kept struct {
	keep time.Duration // how long

	mu    sync.RWMutex
	rooms map[protocol.RoomID][]*keptSignal // oldest first
	queue []*keptSignal                     // of all rooms, oldest first
	bytes int                               // of queue
}

type keptSignal struct {
	room    protocol.RoomID
	to      protocol.SessionID
	payload []byte
	until   time.Time
}

func newKept(keep time.Duration) *kept {
	return &kept{keep: keep, rooms: map[protocol.RoomID][]*keptSignal{}}
}

// addLocked keeps a signal.
func (k *kept) addLocked(room protocol.RoomID, to protocol.SessionID, payload []byte, now time.Time) {
	k.pruneLocked(now)
	if k.bytes+len(payload) > maxKept || len(k.rooms[room]) >= maxKeptRoom {
		return
	}
	p := &keptSignal{room, to, payload, now.Add(k.keep)}
	k.rooms[room] = append(k.rooms[room], p)
	k.queue = append(k.queue, p)
	k.bytes += len(payload)
}

// pruneLocked forgets what is over. The oldest of all is the oldest of its room.
func (k *kept) pruneLocked(now time.Time) {
	old := 0
	for ; old < len(k.queue) && now.After(k.queue[old].until); old++ {
		p := k.queue[old]
		k.bytes -= len(p.payload)
		if k.rooms[p.room] = k.rooms[p.room][1:]; len(k.rooms[p.room]) == 0 {
			delete(k.rooms, p.room)
		}
		k.queue[old] = nil
	}
	k.queue = k.queue[old:]
}

// prune is pruneLocked for when nothing comes any more.
func (k *kept) prune(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pruneLocked(now)
}

// sendSignal hands a signal to the session at m's node. The lock makes one order
// of this and of a resend. What goes to another node is a function of its own, as it
// needs more stack than all that stands above it.
func (s *Server) sendSignal(m *rooms.Member, h *castHead, d []byte) error {
	if m.Node != s.node {
		return s.sendSignalOut(m.Node, h, d)
	}
	s.kept.mu.RLock()
	defer s.kept.mu.RUnlock()
	s.deliverOne(h, d)
	return nil
}

func (s *Server) sendSignalOut(to protocol.NodeID, h *castHead, d []byte) error {
	payload, err := encodeCast(*h, d)
	if err != nil {
		return err
	}
	s.kept.mu.Lock()
	defer s.kept.mu.Unlock()
	if now, ok := s.seats.nodeOf(h.Room, h.Session); ok && now != to {
		if to = now; now == s.node {
			s.deliverOne(h, d)
			return nil
		}
	}
	if err := s.bus.Publish(bus.Message{To: to, Kind: kindSignal, Key: string(h.Room), Payload: payload}); err != nil {
		return err
	}
	if h.N != 0 { // else nobody could tell that it came before
		s.kept.addLocked(h.Room, h.Session, payload, time.Now())
	}
	return nil
}

// reenter seats a session that comes from another node, and gives it what was
// kept for it here if that node is dead. It returns false if it sits elsewhere.
func (s *Server) reenter(id protocol.SessionID, st seat, room rooms.Room) bool {
	s.kept.mu.Lock()
	defer s.kept.mu.Unlock()
	if !s.seats.enter(id, st, room) {
		return false
	}
	s.deliverEarly(id, room.ID)
	if !st.orphan {
		return true
	}
	for _, p := range s.kept.forLocked(room.ID, id, time.Now()) {
		if h, d, err := decodeCast(p); err == nil { // it was encoded here
			s.deliverOne(&h, d)
		}
	}
	return true
}

// resend sends what was kept for a member who came from a dead node to the node
// where it is now, before anything newer.
func (s *Server) resend(h castHead) {
	s.kept.mu.Lock()
	defer s.kept.mu.Unlock()
	for _, m := range h.Snapshot.Members {
		if m.ID != h.Except || m.Node == s.node {
			continue
		}
		for _, p := range s.kept.forLocked(h.Room, m.Session, time.Now()) {
			s.publish(bus.Message{To: m.Node, Kind: kindSignal, Key: string(h.Room), Payload: p})
		}
	}
	s.seats.update(*h.Snapshot)
}

// forLocked returns what is kept for a session.
func (k *kept) forLocked(room protocol.RoomID, to protocol.SessionID, now time.Time) (payloads [][]byte) {
	for _, p := range k.rooms[room] {
		if p.to == to && !now.After(p.until) {
			payloads = append(payloads, p.payload)
		}
	}
	return payloads
}
