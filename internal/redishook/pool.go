package redishook

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// pool reads the client's pool statistics at each scrape.
type pool struct {
	stats    func() *redis.PoolStats
	conns    *prometheus.Desc
	timeouts *prometheus.Desc
}

func newPool(stats func() *redis.PoolStats) *pool {
	return &pool{
		stats:    stats,
		conns:    prometheus.NewDesc("rondo_redis_pool_connections", "Open connections to Redis. state: idle or used.", []string{"state"}, nil),
		timeouts: prometheus.NewDesc("rondo_redis_pool_timeouts_total", "Times that no connection became free in time.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (p *pool) Describe(ch chan<- *prometheus.Desc) {
	ch <- p.conns
	ch <- p.timeouts
}

// Collect implements prometheus.Collector.
func (p *pool) Collect(ch chan<- prometheus.Metric) {
	s := p.stats()
	used := float64(s.TotalConns) - float64(s.IdleConns)
	ch <- prometheus.MustNewConstMetric(p.conns, prometheus.GaugeValue, float64(s.IdleConns), "idle")
	ch <- prometheus.MustNewConstMetric(p.conns, prometheus.GaugeValue, max(used, 0), "used")
	ch <- prometheus.MustNewConstMetric(p.timeouts, prometheus.CounterValue, float64(s.Timeouts))
}
