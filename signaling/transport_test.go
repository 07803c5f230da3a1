package signaling

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// Section 1 of docs/protocol.md.

func TestRefusedUpgrades(t *testing.T) {
	type result struct {
		status int
		code   protocol.Code
		retry  bool
	}
	fromIP := func(ip string) func(*Config) {
		return func(c *Config) {
			c.RemoteAddr = func(r *http.Request) netip.Addr {
				if v := r.Header.Get("X-Test-Addr"); v != "" {
					return netip.MustParseAddr(v)
				}
				return netip.MustParseAddr(ip)
			}
		}
	}
	for name, c := range map[string]struct {
		change  func(*Config)
		header  http.Header
		before  int // sockets opened before
		from    []string
		prepare func(*rig)
		want    result
	}{
		"own origin":            {header: http.Header{}, want: result{status: 101}},
		"foreign origin":        {header: http.Header{"Origin": {"https://evil.example"}}, want: result{403, "origin", false}},
		"cookie without origin": {header: http.Header{"Cookie": {"a=b"}}, want: result{403, "origin", false}},
		"null origin":           {header: http.Header{"Origin": {"null"}}, want: result{403, "origin", false}},
		"too fast": {
			change: func(c *Config) { c.Limits.Upgrades = ratelimit.Rate{PerSecond: 0.01, Burst: 2} },
			before: 2, want: result{429, "rate_limited", true},
		},
		"too many of one address": {
			change: func(c *Config) { c.Limits.PerAddress = 2 },
			before: 2, want: result{429, "rate_limited", true},
		},
		"too many of one IPv6 network": {
			change: func(c *Config) { fromIP("2001:db8::1")(c); c.Limits.PerAddress = 2 },
			from:   []string{"2001:db8::2", "2001:db8:0:0:ffff::3"}, want: result{429, "rate_limited", true},
		},
		"another IPv6 network": {
			change: func(c *Config) { fromIP("2001:db8::1")(c); c.Limits.PerAddress = 2 },
			from:   []string{"2001:db8:0:1::2", "2001:db8:0:2::3"}, want: result{status: 101},
		},
		"full": {
			change: func(c *Config) { c.Limits.MaxSessions = 2 },
			before: 2, want: result{503, "unavailable", true},
		},
		"draining": {
			prepare: func(r *rig) { r.hub.draining.Store(true) },
			want:    result{503, "unavailable", true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, c.change)
			for range c.before {
				r.dial()
			}
			for _, from := range c.from {
				if _, _, err := r.dialWith(http.Header{"X-Test-Addr": {from}}, protocol.Subprotocol); err != nil {
					t.Fatal(err)
				}
			}
			if c.prepare != nil {
				c.prepare(r)
			}
			check := r.check(c.header)
			_, resp, err := r.dialWith(c.header, protocol.Subprotocol)
			if resp == nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			if resp.StatusCode != c.want.status {
				t.Fatalf("status %d, want %d", resp.StatusCode, c.want.status)
			}
			if c.want.status == http.StatusSwitchingProtocols {
				if check.StatusCode != http.StatusNoContent {
					t.Fatalf("/ws/check says %d", check.StatusCode)
				}
				return
			}
			for _, resp := range []*http.Response{resp, check} {
				isProblem(t, resp, c.want.status, c.want.code)
				if after, _ := strconv.Atoi(resp.Header.Get("Retry-After")); (after > 0) != c.want.retry {
					t.Errorf("Retry-After %q", resp.Header.Get("Retry-After"))
				}
			}
		})
	}
}

