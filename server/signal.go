package server

import (
	"context"

	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/rooms"
	"github.com/rondo-chat/rondo/signaling"
)

// signal passes a WebRTC signal on to the partner, or to one member of a larger
// room. d is never read.
func (s *Server) signal(_ context.Context, sess *signaling.Session, m *protocol.Message) (any, error) {
	limit := m.Kind.MaxBytes()
	switch {
	case limit == 0:
		return nil, protocol.Errorf(protocol.CodeBadRequest, "kind: offer, answer, candidate, candidates, restart, media or hangup")
	case len(m.D) > limit:
		return nil, protocol.Errorf(protocol.CodeTooLarge, "a signal of this kind is limited to %d bytes", limit)
	case len(m.D) == 0:
		return nil, protocol.Errorf(protocol.CodeBadRequest, "d: missing")
	}
	st, room, ok := s.seats.of(sess.ID())
	if !ok || st.room != m.Room {
		return nil, protocol.Errorf(protocol.CodeStaleCall, "you are not in that room now")
	}
	to, err := recipient(&room, st.me, m.To)
	if err != nil {
		return nil, err
	}
	head := castHead{Type: protocol.TypeSignal, Room: m.Room, From: st.me, Kind: m.Kind, N: m.ID, Class: signaling.MustDeliver, turn: sess}
	if err := s.sendTo(to, &head, m.D); err != nil {
		return nil, protocol.Errorf(protocol.CodeUnavailable, "the other node cannot be reached")
	}
	return nil, nil
}

// recipient finds whom a signal is for.
func recipient(room *rooms.Room, me, to protocol.MemberID) (*rooms.Member, error) {
	if to == "" && room.Capacity > 2 {
		return nil, protocol.Errorf(protocol.CodeBadRequest, "to: name a member in a room of more than two seats")
	}
	if to == me {
		return nil, protocol.Errorf(protocol.CodeBadRequest, "to: that is you")
	}
	for i := range room.Members {
		if m := &room.Members[i]; m.ID != me && (to == "" || m.ID == to) {
			return m, nil
		}
	}
	return nil, protocol.Errorf(protocol.CodePeerGone, "that member is not in the room")
}

// callState counts how a call went.
func (s *Server) callState(_ context.Context, _ *signaling.Session, m *protocol.Message) (any, error) {
	var c protocol.CallState
	if err := m.Unmarshal(&c); err != nil {
		return nil, err
	}
	return nil, s.calls.Observe(c)
}

// iceHandler gives new credentials.
func (s *Server) iceHandler(_ context.Context, sess *signaling.Session, _ *protocol.Message) (any, error) {
	return s.ice(sess.ID()), nil
}

// ice is what the session's peer connections need.
func (s *Server) ice(id protocol.SessionID) *protocol.ICE {
	if s.cfg.ICE == nil {
		return &protocol.ICE{Servers: []protocol.ICEServer{}, Policy: "all"}
	}
	return s.cfg.ICE(id)
}
