package signaling

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/rondo-chat/rondo/protocol"
)

// transport is a connection that carries messages. One goroutine reads; write
// gets whole frames and may be called beside it, one at a time.
type transport interface {
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
	heard()             // some bytes came
	pinged(data string) // a ping frame came
}

// peerClosed means that the peer sent a close frame; code 0: without a code.
type peerClosed struct{ code protocol.CloseCode }

func (*peerClosed) Error() string { return "signaling: closed by the peer" }

var errTooBig = errors.New("signaling: message too big")

// upgrader makes WebSockets of requests that were let in. Buffers for writing
// are pooled and hardly used, as frames are made here; compression stays off,
// because no limit holds for what a compressed message becomes.
func newUpgrader(fail func(w http.ResponseWriter, status int, reason error)) *websocket.Upgrader {
	return &websocket.Upgrader{
		HandshakeTimeout: 5 * time.Second,
		ReadBufferSize:   1024,
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
	ws  *websocket.Conn
	net net.Conn
	ev  events
	msg io.Reader
}

func newWebSocket(ws *websocket.Conn, ev events) *webSocket {
	t := &webSocket{ws: ws, net: ws.NetConn(), ev: ev}
	ws.SetPingHandler(func(data string) error { ev.heard(); ev.pinged(data); return nil })
	ws.SetPongHandler(func(string) error { ev.heard(); return nil })
	ws.SetCloseHandler(func(int, string) error { return nil }) // the socket answers, in its order
	return t
}

// spoken reports whether the client offered a subprotocol that we speak.
func spoken(ws *websocket.Conn) bool { return ws.Subprotocol() == protocol.Subprotocol }

func (t *webSocket) next() (binary bool, err error) {
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
		if n > 0 {
			t.ev.heard()
		}
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
	_, err := t.net.Write(b)
	return err
}

func (t *webSocket) setDeadline(d time.Time) { _ = t.net.SetDeadline(d) } // fails only when closed

func (t *webSocket) close() { _ = t.net.Close() } // nobody is left to tell