func (r *rig) check(h http.Header) *http.Response {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.srv.URL+"/ws/check", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for k, v := range h {
		req.Header[k] = v
	}
	resp, err := r.srv.Client().Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func isProblem(t *testing.T, resp *http.Response, status int, code protocol.Code) {
	t.Helper()
	var p struct {
		Type, Title, Detail string
		Status              int
		Code                protocol.Code
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &p); err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	if ct := resp.Header.Get("Content-Type"); ct != "application/problem+json" || resp.StatusCode != status || p.Status != status || p.Code != code || p.Title == "" || p.Detail == "" {
		t.Errorf("%d %s %s", resp.StatusCode, ct, b)
	}
}

func TestAddressCountsGoDown(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.PerAddress = 1; c.Limits.Upgrades = ratelimit.Rate{PerSecond: -1} })
	for range 5 {
		c := r.dial()
		c.hello("Ann")
		c.send(`{"t":"bye"}`)
		c.closes(1000, "bye")
		_ = c.ws.Close()
		testenv.Eventually(t, patience, func() bool { return r.hub.countSockets() == 0 }, "the socket to go")
	}
}

func TestNotAnUpgrade(t *testing.T) {
	r := newRig(t, nil)
	resp, err := r.srv.Client().Get(r.srv.URL + "/ws")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	isProblem(t, resp, http.StatusBadRequest, protocol.CodeBadRequest)
	if r.hub.admission.total != 0 {
		t.Error("counted as a connection")
	}
}

func TestSubprotocol(t *testing.T) {
	r := newRig(t, nil)
	for name, offered := range map[string][]string{"none": nil, "another": {"chat.v9"}} {
		t.Run(name, func(t *testing.T) {
			c, _, err := r.dialWith(nil, offered...)
			if err != nil {
				t.Fatal(err)
			}
			c.t = t
			c.closes(protocol.CloseVersion, "version")
		})
	}
	c, resp, err := r.dialWith(nil, "rondo.v2", protocol.Subprotocol)
	if err != nil || resp.Header.Get("Sec-Websocket-Protocol") != protocol.Subprotocol {
		t.Fatal(resp.Header, err)
	}
	c.hello("Ann")
}

func TestCompressionIsNeverNegotiated(t *testing.T) {
	r := newRig(t, nil)
	d := websocket.Dialer{Subprotocols: []string{protocol.Subprotocol}, EnableCompression: true}
	ws, resp, err := d.Dial("ws"+strings.TrimPrefix(r.srv.URL, "http")+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ws.Close() }()
	if ext := resp.Header.Get("Sec-Websocket-Extensions"); ext != "" {
		t.Fatal(ext)
	}
}

func TestBinaryMessage(t *testing.T) {
	r := newRig(t, nil)
	for name, first := range map[string]bool{"before hello": true, "after welcome": false} {
		t.Run(name, func(t *testing.T) {
			c := r.dial()
			c.t = t
			if !first {
				c.hello("Ann")
			}
			if err := c.ws.WriteMessage(websocket.BinaryMessage, []byte(`{"t":"ping"}`)); err != nil {
				t.Fatal(err)
			}
			c.closes(protocol.CloseProtocol, "protocol: binary")
		})
	}
}

// rawFrame is a client's frame, masked with zeros.
func rawFrame(first byte, payload []byte) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n <= 125:
		b = append(b, 0x80|byte(n))
	default:
		b = append(b, 0x80|126, byte(n>>8), byte(n))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}

func (c *client) raw(frames ...[]byte) {
	c.t.Helper()
	for _, f := range frames {
		if _, err := c.ws.NetConn().Write(f); err != nil {
			c.t.Fatal(err)
		}
	}
}

func TestFragments(t *testing.T) {
	r := newRig(t, nil)
	c := r.dial()
	// hello in three fragments, with a ping frame between them
	c.raw(rawFrame(0x01, []byte(`{"t":"hel`)), rawFrame(0x00, []byte(`lo","id":1,`)), rawFrame(0x89, []byte("ping")), rawFrame(0x80, []byte(`"d":{}}`)))
	pong := false
	c.ws.SetPongHandler(func(s string) error { pong = s == "ping"; return nil })
	c.wants("welcome")
	if !pong {
		t.Error("no pong to the ping frame")
	}
	// one character cut in two is still UTF-8
	text := []byte(`{"t":"x","id":2,"d":{"a":"é"}}`)
	cut := bytes.IndexByte(text, 0xc3) + 1
	c.raw(rawFrame(0x01, text[:cut]), rawFrame(0x80, text[cut:]))
	if m := c.wants("err"); m.E.Code != "unknown_type" {
		t.Fatal(m.raw)
	}
}

