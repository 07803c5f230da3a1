package client

import (
	"encoding/json"
	"fmt"

	"github.com/rondo-chat/rondo/protocol"
)

// Event is what Events carries: one of the types of this file.
type Event interface{ event() }

type (
	// Down: the socket is lost; the client reconnects by itself.
	Down struct{ Err error }
	// Up: there is a socket again. New means that the old session was gone: its
	// search and its room with it. State is set when pushes were lost: it is the
	// truth from now on.
	Up struct {
		New   bool
		State *protocol.State
	}
	// Waiting tells how the search stands. Latest wins; dropped when the queue is full.
	Waiting struct{ protocol.Waiting }
	// Found is a match.
	Found struct {
		Room protocol.RoomID
		protocol.Found
	}
	// Stopped: the search ended without a match.
	Stopped struct{ protocol.Stopped }
	// PeerJoined, PeerLeft, PeerReconnecting, PeerBack and PeerUpdated tell of
	// the other members of a room.
	PeerJoined struct {
		Room protocol.RoomID
		Peer protocol.Peer
	}
	PeerLeft struct {
		Room   protocol.RoomID
		Peer   protocol.MemberID
		Reason protocol.LeaveReason
	}
	PeerReconnecting struct {
		Room protocol.RoomID
		Peer protocol.MemberID
	}
	PeerBack struct {
		Room  protocol.RoomID
		Peer  protocol.MemberID
		Fresh bool
	}
	PeerUpdated struct {
		Room protocol.RoomID
		Peer protocol.Peer
	}
	// RoomClosed: the room is no more.
	RoomClosed struct {
		Room   protocol.RoomID
		Reason string
	}
	// Signal is what a member of the room tells this client's call.
	Signal struct {
		Room protocol.RoomID
		From protocol.MemberID
		Kind protocol.SignalKind
		D    json.RawMessage
	}
	// Chat is a chat message; the client's own come too.
	Chat struct {
		Room protocol.RoomID
		protocol.ChatMessage
	}
	// Typing tells that a member writes. Dropped when the queue is full.
	Typing struct {
		Room protocol.RoomID
		From protocol.MemberID
		On   bool
	}
	// ConvEvent is a lasting change in a conversation that is followed (section 11). A View takes it instead,
	// as the others of a conversation.
	ConvEvent struct{ protocol.ConvEvent }
	// ConvMarks tells how far somebody is. Dropped when the queue is full, as ConvPresence and ConvTyping.
	ConvMarks struct {
		Room protocol.RoomID
		protocol.ConvMarked
	}
	// ConvPresence is who is there.
	ConvPresence struct {
		Room protocol.RoomID
		protocol.ConvPresence
	}
	// ConvTyping tells that somebody writes.
	ConvTyping struct {
		Room protocol.RoomID
		protocol.ConvTyping
	}
	// ConvRemoved: the conversation is no more, or not for this user.
	ConvRemoved struct{ Room protocol.RoomID }
	// Refused is the server's no to something that was sent without waiting for
	// an answer (Send, Typing, CallState). Type is "" where the server did not
	// say to what.
	Refused struct {
		Type protocol.Type
		Room protocol.RoomID
		Err  error
	}
	// Unknown is a push of a type that this client does not know.
	Unknown struct {
		Type protocol.Type
		Room protocol.RoomID
		D    json.RawMessage
	}
)

func (Down) event()             {}
func (Up) event()               {}
func (Waiting) event()          {}
func (Found) event()            {}
func (Stopped) event()          {}
func (PeerJoined) event()       {}
func (PeerLeft) event()         {}
func (PeerReconnecting) event() {}
func (PeerBack) event()         {}
func (PeerUpdated) event()      {}
func (RoomClosed) event()       {}
func (Signal) event()           {}
func (Chat) event()             {}
func (Typing) event()           {}
func (ConvEvent) event()        {}
func (ConvMarks) event()        {}
func (ConvPresence) event()     {}
func (ConvTyping) event()       {}
func (ConvRemoved) event()      {}
func (Refused) event()          {}
func (Unknown) event()          {}

