package client

import (
	"context"
	"fmt"

	"github.com/rondo-chat/rondo/protocol"
)

// Conversations returns a page of the own list (section 11). The first page makes this session follow all
// conversations that its user is a member of.
func (c *Client) Conversations(ctx context.Context, q protocol.ConvListQuery) (protocol.ConvList, error) {
	return ask[protocol.ConvList](ctx, c, &envelope{T: protocol.TypeConvList}, q)
}

// Conversation is one, by its id. Its methods are the requests of section 11; View keeps what they say up to date.
type Conversation struct {
	c    *Client
	Room protocol.RoomID
}

// Conversation returns the one with the id, without asking whether it is there.
func (c *Client) Conversation(room protocol.RoomID) Conversation { return Conversation{c, room} }

func (v Conversation) envelope(t protocol.Type) *envelope { return &envelope{T: t, Room: v.Room} }

// Open asks for what shows it, and follows it: ConvEvent and its kin tell what happens from then on.
func (v Conversation) Open(ctx context.Context, q protocol.ConvOpen) (protocol.ConvOpened, error) {
	return ask[protocol.ConvOpened](ctx, v.c, v.envelope(protocol.TypeConvOpen), q)
}

// Close follows it no more.
func (v Conversation) Close(ctx context.Context) error {
	_, err := v.c.request(ctx, v.envelope(protocol.TypeConvClose), struct{}{}, nil)
	return err
}

// Sync returns what changed.
func (v Conversation) Sync(ctx context.Context, q protocol.ConvSyncQuery) (protocol.ConvSync, error) {
	return ask[protocol.ConvSync](ctx, v.c, v.envelope(protocol.TypeConvSync), q)
}

// History returns a page of messages.
func (v Conversation) History(ctx context.Context, q protocol.ConvHistoryQuery) (protocol.ConvHistory, error) {
	return ask[protocol.ConvHistory](ctx, v.c, v.envelope(protocol.TypeConvHistory), q)
}

// Send writes a message under a number of the client's own, if s has none. The same CID again gives the first answer.
func (v Conversation) Send(ctx context.Context, s protocol.ConvSend) (protocol.ConvSent, error) {
	if s.CID == "" {
		s.CID = v.c.newCID()
	}
	return ask[protocol.ConvSent](ctx, v.c, v.envelope(protocol.TypeConvSend), s)
}

// Edit changes what an own message says.
func (v Conversation) Edit(ctx context.Context, seq uint64, text string) (protocol.ConvSent, error) {
	return v.change(ctx, protocol.TypeConvEdit, protocol.ConvChange{Seq: seq, Text: text})
}

// Delete takes a message back.
func (v Conversation) Delete(ctx context.Context, seq uint64) (protocol.ConvSent, error) {
	return v.change(ctx, protocol.TypeConvDelete, protocol.ConvChange{Seq: seq})
}

// React puts an emoji under a message, or takes it away.
func (v Conversation) React(ctx context.Context, seq uint64, emoji string, on bool) (protocol.ConvSent, error) {
	return v.change(ctx, protocol.TypeConvReact, protocol.ConvChange{Seq: seq, Emoji: emoji, On: on})
}

// Pin pins a message, or no more.
func (v Conversation) Pin(ctx context.Context, seq uint64, on bool) (protocol.ConvSent, error) {
	return v.change(ctx, protocol.TypeConvPin, protocol.ConvChange{Seq: seq, On: on})
}

func (v Conversation) change(ctx context.Context, t protocol.Type, q protocol.ConvChange) (protocol.ConvSent, error) {
	return ask[protocol.ConvSent](ctx, v.c, v.envelope(t), q)
}

// Mark tells how far this reader is.
func (v Conversation) Mark(ctx context.Context, q protocol.ConvMark) (protocol.ConvMarked, error) {
	return ask[protocol.ConvMarked](ctx, v.c, v.envelope(protocol.TypeConvMark), q)
}

// Typing tells the others that this user writes, or no longer does. It waits for nothing and is lost when there is no
// socket.
func (v Conversation) Typing(on bool) error {
	return v.c.tell(v.envelope(protocol.TypeConvTyping), protocol.ConvTyping{On: on})
}

// Translate returns messages in a language.
func (v Conversation) Translate(ctx context.Context, q protocol.ConvTranslate) (protocol.ConvTranslated, error) {
	return ask[protocol.ConvTranslated](ctx, v.c, v.envelope(protocol.TypeConvTranslate), q)
}

// newCID is a number for a message that no other client of this user has.
func (c *Client) newCID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cids++
	return fmt.Sprintf("%s-%d", c.cidPrefix, c.cids)
}
