package server

import (
	"context"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/signaling"
)

// message is a row of the table of docs/protocol.md, section 4.
type message struct {
	action           auth.Action
	perSecond, burst float64
	group            string // its limit is shared with these
	serve            func(context.Context, *signaling.Session, *protocol.Message) (any, error)
}

// messages is the table: a type that is not in it is not handled.
func (s *Server) messages() map[protocol.Type]message {
	const match, room = "match", "room"
	return map[protocol.Type]message{
		protocol.TypeMatchFind:   {auth.ActionMatch, 1, 5, match, s.matchFind},
		protocol.TypeMatchNext:   {auth.ActionMatch, 1, 5, match, s.matchNext},
		protocol.TypeMatchCancel: {auth.ActionMatch, 1, 5, match, s.matchCancel},
		protocol.TypeSignal:      {auth.ActionTalk, 50, 200, "", s.signal},
		protocol.TypeRoomCreate:  {auth.ActionCreate, 1, 5, room, s.roomCreate},
		protocol.TypeRoomJoin:    {auth.ActionJoin, 1, 5, room, s.roomJoin},
		protocol.TypeRoomLeave:   {auth.ActionTalk, 1, 5, room, s.roomLeave},
		protocol.TypeRoomInfo:    {auth.ActionJoin, 1, 5, room, s.roomInfo},
		protocol.TypeChat:        {auth.ActionTalk, 3, 10, "", s.chatSend},
		protocol.TypeChatHistory: {auth.ActionTalk, 5, 20, "", s.chatHistory},
		protocol.TypeTyping:      {auth.ActionTalk, 2, 5, "", s.typing},
		protocol.TypeBlock:       {auth.ActionBlock, 1, 5, "", s.block},
		protocol.TypeUserUpdate:  {auth.ActionConnect, 0.2, 3, "", s.userUpdate},
		protocol.TypeAuth:        {auth.ActionConnect, 0.2, 5, "", s.auth},
		protocol.TypeICE:         {auth.ActionConnect, 0.2, 5, "", s.iceHandler},
		protocol.TypeStats:       {auth.ActionConnect, 1, 5, "", s.statsHandler},
		protocol.TypeCallState:   {auth.ActionConnect, 2, 20, "", s.callState},
	}
}

// handlers makes the table signaling's.
func (s *Server) handlers() map[protocol.Type]signaling.Handler {
	all := map[protocol.Type]signaling.Handler{}
	for t, m := range s.messages() {
		all[t] = signaling.Handler{
			Rate: ratelimit.Rate{PerSecond: m.perSecond, Burst: m.burst}, Group: m.group,
			Serve: func(ctx context.Context, sess *signaling.Session, in *protocol.Message) (any, error) {
				if err := s.allowed(sess, m.action); err != nil {
					return nil, err
				}
				return m.serve(ctx, sess, in)
			},
		}
	}
	return all
}

// allowed asks whether the session may. Who sits in no room, or in another one
// than it names, gets the handler's own words (stale_call, forbidden, not_found),
// which clients decide by.
func (s *Server) allowed(sess *signaling.Session, action auth.Action) error {
	who := principal(sess)
	return auth.Allowed(who, action, auth.Resource{Owner: who.Identity, Room: auth.RoomMember})
}
