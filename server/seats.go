package server

import (
	"maps"
	"slices"
	"sync"

	"github.com/rondo-chat/rondo/internal/seeded"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/rooms"
)

// seat is where a local session sits: one room, and who it is there.
type seat struct {
	room  protocol.RoomID
	me    protocol.MemberID
	found *protocol.Found // how the match was told; nil in named rooms

	// orphan: it came from a node that died, so nobody passes on what is sent there.
	orphan bool
}

// seats knows the rooms that this node's sessions sit in: for each session its
// seat, for each such room the newest snapshot and the local sessions. It does
// no I/O; what it returns are copies or immutable.
type seats struct {
	mu     sync.RWMutex
	bySess map[protocol.SessionID]seat
	last   map[protocol.SessionID]lastRoom // the room before, for "block" after leaving
	rooms  map[protocol.RoomID]*localRoom
}

// localRoom is a room with at least one local session.
type localRoom struct {
	snapshot rooms.Room // replaced, never changed
	locals   map[protocol.SessionID]protocol.MemberID
	away     map[protocol.MemberID]bool // whom the locals were told to be reconnecting
}

// lastRoom is the room a session has left.
type lastRoom struct {
	room    protocol.RoomID
	members []rooms.Member
}

func newSeats() *seats {
	return &seats{
		bySess: map[protocol.SessionID]seat{},
		last:   map[protocol.SessionID]lastRoom{},
		rooms:  map[protocol.RoomID]*localRoom{},
	}
}

// enter seats a session. It returns false if the session sits elsewhere.
func (s *seats) enter(id protocol.SessionID, st seat, snapshot rooms.Room) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.bySess[id]; ok && old.room != st.room && !seeded.NextStays.Hit() {
		return false
	}
	s.bySess[id] = st
	lr := s.rooms[st.room]
	if lr == nil {
		lr = &localRoom{snapshot: snapshot, locals: map[protocol.SessionID]protocol.MemberID{}}
		s.rooms[st.room] = lr
	}
	if snapshot.Version >= lr.snapshot.Version {
		lr.snapshot = snapshot
	}
	lr.locals[id] = st.me
	return true
}

// leave unseats a session from room and returns the seat it had.
func (s *seats) leave(id protocol.SessionID, room protocol.RoomID) (seat, rooms.Room, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.bySess[id]
	if !ok || st.room != room {
		return seat{}, rooms.Room{}, false
	}
	delete(s.bySess, id)
	lr := s.rooms[room]
	snapshot := lr.snapshot
	s.last[id] = lastRoom{room, snapshot.Members}
	delete(lr.locals, id)
	if len(lr.locals) == 0 {
		delete(s.rooms, room)
	}
	return st, snapshot, true
}

// update replaces the snapshot of a room by a newer one.
func (s *seats) update(snapshot rooms.Room) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if lr := s.rooms[snapshot.ID]; lr != nil && snapshot.Version > lr.snapshot.Version {
		lr.snapshot = snapshot
	}
}

// newsOf reports whether the room's local members are to be told that a member is
// reconnecting, or back: if that is so by the newest snapshot, and they were not
// told that it is reconnecting before.
func (s *seats) newsOf(room protocol.RoomID, id protocol.MemberID, away bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	lr := s.rooms[room]
	if lr == nil {
		return true // nobody here, but perhaps somebody who was until now
	}
	i := slices.IndexFunc(lr.snapshot.Members, func(m rooms.Member) bool { return m.ID == id })
	if i < 0 || lr.snapshot.Members[i].Away != away || away && lr.away[id] {
		return false
	}
	if lr.away == nil {
		lr.away = map[protocol.MemberID]bool{}
	}
	lr.away[id] = away
	return true
}

// forget drops what is remembered of a session that ended.
func (s *seats) forget(id protocol.SessionID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.last, id)
}

// of returns the seat of a session and its room's newest snapshot.
func (s *seats) of(id protocol.SessionID) (seat, rooms.Room, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	st, ok := s.bySess[id]
	if !ok {
		return seat{}, rooms.Room{}, false
	}
	return st, s.rooms[st.room].snapshot, true
}

// hasLeft reports whether room is the one that the session sat in last.
func (s *seats) hasLeft(id protocol.SessionID, room protocol.RoomID) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.last[id].room == room
}

// nodeOf returns the node of a member's session by the newest snapshot.
func (s *seats) nodeOf(room protocol.RoomID, id protocol.SessionID) (protocol.NodeID, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if lr := s.rooms[room]; lr != nil {
		if m, ok := lr.snapshot.Member(id); ok {
			return m.Node, true
		}
	}
	return "", false
}

// sits reports whether a session sits in room.
func (s *seats) sits(id protocol.SessionID, room protocol.RoomID) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	st, ok := s.bySess[id]
	return ok && st.room == room
}

// has reports whether a local session sits in room.
func (s *seats) has(room protocol.RoomID) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.rooms[room] != nil
}

// user returns who the member of a room with a local session is; "": not known.
func (s *seats) user(room protocol.RoomID, id protocol.MemberID) protocol.UserID {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if lr := s.rooms[room]; lr != nil {
		for _, m := range lr.snapshot.Members {
			if m.ID == id {
				return m.User
			}
		}
	}
	return ""
}

// locals returns the local sessions of a room that concerns holds for, except
// those that their former node sees to.
func (s *seats) locals(room protocol.RoomID, concerns func(protocol.MemberID) bool, elsewhere []protocol.SessionID) []protocol.SessionID {
	s.mu.RLock()
	defer s.mu.RUnlock()
	lr := s.rooms[room]
	if lr == nil {
		return nil
	}
	if seeded.CastAstray.Hit() {
		return slices.Collect(maps.Keys(s.bySess))
	}
	out := make([]protocol.SessionID, 0, len(lr.locals))
	for id, me := range lr.locals {
		if concerns(me) && (s.bySess[id].orphan || !slices.Contains(elsewhere, id)) {
			out = append(out, id)
		}
	}
	return out
}

// met returns the members of the room a session sits in or sat in last, if
// that is room.
func (s *seats) met(id protocol.SessionID, room protocol.RoomID) []rooms.Member {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if st, ok := s.bySess[id]; ok && st.room == room {
		return s.rooms[room].snapshot.Members
	}
	if l, ok := s.last[id]; ok && l.room == room {
		return l.members
	}
	return nil
}
