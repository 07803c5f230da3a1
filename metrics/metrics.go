// Package metrics holds what an operator watches: one private Prometheus
// registry, health and readiness, and how the calls went.
//
// Each package of the program owns its collectors and registers them on
// Metrics.Registerer; docs/metrics.md lists them all, and a test keeps that
// list true. Label values are enumerated: nothing that a client sends, and no
// id, ever makes a new time series.
package metrics

import (
	"net/http"
	"regexp"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics is a registry of its own: several can live in one process.
type Metrics struct {
	registry *prometheus.Registry
}

// New makes a registry that already holds the Go runtime's and the process's
// collectors and the build's version.
func New(version string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "rondo_build_info",
		Help:        "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(build, ofRuntime(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// ofRuntime adds to the runtime's usual numbers what the last collection of garbage
// left, go_gc_heap_live_bytes: the one of memory that grows by a leak alone.
func ofRuntime() prometheus.Collector {
	return collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(
		collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile("^/gc/heap/live:bytes$")}))
}

// Registerer is where packages register their collectors.
func (m *Metrics) Registerer() prometheus.Registerer { return m.registry }

// Gatherer reads all collectors.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Handler serves the metrics in Prometheus' formats. It serves at most four
// scrapes at a time, each for at most ten seconds, and counts scrapes itself.
func (m *Metrics) Handler() http.Handler {
	return promhttp.InstrumentMetricHandler(m.registry, promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: 4,
		Timeout:             10 * time.Second,
	}))
}
