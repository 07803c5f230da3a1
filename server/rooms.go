package server

import (
	"context"
	"errors"
	"time"

	"github.com/rondo-chat/rondo/internal/seeded"
	"github.com/rondo-chat/rondo/internal/text"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/rooms"
	"github.com/rondo-chat/rondo/signaling"
)

// historyOnJoin is how many messages a joiner gets with the room's state.
const historyOnJoin = 50

// free reports whether the session may enter a room.
func (s *Server) free(id protocol.SessionID) error {
	if _, _, ok := s.seats.of(id); ok {
		return protocol.Errorf(protocol.CodeAlready, "you are in a room: leave it first")
	}
	if _, searching := s.matcher.Status(id); searching {
		return protocol.Errorf(protocol.CodeAlready, "you are searching: cancel first")
	}
	return nil
}

func (s *Server) member(sess *signaling.Session) rooms.Member {
	user := sess.User()
	return rooms.Member{Session: sess.ID(), Node: s.node, User: user.ID, Name: user.Name}
}

func (s *Server) roomCreate(ctx context.Context, sess *signaling.Session, m *protocol.Message) (any, error) {
	var wish protocol.RoomCreate
	if err := m.Unmarshal(&wish); err != nil {
		return nil, err
	}
	if err := cleanRoom(&wish); err != nil {
		return nil, err
	}
	if err := s.free(sess.ID()); err != nil {
		return nil, err
	}
	room, me, err := s.registry.Create(ctx, wish, s.member(sess))
	if err != nil {
		return nil, err
	}
	return s.sitDown(ctx, sess, room, me)
}

// cleanRoom checks a wish and fills in the defaults.
func cleanRoom(w *protocol.RoomCreate) (err error) {
	if w.Name, err = text.RoomName(w.Name); err != nil {
		return err
	}
	if w.Capacity == 0 {
		w.Capacity = protocol.MaxRoomCapacity
	}
	if w.Mode == "" {
		w.Mode = protocol.ModeVideo
	}
	switch {
	case w.Capacity < 2 || w.Capacity > protocol.MaxRoomCapacity:
		return protocol.Errorf(protocol.CodeBadRequest, "capacity: from 2 to %d", protocol.MaxRoomCapacity)
	case len(w.Passcode) > protocol.MaxPasscodeBytes:
		return protocol.Errorf(protocol.CodeBadRequest, "passcode: at most %d bytes", protocol.MaxPasscodeBytes)
	case w.Mode != protocol.ModeVideo && w.Mode != protocol.ModeAudio && w.Mode != protocol.ModeText:
		return protocol.Errorf(protocol.CodeBadRequest, "mode: video, audio or text")
	}
	return nil
}

func (s *Server) roomJoin(ctx context.Context, sess *signaling.Session, m *protocol.Message) (any, error) {
	var wish protocol.RoomJoin
	if err := m.Unmarshal(&wish); err != nil {
		return nil, err
	}
	if err := s.free(sess.ID()); err != nil {
		return nil, err
	}
	room, me, err := s.registry.Join(ctx, m.Room, s.member(sess), wish.Passcode)
	if err != nil {
		return nil, err
	}
	return s.sitDown(ctx, sess, room, me)
}

// sitDown seats a session that the registry has let in, tells the others, and
// returns the room's state.
func (s *Server) sitDown(ctx context.Context, sess *signaling.Session, room rooms.Room, me rooms.Member) (any, error) {
	if !s.seats.enter(sess.ID(), seat{room: room.ID, me: me.ID}, room) {
		s.vacate(ctx, sess.ID(), room, me.ID, protocol.LeaveLeft)
		return nil, protocol.Errorf(protocol.CodeAlready, "you are in a room: leave it first")
	}
	s.noteDown(sess)
	s.cast(room, castHead{Type: protocol.TypePeerJoined, Class: signaling.MustDeliver, Except: me.ID, Snapshot: &room},
		protocol.PeerJoined{Peer: s.peer(room.ID, me)})
	return s.roomState(ctx, sess.ID())
}

// roomState describes the session's room to it; nil if it sits nowhere.
func (s *Server) roomState(ctx context.Context, id protocol.SessionID) (*protocol.RoomState, error) {
	st, room, ok := s.seats.of(id)
	if !ok {
		return nil, nil
	}
	history, err := s.chat.History(ctx, room.ID, protocol.ChatQuery{Limit: historyOnJoin})
	switch {
	case protocol.CodeOf(err) == protocol.CodeForbidden: // it is over; the news of that is on its way
		history = protocol.ChatHistory{Messages: []protocol.ChatMessage{}}
	case err != nil:
		return nil, err
	}
	state := &protocol.RoomState{
		Room: room.ID, Kind: string(room.Kind), Name: room.Name, Mode: room.Mode, Capacity: room.Capacity,
		You: st.me, Peers: []protocol.Peer{}, RelayOnly: room.RelayOnly, Chat: history, ICE: s.ice(id), Match: st.found,
	}
	for _, m := range room.Members {
		if m.ID != st.me {
			state.Peers = append(state.Peers, s.peer(room.ID, m))
		}
	}
	return state, nil
}

// peer is a member as other members see it.
func (s *Server) peer(room protocol.RoomID, m rooms.Member) protocol.Peer {
	p := protocol.Peer{ID: m.ID, Name: m.Name, Since: m.Since.UnixMilli(), State: protocol.PeerHere}
	if s.people != nil {
		p.Picture = s.people.pictures.Name(room, m.ID, m.User, time.Now())
	}
	if m.Away {
		p.State = protocol.PeerAway
	}
	return p
}

