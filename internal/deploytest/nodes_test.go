package deploytest

import (
	"context"
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

// node is a running server.
type node struct {
	*testenv.Process
	id, addr string
}

// service starts two nodes on one Redis and nginx with our configuration in
// front of them, and returns the nodes and a way to nginx.
func service(t *testing.T, bin string) ([2]node, func(context.Context, string, string) (net.Conn, error)) {
	t.Helper()
	nginx := testenv.Need(t, "nginx")
	redis := testenv.Redis(t)
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if out, err := exec.Command(bin, "secret", "--file", secret).CombinedOutput(); err != nil {
		t.Fatalf("rondo secret: %v\n%s", err, out)
	}
	var nodes [2]node
	for i, id := range []string{"node1", "node2"} {
		nodes[i] = startNode(t, bin, id, filepath.Join(dir, id), redis.URL, secret)
	}
	// A socket instead of a port: nginx cannot be asked for a free one.
	socket := filepath.Join(dir, "nginx.sock")
	conf := adapted(t, "deploy/nginx/nginx.conf",
		"node1:8080", nodes[0].addr, "node2:8080", nodes[1].addr,
		"listen 8080;", "listen unix:"+socket+";", "listen [::]:8080;", "",
		"/tmp/nginx.pid", filepath.Join(dir, "nginx.pid"),
		"worker_processes auto", "worker_processes 1", "worker_rlimit_nofile 65536", "worker_rlimit_nofile 1024", "32768", "256")
	proxy := testenv.Start(t, exec.Command(nginx, "-p", dir, "-c", conf, "-g", "daemon off;"))
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	t.Cleanup(func() {
		// Asked to end, it takes its workers along.
		_ = proxy.Signal(syscall.SIGTERM)
		if err := proxy.Wait(5 * time.Second); err != nil {
			t.Errorf("nginx: %v\n%s", err, proxy.Output())
		}
	})
	testenv.Eventually(t, 10*time.Second, func() bool {
		c, err := dial(t.Context(), "", "")
		if err != nil {
			return false
		}
		return c.Close() == nil
	}, "nginx listens")
	return nodes, dial
}

func startNode(t *testing.T, bin, id, dir, redis, secret string) node {
	t.Helper()
	ready := dir + ".json"
	cmd := exec.Command(bin, "--node", id, "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0",
		"--data", dir, "--ready-file", ready, "--redis", redis, "--secret-file", secret,
		"--trusted-proxies", "127.0.0.1", "--turn=false", "--turn-server", "stun:192.0.2.1:3478", "--drain-timeout", "2s")
	cmd.Env = []string{}
	n := node{Process: testenv.Start(t, cmd), id: id}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s:\n%s", id, n.Output())
		}
	})
	var at struct{ HTTP string }
	testenv.Eventually(t, 30*time.Second, func() bool {
		b, err := os.ReadFile(ready)
		return n.Exited() || err == nil && json.Unmarshal(b, &at) == nil
	}, "%s is ready", id)
	if n.Exited() {
		t.Fatalf("%s ended:\n%s", id, n.Output())
	}
	n.addr = at.HTTP
	return n
}

// testThroughNginx: people behind our nginx reach both nodes and each other,
// without sticky sessions, and a node's planned stop sends its people on.
func testThroughNginx(t *testing.T, bin string) {
	nodes, dial := service(t, bin)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	web := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	for path, want := range map[string]int{"/": http.StatusOK, "/ws/check": http.StatusNoContent, "/no/such": http.StatusNotFound} {
		resp, err := web.Get("http://rondo.test" + path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("GET %s: %s, want %d", path, resp.Status, want)
		}
	}

	on := map[protocol.NodeID]*client.Client{}
	for range 8 { // least connections: two would do
		c, err := client.Dial(ctx, "ws://rondo.test/ws", client.Options{NetDial: dial, BackoffMin: 50 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		on[c.Welcome().Node] = c
	}
	a, b := on["node1"], on["node2"]
	if a == nil || b == nil {
		t.Fatalf("nginx used only one node of two: %v", on)
	}
	for _, c := range []*client.Client{a, b} {
		if _, err := c.Find(ctx, protocol.Find{Pool: "text"}); err != nil {
			t.Fatal(err)
		}
	}
	room := await[client.Found](t, ctx, a).Room
	if other := await[client.Found](t, ctx, b).Room; other != room {
		t.Fatalf("two rooms: %s and %s", room, other)
	}
	if _, err := a.Chat(ctx, room, "over nginx"); err != nil {
		t.Fatal(err)
	}
	if m := await[client.Chat](t, ctx, b); m.Text != "over nginx" {
		t.Errorf("chat: %q", m.Text)
	}

	if err := nodes[0].Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await[client.Up](t, ctx, a)
	if now := a.Welcome().Node; now != "node2" {
		t.Errorf("after the stop of node1 its client is on %s", now)
	}
	if err := nodes[0].Wait(20 * time.Second); err != nil {
		t.Errorf("node1 did not stop cleanly: %v\n%s", err, nodes[0].Output())
	}
}

// await returns the next event of a type.
func await[E client.Event](t *testing.T, ctx context.Context, c *client.Client) E {
	t.Helper()
	var seen []string
	for {
		select {
		case ev, ok := <-c.Events():
			if e, is := ev.(E); is {
				return e
			}
			if !ok {
				t.Fatalf("the client ended: %v", c.Err())
			}
			seen = append(seen, strings.TrimPrefix(typeName(ev), "client."))
		case <-ctx.Done():
			var e E
			t.Fatalf("no %s came, only %v", typeName(e), seen)
		}
	}
}
