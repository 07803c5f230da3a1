package chaos

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/e2e/chaos/history"
	"github.com/rondo-chat/rondo/e2e/lab"
)

// TestSoak runs for as long as RONDO_SOAK says (a duration), with all faults, in
// runs of five minutes on the same nodes. Two nodes live from the beginning to the
// end, and what they hold must be flat lines; only the third one is killed.
func TestSoak(t *testing.T) {
	text := os.Getenv("RONDO_SOAK")
	if text == "" {
		t.Skip("RONDO_SOAK is not set")
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	p := plan{seed: number(t, "RONDO_CHAOS_SEED", rand.Uint64N(1_000_000)), nodes: 3, users: int(number(t, "RONDO_CHAOS_USERS", 100)),
		faults: append([]fault{killLast()}, all()[1:]...), calm: 15 * time.Second, expect: promises()}
	w := start(t, p)
	ctx, stop := context.WithCancel(t.Context())
	var watch sync.WaitGroup
	var lines [2]line
	for i := range lines {
		watch.Go(func() { lines[i].watch(ctx, w.node(i)) })
	}
	for end := time.Now().Add(d); time.Until(end) > 0; p.seed++ {
		p.run = max(min(5*time.Minute, time.Until(end))-p.calm, time.Second)
		t.Logf("seed %d, %d nodes, %d users, %v", p.seed, p.nodes, p.users, p.run.Round(time.Second))
		w.play(p)
	}
	stop()
	watch.Wait()
	for i := range lines {
		lines[i].judge(t, fmt.Sprintf("node %d", i+1))
	}
}

// killLast kills the last node only.
func killLast() fault {
	return fault{"kill -9 of a node", func(ctx context.Context, w *world) history.Fault {
		i := len(w.opts) - 1
		n := w.node(i)
		w.setNode(i, nil)
		n.Kill()
		pause(ctx, w.between(500, 2000))
		w.setNode(i, lab.Start(w.t, w.opts[i]))
		return history.Fault{Kills: string(n.Node)}
	}}
}

// held is what a process holds at a moment.
type held struct {
	at    time.Duration
	value [4]float64 // see resources
}

// resource is what must not grow: by the factor and the amount that quarters of a
// run differ by chance, where users come and go and faults pile work up.
type resource struct {
	name   string
	unit   float64
	factor float64
	amount float64
}

func resources() [4]resource {
	return [4]resource{
		{"resident memory, MiB", 1 << 20, 1.15, 8},
		{"heap in use, MiB", 1 << 20, 1.15, 6},
		{"goroutines", 1, 1.1, 30},
		{"file descriptors", 1, 1.1, 20},
	}
}

// line is what a process held over time.
type line struct {
	points []held
	missed int // it was stopped, or had no descriptor left for who asks
}

// watch takes a sample every two seconds until ctx ends.
func (l *line) watch(ctx context.Context, n *lab.Node) {
	began := time.Now()
	hc := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for ; ctx.Err() == nil; pause(ctx, 2*time.Second) {
		v, err := sample(hc, n)
		if err != nil {
			l.missed++
			continue
		}
		l.points = append(l.points, held{time.Since(began), v})
	}
}

// sample asks the kernel and the process.
func sample(hc *http.Client, n *lab.Node) (v [4]float64, err error) {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", n.PID()))
	if err != nil {
		return v, err
	}
	var size, resident float64
	if _, err := fmt.Sscan(string(statm), &size, &resident); err != nil {
		return v, err
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.PID()))
	if err != nil {
		return v, err
	}
	v[0], v[3] = resident*float64(os.Getpagesize()), float64(len(open))
	resp, err := hc.Get("http://" + n.Metrics + "/metrics")
	if err != nil {
		return v, err
	}
	defer resp.Body.Close()
	for s := bufio.NewScanner(resp.Body); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), " ")
		switch name {
		case "go_memstats_heap_inuse_bytes":
			v[1], err = strconv.ParseFloat(value, 64)
		case "go_goroutines":
			v[2], err = strconv.ParseFloat(value, 64)
		}
		if err != nil {
			return v, err
		}
	}
	if v[1] == 0 || v[2] == 0 {
		return v, fmt.Errorf("no metrics: %d", resp.StatusCode)
	}
	return v, nil
}

// judge compares the medians of the first and the last quarter after the first
// fifth, in which everything is met for the first time.
func (l *line) judge(t testing.TB, name string) {
	t.Helper()
	warm := l.points[len(l.points)/5:]
	quarter := len(warm) / 4
	if quarter < 5 {
		t.Fatalf("%s: only %d samples (%d missed): run for longer", name, len(l.points), l.missed)
	}
	for i, r := range resources() {
		first, last := median(warm[:quarter], i)/r.unit, median(warm[len(warm)-quarter:], i)/r.unit
		most := 0.0
		for _, p := range warm {
			most = max(most, p.value[i]/r.unit)
		}
		limit := first*r.factor + r.amount
		t.Logf("%s: %-20s first quarter %6.1f, last %6.1f, most %6.1f, limit of the last %6.1f (%d samples in %v)",
			name, r.name, first, last, most, limit, len(l.points), l.points[len(l.points)-1].at.Round(time.Second))
		if last > limit {
			t.Errorf("%s: %s grows: from %.1f to %.1f", name, r.name, first, last)
		}
	}
}

func median(points []held, i int) float64 {
	var v []float64
	for _, p := range points {
		v = append(v, p.value[i])
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// TestLine: a line that grows is found, one that wavers is not.
func TestLine(t *testing.T) {
	for name, grows := range map[string]bool{"flat": false, "leak": true} {
		var l line
		for i := range 150 {
			p := held{at: time.Duration(i) * 2 * time.Second, value: [4]float64{80 << 20, 20 << 20, 500, 100}}
			p.value[2] += float64(i % 20)
			if grows {
				p.value[2] += float64(i)
			}
			l.points = append(l.points, p)
		}
		q := &quiet{TB: t}
		if l.judge(q, name); q.failed != grows {
			t.Errorf("%s: found %t, want %t", name, q.failed, grows)
		}
	}
}
