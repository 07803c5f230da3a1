package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeServer hands each socket to the test, which plays the server by hand.
type fakeServer struct {
	t       *testing.T
	url     string
	sockets chan *fakeSocket
}

type fakeSocket struct {
	t    *testing.T
	conn *websocket.Conn
}

func newFake(t *testing.T) *fakeServer {
	t.Helper()
	f := &fakeServer{t: t, sockets: make(chan *fakeSocket, 16)}
	up := websocket.Upgrader{Subprotocols: []string{protocol.Subprotocol}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := up.Upgrade(w, r, nil)
		if err != nil {
			t.Errorf("upgrade: %v", err)
			return
		}
		t.Cleanup(func() { conn.Close() })
		f.sockets <- &fakeSocket{t, conn}
	}))
	t.Cleanup(srv.Close)
	f.url = "ws" + strings.TrimPrefix(srv.URL, "http")
	return f
}

// accept returns the next socket.
func (f *fakeServer) accept() *fakeSocket {
	f.t.Helper()
	select {
	case s := <-f.sockets:
		return s
	case <-time.After(10 * time.Second):
		f.t.Fatal("no socket came")
		return nil
	}
}

// read returns the client's next message and checks its type.
func (s *fakeSocket) read(want protocol.Type) *envelope {
	s.t.Helper()
	m := s.readAny()
	if m.T != want {
		s.t.Fatalf("got %s %s, want %s", m.T, m.D, want)
	}
	return m
}

// readAny returns the client's next message.
func (s *fakeSocket) readAny() *envelope {
	s.t.Helper()
	if err := s.conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	_, b, err := s.conn.ReadMessage()
	if err != nil {
		s.t.Fatalf("waiting for a message: %v", err)
	}
	m := new(envelope)
	if err := json.Unmarshal(b, m); err != nil {
		s.t.Fatal(err)
	}
	return m
}

func (s *fakeSocket) send(format string, args ...any) {
	s.t.Helper()
	if err := s.conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, format, args...)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *fakeSocket) close(code protocol.CloseCode, reason string) {
	s.t.Helper()
	msg := websocket.FormatCloseMessage(int(code), reason)
	if err := s.conn.WriteControl(websocket.CloseMessage, msg, time.Now().Add(time.Second)); err != nil {
		s.t.Fatal(err)
	}
}

const welcomeD = `{"sid":"s_1","node":"n_1","server":"fake","user":{"id":"g_1","name":"Ann","guest":true},"guest":"gt",
 "resume":{"token":"r1","ttl_ms":30000},"ping_ms":%d,"limits":{},"features":[],"pools":[]}`

func (s *fakeSocket) welcome(pingMS int) {
	s.t.Helper()
	m := s.read(protocol.TypeHello)
	s.send(`{"t":"welcome","id":%d,"d":`+welcomeD+`}`, m.ID, pingMS)
}

// resume answers a resume with token next and returns what was asked.
func (s *fakeSocket) resume(next string, rest string) protocol.Resume {
	s.t.Helper()
	m := s.read(protocol.TypeResume)
	r, err := decode[protocol.Resume](m.D)
	if err != nil {
		s.t.Fatal(err)
	}
	s.send(`{"t":"resumed","id":%d,"d":{"sid":"s_1","node":"n_1","resume":{"token":%q,"ttl_ms":30000},"ping_ms":25000%s}}`, m.ID, next, rest)
	s.read(protocol.TypeAck) // the client has the token
	return r
}

// dial connects a client whose hello is answered with ping_ms 25000.
func (f *fakeServer) dial(o Options) (*Client, *fakeSocket) {
	f.t.Helper()
	return f.dialPing(o, 25000)
}

func (f *fakeServer) dialPing(o Options, pingMS int) (*Client, *fakeSocket) {
	f.t.Helper()
	if o.BackoffMin == 0 {
		o.BackoffMin = time.Millisecond
		o.BackoffMax = 5 * time.Millisecond
	}
	type result struct {
		c   *Client
		err error
	}
	got := make(chan result, 1)
	go func() {
		c, err := Dial(context.Background(), f.url, o)
		got <- result{c, err}
	}()
	s := f.accept()
	s.welcome(pingMS)
	r := <-got
	if r.err != nil {
		f.t.Fatal(r.err)
	}
	f.t.Cleanup(r.c.Abandon)
	return r.c, s
}

// next returns the client's next event, which must be an E.
func next[E Event](t *testing.T, c *Client) E {
	t.Helper()
	select {
	case ev, ok := <-c.Events():
		if !ok {
			t.Fatalf("client ended: %v", c.Err())
		}
		if e, ok := ev.(E); ok {
			return e
		}
		t.Fatalf("event %T %+v", ev, ev)
	case <-time.After(10 * time.Second):
		t.Fatal("no event")
	}
	panic("unreachable")
}

func ended(t *testing.T, c *Client) error {
	t.Helper()
	select {
	case <-c.Done():
		return c.Err()
	case <-time.After(10 * time.Second):
		t.Fatal("client did not end")
		return nil
	}
}
