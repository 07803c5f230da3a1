// Package reference has the servers that Rondo is compared with: the least that a
// server for the same task does, written plainly. They limit nothing, check nothing and
// keep nothing, so nothing that serves people costs less in the same language.
package reference

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"

	"github.com/gorilla/websocket"
)

// maxFrame bounds what a client may send.
const maxFrame = 1 << 20

// bufferBytes holds a burst of frames, so that one read takes it.
const bufferBytes = 32 << 10

// Kinds are what Serve can do, and what it is.
func Kinds() map[string]string {
	return map[string]string{
		"idle":      "bare TCP: a goroutine for each connection, which waits for a byte",
		"relay":     "raw TCP relay: two connections at a time are a pair; frames with their length before them, one read, one write",
		"broadcast": "plain TCP broadcast: what one connection sends is written to all, one after another",
		"meet":      "bare TCP meeting: who asks waits for the next who asks, and both are told",
		"gorilla":   "bare WebSocket relay: gorilla as its chat example has it, the envelope by encoding/json",
	}
}

// Serve serves a kind on l until ctx ends.
func Serve(ctx context.Context, kind string, l net.Listener) error {
	var accept func(net.Conn)
	switch kind {
	case "idle":
		accept = func(c net.Conn) { go idle(c) }
	case "relay":
		accept = (&relay{}).accept
	case "broadcast":
		accept = (&broadcast{}).accept
	case "meet":
		accept = (&meeting{}).accept
	case "gorilla":
	default:
		return fmt.Errorf("reference: no kind %q; there are %v", kind, slices.Sorted(maps.Keys(Kinds())))
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	if kind == "gorilla" {
		return ended(http.Serve(l, &chat{}))
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return ended(err)
		}
		accept(c)
	}
}

// ended is nil if the server ended because it should.
func ended(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// idle waits for the end of the connection.
func idle(c net.Conn) {
	defer c.Close()
	var b [1]byte
	for {
		if _, err := c.Read(b[:]); err != nil {
			return
		}
	}
}

// frames reads frames. What next returns, with its length before it, is good until the next call.
type frames struct {
	r   *bufio.Reader
	buf []byte
}

func newFrames(c net.Conn) *frames { return &frames{r: bufio.NewReaderSize(c, bufferBytes)} }

func (f *frames) next() ([]byte, error) {
	head, err := f.r.Peek(4)
	if err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(head))
	if n > maxFrame {
		return nil, fmt.Errorf("reference: a frame of %d bytes", n)
	}
	if cap(f.buf) < 4+n {
		f.buf = make([]byte, 4+n)
	}
	f.buf = f.buf[:4+n]
	_, err = io.ReadFull(f.r, f.buf)
	return f.buf, err
}

// relay makes pairs of connections in the order in which they come.
type relay struct{ first net.Conn }

func (r *relay) accept(c net.Conn) {
	if r.first == nil {
		r.first = c
		return
	}
	go pass(r.first, c)
	go pass(c, r.first)
	r.first = nil
}

// pass writes to one what the other sends.
func pass(from, to net.Conn) {
	defer to.Close()
	for in := newFrames(from); ; {
		frame, err := in.next()
		if err != nil {
			return
		}
		if _, err := to.Write(frame); err != nil {
			return
		}
	}
}

// broadcast writes to all what one sends.
type broadcast struct {
	mu      sync.RWMutex
	members []*member
}

type member struct {
	net.Conn
	mu sync.Mutex // held while writing
}

func (m *member) write(frame []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, _ = m.Write(frame) // its own reader finds out
}

func (b *broadcast) accept(c net.Conn) {
	m := &member{Conn: c}
	b.mu.Lock()
	b.members = append(b.members, m)
	b.mu.Unlock()
	go b.serve(m)
}

func (b *broadcast) serve(m *member) {
	defer b.leave(m)
	for in := newFrames(m.Conn); ; {
		frame, err := in.next()
		if err != nil {
			return
		}
		b.mu.RLock()
		all := b.members
		b.mu.RUnlock()
		for _, to := range all {
			to.write(frame)
		}
	}
}

func (b *broadcast) leave(m *member) {
	m.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	rest := make([]*member, 0, len(b.members)) // others read the old list
	for _, o := range b.members {
		if o != m {
			rest = append(rest, o)
		}
	}
	b.members = rest
}

// meeting lets who asks wait for the next who asks.
type meeting struct {
	mu      sync.Mutex
	waiting net.Conn
}

func (m *meeting) accept(c net.Conn) { go m.serve(c) }

func (m *meeting) serve(c net.Conn) {
	defer c.Close()
	for in := newFrames(c); ; {
		frame, err := in.next()
		if err != nil {
			return
		}
		m.mu.Lock()
		partner := m.waiting
		m.waiting = nil
		if partner == nil {
			m.waiting = c
		}
		m.mu.Unlock()
		if partner == nil {
			continue
		}
		_, err = partner.Write(frame)
		_, err2 := c.Write(frame)
		if err != nil || err2 != nil {
			return
		}
	}
}

// chat is gorilla's chat example made a relay of pairs: two goroutines and a channel for each
// connection, write buffers of its default size, and an envelope that encoding/json takes apart and makes anew.
type chat struct {
	mu    sync.Mutex
	first *chatter
}

type chatter struct {
	conn  *websocket.Conn
	send  chan []byte
	gone  chan struct{} // closed when nothing more is read
	other chan *chatter // its partner, once
}

func (h *chat) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	me := &chatter{send: make(chan []byte, 256), gone: make(chan struct{}), other: make(chan *chatter, 1)}
	h.mu.Lock() // before the answer, so that who comes first is first
	if first := h.first; first != nil {
		first.other <- me
		me.other <- first
		h.first = nil
	} else {
		h.first = me
	}
	h.mu.Unlock()
	up := websocket.Upgrader{ReadBufferSize: 1024, WriteBufferSize: 1024, CheckOrigin: func(*http.Request) bool { return true }}
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		close(me.gone)
		return // the upgrader has answered
	}
	me.conn = conn
	go me.write()
	me.read()
}

// envelope is a message of Rondo's protocol as far as a relay knows it.
type envelope struct {
	T    string          `json:"t"`
	Seq  uint64          `json:"seq,omitempty"`
	A    uint64          `json:"a,omitempty"`
	Room string          `json:"room,omitempty"`
	From string          `json:"from,omitempty"`
	Kind string          `json:"kind,omitempty"`
	D    json.RawMessage `json:"d,omitempty"`
}

func (c *chatter) read() {
	defer close(c.gone)
	other := <-c.other
	for seq := uint64(1); ; seq++ {
		_, raw, err := c.conn.ReadMessage()
		if err != nil {
			return
		}
		var m envelope
		if json.Unmarshal(raw, &m) != nil {
			return
		}
		m.A, m.Seq, m.From = 0, seq, "1"
		out, err := json.Marshal(m)
		if err != nil {
			return
		}
		select {
		case other.send <- out:
		case <-other.gone:
			return
		}
	}
}

func (c *chatter) write() {
	defer c.conn.Close()
	for {
		select {
		case frame := <-c.send:
			if c.conn.WriteMessage(websocket.TextMessage, frame) != nil {
				return
			}
		case <-c.gone:
			return
		}
	}
}
