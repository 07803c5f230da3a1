package metrics

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// HealthConfig configures a Health. Zero fields have the defaults given.
type HealthConfig struct {
	Timeout    time.Duration         // for all checks together, which run side by side; 2 s
	Fresh      time.Duration         // for how long a result serves again; 1 s
	Logger     *slog.Logger          // nil: discard
	Registerer prometheus.Registerer // nil: not registered
}

// Health says whether the process lives and whether it should get new work. It
// is safe for concurrent use.
//
// Alive means no more than that HTTP is answered: a process whose Redis is away
// must not be restarted for that. Ready means that every check passes and that
// nobody asked to drain.
type Health struct {
	cfg      HealthConfig
	draining atomic.Bool

	turn chan struct{} // holds one token: who has it may run the checks

	mu     sync.Mutex
	checks map[string]func(context.Context) error
	at     time.Time        // of the last round
	last   map[string]error // of the last round, failing checks only
}

// NewHealth makes a Health without checks.
func NewHealth(cfg HealthConfig) *Health {
	if cfg.Timeout <= 0 {
		cfg.Timeout = 2 * time.Second
	}
	if cfg.Fresh <= 0 {
		cfg.Fresh = time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Health{cfg: cfg, turn: make(chan struct{}, 1), checks: map[string]func(context.Context) error{}}
	if cfg.Registerer != nil {
		cfg.Registerer.MustRegister(collector{h,
			prometheus.NewDesc("rondo_health_failing", "1 if the readiness check fails, else 0. check: the parts of this installation.", []string{"check"}, nil),
			prometheus.NewDesc("rondo_health_draining", "1 while this node takes no new work because it is going to stop.", nil, nil)})
	}
	return h
}

// collector asks a Health at each scrape, so that an alert needs nobody who
// polls /readyz.
type collector struct {
	h                 *Health
	failing, draining *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.failing
	ch <- c.draining
}

// Collect implements prometheus.Collector. It takes no longer than the checks'
// common timeout.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	failing := c.h.Failing(context.Background())
	checks, _ := c.h.stale()
	for name := range checks {
		ch <- prometheus.MustNewConstMetric(c.failing, prometheus.GaugeValue, number(slices.Contains(failing, name)), name)
	}
	ch <- prometheus.MustNewConstMetric(c.draining, prometheus.GaugeValue, number(c.h.draining.Load()))
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// AddCheck adds a readiness check or replaces the one of that name. The check
// must return when its context ends, and may be called at any time.
func (h *Health) AddCheck(name string, check func(ctx context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks[name], h.at = check, time.Time{}
}

// Drain makes the process not ready, for good.
func (h *Health) Drain() { h.draining.Store(true) }

// Healthz answers 200 while the process can answer.
func (h *Health) Healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, struct {
		Status string `json:"status"`
	}{"alive"})
}

// Readyz answers 200 if the process is ready for work, else 503 and in JSON the
// names of the checks that fail. Why they fail is for the log only.
func (h *Health) Readyz(w http.ResponseWriter, r *http.Request) {
	answer := struct {
		Status   string   `json:"status"` // "ready" or "unready"
		Draining bool     `json:"draining"`
		Failing  []string `json:"failing"`
	}{"ready", h.draining.Load(), h.Failing(r.Context())}
	status := http.StatusOK
	if answer.Draining || len(answer.Failing) > 0 {
		answer.Status, status = "unready", http.StatusServiceUnavailable
	}
	writeJSON(w, status, answer)
}

// Failing runs the checks, unless that was done a moment ago, and returns the
// names of those that fail, sorted.
func (h *Health) Failing(ctx context.Context) []string {
	h.turn <- struct{}{}
	defer func() { <-h.turn }()
	if checks, stale := h.stale(); stale {
		// Not the asker's context: the result serves others too.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.cfg.Timeout)
		defer cancel()
		h.note(run(ctx, checks))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string{}, slices.Sorted(maps.Keys(h.last))...) // never nil: it becomes []
}

// stale returns the checks, and whether their last result is too old.
func (h *Health) stale() (map[string]func(context.Context) error, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.checks), h.at.IsZero() || time.Since(h.at) >= h.cfg.Fresh
}

// run runs the checks side by side and returns what failed.
func run(ctx context.Context, checks map[string]func(context.Context) error) map[string]error {
	failed := map[string]error{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, check := range checks {
		wg.Go(func() {
			if err := check(ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed[name] = err
			}
		})
	}
	wg.Wait()
	return failed
}

// note keeps the result and tells what is new in it.
func (h *Health) note(failed map[string]error) {
	h.mu.Lock()
	before := h.last
	h.last, h.at = failed, time.Now()
	h.mu.Unlock()
	for name, err := range failed {
		if before[name] == nil {
			h.cfg.Logger.Warn("not ready", "check", name, "error", err)
		}
	}
	for name := range before {
		if failed[name] == nil {
			h.cfg.Logger.Info("ready again", "check", name)
		}
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may be gone: nothing to do about it
}
