package client

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/rondo-chat/rondo/protocol"
)

const (
	greetID    = 1   // hello and resume
	maxPending = 512 // unanswered requests
)

// call is a request without its answer. It survives the loss of a socket.
type call struct {
	typ   protocol.Type
	room  protocol.RoomID
	frame []byte
	// hook, if set, sees the answer on the client's goroutine, before anything
	// that arrived later.
	hook func(d json.RawMessage, err error)
	wait chan answer // capacity 1; nil: nobody waits
}

type answer struct {
	d   json.RawMessage
	err error
}

// finish hands the answer to hook and waiter. Called once, by whoever took the
// call out of pending.
func (p *call) finish(d json.RawMessage, err error) {
	if p.hook != nil {
		p.hook(d, err)
	}
	if p.wait != nil {
		p.wait <- answer{d, err}
	}
}

// start registers p and writes it if there is a socket. It never waits for an
// answer.
func (c *Client) start(p *call, m *envelope, d any) (uint32, error) {
	c.mu.Lock()
	if c.pending == nil || c.ctx.Err() != nil {
		c.mu.Unlock()
		return 0, c.ended()
	}
	if len(c.pending) >= maxPending {
		c.mu.Unlock()
		return 0, ErrBusy
	}
	if c.nextID++; c.nextID <= greetID {
		c.nextID = greetID + 1
	}
	id := c.nextID
	m.ID, m.Ack, c.acked = id, c.seq, c.seq
	frame, err := encode(m, d)
	if err != nil {
		c.mu.Unlock()
		return 0, err
	}
	p.typ, p.room, p.frame = m.T, m.Room, frame
	c.pending[id] = p
	l := c.link
	c.mu.Unlock()
	if l != nil {
		_ = l.write(frame) // after an error it is sent again on the next socket
	}
	return id, nil
}

// ended returns why the client takes no more requests.
func (c *Client) ended() error {
	if cause := context.Cause(c.ctx); cause != nil {
		return cause
	}
	return ErrClosed
}

// request sends m and waits for its answer.
func (c *Client) request(ctx context.Context, m *envelope, d any, hook func(json.RawMessage, error)) (json.RawMessage, error) {
	p := &call{wait: make(chan answer, 1), hook: hook}
	id, err := c.start(p, m, d)
	if err != nil {
		return nil, err
	}
	select {
	case a := <-p.wait:
		return a.d, a.err
	case <-ctx.Done():
		c.mu.Lock()
		delete(c.pending, id)
		c.mu.Unlock()
		return nil, ctx.Err()
	}
}

// answer hands a reply to who waits for it.
func (c *Client) answer(m *envelope) {
	c.mu.Lock()
	p := c.pending[m.ID]
	delete(c.pending, m.ID)
	c.mu.Unlock()
	var err error
	if m.T == protocol.TypeErr {
		err = m.err()
	}
	switch {
	case p != nil:
		if err != nil && p.wait == nil && p.hook == nil {
			c.emit(Refused{p.typ, p.room, err})
		}
		p.finish(m.D, err)
	case m.ID == 0 && err != nil:
		c.emit(Refused{Room: m.Room, Err: err})
	}
}

// unansweredLocked returns the frames of all pending calls in their order.
func (c *Client) unansweredLocked() [][]byte {
	ids := make([]uint32, 0, len(c.pending))
	for id := range c.pending {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	frames := make([][]byte, 0, len(ids))
	for _, id := range ids {
		frames = append(frames, c.pending[id].frame)
	}
	return frames
}

// ask is request with a typed answer.
func ask[T any](ctx context.Context, c *Client, m *envelope, d any) (T, error) {
	raw, err := c.request(ctx, m, d, nil)
	if err != nil {
		var zero T
		return zero, err
	}
	return decode[T](raw)
}

// tell sends m without a number: nothing is heard of it unless it is refused,
// and it is lost when there is no socket.
func (c *Client) tell(m *envelope, d any) error {
	if c.ctx.Err() != nil {
		return c.ended()
	}
	l := c.current()
	if l == nil {
		return nil
	}
	frame, err := encode(m, d)
	if err != nil {
		return err
	}
	_ = l.write(frame) // lost with the socket, as promised
	return nil
}
