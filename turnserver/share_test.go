package turnserver

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/internal/testenv"
)

// overHTTPS is TLS on the port that a web server has too.
const overHTTPS transport = transportHTTPS

// shareWithWeb has s share the port of a web server, which says what it was asked
// by, and upgrades to an echo.
func shareWithWeb(t testing.TB, s *Server) *http.Server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web, _ := shareListener(t, s, ln)
	return web
}

func shareListener(t testing.TB, s *Server, ln net.Listener) (*http.Server, *sharedListener) {
	t.Helper()
	web := &http.Server{
		Handler:           http.HandlerFunc(answerWeb),
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{testCertificate(t)}, NextProtos: []string{"h2", "http/1.1"}},
		ReadHeaderTimeout: s.cfg.Limits.Handshake, ErrorLog: log.New(io.Discard, "", 0),
	}
	shared := s.Share(ln, web.TLSConfig)
	served := make(chan struct{})
	go func() {
		defer close(served)
		web.Serve(shared)
	}()
	t.Cleanup(func() {
		web.Close()
		<-served
	})
	return web, shared.(*sharedListener)
}

func answerWeb(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "" {
		fmt.Fprintf(w, "%s, TLS %v", r.Proto, r.TLS != nil)
		return
	}
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	io.Copy(c, rw)
}

