package signaling

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/gorilla/websocket"

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
	write(b []byte) error
	// setDeadline bounds all reading and writing from then on.
	setDeadline(t time.Time)
	// close ends the connection at once, also for who reads or writes.
	close()
}

// events is what a transport tells beside messages, on the reading goroutine.
type events interface {
	heard(n int)        // so many bytes came, of whatever
	pinged(data string) // a ping frame came
}

// peerClosed means that the peer sent a close frame; code 0: without a code.
type peerClosed struct{ code protocol.CloseCode }

func (*peerClosed) Error() string { return "signaling: closed by the peer" }

var errTooBig = errors.New("signaling: message too big")

// readBuffer is enough for several small messages; large ones are read past it. A connection
// that waits has none, where one can see that something came before reading it.
const readBuffer = 1024

// newReader makes what is in Hub.readers: buffers that no connection has.
func newReader() any { return bufio.NewReaderSize(nil, readBuffer) }

// newUpgrader makes WebSockets of requests that were let in. Its ReadBufferSize
// is zero because hijacker brings the buffer. Buffers for writing are pooled and
// hardly used, as frames are made here; compression stays off, because no limit
// holds for what a compressed message becomes.
func newUpgrader(fail func(w http.ResponseWriter, status int, reason error)) *websocket.Upgrader {
	return &websocket.Upgrader{
		HandshakeTimeout: 5 * time.Second,
		WriteBufferPool:  &sync.Pool{},
		Subprotocols:     []string{protocol.Subprotocol},
		CheckOrigin:      func(*http.Request) bool { return true }, // checked before, with an answer that says why
		Error: func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
			fail(w, status, reason)
		},
	}
}

// webSocket is a transport over gorilla/websocket, which reads; writing goes to
// the connection below, one whole frame or several in one call, so that nothing
// comes between.
type webSocket struct {
	ws   *websocket.Conn
	conn *listening
	msg  io.Reader
}

func newWebSocket(ws *websocket.Conn, conn *listening, ev events) *webSocket {
	t := &webSocket{ws: ws, conn: conn}
	ws.SetPingHandler(func(data string) error { ev.pinged(data); return nil })
	ws.SetPongHandler(func(string) error { return nil })
	ws.SetCloseHandler(func(int, string) error { return nil }) // the socket answers, in its order
	return t
}

// listening tells ev of every byte that comes over a connection, also of those
// that make no message: frames without content cost time too.
type listening struct {
	net.Conn
	ev    events
	pool  *sync.Pool    // Hub.readers
	buf   *bufio.Reader // what the WebSocket reads from; without a buffer unless lent
	lent  *bufio.Reader // of pool, whose buffer buf has
	ready *readiness    // nil where one cannot look, as with TLS
}

// lend gives buf a buffer.
func (c *listening) lend() {
	if c.lent == nil {
		c.lent = c.pool.Get().(*bufio.Reader)
		c.lent.Reset(c)
		*c.buf = *c.lent
	}
}

// giveBack takes the buffer away, if nothing is in it.
func (c *listening) giveBack() {
	if c.lent != nil && c.ready != nil && c.buf.Buffered() == 0 {
		*c.buf = bufio.Reader{}
		c.lent.Reset(nil)
		c.pool.Put(c.lent)
		c.lent = nil
	}
}

func (c *listening) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.ev.heard(n)
	}
	return n, err
}

// hijacker puts a listening connection under an upgrade.
type hijacker struct {
	http.ResponseWriter
	conn *listening
}

// Hijack implements http.Hijacker.
func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.conn.Conn = conn
	h.conn.buf = &bufio.Reader{}
	h.conn.lend()
	if sc, ok := conn.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil { // without it reading just costs more memory
			h.conn.ready = newReadiness(raw)
		}
	}
	if rw.Reader.Buffered() == 0 { // else the upgrade must see what came too early
		rw = bufio.NewReadWriter(h.conn.buf, rw.Writer)
	}
	return h.conn, rw, nil
}

// spoken reports whether the client offered a subprotocol that we speak.
func spoken(ws *websocket.Conn) bool { return ws.Subprotocol() == protocol.Subprotocol }

func (t *webSocket) wait() (over bool) {
	if t.conn.ready == nil || t.conn.buf.Buffered() > 0 {
		return false
	}
	t.conn.giveBack()
	return t.conn.ready.wait()
}

func (t *webSocket) next() (binary bool, err error) {
	t.conn.lend()
	kind, r, err := t.ws.NextReader()
	if ce, ok := errors.AsType[*websocket.CloseError](err); ok {
		if ce.Code == websocket.CloseNoStatusReceived {
			return false, &peerClosed{}
		}
		return false, &peerClosed{protocol.CloseCode(ce.Code)}
	}
	t.msg = r
	return kind == websocket.BinaryMessage, err
}

func (t *webSocket) read(buf []byte, limit int) ([]byte, error) {
	for start := len(buf); ; {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := t.msg.Read(buf[len(buf):min(cap(buf), start+limit+1)])
		buf = buf[:len(buf)+n]
		if len(buf)-start > limit {
			return buf, errTooBig
		}
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
}

func (t *webSocket) write(b []byte) error {
	_, err := t.conn.Write(b)
	return err
}

func (t *webSocket) setDeadline(d time.Time) { _ = t.conn.SetDeadline(d) } // fails only when closed

func (t *webSocket) close() { _ = t.conn.Close() } // nobody is left to tell
