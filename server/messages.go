package server

import (
	"context"
	"maps"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/signaling"
)

// message is a row of the table of docs/protocol.md, section 4.
type message struct {
	action           auth.Action
	perSecond, burst float64
	group            string // its limit is shared with these
	serve            serveFunc
	// outside is the answer to who does not sit in the room, where that is what is missing: clients
	// decide by its words. nil: what auth.Allowed says.
	outside func() (any, error)
}

type serveFunc = func(context.Context, *signaling.Session, *protocol.Message) (any, error)

// messages is the table: a type that is not in it is not handled.
func (s *Server) messages() map[protocol.Type]message {
	const match, room = "match", "room"
	return map[protocol.Type]message{
		protocol.TypeMatchFind:   {auth.ActionMatch, 1, 5, match, s.matchFind, nil},
		protocol.TypeMatchNext:   {auth.ActionMatch, 1, 5, match, s.matchNext, nil},
		protocol.TypeMatchCancel: {auth.ActionMatch, 1, 5, match, s.matchCancel, nil},
		protocol.TypeSignal:      {auth.ActionTalk, 50, 200, "", s.signal, staleCall},
		protocol.TypeRoomCreate:  {auth.ActionCreate, 1, 5, room, s.roomCreate, nil},
		protocol.TypeRoomJoin:    {auth.ActionJoin, 1, 5, room, s.roomJoin, nil},
		protocol.TypeRoomLeave:   {auth.ActionTalk, 1, 5, room, s.roomLeave, leftAlready},
		protocol.TypeRoomInfo:    {auth.ActionJoin, 1, 5, room, s.roomInfo, nil},
		protocol.TypeChat:        {auth.ActionTalk, 3, 10, "", s.chatSend, notInside},
		protocol.TypeChatHistory: {auth.ActionTalk, 5, 20, "", s.chatHistory, notInside},
		protocol.TypeTyping:      {auth.ActionTalk, 2, 5, "", s.typing, notInside},
		protocol.TypeBlock:       {auth.ActionBlock, 1, 5, "", s.block, nil},
		protocol.TypeUserUpdate:  {auth.ActionConnect, 0.2, 3, "", s.userUpdate, nil},
		protocol.TypeAuth:        {auth.ActionConnect, 0.2, 5, "", s.auth, nil},
		protocol.TypeICE:         {auth.ActionConnect, 0.2, 5, "", s.iceHandler, nil},
		protocol.TypeStats:       {auth.ActionConnect, 1, 5, "", s.statsHandler, nil},
		protocol.TypeCallState:   {auth.ActionConnect, 2, 20, "", s.callState, nil},
	}
}

// talkMessages is the table of section 11. Who may do what there is decided where the roles in a conversation are
// known: in package conversations.
func (s *Server) talkMessages() map[protocol.Type]message {
	const act = auth.ActionConnect
	return map[protocol.Type]message{
		protocol.TypeConvList:      {act, 3, 10, "", s.convList, nil},
		protocol.TypeConvOpen:      {act, 5, 20, "", s.convOpen, nil},
		protocol.TypeConvClose:     {act, 3, 10, "", s.convClose, nil},
		protocol.TypeConvSync:      {act, 5, 20, "", asked(s, (*conversations.Conversations).Sync), nil},
		protocol.TypeConvHistory:   {act, 5, 20, "", asked(s, (*conversations.Conversations).History), nil},
		protocol.TypeConvSend:      {act, 3, 10, "", asked(s, (*conversations.Conversations).Send), nil},
		protocol.TypeConvEdit:      {act, 3, 10, "", asked(s, (*conversations.Conversations).Edit), nil},
		protocol.TypeConvDelete:    {act, 3, 10, "", asked(s, (*conversations.Conversations).Delete), nil},
		protocol.TypeConvReact:     {act, 3, 10, "", asked(s, (*conversations.Conversations).React), nil},
		protocol.TypeConvPin:       {act, 3, 10, "", asked(s, (*conversations.Conversations).Pin), nil},
		protocol.TypeConvMark:      {act, 5, 20, "", s.convMark, nil},
		protocol.TypeConvTyping:    {act, 1, 5, "", s.convTyping, nil},
		protocol.TypeConvTranslate: {act, 3, 10, "", s.convTranslate, nil},
	}
}

// handlers makes the table signaling's.
func (s *Server) handlers() map[protocol.Type]signaling.Handler {
	table := s.messages()
	if s.talks != nil {
		maps.Copy(table, s.talkMessages())
	}
	all := map[protocol.Type]signaling.Handler{}
	for t, m := range table {
		all[t] = signaling.Handler{
			Rate: ratelimit.Rate{PerSecond: m.perSecond, Burst: m.burst}, Group: m.group, Brief: t == protocol.TypeSignal,
			Serve: func(ctx context.Context, sess *signaling.Session, in *protocol.Message) (any, error) {
				who, role := principal(sess), s.roomRole(sess, in.Room)
				if err := auth.Allowed(who, m.action, auth.Resource{Owner: who.Identity, Room: role}); err != nil {
					if m.outside != nil && role == "" {
						return m.outside()
					}
					return nil, err
				}
				return m.serve(ctx, sess, in)
			},
		}
	}
	return all
}

// roomRole is what the session is in the room; "" if it does not sit there.
func (s *Server) roomRole(sess *signaling.Session, room protocol.RoomID) auth.RoomRole {
	switch {
	case !s.seats.sits(sess.ID(), room):
		return ""
	case sess.User().Guest:
		return auth.RoomGuest
	}
	return auth.RoomMember
}

func staleCall() (any, error) {
	return nil, protocol.Errorf(protocol.CodeStaleCall, "you are not in that room now")
}

func notInside() (any, error) {
	return nil, protocol.Errorf(protocol.CodeForbidden, "you are not in that room")
}

// leftAlready: to leave what one is not in is no error.
func leftAlready() (any, error) { return nil, nil }
