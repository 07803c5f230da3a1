package e2e_test

import (
	"fmt"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/client/bench"
	"github.com/rondo-chat/rondo/client/bench/table"
	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// TestBench: the load generator does what its scenarios say against a real server, and everything
// that it began came about.
func TestBench(t *testing.T) {
	n := lab.Start(t, lab.Options{})
	for _, want := range []struct {
		cfg   bench.Config
		count string
		n     int64
		times string
	}{
		{bench.Config{Scenario: "idle", Users: 50}, "connected", 50, "connect"},
		{bench.Config{Scenario: "ask", Users: 40, Rate: 10}, "pairs", 10, "match"},
		{bench.Config{Scenario: "burst", Users: 40}, "pairs", 20, "match"},
		{bench.Config{Scenario: "relay", Users: 20, Rate: 50}, "signals", 50, "relay"},
		{bench.Config{Scenario: "calls", Users: 4, Rate: 2, Loopback: true}, "calls", 2, "call"},
	} {
		t.Run(want.cfg.Scenario, func(t *testing.T) {
			cfg := want.cfg
			cfg.URL, cfg.Metrics, cfg.Spread, cfg.Duration = n.WS(), "http://"+n.Metrics+"/metrics", true, time.Second
			if cfg.Scenario == "relay" {
				cfg.PID = n.PID()
			}
			r, err := bench.Run(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if r.Counts[want.count] != want.n || r.Counts["failed"] != 0 || r.Counts["refused"] != 0 || r.Times[want.times].Count == 0 {
				t.Errorf("%+v", r)
			}
			if q := r.Times[want.times]; q.P50 > q.P99 || q.P99 > q.Max || q.P50 <= 0 {
				t.Errorf("%s: %+v", want.times, q)
			}
			if cfg.PID != 0 && (r.Server == nil || r.Server.RSS == 0 || r.Server.Allocs == 0) {
				t.Errorf("the server's cost: %+v", r.Server)
			}
		})
	}
	if _, err := bench.Run(t.Context(), bench.Config{URL: n.WS(), Scenario: "sleep"}); err == nil || !strings.Contains(err.Error(), "no scenario") {
		t.Errorf("an unknown scenario: %v", err)
	}
}

// TestBenchPeople: people who come by chance and people who live a day ask, meet, skip, talk, lose their network and
// come back; nothing of it fails, and the same seed lets the same people come.
func TestBenchPeople(t *testing.T) {
	t.Parallel() // what comes out is not judged
	n := lab.Start(t, lab.Options{})
	for _, want := range []struct {
		cfg    bench.Config
		counts []string
		times  []string
	}{
		{bench.Config{Scenario: "poisson", Users: 40, Rate: 15, Duration: 4 * time.Second}, []string{"asks", "skips", "operations"}, []string{"match", "next", "leave"}},
		{bench.Config{Scenario: "day", Users: 60, Duration: 6 * time.Second}, []string{"connected", "asks", "skips", "signals", "messages", "deliveries", "rooms", "lost", "left"},
			[]string{"connect", "match", "next", "signal", "relay", "chat", "delivery", "room", "resume", "leave"}},
	} {
		t.Run(want.cfg.Scenario, func(t *testing.T) {
			cfg := want.cfg
			cfg.URL, cfg.Metrics, cfg.PID, cfg.Spread, cfg.Connect = n.WS(), "http://"+n.Metrics+"/metrics", n.PID(), true, 50
			r, err := bench.Run(t.Context(), cfg)
			if err != nil || r.Counts["failed"] != 0 || r.Counts["refused"] != 0 {
				t.Fatalf("%v, %+v", err, r)
			}
			for _, name := range want.counts {
				if r.Counts[name] == 0 {
					t.Errorf("no %s: %+v", name, r)
				}
			}
			for _, name := range want.times {
				if r.Times[name].Count == 0 {
					t.Errorf("no time of %s: %+v", name, r)
				}
			}
			if r.Server == nil || r.Server.RSS == 0 || r.Server.Allocs == 0 || r.Server.CPUPerOp == 0 {
				t.Errorf("the server's cost: %+v", r.Server)
			}
			if connected, left := r.Counts["connected"], r.Counts["left"]; cfg.Scenario == "day" && (connected != int64(cfg.Users) || left != connected) {
				t.Errorf("%d came, %d left, of %d", connected, left, cfg.Users)
			}
		})
	}
}

// TestBenchFanout: everybody in a topic has everything that is written in it, whether they are few or many.
// RONDO_LOAD=1 takes up to 10,000 and shows what it costs.
func TestBenchFanout(t *testing.T) {
	runs := []bench.Config{{Users: 10, Rate: 10, Duration: time.Second}, {Users: 50, Rate: 10, Duration: time.Second}}
	load := os.Getenv("RONDO_LOAD") != ""
	if load {
		runs = []bench.Config{{Users: 10, Rate: 10}, {Users: 100, Rate: 10}, {Users: 1000, Rate: 2}, {Users: 10_000, Rate: 0.5}}
	}
	s := newService(t, "sqlite:"+filepath.Join(t.TempDir(), "rondo.db"))
	n := s.node(t)
	ann := browser(t, n, 1, "ann")
	ann.join(s)
	for i, cfg := range runs {
		room := ann.wants(http.StatusOK, "POST", "/conversations", protocol.ConvCreate{Kind: protocol.ConvTopic, Writers: protocol.WriteEveryone, Name: fmt.Sprint("Trains ", i)}).body["id"]
		cfg.Scenario, cfg.URL, cfg.Spread, cfg.Connect, cfg.Room = "fanout", n.WS(), true, 300, protocol.RoomID(fmt.Sprint(room))
		if load {
			cfg.PID, cfg.Metrics, cfg.Duration = n.PID(), "http://"+n.Metrics+"/metrics", 30*time.Second
		}
		r, err := bench.Run(t.Context(), cfg)
		said := int64(cfg.Rate * cfg.Duration.Seconds())
		if err != nil || r.Counts["messages"] != said || r.Counts["deliveries"] != said*int64(cfg.Users) || r.Counts["failed"] != 0 {
			t.Errorf("%+v, %v", r, err)
		}
		if load {
			d := r.Times["delivery"]
			t.Logf("%d members: %d messages, delivered after p50 %v, p99 %v; %.0f µs CPU and %.1f allocations for each delivery, %.1f ms CPU a message",
				cfg.Users, said, d.P50, d.P99, r.Server.CPUPerOp, r.Server.Allocs, r.Server.CPUPerOp*float64(cfg.Users)/1000)
		}
	}
}

// TestBenchTable: the comparison measures every line with all that it needs, whatever comes of it: a tenth
// of the load says nothing of what things cost.
func TestBenchTable(t *testing.T) {
	t.Parallel() // what comes out is not judged
	self := filepath.Join(t.TempDir(), "rondo-bench")
	if out, err := exec.Command("go", "build", "-o", self, "github.com/rondo-chat/rondo/cmd/rondo-bench").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	cfg := table.Config{
		Self: self, Rondo: lab.Binary(t), Redis: testenv.Need(t, "redis-server"), Coturn: testenv.Need(t, "turnserver"),
		Quick: true, Rounds: 1, Progress: t.Output(),
	}
	rows, err := table.Run(t.Context(), cfg)
	if err != nil {
		t.Error(err)
	}
	if len(rows) != len(table.Lines()) {
		t.Errorf("%d rows of %d lines", len(rows), len(table.Lines()))
	}
	for _, r := range rows {
		for _, v := range []float64{r.Ours.Median, r.Reference.Median, r.Ratio.Median} {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Errorf("%s: %+v", r.Name, r)
			}
		}
		if r.Missing != "" || !r.Ours.Known() || r.By == table.Ratio && !r.Ratio.Known() {
			t.Errorf("%s: not measured: %+v", r.Name, r)
		}
	}
	var out strings.Builder
	table.Markdown(&out, rows)
	t.Log("\n" + out.String())
}
