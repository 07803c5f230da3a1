// Package probe finds out, from where it runs, which ways to a STUN and TURN
// server work, and says in plain words what to open where one does not. It is a
// client: it needs nothing of the server but its URLs and a credential.
package probe

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/pion/logging"
	"github.com/pion/turn/v4"

	"github.com/rondo-chat/rondo/protocol"
)

// Check is what was tried.
type Check string

// Checks.
const (
	CheckSTUN  Check = "stun"  // the server says what our address is
	CheckTURN  Check = "turn"  // it accepts the credential and gives a relay
	CheckRelay Check = "relay" // data comes back from relay to relay
)

// Result is the outcome of one check on one way.
type Result struct {
	URL       string // the ICE URL that was tried
	Transport string // "udp", "tcp" or "tls"
	Check     Check
	OK        bool
	Took      time.Duration
	// Found is what was learnt: our address (stun), the relay's (turn).
	Found string
	// Err is why it failed, Advice what to do about it, in plain words.
	Err    error
	Advice string
}

// Config of a probe.
type Config struct {
	// Servers to try, as clients get them.
	Servers []protocol.ICEServer
	// TLS is used for turns: URLs; nil verifies the certificate as browsers do.
	TLS *tls.Config
	// Timeout of each way, default 5 s.
	Timeout time.Duration
}

const defaultTimeout = 5 * time.Second

// Run tries every URL and returns the results in order. It stops early only when
// ctx ends. A way that fails one check is not checked further.
func Run(ctx context.Context, cfg Config) []Result {
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	var results []Result
	for _, s := range cfg.Servers {
		for _, u := range s.URLs {
			if ctx.Err() != nil {
				return results
			}
			results = append(results, cfg.try(ctx, u, s)...)
		}
	}
	return results
}

func (cfg Config) try(ctx context.Context, url string, s protocol.ICEServer) []Result {
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	t, err := parseURL(url)
	if err != nil {
		return []Result{{URL: url, Check: CheckSTUN, Err: err, Advice: "Correct the URL."}}
	}
	w := &way{target: t, cfg: cfg, server: s, ctx: ctx}
	defer w.close()
	return w.run()
}

// target is an ICE URL taken apart (RFC 7064, RFC 7065).
type target struct {
	url, host, port, transport string
	relay                      bool // turn: or turns:
}

func parseURL(url string) (target, error) {
	t := target{url: url, transport: "udp", port: "3478"}
	scheme, rest, ok := strings.Cut(url, ":")
	rest, query, _ := strings.Cut(rest, "?")
	switch scheme {
	case "stun":
	case "turn":
		t.relay = true
	case "stuns", "turns":
		t.relay, t.transport, t.port = scheme == "turns", "tls", "5349"
	default:
		ok = false
	}
	if !ok || rest == "" {
		return t, fmt.Errorf("%q is no stun: or turn: URL", url)
	}
	switch query {
	case "", "transport=udp":
		if t.transport == "tls" && query != "" {
			return t, fmt.Errorf("%q: DTLS is not supported", url)
		}
	case "transport=tcp":
		if t.transport == "udp" {
			t.transport = "tcp"
		}
	default:
		return t, fmt.Errorf("%q: unknown transport", url)
	}
	t.host = strings.Trim(rest, "[]")
	if host, port, err := net.SplitHostPort(rest); err == nil {
		t.host, t.port = host, port
	}
	if n, err := strconv.Atoi(t.port); err != nil || n < 1 || n > 65535 || t.host == "" {
		return t, fmt.Errorf("%q: want host:port", url)
	}
	return t, nil
}

func (t target) addr() string { return net.JoinHostPort(t.host, t.port) }

// way is one URL being tried.
type way struct {
	target
	cfg    Config
	server protocol.ICEServer
	ctx    context.Context

	clients []*turn.Client
	conns   []net.PacketConn
	relays  []net.PacketConn
}

func (w *way) close() {
	for _, r := range w.relays {
		r.Close()
	}
	for _, c := range w.clients {
		c.Close()
	}
	for _, c := range w.conns {
		c.Close()
	}
}

func (w *way) run() []Result {
	first, stun := w.stun()
	results := []Result{stun}
	if !stun.OK || !w.relay {
		return results
	}
	relay, result := w.allocate(first)
	results = append(results, result)
	if !result.OK {
		return results
	}
	return append(results, w.roundTrip(relay))
}

func (w *way) result(c Check) Result {
	return Result{URL: w.url, Transport: w.transport, Check: c}
}

func (w *way) stun() (*turn.Client, Result) {
	r, start := w.result(CheckSTUN), time.Now()
	client, err := w.connect()
	if err == nil {
		var mapped net.Addr
		mapped, err = within(w.ctx, client.SendBindingRequest)
		if err == nil {
			r.Found = mapped.String()
		}
	}
	r.Took, r.OK, r.Err = time.Since(start), err == nil, err
	if err != nil {
		r.Advice = w.adviseReach(err)
	}
	return client, r
}

// connect opens a socket to the server and starts a client on it.
func (w *way) connect() (*turn.Client, error) {
	conn, err := w.dial()
	if err != nil {
		return nil, err
	}
	w.conns = append(w.conns, conn)
	c, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: w.addr(), TURNServerAddr: w.addr(), Conn: conn,
		Username: w.server.Username, Password: w.server.Credential,
		LoggerFactory: &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled},
	})
	if err != nil {
		return nil, err
	}
	w.clients = append(w.clients, c)
	return c, c.Listen()
}

