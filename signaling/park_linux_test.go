package signaling

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rondo-chat/rondo/internal/holdable"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// connOf is the connection of a session.
func connOf(t testing.TB, s *Session) *webSocket {
	t.Helper()
	k := s.socket()
	if k == nil {
		t.Fatal("the session has no socket")
	}
	return k.t.(*webSocket)
}

// parks waits until a connection is parked, and returns its turn in the watcher's set,
// which changes whenever it gets a goroutine.
func parks(t testing.TB, s *Session) int32 {
	t.Helper()
	c := connOf(t, s)
	turn := int32(-1)
	testenv.Eventually(t, patience, func() bool {
		c.watcher.mu.Lock()
		defer c.watcher.mu.Unlock()
		if c.state.Load() == parked && c.spot != 0 {
			turn = c.watcher.spots[c.spot].turn
		}
		return turn >= 0
	}, "the connection is parked")
	return turn
}

// TestIdleHasNoGoroutine: sessions that say nothing cost no goroutine and no buffer, and
// their pongs are heard without one.
func TestIdleHasNoGoroutine(t *testing.T) {
	r := newRig(t, nil)
	before := runtime.NumGoroutine()
	const n = 40
	var clients []*client
	var sessions []*Session
	for i := range n {
		c := r.dial()
		clients, sessions = append(clients, c), append(sessions, r.session(c.hello(fmt.Sprint(i))))
	}
	for _, s := range sessions {
		parks(t, s)
		if c := connOf(t, s); c.buf != nil || c.ready != nil {
			t.Fatal("a parked connection holds a buffer")
		}
	}
	testenv.Eventually(t, patience, func() bool { return runtime.NumGoroutine() < before+n/4 }, "the goroutines end")
	pongs := testutil.ToFloat64(r.hub.m.receivedType(protocol.TypePong))
	for i, c := range clients {
		s := sessions[i]
		turn := parks(t, s)
		s.Push(Push{Type: "x", D: []byte(`1`)})
		c.wants("x")
		c.send(`{"t":"pong","a":1}`)
		testenv.Eventually(t, patience, func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.ring.entries) == 0
		}, "the pong acknowledges")
		if parks(t, s) != turn {
			t.Fatal("a pong woke a goroutine")
		}
	}
	if got := testutil.ToFloat64(r.hub.m.receivedType(protocol.TypePong)) - pongs; got != n {
		t.Errorf("%v pongs were counted, want %d", got, n)
	}
}

// TestParkedWakes: whatever is no pong, or not all of it, wakes a connection; nothing
// of it is lost; after a while it is parked again.
func TestParkedWakes(t *testing.T) {
	pongFrame := maskedFrame(final|opText, []byte(`{"t":"pong"}`), 0x1234)
	ask := maskedFrame(final|opText, []byte(`{"t":"ping"}`), 0x1234)
	for name, frames := range map[string][][]byte{
		"a request":              {ask},
		"a pong and more":        {append(append([]byte{}, pongFrame...), ask...)},
		"half a pong":            {pongFrame[:7], append(append([]byte{}, pongFrame[7:]...), ask...)},
		"in pieces":              {maskedFrame(opText, []byte(`{"t":"p`), 1), maskedFrame(final|opContinuation, []byte(`ing"}`), 2)},
		"more than a buffer has": {maskedFrame(final|opText, []byte(`{"t":"pong","x":"`+strings.Repeat("x", 3000)+`"}`), 3), ask},
		"a pong with a request":  {maskedFrame(final|opText, []byte(`{"t":"pong","id":7}`), 3), ask},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.Limits.Plain.PerSecond = -1 })
			r.hub.quiet = 0
			c := r.dial()
			s := r.session(c.hello("Ann"))
			for range 20 {
				parks(t, s)
				c.raw(frames...)
				c.wants("pong")
			}
			parks(t, s)
		})
	}
}

