package signaling

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second // of a test that something does happen

// rig is a hub behind a real listener.
type rig struct {
	t    *testing.T
	hub  *Hub
	srv  *httptest.Server
	seen *diary
}

func newRig(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	signer, err := auth.NewSigner([]byte(strings.Repeat("s", 32)))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, seen: &diary{}}
	cfg := Config{
		Node: "n_test", Version: "test", Signer: signer,
		Identify: func(_ context.Context, _ Request, h protocol.Hello) (Identity, error) {
			return Identity{User: protocol.User{ID: protocol.UserID("u_" + h.Name), Name: h.Name, Guest: true}, GuestToken: "guest"}, nil
		},
		Handlers: map[protocol.Type]Handler{},
		Observer: r.seen,
		Logger:   slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Limits:   Limits{CloseTime: time.Second},
	}
	if change != nil {
		change(&cfg)
	}
	if r.hub, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/ws", r.hub)
	mux.HandleFunc("/ws/check", r.hub.Check)
	r.srv = httptest.NewServer(mux)
	t.Cleanup(func() {
		if err := r.hub.Close(); err != nil {
			t.Error(err)
		}
		r.srv.Close()
	})
	return r
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) { w.t.Logf("%s", b); return len(b), nil }

// diary is an Observer that writes down what it is told.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *diary) all() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.lines, " ")
}

func (d *diary) Opened(s *Session)                { d.note("opened") }
func (d *diary) Away(s *Session)                  { d.note("away") }
func (d *diary) Back(s *Session, fresh bool)      { d.note("back(%v)", fresh) }
func (d *diary) Closed(s *Session, r CloseReason) { d.note("closed(%s)", r) }
func (d *diary) Restored(s *Session, r Restored) {
	d.note("restored(%s,%v,%v)", r.Note, r.Fresh, r.Forwards)
}
func (d *diary) Moved(s *Session, to protocol.NodeID) { d.note("moved(%s)", to) }

func (r *rig) sees(want string) {
	r.t.Helper()
	testenv.Eventually(r.t, patience, func() bool { return r.seen.all() == want }, "observer: want %q", want)
	if got := r.seen.all(); got != want {
		r.t.Fatalf("observer: got %q, want %q", got, want)
	}
}

// client is a WebSocket client that hides nothing.
type client struct {
	t  *testing.T
	ws *websocket.Conn
}

// in is a message of the server.
type in struct {
	T    string          `json:"t"`
	ID   uint32          `json:"id"`
	Seq  uint64          `json:"seq"`
	Room string          `json:"room"`
	From string          `json:"from"`
	Kind string          `json:"kind"`
	D    json.RawMessage `json:"d"`
	E    struct {
		Code    string `json:"code"`
		Msg     string `json:"msg"`
		RetryMS int64  `json:"retry_ms"`
	} `json:"e"`
	raw string
}

func (r *rig) dial() *client {
	r.t.Helper()
	c, _, err := r.dialWith(nil, protocol.Subprotocol)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *rig) dialWith(h http.Header, subprotocols ...string) (*client, *http.Response, error) {
	d := websocket.Dialer{Subprotocols: subprotocols, HandshakeTimeout: patience}
	ws, resp, err := d.Dial("ws"+strings.TrimPrefix(r.srv.URL, "http")+"/ws", h)
	if err != nil {
		return nil, resp, err
	}
	r.t.Cleanup(func() { _ = ws.Close() })
	return &client{r.t, ws}, resp, nil
}

func (c *client) send(s string) {
	c.t.Helper()
	if err := c.ws.WriteMessage(websocket.TextMessage, []byte(s)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) read() (in, error) {
	_ = c.ws.SetReadDeadline(time.Now().Add(patience))
	_, b, err := c.ws.ReadMessage()
	if err != nil {
		return in{}, err
	}
	var m in
	m.raw = string(b)
	if err := json.Unmarshal(b, &m); err != nil {
		c.t.Fatalf("server sent %q: %v", b, err)
	}
	return m, nil
}

// next returns the next message, pings left out.
func (c *client) next() in {
	c.t.Helper()
	for {
		m, err := c.read()
		if err != nil {
			c.t.Fatal(err)
		}
		if m.T != "ping" {
			return m
		}
	}
}

func (c *client) wants(t string) in {
	c.t.Helper()
	m := c.next()
	if m.T != t {
		c.t.Fatalf("got %s, want %s", m.raw, t)
	}
	return m
}

// closes reads until the server closes, and checks how.
func (c *client) closes(code protocol.CloseCode, reason string) []in {
	c.t.Helper()
	var before []in
	for {
		m, err := c.read()
		if err == nil {
			before = append(before, m)
			continue
		}
		ce, ok := errors.AsType[*websocket.CloseError](err)
		if !ok || ce.Code != int(code) || !strings.HasPrefix(ce.Text, reason) {
			c.t.Fatalf("closed with %v, want %d %s", err, code, reason)
		}
		return before
	}
}

func (c *client) hello(name string) protocol.Welcome {
	c.t.Helper()
	c.send(`{"t":"hello","id":1,"d":{"name":"` + name + `"}}`)
	m := c.wants("welcome")
	var w protocol.Welcome
	if err := json.Unmarshal(m.D, &w); err != nil || m.ID != 1 {
		c.t.Fatalf("%s: %v", m.raw, err)
	}
	return w
}

func (r *rig) session(w protocol.Welcome) *Session {
	r.t.Helper()
	s, ok := r.hub.Lookup(w.SID)
	if !ok {
		r.t.Fatalf("no session %s", w.SID)
	}
	return s
}

func TestHelloPushBye(t *testing.T) {
	r := newRig(t, nil)
	c := r.dial()
	w := c.hello("Ann")
	if w.User.Name != "Ann" || w.Node != "n_test" || w.PingMS != 25000 || w.Resume.TTLMS != 30000 || w.Server != "rondo/test" {
		t.Fatalf("%+v", w)
	}
	r.session(w).Push(Push{Type: "peer.joined", Room: "r", D: []byte(`{"x":1}`)})
	if m := c.wants("peer.joined"); m.Seq != 1 || m.raw != `{"t":"peer.joined","seq":1,"room":"r","d":{"x":1}}` {
		t.Fatal(m.raw)
	}
	c.send(`{"t":"ping"}`)
	c.wants("pong")
	c.send(`{"t":"bye"}`)
	c.closes(1000, "bye")
	r.sees("opened closed(bye)")
	if r.hub.Len() != 0 {
		t.Fatal("session is still there")
	}
}

func TestResumeReplays(t *testing.T) {
	r := newRig(t, nil)
	c := r.dial()
	w := c.hello("Ann")
	s := r.session(w)
	s.Push(Push{Type: "a", D: []byte(`1`)})
	c.wants("a")
	_ = c.ws.Close()
	r.sees("opened away")
	s.Push(Push{Type: "b"})
	s.Push(Push{Type: "chat", Room: "r", Class: Ordered})
	s.Push(Push{Type: "c"})
	c = r.dial()
	c.send(`{"t":"resume","id":1,"d":{"token":"` + w.Resume.Token + `","seq":1}}`)
	m := c.wants("resumed")
	var d protocol.Resumed
	if err := json.Unmarshal(m.D, &d); err != nil || d.Seq != 3 || d.Replayed != 2 || d.SID != w.SID {
		t.Fatalf("%s %v", m.raw, err)
	}
	for i, want := range []string{"b", "chat", "c"} {
		if m := c.next(); m.T != want {
			t.Fatal(i, m.raw)
		}
	}
	r.sees("opened away back(false)")
}
