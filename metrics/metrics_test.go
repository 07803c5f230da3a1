package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestHandler(t *testing.T) {
	a, b := New("1.2.3"), New("1.2.3") // two servers in one process
	NewCalls(a.Registerer())
	NewCalls(b.Registerer())
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{`rondo_build_info{go="go`, `version="1.2.3"} 1`, "go_goroutines ", "process_open_fds ", "go_gc_duration_seconds", "go_gc_heap_live_bytes"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("/metrics does not hold %s", want)
		}
	}
	problems, err := testutil.GatherAndLint(a.Gatherer())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "rondo_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestCalls(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	c := NewCalls(reg)
	for _, s := range []protocol.CallState{
		{State: "connected", Local: "host", Remote: "srflx", Protocol: "udp", RelayProtocol: "tls", SetupMS: 431, FirstFrameMS: 612},
		{State: "connected", Local: "relay", Remote: "srflx", Protocol: "udp", RelayProtocol: "tls", SetupMS: 900},
		{State: "connected", Local: "x", Remote: "", Protocol: "sctp", SetupMS: -5, FirstFrameMS: 1 << 62},
		{State: "failed", Reason: "ice-timeout"},
		{State: "failed", Reason: "other"},
		{State: "failed", Reason: "\"} 1\nevil"},
		{State: "ended"},
	} {
		if err := c.Observe(s); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
	for _, state := range []string{"", "Connected", "x"} {
		if err := c.Observe(protocol.CallState{State: state}); protocol.CodeOf(err) != protocol.CodeBadRequest {
			t.Errorf("state %q: %v", state, err)
		}
	}
	for labels, want := range map[[4]string]float64{
		{"host", "srflx", "udp", "none"}: 1, {"relay", "srflx", "udp", "tls"}: 1, {"other", "none", "other", "none"}: 1,
	} {
		if got := testutil.ToFloat64(c.connected.WithLabelValues(labels[:]...)); got != want {
			t.Errorf("connected %v: %v", labels, got)
		}
	}
	if got := testutil.ToFloat64(c.failed.WithLabelValues("other")); got != 2 {
		t.Errorf("failed for other reasons: %v", got)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			if f.GetName() == "rondo_calls_first_frame_seconds" {
				sums[m.Label[0].GetValue()] = m.Histogram.GetSampleSum()
			}
		}
	}
	if !maps.Equal(sums, map[string]float64{"direct": 0.612, "relay": 0, "unknown": 120}) {
		t.Errorf("times to the first frame: %v", sums)
	}
}

// TestCallSteps: each step counts by path and transport; an impossible time
// counts nothing of its report.
func TestCallSteps(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	c := NewCalls(reg)
	ms := func(n int64) *int64 { return &n }
	for _, s := range []protocol.CallState{
		{State: "connected", Local: "host", Remote: "prflx", Protocol: "udp", RelayProtocol: "tls", Steps: &protocol.CallSteps{Ask: ms(0), Offer: ms(2), Answer: ms(60), Total: ms(185)}},
		{State: "connected", Local: "relay", Remote: "relay", Protocol: "udp", RelayProtocol: "tls", Steps: &protocol.CallSteps{ICE: ms(20), DTLS: ms(8), Frame: ms(120_000)}},
		{State: "connected", Local: "host", Remote: "relay", Protocol: "udp", Steps: &protocol.CallSteps{ICE: ms(30)}},
		{State: "failed", Steps: &protocol.CallSteps{ICE: ms(30)}},
		{State: "connected", Local: "host", Remote: "host", Protocol: "udp"},
	} {
		if err := c.Observe(s); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
	for _, bad := range []int64{-1, -1 << 63, 120_001, 1<<63 - 1} {
		for _, steps := range []protocol.CallSteps{{Ask: &bad}, {Offer: &bad}, {Answer: &bad}, {ICE: &bad}, {DTLS: &bad}, {Frame: &bad}, {Ask: ms(1), Total: &bad}} {
			s := protocol.CallState{State: "connected", Local: "host", Remote: "host", Protocol: "tcp", Steps: &steps}
			if err := c.Observe(s); protocol.CodeOf(err) != protocol.CodeBadRequest {
				t.Errorf("%d: %v", bad, err)
			}
		}
	}
	got := map[string]float64{}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			if h := m.Histogram; f.GetName() == "rondo_calls_step_seconds" && h.GetSampleCount() > 0 {
				got[m.Label[1].GetValue()+" "+m.Label[0].GetValue()+" "+m.Label[2].GetValue()] = h.GetSampleSum()
			}
		}
	}
	if want := map[string]float64{
		"ask direct udp": 0, "offer direct udp": 0.002, "answer direct udp": 0.06, "total direct udp": 0.185,
		"ice relay tls": 0.02, "dtls relay tls": 0.008, "frame relay tls": 120, "ice relay none": 0.03,
	}; !maps.EqualFunc(got, want, func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }) {
		t.Errorf("steps: %v", got)
	}
	if n := testutil.ToFloat64(c.connected.WithLabelValues("host", "host", "tcp", "none")); n != 0 {
		t.Errorf("%v reports with impossible times counted", n)
	}
}

