package e2e_test

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/protocol"
)

// TestDrainOrder: the order to drain on the metrics listener needs the secret, and
// does what SIGTERM does; rondo drain gives it.
func TestDrainOrder(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	n := lab.Start(t, lab.Options{Secret: secret})
	var all []*lab.Raw
	for i := range 3 {
		r, _ := n.RawHello(t, "x", lab.RawOptions{From: i})
		all = append(all, r)
	}
	resp, err := http.Post("http://"+n.Metrics+"/drain", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Fatalf("an order without the secret: %s", resp.Status)
	}
	if _, status := n.Get(t, "http://"+n.Metrics+"/readyz"); status != http.StatusOK {
		t.Fatalf("after a refused order the node is not ready: %d", status)
	}
	if out, err := exec.Command(lab.Binary(t), "drain", "--metrics-listen", n.Metrics, "--secret-file", secret).CombinedOutput(); err != nil {
		t.Fatalf("rondo drain: %v\n%s", err, out)
	}
	for _, r := range all {
		m, err := r.Next(wait)
		if err != nil || m.T != protocol.TypeReconnect {
			t.Fatalf("got %+v, %v, want reconnect", m, err)
		}
		var d protocol.Reconnect
		if err := json.Unmarshal(m.D, &d); err != nil || d.AfterMS < 0 || d.AfterMS > 60_000 {
			t.Fatalf("%s: %v", m.Text, err)
		}
		r.ExpectClose(protocol.CloseDrain, "drain")
	}
	if err := n.Wait(wait); err != nil {
		t.Fatalf("%v\n%s", err, n.Output())
	}
}
