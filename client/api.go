package client

import (
	"context"
	"encoding/json"

	"github.com/rondo-chat/rondo/protocol"
)

// Find starts a search. Found, Waiting and Stopped events tell how it goes.
func (c *Client) Find(ctx context.Context, f protocol.Find) (protocol.Waiting, error) {
	return ask[protocol.Waiting](ctx, c, &envelope{T: protocol.TypeMatchFind}, f)
}

// Next leaves the room and searches in one step; nil keeps the wishes.
func (c *Client) Next(ctx context.Context, f *protocol.Find) (protocol.Waiting, error) {
	if f == nil {
		return ask[protocol.Waiting](ctx, c, &envelope{T: protocol.TypeMatchNext}, struct{}{})
	}
	return ask[protocol.Waiting](ctx, c, &envelope{T: protocol.TypeMatchNext}, f)
}

// Cancel ends the search; no error when there was none.
func (c *Client) Cancel(ctx context.Context) error {
	_, err := c.request(ctx, &envelope{T: protocol.TypeMatchCancel}, struct{}{}, nil)
	return err
}

// Create makes a named room and enters it.
func (c *Client) Create(ctx context.Context, r protocol.RoomCreate) (protocol.RoomState, error) {
	return c.enter(ctx, &envelope{T: protocol.TypeRoomCreate}, r)
}

// Join enters a named room.
func (c *Client) Join(ctx context.Context, room protocol.RoomID, passcode string) (protocol.RoomState, error) {
	return c.enter(ctx, &envelope{T: protocol.TypeRoomJoin, Room: room}, protocol.RoomJoin{Passcode: passcode})
}

// enter sends a request that is answered with a room's state. The chat's place is
// taken from it before any later push is handled.
func (c *Client) enter(ctx context.Context, m *envelope, d any) (protocol.RoomState, error) {
	raw, err := c.request(ctx, m, d, func(d json.RawMessage, err error) {
		if err != nil {
			return
		}
		if st, err := decode[protocol.RoomState](d); err == nil {
			c.chat.state(&st)
			c.keepICE(st.ICE)
		}
	})
	if err != nil {
		return protocol.RoomState{}, err
	}
	return decode[protocol.RoomState](raw)
}

// Leave leaves the room.
func (c *Client) Leave(ctx context.Context, room protocol.RoomID) error {
	_, err := c.request(ctx, &envelope{T: protocol.TypeRoomLeave, Room: room}, struct{}{}, nil)
	return err
}

// Info describes a named room from outside.
func (c *Client) Info(ctx context.Context, room protocol.RoomID) (protocol.RoomInfo, error) {
	return ask[protocol.RoomInfo](ctx, c, &envelope{T: protocol.TypeRoomInfo, Room: room}, struct{}{})
}

// Chat sends a chat message under a number of the client's own.
func (c *Client) Chat(ctx context.Context, room protocol.RoomID, text string) (protocol.ChatSent, error) {
	return c.ChatAs(ctx, room, protocol.ChatSend{CID: c.newCID(), Text: text})
}

// ChatAs sends a chat message; the same CID again gives the first answer.
func (c *Client) ChatAs(ctx context.Context, room protocol.RoomID, s protocol.ChatSend) (protocol.ChatSent, error) {
	return ask[protocol.ChatSent](ctx, c, &envelope{T: protocol.TypeChat, Room: room}, s)
}

// History returns a page of the room's chat.
func (c *Client) History(ctx context.Context, room protocol.RoomID, q protocol.ChatQuery) (protocol.ChatHistory, error) {
	return ask[protocol.ChatHistory](ctx, c, &envelope{T: protocol.TypeChatHistory, Room: room}, q)
}

// Typing tells the others that this member writes, or no longer does. It waits
// for nothing and is lost when there is no socket.
func (c *Client) Typing(room protocol.RoomID, on bool) error {
	return c.tell(&envelope{T: protocol.TypeTyping, Room: room}, protocol.Typing{On: on})
}

// Signal sends d to a member's call (to: "" in a room of two) and waits until the
// server took it.
func (c *Client) Signal(ctx context.Context, room protocol.RoomID, to protocol.MemberID, kind protocol.SignalKind, d any) error {
	_, err := c.request(ctx, &envelope{T: protocol.TypeSignal, Room: room, To: to, Kind: kind}, d, nil)
	return err
}

// Send is Signal without waiting: in order, sent again after a lost socket, and
// a no of the server comes as Refused. Its error is ErrBusy, the client's end, or
// a d that is no JSON.
func (c *Client) Send(room protocol.RoomID, to protocol.MemberID, kind protocol.SignalKind, d any) error {
	_, err := c.start(&call{}, &envelope{T: protocol.TypeSignal, Room: room, To: to, Kind: kind}, d)
	return err
}

// Block never meets that member again, and they never this one.
func (c *Client) Block(ctx context.Context, room protocol.RoomID, peer protocol.MemberID) error {
	_, err := c.request(ctx, &envelope{T: protocol.TypeBlock, Room: room}, protocol.Block{Peer: peer}, nil)
	return err
}

// Rename changes the name that others see.
func (c *Client) Rename(ctx context.Context, name string) (protocol.User, error) {
	u, err := ask[protocol.UserUpdated](ctx, c, &envelope{T: protocol.TypeUserUpdate}, protocol.UserUpdate{Name: name})
	if err == nil {
		c.mu.Lock()
		c.welcome.User = u.User
		c.mu.Unlock()
	}
	return u.User, err
}

// Renew shows a new access token (or a ticket): the session is the account's until
// that is over, also one that was the guest's who registered. It returns for how
// long that is.
func (c *Client) Renew(ctx context.Context, token string) (protocol.Authed, error) {
	a, err := ask[protocol.Authed](ctx, c, &envelope{T: protocol.TypeAuth}, protocol.Auth{Auth: token})
	if err == nil {
		c.mu.Lock()
		c.welcome.User = a.User
		c.mu.Unlock()
	}
	return a, err
}

// ICE asks for fresh ICE servers and credentials.
func (c *Client) ICE(ctx context.Context) (protocol.ICE, error) {
	ice, err := ask[protocol.ICE](ctx, c, &envelope{T: protocol.TypeICE}, struct{}{})
	if err == nil {
		c.keepICE(&ice)
	}
	return ice, err
}

// Stats returns the server's live counts.
func (c *Client) Stats(ctx context.Context) (protocol.Stats, error) {
	return ask[protocol.Stats](ctx, c, &envelope{T: protocol.TypeStats}, struct{}{})
}

// CallState reports how a call goes, for the operator's metrics. It waits for
// nothing.
func (c *Client) CallState(s protocol.CallState) error {
	return c.tell(&envelope{T: protocol.TypeCallState}, s)
}

// Request sends a request of any type; for what this package has no method for.
func (c *Client) Request(ctx context.Context, t protocol.Type, room protocol.RoomID, d any) (json.RawMessage, error) {
	return c.request(ctx, &envelope{T: t, Room: room}, d, nil)
}

func (c *Client) keepICE(ice *protocol.ICE) {
	if ice == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.welcome.ICE = ice
}
