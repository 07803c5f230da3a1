package e2e_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/client/bench"
	"github.com/rondo-chat/rondo/e2e/lab"
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