func TestFloodOfPingFrames(t *testing.T) {
	r := newRig(t, nil)
	c := r.dial()
	c.hello("Ann")
	for range 100 {
		if _, err := c.ws.NetConn().Write(rawFrame(0x89, nil)); err != nil {
			break // closed already
		}
	}
	c.closes(protocol.CloseRateLimited, "retry=")
}

func TestFrameErrorsOfTheClient(t *testing.T) {
	r := newRig(t, nil)
	for name, frame := range map[string][]byte{
		"not masked":   {0x81, 0x02, '{', '}'},
		"reserved bit": rawFrame(0xc1, []byte(`{}`)),
		"opcode 3":     rawFrame(0x83, nil),
		"continuation": rawFrame(0x80, []byte(`{}`)),
	} {
		t.Run(name, func(t *testing.T) {
			c := r.dial()
			c.t = t
			c.hello("Ann")
			c.raw(frame)
			c.closes(1002, "")
		})
	}
	testenv.Eventually(t, patience, func() bool { return r.hub.countSockets() == 0 }, "sockets to go")
}

func TestTLS(t *testing.T) {
	r := newRig(t, nil)
	srv := httptest.NewTLSServer(r.hub)
	defer srv.Close()
	d := websocket.Dialer{Subprotocols: []string{protocol.Subprotocol}, TLSClientConfig: srv.Client().Transport.(*http.Transport).TLSClientConfig}
	ws, _, err := d.Dial("wss"+strings.TrimPrefix(srv.URL, "https"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ws.Close() }()
	c := &client{t, ws}
	s := r.session(c.hello("Ann"))
	for range 50 {
		s.Push(Push{Type: "x", D: []byte(`"` + strings.Repeat("x", 3000) + `"`)})
	}
	for n := range 50 {
		if m := c.wants("x"); m.Seq != uint64(n+1) {
			t.Fatal(m.raw)
		}
	}
	s.Close(protocol.CloseBanned, "banned")
	c.closes(protocol.CloseBanned, "banned")
}

// TestBehindMiddleware: a wrapped ResponseWriter that can be unwrapped will do.
func TestBehindMiddleware(t *testing.T) {
	r := newRig(t, nil)
	type wrapped struct{ http.ResponseWriter }
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.hub.ServeHTTP(unwrapper{wrapped{w}, w}, req)
	}))
	defer srv.Close()
	d := websocket.Dialer{Subprotocols: []string{protocol.Subprotocol}}
	ws, _, err := d.Dial("ws"+strings.TrimPrefix(srv.URL, "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ws.Close() }()
	(&client{t, ws}).hello("Ann")
}

type unwrapper struct {
	http.ResponseWriter
	inner http.ResponseWriter
}

func (u unwrapper) Unwrap() http.ResponseWriter { return u.inner }

// TestFloodOfEmptyFragments: frames without content make no message, so only
// the limit of raw bytes sees them.
func TestFloodOfEmptyFragments(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.Bytes = ratelimit.Rate{PerSecond: 100, Burst: 1000} })
	c := r.dial()
	c.hello("Ann")
	c.raw(rawFrame(0x01, nil))
	for range 5000 {
		if _, err := c.ws.NetConn().Write(rawFrame(0x00, nil)); err != nil {
			break // closed already
		}
	}
	c.closes(protocol.CloseRateLimited, "retry=")
}

func TestClientClosesFirst(t *testing.T) {
	r := newRig(t, nil)
	c := r.dial()
	c.hello("Ann")
	if err := c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1001, "going"), time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	c.closes(1001, "") // echoed
	r.sees("opened away")
}
