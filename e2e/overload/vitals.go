package overload

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rondo-chat/rondo/e2e/lab"
)

// vitals is what a server process holds.
type vitals struct {
	rss, peak  int // MiB, as of the kernel; peak since the process began
	heap       int // MiB that were reachable when the collector ran last
	goroutines int
	files      int
	connected  int // sessions
	away       int
	queued     int // KiB in all outboxes
	cpu        float64
}

func (v vitals) String() string {
	return fmt.Sprintf("RSS %d MiB (peak %d), live heap %d MiB, %d goroutines, %d files, %d sessions and %d away, %d KiB queued, %.1f s CPU",
		v.rss, v.peak, v.heap, v.goroutines, v.files, v.connected, v.away, v.queued, v.cpu)
}

func look(t testing.TB, n *lab.Node) vitals {
	t.Helper()
	text := n.MetricsText(t)
	number := func(name string) float64 {
		for line := range strings.Lines(text) {
			if rest, ok := strings.CutPrefix(line, name+" "); ok {
				f, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
				if err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				return f
			}
		}
		t.Fatalf("no metric %s", name)
		return 0
	}
	proc := filepath.Join("/proc", strconv.Itoa(n.PID()))
	files, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		t.Fatal(err)
	}
	return vitals{
		rss: status(t, proc, "VmRSS:") >> 10, peak: status(t, proc, "VmHWM:") >> 10,
		heap: int(number("go_gc_heap_live_bytes")) >> 20, goroutines: int(number("go_goroutines")), files: len(files),
		connected: int(number(`rondo_ws_sessions{state="connected"}`)), away: int(number(`rondo_ws_sessions{state="away"}`)),
		queued: int(number("rondo_ws_queue_bytes")) >> 10, cpu: number("process_cpu_seconds_total"),
	}
}

// status returns a number of /proc/<pid>/status, in KiB.
func status(t testing.TB, proc, field string) int {
	t.Helper()
	f, err := os.Open(filepath.Join(proc, "status"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if fields := strings.Fields(s.Text()); len(fields) >= 2 && fields[0] == field {
			n, err := strconv.Atoi(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s in %s", field, proc)
	return 0
}
