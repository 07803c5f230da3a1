package client

import (
	"cmp"
	"encoding/json"
	"slices"

	"github.com/rondo-chat/rondo/protocol"
)

// chatOrder holds the place in the chat of the room the client is in (section 8).
// It belongs to the client's goroutine.
type chatOrder struct {
	room protocol.RoomID
	off  uint64 // last delivered
	// While a gap is fetched, what comes after it waits here.
	held     []protocol.ChatMessage
	fetching bool
}

func (o *chatOrder) enter(room protocol.RoomID, off uint64) { *o = chatOrder{room: room, off: off} }
func (o *chatOrder) forget()                                { *o = chatOrder{} }

// state takes the place from a room's state; nil: in no room. The place within
// the same room never goes back.
func (o *chatOrder) state(st *protocol.RoomState) {
	switch {
	case st == nil:
		o.forget()
	case st.Room != o.room || st.Chat.Off > o.off:
		o.enter(st.Room, st.Chat.Off)
	}
}

// maxHeld bounds what waits for a gap; beyond it the gap is given up.
const maxHeld = 256

// chatPush delivers a message in its order, once.
func (c *Client) chatPush(room protocol.RoomID, m protocol.ChatMessage) {
	o := &c.chat
	switch {
	case room != o.room:
		c.emit(Chat{room, m})
	case m.Off <= o.off:
	case o.fetching && len(o.held) < maxHeld:
		o.held = append(o.held, m)
	case m.Off == o.off+1 || o.fetching:
		c.chatDeliver(m)
	default:
		o.held = append(o.held, m)
		c.chatFetch()
	}
}

func (c *Client) chatDeliver(m protocol.ChatMessage) {
	if m.Off > c.chat.off {
		c.chat.off = m.Off
		c.emit(Chat{c.chat.room, m})
	}
}

// chatFetch asks for what is missing.
func (c *Client) chatFetch() {
	o := &c.chat
	o.fetching = true
	room, since := o.room, o.off
	p := &call{hook: func(d json.RawMessage, err error) { c.chatFetched(room, d, err) }}
	query := protocol.ChatQuery{Since: &since, Limit: protocol.MaxHistory}
	if _, err := c.start(p, &envelope{T: protocol.TypeChatHistory, Room: room}, query); err != nil {
		c.chatRelease()
	}
}

// chatFetched delivers a page of what was missing, and the rest after the last.
func (c *Client) chatFetched(room protocol.RoomID, d json.RawMessage, err error) {
	if room != c.chat.room {
		return
	}
	page, derr := decode[protocol.ChatHistory](d)
	if err != nil || derr != nil {
		c.chatRelease() // not to be had: a gap is better than silence
		return
	}
	for _, m := range page.Messages {
		c.chatDeliver(m)
	}
	if page.More && len(page.Messages) > 0 {
		c.chatFetch()
		return
	}
	c.chatRelease()
}

// chatRelease delivers what waited for the gap, which nodes may have told in
// another order.
func (c *Client) chatRelease() {
	held := c.chat.held
	c.chat.held, c.chat.fetching = nil, false
	slices.SortFunc(held, func(a, b protocol.ChatMessage) int { return cmp.Compare(a.Off, b.Off) })
	for _, m := range held {
		c.chatDeliver(m)
	}
}
