package database

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rondo-chat/rondo/internal/ratelimit"
)

// metrics are the collectors of one DB, and the slow-statement log's limiter.
type metrics struct {
	db      *DB
	seconds *prometheus.HistogramVec
	errors  *prometheus.CounterVec
	retries *prometheus.CounterVec
	reads   *prometheus.CounterVec
	slow    prometheus.Counter

	connections, waits, waitSeconds, healthy, lag *prometheus.Desc

	mu    sync.Mutex
	names map[string]bool // labels given so far
	log   ratelimit.Bucket
}

// maxNames bounds the labels that callers can make; a name is a constant of the
// program, so there are fewer.
const maxNames = 200

// slowLog bounds how many slow statements are logged. All are counted.
const slowLogPerSecond, slowLogBurst = 1, 20

func newMetrics(db *DB) *metrics {
	m := &metrics{
		db: db, names: map[string]bool{},
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "rondo_database_seconds",
			Help:    "Time of a transaction, waiting for a connection and further tries included. name: what it is for.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"name"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rondo_database_errors_total",
			Help: "Transactions that failed. kind: conflict, foreign_key, invalid, unavailable, other.",
		}, []string{"kind"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rondo_database_retries_total",
			Help: "Transactions tried again. reason: serialization, deadlock, busy, unavailable (the connection was lost).",
		}, []string{"reason"}),
		reads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rondo_database_reads_total",
			Help: "Reads. from: primary, replica, fallback (the primary, because a replica failed).",
		}, []string{"from"}),
		slow: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rondo_database_slow_statements_total",
			Help: "Statements that took longer than the configured limit.",
		}),
		connections: prometheus.NewDesc("rondo_database_pool_connections", "Open connections. pool: writer and reader (SQLite), primary, replica; state: idle, used.", []string{"pool", "state"}, nil),
		waits:       prometheus.NewDesc("rondo_database_pool_waits_total", "Times that a connection was waited for.", []string{"pool"}, nil),
		waitSeconds: prometheus.NewDesc("rondo_database_pool_wait_seconds_total", "Time waited for connections.", []string{"pool"}, nil),
		healthy:     prometheus.NewDesc("rondo_database_replica_healthy", "1 if the replica is read. replica: its number in the configuration, from 0.", []string{"replica"}, nil),
		lag:         prometheus.NewDesc("rondo_database_replica_lag_seconds", "How far the replica was behind when it last answered.", []string{"replica"}, nil),
	}
	for _, kind := range []Kind{KindConflict, KindForeignKey, KindInvalid, KindUnavailable, KindOther} {
		m.errors.WithLabelValues(string(kind))
	}
	for _, kind := range []Kind{kindSerialization, kindDeadlock, kindBusy, KindUnavailable} {
		m.retries.WithLabelValues(string(kind))
	}
	for _, from := range []string{"primary", "replica", "fallback"} {
		m.reads.WithLabelValues(from)
	}
	return m
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.seconds, m.errors, m.retries, m.reads, m.slow}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.collectors() {
		c.Describe(ch)
	}
	for _, d := range []*prometheus.Desc{m.connections, m.waits, m.waitSeconds, m.healthy, m.lag} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.collectors() {
		c.Collect(ch)
	}
	for role, s := range m.pools() {
		ch <- prometheus.MustNewConstMetric(m.connections, prometheus.GaugeValue, s.idle, role, "idle")
		ch <- prometheus.MustNewConstMetric(m.connections, prometheus.GaugeValue, s.used, role, "used")
		ch <- prometheus.MustNewConstMetric(m.waits, prometheus.CounterValue, s.waits, role)
		ch <- prometheus.MustNewConstMetric(m.waitSeconds, prometheus.CounterValue, s.waited, role)
	}
	for _, r := range m.db.replicas {
		healthy := 0.0
		if r.healthy.Load() {
			healthy = 1
		}
		index := strconv.Itoa(r.index)
		ch <- prometheus.MustNewConstMetric(m.healthy, prometheus.GaugeValue, healthy, index)
		ch <- prometheus.MustNewConstMetric(m.lag, prometheus.GaugeValue, m.db.lag(r), index)
	}
}

// poolStats sums the pools of one role.
type poolStats struct{ idle, used, waits, waited float64 }

func (m *metrics) pools() map[string]poolStats {
	sums := map[string]poolStats{}
	for _, p := range m.db.pools() {
		s, sum := p.Stats(), sums[p.role]
		sum.idle += float64(s.Idle)
		sum.used += float64(s.InUse)
		sum.waits += float64(s.WaitCount)
		sum.waited += s.WaitDuration.Seconds()
		sums[p.role] = sum
	}
	return sums
}

// observe counts a finished transaction.
func (m *metrics) observe(name string, took time.Duration, err error) {
	m.seconds.WithLabelValues(m.label(name)).Observe(took.Seconds())
	if e, ok := errors.AsType[*Error](err); ok {
		kind := e.Kind
		if kind.again() {
			kind = KindUnavailable
		}
		m.errors.WithLabelValues(string(kind)).Inc()
	}
}

// label returns the name, or "other" once there are too many.
func (m *metrics) label(name string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.names[name] {
		if len(m.names) >= maxNames {
			return "other"
		}
		m.names[name] = true
	}
	return name
}

// mayLog reports whether another slow statement may be logged now.
func (m *metrics) mayLog() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	ok, _ := m.log.Take(time.Now(), 1, ratelimit.Rate{PerSecond: slowLogPerSecond, Burst: slowLogBurst})
	return ok
}

// maxLogged bounds a statement in the log, in bytes.
const maxLogged = 1000

// statement takes note of a statement that has ended; query is its text, which
// holds no parameter.
func (db *DB) statement(name, query string, took time.Duration) {
	if db.cfg.SlowQuery < 0 || took < db.cfg.SlowQuery {
		return
	}
	db.metrics.slow.Inc()
	if !db.metrics.mayLog() {
		return
	}
	db.cfg.Logger.LogAttrs(context.Background(), slog.LevelWarn, "slow statement",
		slog.String("name", name), slog.Duration("took", took), slog.String("statement", query[:min(len(query), maxLogged)]))
}
