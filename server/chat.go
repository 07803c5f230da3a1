package server

import (
	"context"
	"encoding/json"
	"regexp"
	"time"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/chat"
	"github.com/rondo-chat/rondo/internal/seeded"
	"github.com/rondo-chat/rondo/internal/text"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/rooms"
	"github.com/rondo-chat/rondo/signaling"
)

var cidPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// inRoom returns the session's seat in the room that the message names.
func (s *Server) inRoom(sess *signaling.Session, id protocol.RoomID) (seat, rooms.Room, error) {
	st, room, ok := s.seats.of(sess.ID())
	if !ok || st.room != id {
		return seat{}, rooms.Room{}, protocol.Errorf(protocol.CodeForbidden, "you are not in that room")
	}
	return st, room, nil
}

// chatSend keeps a message and gives it to all members: first the log, then the
// members, then the answer.
func (s *Server) chatSend(ctx context.Context, sess *signaling.Session, m *protocol.Message) (any, error) {
	st, room, err := s.inRoom(sess, m.Room)
	if err != nil {
		return nil, err
	}
	var in protocol.ChatSend
	if err := m.Unmarshal(&in); err != nil {
		return nil, err
	}
	if !cidPattern.MatchString(in.CID) {
		return nil, protocol.Errorf(protocol.CodeBadRequest, "cid: 1 to %d of A-Z a-z 0-9 _ -", protocol.MaxCIDBytes)
	}
	clean, err := text.Chat(in.Text)
	if err != nil {
		return nil, err
	}
	user := sess.User()
	sent, dup, err := s.chat.Send(ctx, room.ID, chat.Message{
		ChatMessage: protocol.ChatMessage{From: st.me, Name: user.Name, CID: in.CID, Text: clean, At: time.Now().UnixMilli()},
		User:        user.ID,
	})
	if err != nil {
		return nil, err
	}
	if !dup && !seeded.ChatUntold.Hit() {
		d, err := json.Marshal(sent.ChatMessage)
		if err != nil {
			return nil, err
		}
		s.castRaw(room, castHead{Type: protocol.TypeChat, Class: signaling.Ordered}, d)
	}
	return protocol.ChatSent{Off: sent.Off, At: sent.At}, nil
}

// remember keeps what another node tells of a room in which somebody sits here,
// for the case that the stores lose it.
func (s *Server) remember(h castHead, d []byte) {
	if h.Snapshot != nil {
		s.registry.Learn(*h.Snapshot)
	}
	if h.Type != protocol.TypeChat || !s.seats.has(h.Room) {
		return
	}
	m := chat.Message{Room: h.Room}
	if err := json.Unmarshal(d, &m.ChatMessage); err != nil {
		s.log.Warn("chat of another node not remembered", "err", err)
		return
	}
	m.User = s.seats.user(h.Room, m.From)
	s.chat.Saw(m)
}

func (s *Server) chatHistory(ctx context.Context, sess *signaling.Session, m *protocol.Message) (any, error) {
	if _, _, err := s.inRoom(sess, m.Room); err != nil {
		return nil, err
	}
	var q protocol.ChatQuery
	if err := m.Unmarshal(&q); err != nil {
		return nil, err
	}
	return s.chat.History(ctx, m.Room, q)
}

func (s *Server) typing(_ context.Context, sess *signaling.Session, m *protocol.Message) (any, error) {
	st, room, err := s.inRoom(sess, m.Room)
	if err != nil {
		return nil, err
	}
	var t protocol.Typing
	if err := m.Unmarshal(&t); err != nil {
		return nil, err
	}
	s.cast(room, castHead{Type: protocol.TypeTyping, From: st.me, Class: signaling.Latest,
		Key: "typing " + string(room.ID) + " " + string(st.me), Except: st.me}, t)
	return nil, nil
}

// userUpdate changes the session's name, here and in the room; an account's in
// the profile, and so for all of its sessions.
func (s *Server) userUpdate(ctx context.Context, sess *signaling.Session, m *protocol.Message) (any, error) {
	var in protocol.UserUpdate
	if err := m.Unmarshal(&in); err != nil {
		return nil, err
	}
	name, err := text.Name(in.Name)
	if err != nil {
		return nil, err
	}
	if name == "" {
		return nil, protocol.Errorf(protocol.CodeBadRequest, "name: empty")
	}
	user := sess.User()
	user.Name = name
	if s.people != nil && !user.Guest {
		if _, err := s.people.accounts.UpdateProfile(ctx, user.ID, 0, accounts.Patch{Name: &name}); err != nil {
			return nil, err
		}
	}
	if err := s.rename(ctx, sess, user); err != nil {
		return nil, err
	}
	if user.Guest {
		s.renamed(user.ID, user.Name)
	}
	return protocol.UserUpdated{User: user}, nil
}
