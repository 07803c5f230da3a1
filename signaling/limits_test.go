package signaling

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// Section 4 of docs/protocol.md.

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *safeBuffer) String() string { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }
func (s *safeBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(s, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func ok(context.Context, *Session, *protocol.Message) (any, error) { return nil, nil }

func TestRates(t *testing.T) {
	slow := ratelimit.Rate{PerSecond: 0.001, Burst: 2}
	r := newRig(t, func(c *Config) {
		c.Handlers["a.one"] = Handler{Rate: slow, Group: "a", Serve: ok}
		c.Handlers["a.two"] = Handler{Rate: slow, Group: "a", Serve: ok}
		c.Handlers["b"] = Handler{Rate: slow, Serve: ok}
		c.Handlers["free"] = Handler{Serve: ok}
	})
	c := r.dial()
	c.hello("Ann")
	id := 1
	ask := func(typ, want string) in {
		t.Helper()
		id++
		c.send(`{"t":"` + typ + `","id":` + itoa(id) + `}`)
		m := c.next()
		if m.ID != uint32(id) || (m.T == "ok") != (want == "") || m.E.Code != want {
			t.Fatalf("%s: %s", typ, m.raw)
		}
		return m
	}
	ask("a.one", "")
	ask("a.two", "")
	if m := ask("a.one", "rate_limited"); m.E.RetryMS < 1000 {
		t.Error(m.raw)
	}
	ask("a.two", "rate_limited")
	ask("b", "")
	ask("b", "")
	ask("b", "rate_limited")
	for range 50 {
		ask("free", "")
	}
	d := r.dial() // another session has its own
	d.hello("Bo")
	d.send(`{"t":"b","id":2}`)
	d.wants("ok")
}

// TestRefusedIsNotRemembered: what was refused was not executed, so it may be
// sent again under its id.
func TestRefusedIsNotRemembered(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Handlers["x"] = Handler{Rate: ratelimit.Rate{PerSecond: 20, Burst: 1}, Serve: ok}
	})
	c := r.dial()
	c.hello("Ann")
	c.send(`{"t":"x","id":2}`)
	c.wants("ok")
	c.send(`{"t":"x","id":3}`)
	if m := c.next(); m.E.Code != "rate_limited" {
		t.Fatal(m.raw)
	}
	testenv.Eventually(t, patience, func() bool { c.send(`{"t":"x","id":3}`); return c.next().T == "ok" }, "the request to be let in")
}

func TestFloodCloses(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Handlers["x"] = Handler{Rate: ratelimit.Rate{PerSecond: 0.01, Burst: 1}, Serve: ok}
	})
	c := r.dial()
	w := c.hello("Ann")
	for i := range 21 {
		c.send(`{"t":"x","id":` + itoa(i+2) + `}`)
	}
	before := c.closes(protocol.CloseRateLimited, "retry=10000")
	if len(before) != 21 || before[0].T != "ok" || before[20].E.Code != "rate_limited" {
		t.Fatalf("%d messages", len(before))
	}
	r.sees("opened away")
	c = r.dial()
	c.resume(w.Resume.Token, 0, false) // back after a while, it has its full measure again
	c.send(`{"t":"ping"}`)
	c.wants("pong")
}

func TestFloodOfUnknownTypesAndPings(t *testing.T) {
	r := newRig(t, nil)
	for _, typ := range []string{"nonsense", "ping"} {
		c := r.dial()
		c.hello("Ann")
		for range 60 {
			c.send(`{"t":"` + typ + `"}`)
		}
		c.closes(protocol.CloseRateLimited, "retry=")
	}
}

func TestBytesRate(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Limits.Bytes = ratelimit.Rate{PerSecond: 1, Burst: 10000}
		c.Handlers["x"] = Handler{Serve: ok}
	})
	c := r.dial()
	c.hello("Ann")
	big := `{"t":"x","id":2,"d":{"x":"` + strings.Repeat("x", 9000) + `"}}`
	c.send(big)
	c.wants("ok")
	c.send(strings.Replace(big, `"id":2`, `"id":3`, 1))
	if m := c.next(); m.E.Code != "rate_limited" || m.ID != 3 || m.E.RetryMS < 1000 {
		t.Fatal(m.raw)
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	r := newRig(t, func(c *Config) {
		c.Registerer = reg
		c.Handlers["x"] = Handler{Serve: ok}
	})
	c := r.dial()
	c.hello("Ann")
	c.send(`{"t":"x","id":2}`)
	c.wants("ok")
	c.send(`{"t":"made up by somebody"}`)
	c.wants("err")
	_ = r.check(nil)
	want := map[string]float64{
		`rondo_ws_sessions connected`: 1, `rondo_ws_sessions away`: 0,
		`rondo_ws_messages_received_total x`: 1, `rondo_ws_messages_received_total unknown`: 1, `rondo_ws_messages_received_total hello`: 1,
		`rondo_ws_handler_seconds x`: 1, `rondo_ws_errors_total unknown_type`: 1,
	}
	got := gather(t, reg)
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s = %v, want %v", k, got[k], v)
		}
	}
	for k := range got {
		if strings.Contains(k, "made up") {
			t.Errorf("a client's words became a label: %s", k)
		}
	}
	c.send(`{"t":"bye"}`)
	c.closes(1000, "bye")
	testenv.Eventually(t, patience, func() bool {
		got := gather(t, reg)
		return got["rondo_ws_sessions connected"] == 0 && got["rondo_ws_closes_total server 1000"] == 1
	}, "counts to settle")
	if _, err := New(Config{Node: "n", Signer: r.hub.cfg.Signer, Identify: r.hub.cfg.Identify, Registerer: reg}); err == nil {
		t.Error("registered twice")
	}
}

func gather(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			k := f.GetName()
			for _, l := range m.GetLabel() {
				k += " " + l.GetValue()
			}
			switch {
			case m.GetCounter() != nil:
				got[k] = m.GetCounter().GetValue()
			case m.GetGauge() != nil:
				got[k] = m.GetGauge().GetValue()
			case m.GetHistogram() != nil:
				got[k] = float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return got
}

func TestConfigRefuses(t *testing.T) {
	r := newRig(t, nil)
	for name, change := range map[string]func(*Config){
		"no node":          func(c *Config) { c.Node = "" },
		"no signer":        func(c *Config) { c.Signer = nil },
		"no identify":      func(c *Config) { c.Identify = nil },
		"handler nil":      func(c *Config) { c.Handlers = map[protocol.Type]Handler{"x": {}} },
		"handler of hello": func(c *Config) { c.Handlers = map[protocol.Type]Handler{"hello": {Serve: ok}} },
		"negative time":    func(c *Config) { c.Limits.Grace = -time.Second },
		"negative size":    func(c *Config) { c.Limits.RingBytes = -1 },
		"small outbox":     func(c *Config) { c.Limits.OutboxBytes = 1 },
	} {
		cfg := r.hub.cfg
		cfg.Limits, cfg.Registerer = Limits{}, nil
		change(&cfg)
		if _, err := New(cfg); err == nil {
			t.Error(name)
		}
	}
}