// get asks the web server on the shared port with the protocols that the client
// offers in the handshake.
func get(t *testing.T, s *Server, protos ...string) string {
	t.Helper()
	tr := &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, NextProtos: protos},
		ForceAttemptHTTP2: slices.Contains(protos, "h2"),
	}
	defer tr.CloseIdleConnections()
	if len(protos) == 0 { // the transport would offer some
		tr.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			return (&tls.Dialer{Config: tr.TLSClientConfig}).DialContext(ctx, network, addr)
		}
	}
	resp, err := (&http.Client{Transport: tr, Timeout: patience}).Get("https://" + s.testAddr(t, overHTTPS).String())
	if err != nil {
		t.Fatalf("GET with %q: %v", protos, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// dialHTTPS opens TLS to the shared port.
func dialHTTPS(t *testing.T, s *Server, protos ...string) (*tls.Conn, error) {
	t.Helper()
	c, err := tls.Dial("tcp", s.testAddr(t, overHTTPS).String(), &tls.Config{InsecureSkipVerify: true, NextProtos: protos})
	if err == nil {
		t.Cleanup(func() { c.Close() })
	}
	return c, err
}

func TestSharedPort(t *testing.T) {
	s := testServer(t, noLimits)
	shareWithWeb(t, s)
	for _, c := range []struct {
		protos []string
		want   string
	}{
		{[]string{"h2", "http/1.1"}, "HTTP/2.0, TLS true"},
		{[]string{"http/1.1"}, "HTTP/1.1, TLS true"},
		{nil, "HTTP/1.1, TLS true"},
	} {
		if got := get(t, s, c.protos...); got != c.want {
			t.Errorf("%q: %q, want %q", c.protos, got, c.want)
		}
	}
	for _, protos := range [][]string{{"http/1.1"}, nil} {
		upgrades(t, s, protos)
	}
	if _, err := dialHTTPS(t, s, "of nobody"); err == nil {
		t.Error("a protocol that nobody speaks was agreed on")
	}
	_, a := pionClient(t, s, overHTTPS, "a")
	_, b := pionClient(t, s, overHTTPS, "b")
	exchange(t, a, b, 1)
	exchange(t, b, a, 2)
}

// upgrades has a request's connection become another protocol's, as WebSocket does.
func upgrades(t *testing.T, s *Server, protos []string) {
	t.Helper()
	c, err := dialHTTPS(t, s, protos...)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	c.SetReadDeadline(time.Now().Add(patience))
	r := bufio.NewReader(c)
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%q: %v %v", protos, resp, err)
	}
	io.WriteString(c, "echo this")
	got := make([]byte, len("echo this"))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != "echo this" {
		t.Errorf("%q: %q %v", protos, got, err)
	}
}

// What a client says of itself in the handshake is believed: no waiting for bytes.
func TestSharedPortByALPN(t *testing.T) {
	s := testServer(t, noLimits)
	shareWithWeb(t, s)
	w := &wire{t: t, s: s, over: overHTTPS}
	c, err := dialHTTPS(t, s, "http/1.1", alpnTURN) // as coturn's clients offer them
	if err != nil {
		t.Fatal(err)
	}
	if got := c.ConnectionState().NegotiatedProtocol; got != alpnTURN {
		t.Fatalf("agreed on %q", got)
	}
	testenv.Eventually(t, patience, func() bool { return s.conns.len() == 1 }, "TURN has the connection")
	w.conn = c
	w.sync()
	io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
	if !w.closed(patience) {
		t.Error("HTTP on a connection of TURN's")
	}
}

// A client that sends its first message byte by byte is understood, and what comes
// after the first bytes is not lost.
func TestSharedPortBytewise(t *testing.T) {
	s := testServer(t, noLimits)
	shareWithWeb(t, s)
	w := newWire(t, s, overHTTPS, "x")
	b, tid := w.build(methodBinding)
	for i := range b {
		w.conn.Write(b[i : i+1])
	}
	if a := w.await(tid); a.silent {
		t.Error("no answer to a request in single bytes")
	}
	relay := w.allocated()
	w.must(methodCreatePermission, peerOpt(relay.String()))

	var many []byte
	w = newWire(t, s, overHTTPS, "y")
	for range 50 {
		one, id := w.build(methodBinding)
		many, tid = append(many, one...), id
	}
	w.conn.Write(many)
	if a := w.await(tid); a.silent {
		t.Error("no answer to the last of many frames")
	}
	c, err := dialHTTPS(t, s)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []byte("GET / HTTP/1.0\r\n\r\n") {
		c.Write([]byte{b})
	}
	c.SetReadDeadline(time.Now().Add(patience))
	if got, err := io.ReadAll(c); err != nil || !bytes.Contains(got, []byte("TLS true")) {
		t.Errorf("HTTP in single bytes: %q %v", got, err)
	}
}

// Whatever a client begins with, it does not stay for free.
func TestSharedPortOpeners(t *testing.T) {
	s := testServer(t, func(c *Config) {
		noLimits(c)
		c.Limits.Handshake, c.Limits.FirstMessage, c.Limits.AllocateWithin = 300*time.Millisecond, 100*time.Millisecond, 300*time.Millisecond
	})
	shareWithWeb(t, s)
	stun := newBuilder(methodBinding, classRequest, newTID()).b
	for name, c := range map[string]struct {
		tls    bool
		protos []string
		says   []byte
		answer string
	}{
		"nothing":               {},
		"a byte of TLS":         {says: []byte{0x16}},
		"no TLS":                {says: bytes.Repeat([]byte{0x80}, 300)},
		"plain HTTP":            {says: []byte("GET / HTTP/1.1\r\n\r\n"), answer: "HTTP request to an HTTPS server"},
		"plain STUN":            {says: stun},
		"TLS then nothing":      {tls: true},
		"TLS then one byte":     {tls: true, says: []byte{0}},
		"TLS then garbage":      {tls: true, says: bytes.Repeat([]byte{0xff}, 64), answer: "400 Bad Request"},
		"half a STUN header":    {tls: true, says: stun[:7]},
		"half a STUN message":   {tls: true, says: append(slices.Clone(stun[:2]), 0x01, 0x00, 0x21, 0x12, 0xa4, 0x42, 0, 0)},
		"half a channel frame":  {tls: true, says: []byte{0x40, 0, 1, 0, 'x'}},
		"frame without end":     {tls: true, says: append([]byte{0, 3, 0xff, 0xec, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 16)...), answer: "400 Bad Request"},
		"one STUN message":      {tls: true, says: stun},
		"half a line of HTTP":   {tls: true, says: []byte("GET / HTT")},
		"stun.turn and nothing": {tls: true, protos: []string{alpnTURN}},
		"http/1.1 and nothing":  {tls: true, protos: []string{"http/1.1"}},
		"stun.turn and garbage": {tls: true, protos: []string{alpnTURN}, says: bytes.Repeat([]byte{0xff}, 64)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", s.testAddr(t, overHTTPS).String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if c.tls {
				conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: c.protos})
			}
			conn.SetDeadline(time.Now().Add(patience))
			conn.Write(c.says)
			got, err := io.ReadAll(conn)
			if e := net.Error(nil); errors.As(err, &e) && e.Timeout() {
				t.Error("stays open")
			}
			if !strings.Contains(string(got), c.answer) {
				t.Errorf("was told %q, want %q", got, c.answer)
			}
		})
	}
	t.Cleanup(func() {
		testenv.Eventually(t, patience, func() bool { return s.conns.len() == 0 }, "connections left")
		newWire(t, s, overHTTPS, "x").sync()
	})
}

