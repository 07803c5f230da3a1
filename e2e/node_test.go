package e2e_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// TestGracefulStop: SIGTERM tells each client when to come back, closes with 4000
// and ends the process cleanly; meanwhile nobody new gets in.
func TestGracefulStop(t *testing.T) {
	t.Parallel() // it mostly waits
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			n := lab.Start(t, lab.Options{})
			var all []*lab.Raw
			for i := range 4 {
				r, _ := n.RawHello(t, "x", lab.RawOptions{From: i})
				all = append(all, r)
			}
			rawMeet(t, all[0], all[1])
			if err := n.Signal(sig); err != nil {
				t.Fatal(err)
			}
			for _, r := range all {
				m, err := r.Next(wait)
				for err == nil && m.T == protocol.TypePeerReconnecting {
					m, err = r.Next(wait) // the partner was sent away before
				}
				if err != nil || m.T != protocol.TypeReconnect {
					t.Fatalf("got %+v, %v, want reconnect", m, err)
				}
				var d protocol.Reconnect
				if err := json.Unmarshal(m.D, &d); err != nil || d.AfterMS < 0 || d.AfterMS > 60_000 {
					t.Fatalf("%s: %v", m.Text, err)
				}
				r.ExpectClose(protocol.CloseDrain, "drain")
				nobodyNew(t, n)
			}
			if err := n.Wait(wait); err != nil {
				t.Fatalf("%v\n%s", err, n.Output())
			}
		})
	}
}

// nobodyNew checks that a stopping node takes nobody in: it says 503 and when to
// come back, or its listener is closed already.
func nobodyNew(t *testing.T, n *lab.Node) {
	t.Helper()
	_, resp, err := n.RawErr(t, lab.RawOptions{From: 77})
	if err == nil {
		t.Error("a stopping node takes people in")
		return
	}
	if resp == nil {
		return // refused by the kernel
	}
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("a stopping node answers %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
		return
	}
	checkProblem(t, resp, protocol.CodeUnavailable)
}

// TestStopSendsClientsElsewhere: behind one address, a stopping node's clients
// come back on the other one.
func TestStopSendsClientsElsewhere(t *testing.T) {
	nodes := lab.Pair(t, testenv.Redis(t).URL)
	front := lab.NewProxy(t, nodes[0].HTTP)
	ann := nodes[0].Dial(t, 1, client.Options{Name: "Ann", NetDial: front.Dial, BackoffMin: 10 * time.Millisecond, BackoffMax: 50 * time.Millisecond})
	front.Target(nodes[1].HTTP)
	nodes[0].Stop(t, wait)
	next[client.Down](t, ann)
	next[client.Up](t, ann)
	if got := ann.Welcome().Node; got != nodes[1].Node {
		t.Fatalf("on node %s, want %s", got, nodes[1].Node)
	}
	bo := nodes[1].Dial(t, 2, client.Options{Name: "Bo"})
	meet(t, ann, bo)
}

// TestHealth: ready while it serves, not ready once it stops.
func TestHealth(t *testing.T) {
	n := lab.Start(t, lab.Options{})
	for _, path := range []string{"/healthz", "/readyz"} {
		if body, status := n.Get(t, "http://"+n.Metrics+path); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if _, status := n.Get(t, n.URL()+"/metrics"); status == http.StatusOK {
		t.Error("/metrics is open to the public")
	}
}

// TestMetrics: /metrics shows the families that the documentation names, and
// after some use they count.
func TestMetrics(t *testing.T) {
	redis := testenv.Redis(t)
	dir := t.TempDir()
	n := lab.Start(t, lab.Options{Redis: redis.URL, Args: []string{"--database", "sqlite:" + filepath.Join(dir, "rondo.db"),
		"--files-dir", filepath.Join(dir, "files"), "--translate", "libre", "--translate-url", "https://translate.example.org"}})
	ann := n.Dial(t, 1, client.Options{Name: "Ann"})
	bo := n.Dial(t, 2, client.Options{Name: "Bo"})
	fa, _ := meet(t, ann, bo)
	say(t, ann, bo, fa.Room, "secret words")
	signal(t, ann, bo, fa.Room, protocol.SignalOffer, `{"sdp":"secret sdp"}`)
	if err := ann.CallState(protocol.CallState{State: "connected", Room: fa.Room, Peer: fa.Peer.ID, Local: "host", Remote: "srflx",
		Protocol: "udp", SetupMS: 400, FirstFrameMS: 600}); err != nil {
		t.Fatal(err)
	}
	r, _ := n.RawHello(t, "Mallory", lab.RawOptions{From: 3})
	r.Send(`{"t":"nonsense","id":2}`)
	r.ExpectErr(protocol.CodeUnknownType)

	text := n.MetricsText(t)
	have := families(text)
	if len(have) < 30 {
		t.Errorf("only %d families", len(have))
	}
	for _, f := range documentedFamilies(t) {
		if !slices.Contains(have, f) {
			t.Errorf("/metrics has no %s", f)
		}
	}
	for _, secret := range []string{"secret words", "secret sdp", string(fa.Room), string(ann.Welcome().User.ID), "127.1."} {
		if strings.Contains(text, secret) {
			t.Errorf("/metrics tells %q", secret)
		}
		if strings.Contains(n.Output(), secret) && secret != string(fa.Room) && !strings.HasPrefix(secret, "g_") {
			t.Errorf("the log tells %q", secret)
		}
	}
}

// families returns the names of the metric families in text.
func families(text string) []string {
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+) `).FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	return names
}

// documentedFamilies returns the names in docs/metrics.md.
func documentedFamilies(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(rondo_[a-z0-9_]+)").FindAllStringSubmatch(string(b), -1) {
		names = append(names, m[1])
	}
	if len(names) == 0 {
		t.Fatal("docs/metrics.md names no families")
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// TestTwoNodesOneSecret: nodes that do not share the secret refuse to act as one.
func TestTwoNodesOneSecret(t *testing.T) {
	redis := testenv.Redis(t)
	lab.Start(t, lab.Options{Redis: redis.URL})
	out := lab.StartFails(t, lab.Options{Redis: redis.URL})
	if !strings.Contains(out, "secret") {
		t.Fatalf("the reason is not named:\n%s", out)
	}
}
