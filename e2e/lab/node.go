package lab

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// Options of a node. The zero value is a node on memory, on loopback, that speaks
// plain HTTP and relays to loopback.
type Options struct {
	Redis  string       // URL; "": memory
	Secret string       // file shared by the nodes of one service; "": the node's own
	Cert   *Certificate // serve TLS and turns
	Args   []string     // further flags; a later one wins
	Binary string       // "": Binary
	Env    []string     // further environment

	Netns string // network namespace to run in; "": this one
	IP    string // address to listen on; "": 127.0.0.1
}

// Node is a running server process.
type Node struct {
	Ready
	*testenv.Process

	tls *tls.Config
}

// Ready is what the server writes to its ready file.
type Ready struct {
	Node    protocol.NodeID `json:"node"`
	HTTP    string          `json:"http"`
	HTTPS   bool            `json:"https"`
	Metrics string          `json:"metrics"`
	TURNUDP string          `json:"turn_udp"`
	TURNTCP string          `json:"turn_tcp"`
	TURNTLS string          `json:"turn_tls"`
}

// command returns the command of a node that writes ready.
func (o *Options) command(t testing.TB, ready string) *exec.Cmd {
	t.Helper()
	binary := o.Binary
	if binary == "" {
		binary = Binary(t)
	}
	cmd := exec.Command(binary, o.args(filepath.Dir(ready), ready)...)
	if o.Netns != "" {
		cmd = exec.Command(testenv.Need(t, "ip"), append([]string{"netns", "exec", o.Netns}, cmd.Args...)...)
	}
	// Nothing of this environment configures the node.
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "RONDO_") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(append(cmd.Env, "GORACE=halt_on_error=1"), o.Env...)
	return cmd
}

// StartFails starts a node that must not start, and returns what it said.
func StartFails(t testing.TB, o Options) string {
	t.Helper()
	p := testenv.Start(t, o.command(t, filepath.Join(t.TempDir(), "ready.json")))
	testenv.Eventually(t, 30*time.Second, p.Exited, "the server gives up")
	if p.Wait(0) == nil {
		t.Fatalf("the server ended without an error:\n%s", p.Output())
	}
	return p.Output()
}

// Start starts a node and waits until it is ready.
func Start(t testing.TB, o Options) *Node {
	t.Helper()
	ready := filepath.Join(t.TempDir(), "ready.json")
	n := &Node{Process: testenv.Start(t, o.command(t, ready))}
	if o.Cert != nil {
		n.tls = &tls.Config{RootCAs: o.Cert.Pool}
	}
	t.Cleanup(func() {
		n.Kill()
		if t.Failed() || strings.Contains(n.Output(), "DATA RACE") {
			out := n.Output()
			t.Logf("end of the output of node %s:\n%s", n.Node, out[max(0, len(out)-4000):])
		}
		if strings.Contains(n.Output(), "DATA RACE") || strings.Contains(n.Output(), "panic:") {
			t.Errorf("node %s: data race or panic", n.Node)
		}
	})
	testenv.Eventually(t, 30*time.Second, func() bool {
		b, err := os.ReadFile(ready)
		return n.Exited() || err == nil && json.Unmarshal(b, &n.Ready) == nil
	}, "the server is ready")
	if n.Exited() {
		t.Fatalf("the server ended: %v\n%s", n.Wait(0), n.Output())
	}
	return n
}

func (o *Options) args(dir, ready string) []string {
	ip := o.IP
	if ip == "" {
		ip = "127.0.0.1"
	}
	any := net.JoinHostPort(ip, "0")
	args := []string{
		"--listen", any, "--metrics-listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data"), "--ready-file", ready,
		"--turn-listen", any, "--turn-external-ip", ip,
		"--log-format", "json", "--log-level", "debug", "--drain-timeout", "4s",
	}
	if o.IP == "" {
		args = append(args, "--turn-allow", "127.0.0.0/8")
	}
	if o.Redis != "" {
		args = append(args, "--redis", o.Redis)
	}
	if o.Secret != "" {
		args = append(args, "--secret-file", o.Secret)
	}
	if o.Cert != nil {
		args = append(args, "--tls-cert", o.Cert.CertFile, "--tls-key", o.Cert.KeyFile,
			"--turn-tls-listen", any, "--turn-host", o.Cert.Host)
	}
	return append(args, o.Args...)
}

// Pair starts two nodes of one service over redis, with further flags args.
func Pair(t testing.TB, redis string, args ...string) [2]*Node {
	t.Helper()
	o := Options{Redis: redis, Args: args, Secret: filepath.Join(t.TempDir(), "secret")}
	return [2]*Node{Start(t, o), Start(t, o)} // the first one makes the secret
}

// URL returns the address of the page.
func (n *Node) URL() string {
	if n.HTTPS {
		return "https://" + n.HTTP
	}
	return "http://" + n.HTTP
}

// WS returns the address of the WebSocket.
func (n *Node) WS() string { return "ws" + strings.TrimPrefix(n.URL(), "http") + "/ws" }

// Dial connects a client of the SDK, which is closed at the test's end. The i-th
// client comes from an address of its own, so that the limits per address do not
// meet the test; i below 60,000.
func (n *Node) Dial(t testing.TB, i int, o client.Options) *client.Client {
	t.Helper()
	c, err := n.DialErr(t.Context(), i, o)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// DialErr is Dial for many at once: it fails no test and closes nothing.
func (n *Node) DialErr(ctx context.Context, i int, o client.Options) (*client.Client, error) {
	if o.NetDial == nil {
		o.NetDial = DialFrom(i)
	}
	if o.TLS == nil {
		o.TLS = n.tls
	}
	return client.Dial(ctx, n.WS(), o)
}

// DialFrom returns a dial function that comes from 127.1.x.y, the i-th of them.
func DialFrom(i int) func(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(i/250), byte(i%250+1))}}
	return d.DialContext
}

// Metrics returns the text of /metrics.
func (n *Node) MetricsText(t testing.TB) string {
	t.Helper()
	body, status := n.Get(t, "http://"+n.Metrics+"/metrics")
	if status != http.StatusOK {
		t.Fatalf("/metrics: %d", status)
	}
	return body
}

// Get returns the body and the status of url.
func (n *Node) Get(t testing.TB, url string) (string, int) {
	t.Helper()
	hc := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: n.tls, DisableKeepAlives: true}}
	resp, err := hc.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), resp.StatusCode
}

// Stop asks the node to stop (SIGTERM) and waits for a clean end.
func (n *Node) Stop(t testing.TB, within time.Duration) {
	t.Helper()
	if err := n.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := n.Wait(within); err != nil {
		t.Fatalf("stop: %v\n%s", err, n.Output())
	}
}

// PageURL returns the address of the page under another name of the host, e.g.
// localhost.
func (n *Node) PageURL(host string) string {
	_, port, _ := net.SplitHostPort(n.HTTP) // it came from a listener
	scheme, _, _ := strings.Cut(n.URL(), ":")
	return scheme + "://" + net.JoinHostPort(host, port)
}