func (s *Server) roomLeave(ctx context.Context, sess *signaling.Session, m *protocol.Message) (any, error) {
	if st, _, ok := s.seats.of(sess.ID()); ok && st.room == m.Room {
		s.leaveSeat(ctx, sess.ID(), protocol.LeaveLeft)
	}
	return nil, nil // to leave what one is not in is no error
}

func (s *Server) roomInfo(ctx context.Context, _ *signaling.Session, m *protocol.Message) (any, error) {
	room, err := s.registry.Get(ctx, m.Room)
	if err != nil {
		return nil, err
	}
	if room.Kind != rooms.Named {
		return nil, protocol.Errorf(protocol.CodeNotFound, "no such room")
	}
	return protocol.RoomInfo{Room: room.ID, Name: room.Name, Mode: room.Mode, Members: len(room.Members),
		Capacity: room.Capacity, Passcode: room.Locked}, nil
}

// leaveSeat takes the session out of the room it sits in, if any.
func (s *Server) leaveSeat(ctx context.Context, id protocol.SessionID, why protocol.LeaveReason) {
	st, _, ok := s.seats.of(id)
	if !ok {
		return
	}
	if st, room, ok := s.seats.leave(id, st.room); ok {
		s.noteSeat(id)
		s.vacate(ctx, id, room, st.me, why)
	}
}

// vacate gives a seat back to the registry and tells the members of room, the
// last snapshot known here. If the registry cannot be reached they are told all
// the same; its record goes with this node's lease or the room's expiry.
func (s *Server) vacate(ctx context.Context, id protocol.SessionID, room rooms.Room, me protocol.MemberID, why protocol.LeaveReason) {
	if room.Kind == rooms.Matched {
		s.matchEnded(ctx, room)
	}
	after, _, err := s.registry.Leave(ctx, room.ID, id)
	head := castHead{Type: protocol.TypePeerLeft, Class: signaling.MustDeliver, Except: me, Ends: room.Kind == rooms.Matched}
	switch {
	case err == nil:
		head.Snapshot = &after
		if room.Kind == rooms.Named {
			room = after
		}
	case !errors.Is(err, &protocol.Error{Code: protocol.CodeNotFound}):
		s.log.Warn("room could not be left in the registry", "err", err)
	}
	room = without(room, me)
	if seeded.LeaveUntold.Hit() {
		return
	}
	s.cast(room, head, protocol.PeerLeft{Peer: me, Reason: why})
}

// matchEnded records that two people have met, and drops their chat.
func (s *Server) matchEnded(ctx context.Context, room rooms.Room) {
	if len(room.Members) == 2 {
		s.matcher.Parted(room.Members[0].User, room.Members[1].User)
	}
	s.dropChat(ctx, room.ID)
}

// dropChat ends the chat of a call: what is said there from now on is refused.
func (s *Server) dropChat(ctx context.Context, id protocol.RoomID) {
	if err := s.chat.Drop(ctx, id); err != nil {
		s.log.Warn("chat of an ended call not dropped; it expires", "err", err)
	}
}

// without is the room with one member less; the original is not touched.
func without(room rooms.Room, id protocol.MemberID) rooms.Room {
	members := make([]rooms.Member, 0, len(room.Members))
	for _, m := range room.Members {
		if m.ID != id {
			members = append(members, m)
		}
	}
	room.Members = members
	return room
}

// setAway tells a room that a member's socket went or came back.
func (s *Server) setAway(ctx context.Context, id protocol.SessionID, away, fresh bool) {
	st, room, ok := s.seats.of(id)
	if !ok {
		return
	}
	head := castHead{Class: signaling.MustDeliver, Except: st.me, Snapshot: &room}
	after, err := s.registry.SetAway(ctx, st.room, id, away)
	switch {
	case err == nil:
		room, head.Recorded = after, true
	case protocol.CodeOf(err) == protocol.CodeNotFound:
		return // it sits there no longer, or on another node: nothing to tell from here
	default:
		s.log.Warn("presence not recorded", "err", err)
	}
	if away {
		head.Type = protocol.TypePeerReconnecting
		s.cast(room, head, protocol.PeerReconnecting{Peer: st.me})
		return
	}
	head.Type = protocol.TypePeerBack
	s.cast(room, head, protocol.PeerBack{Peer: st.me, Fresh: fresh})
}

// removed is called on one node when a sweep took members of a dead node, or a
// whole room, out of the registry.
func (s *Server) removed(room rooms.Room, gone []rooms.Member, _ rooms.Reason) {
	if room.Kind == rooms.Matched && len(gone) > 0 {
		s.background(func(ctx context.Context) { s.dropChat(ctx, room.ID) })
	}
	for _, m := range gone {
		s.cast(without(room, m.ID), castHead{Type: protocol.TypePeerLeft, Class: signaling.MustDeliver, Except: m.ID,
			Snapshot: &room, Ends: room.Kind == rooms.Matched}, protocol.PeerLeft{Peer: m.ID, Reason: protocol.LeaveLost})
	}
}

// keepChat keeps the chat of rooms that live on.
func (s *Server) keepChat(ids []protocol.RoomID) {
	ctx, cancel := s.shortly()
	defer cancel()
	if err := s.chat.Touch(ctx, ids); err != nil {
		s.log.Warn("chat not prolonged", "err", err)
	}
}