// emit queues ev; see the package comment for what happens when there is no room.
func (c *Client) emit(ev Event) {
	select {
	case c.events <- ev:
		return
	default:
	}
	switch ev.(type) {
	case Waiting, Typing, ConvMarks, ConvPresence, ConvTyping:
	default:
		c.cancel(ErrSlow)
	}
}

// push turns a push into an event.
func (c *Client) push(m *envelope) error {
	if m.T == protocol.TypeSignal {
		if c.signals.again(m.Room, m.From, m.N) {
			return nil
		}
		c.emit(Signal{Room: m.Room, From: m.From, Kind: m.Kind, D: m.D})
		return nil
	}
	if m.T == protocol.TypeChat {
		var msg protocol.ChatMessage
		if err := json.Unmarshal(m.D, &msg); err != nil {
			return fmt.Errorf("client: chat: %w", err)
		}
		c.chatPush(m.Room, msg)
		return nil
	}
	ev, err := decodePush(m)
	if err != nil {
		return fmt.Errorf("client: %s: %w", m.T, err)
	}
	switch ev := ev.(type) {
	case Found:
		c.chat.enter(ev.Room, 0)
		c.chat.matched = true
		c.keepICE(ev.ICE)
	case PeerLeft:
		if c.chat.matched {
			c.chatOver(ev.Room)
		}
	case RoomClosed:
		c.chatOver(ev.Room)
	case PeerBack:
		if ev.Fresh { // its numbers begin anew
			delete(c.signals.from, ev.Peer)
		}
	case ConvEvent, ConvMarks, ConvPresence, ConvTyping, ConvRemoved:
		c.convPush(m.Room, ev)
		return nil
	}
	c.emit(ev)
	return nil
}

// decodePush decodes the pushes that need nothing but decoding.
func decodePush(m *envelope) (Event, error) {
	switch m.T {
	case protocol.TypeMatchWaiting:
		d, err := decode[protocol.Waiting](m.D)
		return Waiting{d}, err
	case protocol.TypeMatchFound:
		d, err := decode[protocol.Found](m.D)
		return Found{m.Room, d}, err
	case protocol.TypeMatchStopped:
		d, err := decode[protocol.Stopped](m.D)
		return Stopped{d}, err
	case protocol.TypePeerJoined:
		d, err := decode[protocol.PeerJoined](m.D)
		return PeerJoined{m.Room, d.Peer}, err
	case protocol.TypePeerLeft:
		d, err := decode[protocol.PeerLeft](m.D)
		return PeerLeft{m.Room, d.Peer, d.Reason}, err
	case protocol.TypePeerReconnecting:
		d, err := decode[protocol.PeerReconnecting](m.D)
		return PeerReconnecting{m.Room, d.Peer}, err
	case protocol.TypePeerBack:
		d, err := decode[protocol.PeerBack](m.D)
		return PeerBack{m.Room, d.Peer, d.Fresh}, err
	case protocol.TypePeerUpdated:
		d, err := decode[protocol.PeerUpdated](m.D)
		return PeerUpdated{m.Room, d.Peer}, err
	case protocol.TypeRoomClosed:
		d, err := decode[protocol.RoomClosed](m.D)
		return RoomClosed{m.Room, d.Reason}, err
	case protocol.TypeTyping:
		d, err := decode[protocol.Typing](m.D)
		return Typing{m.Room, m.From, d.On}, err
	case protocol.TypeConvEvent:
		d, err := decode[protocol.ConvEvent](m.D)
		return ConvEvent{d}, err
	case protocol.TypeConvMarks:
		d, err := decode[protocol.ConvMarked](m.D)
		return ConvMarks{m.Room, d}, err
	case protocol.TypeConvPresence:
		d, err := decode[protocol.ConvPresence](m.D)
		return ConvPresence{m.Room, d}, err
	case protocol.TypeConvTyping:
		d, err := decode[protocol.ConvTyping](m.D)
		return ConvTyping{m.Room, d}, err
	case protocol.TypeConvRemoved:
		return ConvRemoved{m.Room}, nil
	}
	return Unknown{m.T, m.Room, m.D}, nil
}

func decode[T any](d json.RawMessage) (T, error) {
	var v T
	if len(d) == 0 {
		return v, nil
	}
	err := json.Unmarshal(d, &v)
	return v, err
}