func (w *way) dial() (net.PacketConn, error) {
	if w.transport == "udp" {
		ip, err := net.DefaultResolver.LookupNetIP(w.ctx, "ip", w.host)
		if err != nil {
			return nil, err
		}
		network := "udp6"
		if ip[0].Unmap().Is4() {
			network = "udp4"
		}
		return (&net.ListenConfig{}).ListenPacket(w.ctx, network, ":0")
	}
	conn, err := (&net.Dialer{}).DialContext(w.ctx, "tcp", w.addr())
	if err != nil {
		return nil, err
	}
	if w.transport == "tls" {
		cfg := &tls.Config{}
		if w.cfg.TLS != nil {
			cfg = w.cfg.TLS.Clone()
		}
		if cfg.ServerName == "" {
			cfg.ServerName = w.host
		}
		t := tls.Client(conn, cfg)
		if err := t.HandshakeContext(w.ctx); err != nil {
			conn.Close()
			return nil, err
		}
		conn = t
	}
	return turn.NewSTUNConn(conn), nil
}

func (w *way) allocate(c *turn.Client) (net.PacketConn, Result) {
	r, start := w.result(CheckTURN), time.Now()
	relay, err := within(w.ctx, c.Allocate)
	if err == nil {
		w.relays = append(w.relays, relay)
		r.Found = relay.LocalAddr().String()
	}
	r.Took, r.OK, r.Err = time.Since(start), err == nil, err
	if err != nil {
		r.Advice = adviseAllocate(err)
	}
	return relay, r
}

// roundTrip makes a second allocation and sends from the first to it and back.
func (w *way) roundTrip(first net.PacketConn) Result {
	r, start := w.result(CheckRelay), time.Now()
	err := func() error {
		c, err := w.connect()
		if err != nil {
			return err
		}
		second, err := within(w.ctx, c.Allocate)
		if err != nil {
			return err
		}
		w.relays = append(w.relays, second)
		return pingPong(w.ctx, first, second)
	}()
	r.Took, r.OK, r.Err = time.Since(start), err == nil, err
	if err != nil {
		r.Advice = "The server gives relays but nothing passes between them. Its external IP is probably wrong, or a firewall drops its relay ports (UDP 49152-65535 unless configured)."
	}
	return r
}

// pingPong sends until a random text has come through both relays. Data may be
// lost while permissions are made, so both ends send again and again.
func pingPong(ctx context.Context, a, b net.PacketConn) error {
	text := make([]byte, 16)
	rand.Read(text) // never fails (crypto/rand)
	for _, way := range [][2]net.PacketConn{{a, b}, {b, a}} {
		if err := pass(ctx, way[0], way[1], text); err != nil {
			return err
		}
	}
	return nil
}

const passRepeat = 200 * time.Millisecond

func pass(ctx context.Context, from, to net.PacketConn, text []byte) error {
	buf := make([]byte, 1500)
	for ctx.Err() == nil {
		if _, err := to.WriteTo([]byte("open the way"), from.LocalAddr()); err != nil {
			return err
		}
		if _, err := from.WriteTo(text, to.LocalAddr()); err != nil {
			return err
		}
		to.SetReadDeadline(time.Now().Add(passRepeat))
		for {
			n, _, err := to.ReadFrom(buf)
			if err != nil {
				break
			}
			if bytes.Equal(buf[:n], text) {
				return nil
			}
		}
	}
	return ctx.Err()
}

// within runs f, which knows no context, and gives up on it when ctx ends. Closing
// the client then ends f.
func within[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type outcome struct {
		v   T
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		v, err := f()
		done <- outcome{v, err}
	}()
	select {
	case o := <-done:
		return o.v, o.err
	case <-ctx.Done():
		var zero T
		return zero, ctx.Err()
	}
}

// adviseReach says what to do when the server does not answer.
func (w *way) adviseReach(err error) string {
	protocol := strings.ToUpper(w.transport)
	if w.transport == "tls" {
		protocol = "TCP"
	}
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &dns):
		return fmt.Sprintf("The name %s cannot be resolved. Correct the TURN host or the DNS.", w.host)
	case errors.As(err, &cert):
		return fmt.Sprintf("The certificate is not valid for %s. Use one that browsers trust and that has this name.", w.host)
	case strings.Contains(err.Error(), "refused"):
		return fmt.Sprintf("Nothing listens on %s port %s at %s. Start TURN there, or correct the port or the external IP.", protocol, w.port, w.host)
	}
	return fmt.Sprintf("No answer. Open %s port %s to %s in every firewall on the way, and forward it if the server is behind NAT.", protocol, w.port, w.host)
}

// adviseAllocate says what to do when the server gives no relay.
func adviseAllocate(err error) string {
	text := err.Error()
	switch {
	case strings.Contains(text, "401") || strings.Contains(text, "Unauthorized"):
		return "The credential is not accepted. The secret of the TURN server differs, or its clock does."
	case strings.Contains(text, "486"):
		return "The quota of allocations is used up for this user or address. Wait, or raise the limits."
	case strings.Contains(text, "508"):
		return "The server has no capacity: it is draining, or its relay ports are used up. Widen the relay ports."
	case strings.Contains(text, "440"):
		return "The server has no relay address of this family. Set an external IPv4 address."
	}
	return "The server answers but gives no relay. See its log."
}
