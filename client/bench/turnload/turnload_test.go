package turnload

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/turnserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "a secret that both servers share"

// TestField: every packet of every scenario comes through a server of this process.
func TestField(t *testing.T) {
	s, err := turnserver.New(turnserver.Config{
		Listen: []string{"127.0.0.1:0"}, Secrets: []turnserver.Secret{{Key: []byte(secret)}},
		Policy: turnserver.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	server := Server{Name: "rondo", Addr: s.Addrs()[0].Addr, PID: os.Getpid(), Secret: secret}
	field := newField(t, server, Load{Allocations: 8, PerSecond: 2000, Duration: 100 * time.Millisecond})
	rep, err := Compare(t.Context(), field, field, Scenarios(), 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range rep.Lines {
		for _, r := range append(l.Ours, l.Reference...) {
			if r.Sent < 190 || r.Received != r.Sent || r.CPU <= 0 || r.P50 <= 0 || r.P99 < r.P50 {
				t.Errorf("%v: %+v", l.Scenario, r)
			}
		}
	}
	if text := rep.String(); strings.Count(text, "\n") != 7 {
		t.Errorf("table:\n%s", text)
	}
	if _, err := Memory(server, 20); err != nil {
		t.Error(err)
	}
	server.PID = -1
	if _, err := server.cpu(); err == nil {
		t.Error("CPU time of no process")
	}
}

func newField(t testing.TB, s Server, l Load) *Field {
	t.Helper()
	f, err := NewField(s, l)
	if err != nil {
		t.Fatalf("%s: %v", s.Name, err)
	}
	t.Cleanup(f.Close)
	return f
}

// BenchmarkTURN compares the program with coturn: one round for each turn of the
// benchmark (-benchtime 5x).
func BenchmarkTURN(b *testing.B) {
	ours, reference := startBoth(b)
	fo, fr := newField(b, ours, Load{}), newField(b, reference, Load{})
	b.ResetTimer()
	rep, err := Compare(b.Context(), fo, fr, Scenarios(), b.N)
	if err != nil {
		b.Fatal(err)
	}
	for _, l := range rep.Lines {
		ratio, _, _ := l.Ratio()
		b.ReportMetric(ratio, strings.ReplaceAll(l.Scenario.String(), " ", "-")+"-ratio")
	}
	fmt.Printf("\n%d rounds\n%v", b.N, rep) // the log of a benchmark is cut off
}

// BenchmarkTURNMemory is what one of 3,000 allocations holds in each of the two.
func BenchmarkTURNMemory(b *testing.B) {
	for b.Loop() {
		ours, reference := startBoth(b)
		for _, s := range []Server{ours, reference} {
			n, err := Memory(s, 3000)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(n, s.Name+"-B/allocation")
		}
	}
}

func startBoth(b *testing.B) (ours, reference Server) {
	b.Helper()
	coturn := testenv.Need(b, "turnserver")
	dir := b.TempDir()
	if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "rondo"), "github.com/rondo-chat/rondo/cmd/rondo").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	key := filepath.Join(dir, "turn-secret")
	for name, text := range map[string]string{key: secret, filepath.Join(dir, "secret"): strings.Repeat("0123456789abcdef", 4)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	at := freePort(b)
	ours = start(b, "rondo", at, exec.Command(filepath.Join(dir, "rondo"), RondoArgs(at, key, dir)...))
	at = freePort(b)
	reference = start(b, "coturn", at, exec.Command(coturn, CoturnArgs(at, secret, dir)...))
	return ours, reference
}

func start(b *testing.B, name string, at netip.AddrPort, cmd *exec.Cmd) Server {
	b.Helper()
	p := testenv.Start(b, cmd)
	testenv.Eventually(b, 20*time.Second, func() bool {
		if p.Exited() {
			b.Fatalf("%s ended: %s", name, p.Output())
		}
		c, err := (&net.Dialer{Timeout: 100 * time.Millisecond}).DialContext(context.Background(), "tcp", at.String())
		if err != nil {
			return false
		}
		c.Close()
		return true
	}, "%s does not listen at %v", name, at)
	return Server{Name: name, Addr: at, PID: p.PID(), Secret: secret}
}

func freePort(b *testing.B) netip.AddrPort {
	b.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(fmt.Errorf("a free port: %w", err))
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}