// TestCallsLabelsAreBounded: whatever clients report, the number of time series
// has an end.
func TestCallsLabelsAreBounded(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	c := NewCalls(reg)
	one := int64(1)
	all := protocol.CallSteps{Ask: &one, Offer: &one, Answer: &one, ICE: &one, DTLS: &one, Frame: &one, Total: &one}
	values := []string{"", "host", "srflx", "prflx", "relay", "udp", "tcp", "tls", "dtls", "ice-timeout", "x", "y", "\xff", strings.Repeat("z", 5000)}
	for _, a := range values {
		for _, b := range values {
			for _, p := range values {
				for _, state := range []string{"connected", "failed", "ended"} {
					if err := c.Observe(protocol.CallState{State: state, Local: a, Remote: b, Protocol: p, RelayProtocol: p, Reason: p, SetupMS: 1, Steps: &all}); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
	n, err := testutil.GatherAndCount(reg)
	if err != nil || n > 400 {
		t.Errorf("%d series, %v", n, err)
	}
}

func FuzzCalls(f *testing.F) {
	f.Add("connected", "host", "relay", "udp", "tls", "", int64(5), int64(-5))
	f.Add("failed", "", "", "", "", "dtls", int64(0), int64(1<<62))
	c := NewCalls(prometheus.NewPedanticRegistry())
	f.Fuzz(func(t *testing.T, state, local, remote, proto, relay, why string, setup, frame int64) {
		err := c.Observe(protocol.CallState{State: state, Local: local, Remote: remote, Protocol: proto, RelayProtocol: relay, Reason: why, SetupMS: setup, FirstFrameMS: frame})
		if err != nil && protocol.CodeOf(err) != protocol.CodeBadRequest {
			t.Error(err)
		}
	})
}

type readiness struct {
	Status   string
	Draining bool
	Failing  []string
}

func ready(t *testing.T, h *Health) (int, readiness) {
	t.Helper()
	w := httptest.NewRecorder()
	h.Readyz(w, httptest.NewRequest("GET", "/readyz", nil))
	var r readiness
	if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil || r.Failing == nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	return w.Code, r
}

func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewPedanticRegistry()
		h := NewHealth(HealthConfig{Registerer: reg})
		want := func(status int, draining bool, failing ...string) {
			t.Helper()
			code, r := ready(t, h)
			if code != status || r.Draining != draining || !slices.Equal(r.Failing, failing) || (r.Status == "ready") != (status == 200) {
				t.Fatalf("%d %+v, want %d draining=%v %v", code, r, status, draining, failing)
			}
		}
		want(200, false)
		var broken atomic.Bool
		h.AddCheck("redis", func(context.Context) error {
			if broken.Load() {
				return errors.New("secret address 10.0.0.1 refused")
			}
			return nil
		})
		h.AddCheck("bus", func(context.Context) error { return nil })
		want(200, false)
		broken.Store(true)
		want(200, false) // a moment ago it was well
		pass(time.Second)
		want(503, false, "redis")
		wantMetrics := func(redis, slow, draining string) {
			t.Helper()
			want := `# HELP rondo_health_draining 1 while this node takes no new work because it is going to stop.
# TYPE rondo_health_draining gauge
rondo_health_draining ` + draining + `
# HELP rondo_health_failing 1 if the readiness check fails, else 0. check: the parts of this installation.
# TYPE rondo_health_failing gauge
rondo_health_failing{check="bus"} 0
rondo_health_failing{check="redis"} ` + redis + "\n"
			if slow != "" {
				want += `rondo_health_failing{check="slow"} ` + slow + "\n"
			}
			if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
				t.Error(err)
			}
		}
		wantMetrics("1", "", "0")
		h.AddCheck("slow", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		start := time.Now()
		want(503, false, "redis", "slow")
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("a check that hangs took %v", took)
		}
		h.AddCheck("slow", func(context.Context) error { return nil })
		broken.Store(false)
		want(200, false)
		pass(time.Second)
		broken.Store(true)
		wantMetrics("1", "0", "0") // a scrape asks, where nobody else does
		pass(time.Second)
		broken.Store(false)
		h.Drain()
		wantMetrics("0", "0", "1")
		want(503, true)
		w := httptest.NewRecorder()
		h.Healthz(w, httptest.NewRequest("GET", "/healthz", nil))
		if w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("/healthz: %d %v: a draining process is alive", w.Code, w.Header())
		}
	})
}

// TestHealthFlood: many askers at once cost one round of checks.
func TestHealthFlood(t *testing.T) {
	h := NewHealth(HealthConfig{Fresh: time.Hour})
	var rounds atomic.Int32
	h.AddCheck("a", func(context.Context) error { rounds.Add(1); return nil })
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { ready(t, h) })
	}
	wg.Wait()
	if n := rounds.Load(); n != 1 {
		t.Errorf("%d rounds of checks", n)
	}
}

// TestHealthAskerGone: an asker that goes away does not make a check fail.
func TestHealthAskerGone(t *testing.T) {
	h := NewHealth(HealthConfig{})
	h.AddCheck("a", func(ctx context.Context) error { return ctx.Err() })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if failing := h.Failing(ctx); len(failing) > 0 {
		t.Errorf("failing: %v", failing)
	}
}

// pass lets the test's synthetic time pass.
func pass(d time.Duration) { <-time.After(d) }
