package e2e_test

import (
	"context"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/client/rtc"
	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/turnserver/probe"
)

// split starts a node that only relays and one that only signals and sends people
// to the first; each has the secret in its file.
func split(t *testing.T, turnSecret, signalingSecret string) (turn, signaling *lab.Node) {
	t.Helper()
	turn = lab.Start(t, lab.Options{Secret: turnSecret, Args: []string{"--roles", "turn"}})
	signaling = lab.Start(t, lab.Options{Secret: signalingSecret, Args: []string{"--roles", "signaling",
		"--turn-server", "stun:" + turn.TURNUDP + ",turn:" + turn.TURNUDP + "?transport=udp,turn:" + turn.TURNTCP + "?transport=tcp"}})
	return turn, signaling
}

func newSecret(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if out, err := exec.Command(lab.Binary(t), "secret", "--file", file).CombinedOutput(); err != nil {
		t.Fatalf("rondo secret: %v\n%s", err, out)
	}
	return file
}

// TestRoles: people of a signaling node are relayed by a turn node; each does its
// own part and no other.
func TestRoles(t *testing.T) {
	secret := newSecret(t)
	turn, signaling := split(t, secret, secret)
	if turn.HTTP != "" || signaling.TURNUDP != "" || signaling.TURNTCP != "" {
		t.Fatalf("the turn node has a page at %q, the signaling node relays at %q", turn.HTTP, signaling.TURNUDP)
	}
	for _, n := range []*lab.Node{turn, signaling} {
		for _, path := range []string{"/healthz", "/readyz"} {
			if body, status := n.Get(t, "http://"+n.Metrics+path); status != http.StatusOK {
				t.Errorf("%s: %d %s", path, status, body)
			}
		}
	}
	for _, path := range []string{"/", "/ws"} {
		if _, status := turn.Get(t, "http://"+turn.Metrics+path); status != http.StatusNotFound {
			t.Errorf("the turn node answers %s: %d", path, status)
		}
	}
	engine, err := rtc.NewEngine(rtc.EngineConfig{Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	ann, bo := signaling.Dial(t, 1, client.Options{Name: "Ann"}), signaling.Dial(t, 2, client.Options{Name: "Bo"})
	find(t, ann, protocol.Find{Relay: true})
	find(t, bo, protocol.Find{})
	fa, fb := next[client.Found](t, ann), next[client.Found](t, bo)
	checkMatch(t, fa, fb)
	for _, p := range []*rtc.Peer{call(t, engine, ann, fa, "udp"), call(t, engine, bo, fb, "udp")} {
		select {
		case <-p.Connected():
		case <-time.After(wait):
			t.Fatalf("not connected: %v %v", p.State(), p.Err())
		}
		if pair, ok := p.Pair(); !ok || pair.Local != "relay" || pair.Remote != "relay" {
			t.Fatalf("%+v, want relay on both sides", pair)
		}
	}
	if text := turn.MetricsText(t); !strings.Contains(text, "\nrondo_turn_allocations 2\n") {
		t.Error("the turn node does not relay")
	}
	if out, err := exec.Command(lab.Binary(t), "doctor", "--url", signaling.URL()).CombinedOutput(); err != nil {
		t.Errorf("doctor: %v\n%s", err, out)
	}
	if out, err := exec.Command(lab.Binary(t), "drain", "--metrics-listen", turn.Metrics, "--secret-file", secret).CombinedOutput(); err != nil {
		t.Fatalf("drain of the turn node: %v\n%s", err, out)
	}
	if err := turn.Wait(wait); err != nil { // the two relays end at the deadline
		t.Errorf("the turn node does not stop: %v", err)
	}
}

// TestRolesOtherSecret: a turn node takes no credentials signed with another
// secret, and doctor sees it.
func TestRolesOtherSecret(t *testing.T) {
	_, signaling := split(t, newSecret(t), newSecret(t))
	ann := signaling.Dial(t, 1, client.Options{Name: "Ann"})
	refused := 0
	for _, r := range probe.Run(within(t, wait), probe.Config{Servers: ann.Welcome().ICE.Servers, Timeout: 5 * time.Second}) {
		if r.Check == probe.CheckSTUN {
			continue
		}
		if refused++; r.OK {
			t.Errorf("%s over %s works with another secret", r.Check, r.Transport)
		}
	}
	if refused == 0 {
		t.Error("no relay was tried")
	}
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	out, err := exec.CommandContext(ctx, lab.Binary(t), "doctor", "--url", signaling.URL()).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "FAIL") || !strings.Contains(string(out), "secret") {
		t.Errorf("doctor: %v\n%s", err, out)
	}
}

// TestTurnNodeNeedsTheSecret: it makes none of its own, which nobody would know.
func TestTurnNodeNeedsTheSecret(t *testing.T) {
	out := lab.StartFails(t, lab.Options{Secret: filepath.Join(t.TempDir(), "secret"), Args: []string{"--roles", "turn"}})
	if !strings.Contains(out, "secret-file") {
		t.Errorf("the reason is not named:\n%s", out)
	}
}