// Who opens connections and says nothing takes neither the web's place nor that of
// other clients.
func TestSharedPortSilentCrowd(t *testing.T) {
	s := testServer(t, func(c *Config) { c.Limits.ConnsPerAddr = 2 })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, shared := shareListener(t, s, ln)
	for range 20 {
		if _, err := dialHTTPS(t, s); err != nil {
			t.Fatal(err)
		}
	}
	for _, protos := range [][]string{{"h2"}, {"http/1.1"}, nil} {
		if got := get(t, s, protos...); !strings.Contains(got, "TLS true") {
			t.Errorf("%q: %q", protos, got)
		}
	}
	shared.peeks.mu.Lock()
	if n := shared.peeks.count["127.0.0.1"]; n != 2 {
		t.Errorf("%d connections are waited for: %v", n, shared.peeks.count)
	}
	shared.peeks.mu.Unlock()
	if n := s.conns.len(); n != 0 {
		t.Errorf("%d of TURN's connections are taken", n)
	}
	c, err := dialHTTPS(t, s, alpnTURN)
	if err != nil {
		t.Fatal(err)
	}
	(&wire{t: t, s: s, over: overHTTPS, conn: c}).sync()
}

// TURN's limits per address hold on the shared port.
func TestSharedPortCaps(t *testing.T) {
	s := testServer(t, func(c *Config) { c.Limits.ConnsPerAddr = 3 })
	shareWithWeb(t, s)
	for range 3 {
		newWire(t, s, overHTTPS, "x").sync()
	}
	if w := newWire(t, s, overHTTPS, "x"); !w.refused() {
		t.Error("a fourth connection is served")
	}
	if got := get(t, s); got != "HTTP/1.1, TLS true" {
		t.Errorf("the web server says %q", got)
	}
}

// refused reports whether the server closes the connection at its first message.
func (w *wire) refused() bool {
	b, _ := w.build(methodBinding)
	w.conn.Write(b)
	return w.closed(patience)
}

// What cannot be accepted is the web server's to tell, and taking goes on.
func TestSharedPortAcceptErrors(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := testServer(t, noLimits)
	shareListener(t, s, &failingListener{Listener: ln, left: 3})
	if got := get(t, s, "http/1.1"); got != "HTTP/1.1, TLS true" {
		t.Errorf("%q", got)
	}
	newWire(t, s, overHTTPS, "x").sync()
}

// failingListener has no file descriptors for a while.
type failingListener struct {
	net.Listener

	mu   sync.Mutex
	left int
}

func (l *failingListener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left > 0 {
		l.left--
		return nil, temporary{errors.New("too many open files")}
	}
	return l.Listener.Accept()
}

type temporary struct{ error }

func (temporary) Timeout() bool   { return false }
func (temporary) Temporary() bool { return true }

// Closing waits for nobody who has not said what they want; goleak sees the rest.
func TestSharedPortClose(t *testing.T) {
	s := testServer(t, func(c *Config) {
		noLimits(c)
		c.Limits.Handshake, c.Limits.FirstMessage = time.Hour, time.Hour
	})
	web := shareWithWeb(t, s)
	at := s.testAddr(t, overHTTPS).String()
	for range 5 {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := dialHTTPS(t, s); err != nil {
			t.Fatal(err)
		}
	}
	w := newWire(t, s, overHTTPS, "x")
	w.sync()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := web.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	w.sync() // it is TURN's, who closes later
	s.Close()
	if !w.closed(patience) {
		t.Error("TURN's connection is open")
	}
}

// Clients are told of the shared port, and that it is the last to try.
func TestSharedPortIsTold(t *testing.T) {
	s := testServer(t, func(c *Config) { c.Host = "localhost" })
	shareWithWeb(t, s)
	urls := s.ICE("x", time.Now()).Servers[1].URLs
	want := fmt.Sprintf("turns:localhost:%d?transport=tcp", s.testAddr(t, overHTTPS).Port())
	if len(urls) != 4 || urls[3] != want {
		t.Errorf("%q, want %q last", urls, want)
	}
}

// Beside a shared port there is no other for TLS, unless it is asked for.
func TestSharedPortSuffices(t *testing.T) {
	for shared, want := range map[bool]int{true: 0, false: 1} {
		cfg, err := Config{TLS: &tls.Config{}, Shared: shared}.withDefaults()
		if err != nil || len(cfg.TLSListen) != want {
			t.Errorf("shared %v: TLS at %q, %v", shared, cfg.TLSListen, err)
		}
	}
}