// TestParkedEnds: a parked connection ends as any other, whoever ends it and how.
func TestParkedEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		end  func(*rig, *client, *Session)
		want string // what the observer sees; "": what the client does
		code protocol.CloseCode
	}{
		"closed here": {func(_ *rig, _ *client, s *Session) { s.Close(protocol.CloseBanned, "banned") }, "opened closed(kicked)", protocol.CloseBanned},
		"drained":     {func(r *rig, _ *client, _ *Session) { _ = r.hub.Drain(r.t.Context(), 0) }, "opened away", protocol.CloseDrain},
		"bye":         {func(_ *rig, c *client, _ *Session) { c.send(`{"t":"bye"}`) }, "opened closed(bye)", protocol.CloseBye},
		"closed there": {func(_ *rig, c *client, _ *Session) {
			_ = c.ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1001, ""))
		}, "opened away", 1001},
		"reset": {func(_ *rig, c *client, _ *Session) { _ = c.ws.NetConn().Close() }, "opened away", 0},
		"cut":   {func(_ *rig, _ *client, s *Session) { connOf(t, s).close() }, "opened away", 0},
		"flooded": {func(_ *rig, c *client, _ *Session) {
			for range 30 {
				_ = c.ws.WriteMessage(websocket.TextMessage, []byte(`{"t":"pong"}`))
			}
		}, "opened away", protocol.CloseRateLimited},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.Limits.Bytes.PerSecond, c.Limits.Bytes.Burst = 1, 100 })
			c := r.dial()
			s := r.session(c.hello("Ann"))
			parks(t, s)
			done := make(chan struct{})
			go func() { defer close(done); tc.end(r, c, s) }()
			if tc.code != 0 {
				c.closes(tc.code, "")
				_ = c.ws.Close()
			}
			<-done
			r.sees(tc.want)
			testenv.Eventually(t, patience, func() bool { return r.hub.countSockets() == 0 }, "the socket to go")
		})
	}
}

// TestParkedRaces: messages, pushes, closes and cuts at once over connections that are
// parked after each message; every session ends, and every place in the set is free again.
func TestParkedRaces(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.PerAddress = -1; c.Limits.Upgrades.PerSecond = -1; c.Limits.Grace = 1 })
	r.hub.quiet = 0
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for round := range 12 {
				c := r.dial()
				s := r.session(c.hello(fmt.Sprint(i)))
				conn := connOf(t, s)
				var both sync.WaitGroup
				both.Go(func() {
					for n := range 20 {
						if c.ws.WriteMessage(websocket.TextMessage, []byte([]string{`{"t":"pong"}`, `{"t":"ping","id":3}`}[n%2])) != nil {
							return
						}
						s.Push(Push{Type: "x", D: []byte(`1`)})
					}
				})
				both.Go(func() {
					switch round % 3 {
					case 0:
						s.Close(protocol.CloseDrain, "drain")
					case 1:
						conn.close()
					}
				})
				for {
					if m, err := c.read(); err != nil || round%3 == 2 && m.T == "pong" {
						break
					}
				}
				_ = c.ws.Close()
				both.Wait()
			}
		})
	}
	all.Wait()
	testenv.Eventually(t, patience, func() bool { return r.hub.countSockets() == 0 }, "the sockets to go")
	w := r.hub.watcher()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.free) != len(w.spots)-1 {
		t.Errorf("%d of %d places are free", len(w.free), len(w.spots)-1)
	}
}

// TestParkedTLS: a connection under TLS is parked too, and loses nothing, however what comes
// is cut into records and packets.
func TestParkedTLS(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.Plain.PerSecond = -1 })
	r.hub.quiet = 0
	srv := httptest.NewUnstartedServer(r.hub)
	srv.Listener = holdable.Listener{Listener: srv.Listener}
	srv.StartTLS()
	defer srv.Close()
	d := websocket.Dialer{Subprotocols: []string{protocol.Subprotocol}, TLSClientConfig: srv.Client().Transport.(*http.Transport).TLSClientConfig}
	ws, _, err := d.Dial("wss"+strings.TrimPrefix(srv.URL, "https"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ws.Close() }()
	c := &client{t, ws}
	s := r.session(c.hello("Ann"))
	ask := maskedFrame(final|opText, []byte(`{"t":"ping"}`), 0x1234)
	for n := range 15 {
		parks(t, s)
		switch n % 3 {
		case 0:
			c.raw(ask)
			c.wants("pong")
		case 1: // several records at once
			c.raw(ask, ask, ask)
			for range 3 {
				c.wants("pong")
			}
		default: // a frame in several records
			c.raw(ask[:3], ask[3:9], append(append([]byte{}, ask[9:]...), ask...))
			c.wants("pong")
			c.wants("pong")
		}
	}
	parks(t, s)
	s.Close(protocol.CloseBanned, "banned")
	c.closes(protocol.CloseBanned, "banned")
}
