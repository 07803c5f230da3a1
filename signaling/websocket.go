package signaling

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gorilla/websocket"

	"github.com/rondo-chat/rondo/internal/holdable"
	"github.com/rondo-chat/rondo/protocol"
)

// transport is a connection that carries messages. One goroutine reads; write
// gets whole frames and may be called beside it, one at a time.
type transport interface {
	// wait waits for something to read, or returns at once. It only saves
	// memory: a goroutine that waits here has a small stack. over means that
	// nothing more will come.
	wait() (over bool)
	// next waits for a message to begin and tells whether it is binary. The
	// error is *peerClosed after a close frame; after any error comes no more.
	next() (binary bool, err error)
	// read appends the message that began to buf; errTooBig if it is longer
	// than limit.
	read(buf []byte, limit int) ([]byte, error)
	// park lets the reading goroutine end: events tells when there is something to
	// read, or a deadline, or when it was closed. It returns false if it cannot.
	park() bool
	// unpark is the first thing that a goroutine does which goes on.
	unpark()
	write(b []byte) error
	// try is write that does not wait, where tries says that there is such a thing:
	// what is left over is for write.
	try(b []byte, a *attempt) (n int, err error)
	tries() bool
	// buffered is how much came that was not looked at.
	buffered() int
	// setDeadline bounds all reading and writing from then on.
	setDeadline(t time.Time)
	// close ends the connection at once, also for who reads or writes.
	close()
}

// events is what a transport tells beside messages, on the reading goroutine.
type events interface {
	heard(n int)        // so many bytes came, of whatever
	pinged(data string) // a ping frame came
	// stirred: a message came over a parked connection that can be handled at once,
	// and that must be so. It returns false if it was not.
	stirred() bool
	// rouse starts a goroutine for a connection that was parked.
	rouse()
}

// peerClosed means that the peer sent a close frame; code 0: without a code.
type peerClosed struct{ code protocol.CloseCode }

func (*peerClosed) Error() string { return "signaling: closed by the peer" }

var errTooBig = errors.New("signaling: message too big")

// newUpgrader makes WebSockets of requests that were let in. What it makes of the
// connection is used for nothing but that: frames are read and made here. There is
// no compression, because no limit holds for what a compressed message becomes.
func newUpgrader(fail func(w http.ResponseWriter, status int, reason error)) *websocket.Upgrader {
	return &websocket.Upgrader{
		HandshakeTimeout: 5 * time.Second,
		WriteBufferPool:  &sync.Pool{}, // so that it makes none that nobody uses
		Subprotocols:     []string{protocol.Subprotocol},
		CheckOrigin:      func(*http.Request) bool { return true }, // checked before, with an answer that says why
		Error: func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
			fail(w, status, reason)
		},
	}
}

// hijacker finds the connection under a ResponseWriter that may be wrapped.
type hijacker struct{ http.ResponseWriter }

// Hijack implements http.Hijacker.
func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(h.ResponseWriter).Hijack()
}

// spoken reports whether the client offered a subprotocol that we speak.
func spoken(ws *websocket.Conn) bool { return ws.Subprotocol() == protocol.Subprotocol }

// webSocket is a transport over a connection that was upgraded. A frame is written
// with one call, or several with one, so that nothing comes between.
type webSocket struct {
	conn net.Conn
	ev   events
	pool *buffers        // Hub.buffers
	raw  syscall.RawConn // of a socket that the frames go over as they are; else nil
	// below is what one waits for: raw, or the socket under TLS, which holder holds. Without
	// it one cannot see that something came without reading it.
	below  syscall.RawConn
	holder *holdable.Conn

	watcher *watcher // nil: it is never parked
	state   atomic.Int32
	over    atomic.Bool // it has a deadline, or is closed
	spot    int32       // the watcher's

	// Owned by the reading goroutine.
	ready *readiness // made at first use
	buf   *buffer    // what came and was not looked at; nil while that is nothing
	first [14]byte   // what comes first where that is not on a socket
	mask  [4]byte    // of the frame being read
	at    int        // how much of it was read
	left  uint64     // how much of it was not
	last  bool       // it is its message's last one
	open  bool       // its message was not read to the end
	burst bool       // more came at once than a small buffer holds
}

// buffer is what a connection reads into. One that waits has none.
type buffer struct {
	r, w int // what is between was not looked at
	b    []byte
}

const (
	// readBuffer is enough for several small messages; large ones are read past it.
	readBuffer = 1 << 10
	// burstBuffer is for who sends more at once than that: an offer, or many messages.
	burstBuffer = 16 << 10
)

// buffers are those that no connection has.
type buffers struct{ small, large sync.Pool }

func newBuffers() *buffers {
	return &buffers{
		small: sync.Pool{New: func() any { return &buffer{b: make([]byte, readBuffer)} }},
		large: sync.Pool{New: func() any { return &buffer{b: make([]byte, burstBuffer)} }},
	}
}

func (p *buffers) get(large bool) (b *buffer) {
	if large {
		b = p.large.Get().(*buffer)
	} else {
		b = p.small.Get().(*buffer)
	}
	b.r, b.w = 0, 0
	return b
}

func (p *buffers) put(b *buffer) {
	if b.large() {
		p.large.Put(b)
	} else {
		p.small.Put(b)
	}
}

func (b *buffer) large() bool { return len(b.b) > readBuffer }

func newWebSocket(conn net.Conn, pool *buffers, w *watcher, ev events) *webSocket {
	t := &webSocket{conn: conn, ev: ev, pool: pool, watcher: w}
	if sc, ok := conn.(syscall.Conn); ok {
		t.raw, _ = sc.SyscallConn() // without it reading just costs more memory
		t.below = t.raw
	} else if h, ok := holdable.Under(conn); ok {
		if t.below, _ = h.SyscallConn(); t.below != nil {
			t.holder = h
		}
	}
	return t
}

func (t *webSocket) buffered() int {
	if t.buf == nil {
		return 0
	}
	return t.buf.w - t.buf.r
}

// lend gets a buffer.
func (t *webSocket) lend() *buffer {
	if t.buf == nil {
		t.buf = t.pool.get(t.burst)
	}
	return t.buf
}

// giveBack gives the buffer back, if nothing is in it.
func (t *webSocket) giveBack() {
	if t.buf != nil && t.buffered() == 0 {
		t.pool.put(t.buf)
		t.buf = nil
	}
}

// dry reports whether all that came was read, so that the socket tells when something
// comes; it gives the buffer back then.
func (t *webSocket) dry() bool {
	if t.giveBack(); t.below == nil || t.buf != nil {
		return false
	}
	if t.holder == nil {
		return true
	}
	t.holder.Hold(true) // what TLS has decrypted, or could, comes; an error comes again
	n, err := t.conn.Read(t.first[:])
	t.holder.Hold(false)
	if n > 0 {
		t.came(n)
	}
	return n == 0 && errors.Is(err, holdable.ErrHeld)
}

func (t *webSocket) wait() (over bool) {
	if !t.dry() {
		return false
	}
	if t.ready == nil {
		t.ready = newReadiness(t.below)
	}
	return t.ready.wait()
}

func (t *webSocket) write(b []byte) error {
	_, err := t.conn.Write(b)
	return err
}

func (t *webSocket) setDeadline(d time.Time) {
	_ = t.conn.SetDeadline(d) // fails only when closed
	t.end()
}

func (t *webSocket) close() {
	_ = t.conn.Close() // nobody is left to tell
	t.end()
}
