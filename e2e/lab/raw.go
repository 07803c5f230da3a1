package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/rondo-chat/rondo/protocol"
)

// Raw is a WebSocket client without manners: it sends what a test tells it to.
type Raw struct {
	*websocket.Conn
	t testing.TB
}

// RawMessage is a message of the server's.
type RawMessage struct {
	T    protocol.Type
	ID   uint32
	Seq  uint64
	Room protocol.RoomID
	From protocol.MemberID
	Kind protocol.SignalKind
	D    json.RawMessage
	E    *protocol.WireError

	Text string // as it came
}

// RawOptions of a raw connection.
type RawOptions struct {
	Subprotocols []string // nil: rondo.v1
	Header       http.Header
	From         int // which address of 127.1.0.0/16 to come from
}

// Raw opens a socket; nothing is said on it.
func (n *Node) Raw(t testing.TB, o RawOptions) *Raw {
	t.Helper()
	r, resp, err := n.RawErr(t, o)
	if err != nil {
		t.Fatalf("raw dial: %v (%+v)", err, resp)
	}
	return r
}

// RawErr is Raw for upgrades that may be refused.
func (n *Node) RawErr(t testing.TB, o RawOptions) (*Raw, *http.Response, error) {
	t.Helper()
	if o.Subprotocols == nil {
		o.Subprotocols = []string{protocol.Subprotocol}
	}
	d := websocket.Dialer{Subprotocols: o.Subprotocols, NetDialContext: DialFrom(o.From), TLSClientConfig: n.tls, HandshakeTimeout: 10 * time.Second}
	conn, resp, err := d.DialContext(t.Context(), n.WS(), o.Header)
	if err != nil {
		return nil, resp, err
	}
	t.Cleanup(func() { conn.Close() })
	return &Raw{conn, t}, resp, nil
}

// RawHello opens a socket and says hello.
func (n *Node) RawHello(t testing.TB, name string, o RawOptions) (*Raw, protocol.Welcome) {
	t.Helper()
	r := n.Raw(t, o)
	r.Send(`{"t":"hello","id":1,"d":{"name":%q}}`, name)
	m := r.Expect(protocol.TypeWelcome)
	var w protocol.Welcome
	if err := json.Unmarshal(m.D, &w); err != nil {
		t.Fatal(err)
	}
	return r, w
}

// Send sends a text message.
func (r *Raw) Send(format string, args ...any) {
	r.t.Helper()
	r.SendRaw(websocket.TextMessage, fmt.Appendf(nil, format, args...))
}

// SendRaw sends any message. The server may have closed already; then the next
// read tells.
func (r *Raw) SendRaw(kind int, b []byte) {
	r.t.Helper()
	_ = r.SetWriteDeadline(time.Now().Add(10 * time.Second))
	if err := r.WriteMessage(kind, b); err != nil {
		r.t.Logf("write: %v", err)
	}
}

// rawTimeout is how long a raw client waits for what a server must send at once.
const rawTimeout = 15 * time.Second

// Next returns the next message, pings left out, or the error that ended the
// socket.
func (r *Raw) Next(within time.Duration) (*RawMessage, error) {
	deadline := time.Now().Add(within)
	for {
		_ = r.SetReadDeadline(deadline)
		_, b, err := r.ReadMessage()
		if err != nil {
			return nil, err
		}
		m := &RawMessage{Text: string(b)}
		if err := json.Unmarshal(b, m); err != nil {
			return nil, fmt.Errorf("server sent %q: %w", b, err)
		}
		if m.T != protocol.TypePing {
			return m, nil
		}
	}
}

// Expect returns the next message, which must be of type t; match.waiting is
// skipped unless asked for.
func (r *Raw) Expect(t protocol.Type) *RawMessage {
	r.t.Helper()
	for {
		m, err := r.Next(rawTimeout)
		if err != nil {
			r.t.Fatalf("waiting for %s: %v", t, err)
		}
		if m.T == t {
			return m
		}
		if m.T != protocol.TypeMatchWaiting {
			r.t.Fatalf("got %s, want %s", m.Text, t)
		}
	}
}

// ExpectErr reads messages until an err comes and checks its code.
func (r *Raw) ExpectErr(code protocol.Code) *RawMessage {
	r.t.Helper()
	m := r.Expect(protocol.TypeErr)
	if m.E == nil || m.E.Code != code {
		r.t.Fatalf("got %s, want code %s", m.Text, code)
	}
	return m
}

// ExpectClose reads until the socket ends and checks the close code and, unless
// it is "", the reason.
func (r *Raw) ExpectClose(code protocol.CloseCode, reason string) string {
	r.t.Helper()
	for {
		_, err := r.Next(rawTimeout)
		if err == nil {
			continue
		}
		ce, ok := errors.AsType[*websocket.CloseError](err)
		if !ok || ce.Code != int(code) || reason != "" && ce.Text != reason {
			r.t.Fatalf("the socket ended with %v, want %d %s", err, code, reason)
		}
		return ce.Text
	}
}

// Quiet fails the test if anything but pings and match.waiting arrives: it asks
// for the server's counts and wants nothing before the answer.
func (r *Raw) Quiet() {
	r.t.Helper()
	const id = 4_000_000_000
	r.Send(`{"t":"stats","id":%d}`, id)
	if m := r.Expect(protocol.TypeOK); m.ID != id {
		r.t.Fatalf("got %s", m.Text)
	}
}

// IsTimeout reports whether err is a read that waited in vain.
func IsTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}
