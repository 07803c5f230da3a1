package client

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// chatOrder holds the place in the chat of the room the client is in (section 8).
// It belongs to the client's goroutine.
type chatOrder struct {
	room    protocol.RoomID
	matched bool   // the room ends when the other one leaves
	off     uint64 // last delivered
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
	o.matched = st != nil && st.Match != nil
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

// maxFetches is how often a gap is asked for while the service cannot say.
const maxFetches = 20

// chatFetch asks for what is missing.
func (c *Client) chatFetch() {
	c.chat.fetching = true
	if !c.chatAsk(c.chat.room, c.chat.off, 1) {
		c.chatRelease()
	}
}

// chatAsk asks for the n-th time; false: the client takes no more requests.
func (c *Client) chatAsk(room protocol.RoomID, since uint64, n int) bool {
	p := &call{hook: func(d json.RawMessage, err error) { c.chatFetched(room, since, n, d, err) }}
	_, err := c.start(p, &envelope{T: protocol.TypeChatHistory, Room: room}, protocol.ChatQuery{Since: &since, Limit: protocol.MaxHistory})
	return err == nil
}

// chatFetched delivers a page of what was missing, and the rest after the last.
func (c *Client) chatFetched(room protocol.RoomID, since uint64, n int, d json.RawMessage, err error) {
	if room != c.chat.room {
		return
	}
	if wait, later := retryIn(err); later && n < maxFetches {
		c.chatAgain(wait, room, since, n+1)
		return
	}
	if protocol.CodeOf(err) == protocol.CodeForbidden {
		c.chat.forget() // left meanwhile: what waits is not for us any more
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

// chatAgain asks after a while.
func (c *Client) chatAgain(wait time.Duration, room protocol.RoomID, since uint64, n int) {
	time.AfterFunc(wait, func() {
		if !c.chatAsk(room, since, n) && c.ctx.Err() == nil { // too many requests wait
			c.chatAgain(wait, room, since, n)
		}
	})
}

// retryIn is when to ask again after an error that says nothing but "not now".
func retryIn(err error) (time.Duration, bool) {
	e, ok := errors.AsType[*protocol.Error](err)
	if !ok || e.Code != protocol.CodeUnavailable && e.Code != protocol.CodeRateLimited {
		return 0, false
	}
	return min(max(e.Retry, 500*time.Millisecond), 10*time.Second), true
}

// chatOver delivers what waits for a gap: the room is over, and nobody can fill it.
func (c *Client) chatOver(room protocol.RoomID) {
	if room == c.chat.room {
		c.chatRelease()
		c.chat.forget()
	}
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
