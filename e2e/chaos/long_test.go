//go:build long

package chaos

// What takes long is built with the tag long only (make soak, docs/reliability.md).

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/e2e/lab"
)

// TestRow is one row of the table in docs/reliability.md: one fault, again and
// again; half a minute each.
func TestRow(t *testing.T) {
	for _, f := range all() {
		t.Run(f.name, func(t *testing.T) {
			p := long(t, plan{faults: []fault{f}})
			p.calm = 10 * time.Second
			play(t, p)
		})
	}
	for _, row := range []struct {
		name string
		plan
	}{
		{"cluster", plan{store: clustered, faults: []fault{killNode(), restartRedis(), stallRedis()}}},
		{"a Cluster master lost", plan{store: clustered, faults: []fault{loseMaster()}}},
		{"packets between a node and Redis lost", plan{split: true, faults: []fault{losePackets("packets to Redis lost", lab.ToRedis)}}},
		{"packets between a node and users lost", plan{split: true, faults: []fault{losePackets("packets to users lost", lab.ToUsers)}}},
		{"clock of a node jumps", plan{clocks: true, faults: []fault{jump(false, time.Minute), jump(false, -time.Minute)}}},
		{"clocks differ by a minute", plan{clocks: true, nodes: 3, skew: []time.Duration{0, time.Minute, -time.Minute}, faults: []fault{killNode(), moveAll()}}},
		{"clock of Redis jumps", plan{clocks: true, faults: []fault{jump(true, time.Minute), jump(true, -time.Minute)}}},
	} {
		t.Run(row.name, func(t *testing.T) { play(t, long(t, row.plan)) })
	}
}

// long makes a row of a plan.
func long(t testing.TB, p plan) plan {
	t.Helper()
	p.seed, p.users = number(t, "RONDO_CHAOS_SEED", 7), int(number(t, "RONDO_CHAOS_USERS", 100))
	p.nodes = max(p.nodes, 2)
	p.gap, p.run, p.calm, p.expect = [2]int{5500, 7000}, 24*time.Second, 12*time.Second, promises()
	return p
}

// TestSoak runs for as long as RONDO_SOAK says (a duration), with all faults, in
// runs of five minutes on the same nodes. Two nodes live from the beginning to the
// end, and what they hold must be flat lines; only the third one is killed.
func TestSoak(t *testing.T) {
	d, err := time.ParseDuration(os.Getenv("RONDO_SOAK"))
	if err != nil {
		t.Fatal("RONDO_SOAK says for how long: ", err)
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
	return kill(func(w *world) int { return len(w.opts) - 1 })
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
func sample(hc *http.Client, n *lab.Node) (v [5]float64, err error) {
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
		case "go_gc_heap_live_bytes":
			v[4], err = strconv.ParseFloat(value, 64)
		}
		if err != nil {
			return v, err
		}
	}
	if v[1] == 0 || v[2] == 0 || v[4] == 0 {
		return v, fmt.Errorf("no metrics: %d", resp.StatusCode)
	}
	return v, nil
}
