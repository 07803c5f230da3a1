package redisbus

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	published     *prometheus.CounterVec
	received      *prometheus.CounterVec
	batch         prometheus.Histogram
	subscriptions prometheus.Counter
	silences      prometheus.Counter
	probe         prometheus.Gauge
	queued        prometheus.GaugeFunc
	healthy       prometheus.GaugeFunc
}

func newMetrics(b *Bus) *metrics {
	return &metrics{
		published:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rondo_bus_published_total", Help: "Messages for other nodes by result: sent, failed, stale (waited too long), full (refused)."}, []string{"result"}),
		received:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rondo_bus_received_total", Help: "Messages of other nodes: taken, repeated (dropped), unreadable (dropped)."}, []string{"result"}),
		batch:         prometheus.NewHistogram(prometheus.HistogramOpts{Name: "rondo_bus_batch_messages", Help: "Messages sent in one pipeline.", Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256}}),
		subscriptions: prometheus.NewCounter(prometheus.CounterOpts{Name: "rondo_bus_subscriptions_total", Help: "Times this node subscribed; more than one means that a subscription was lost."}),
		silences:      prometheus.NewCounter(prometheus.CounterOpts{Name: "rondo_bus_probes_lost_total", Help: "Probes that did not come back in time."}),
		probe:         prometheus.NewGauge(prometheus.GaugeOpts{Name: "rondo_bus_probe_seconds", Help: "How long the last probe took to come back."}),
		queued:        prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "rondo_bus_queue_bytes", Help: "Bytes waiting to be sent."}, func() float64 { return float64(b.waiting.Load()) }),
		healthy: prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "rondo_bus_healthy", Help: "1 if messages arrive."}, func() float64 {
			if b.Healthy() != nil {
				return 0
			}
			return 1
		}),
	}
}

func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for _, c := range []prometheus.Collector{m.published, m.received, m.batch, m.subscriptions, m.silences, m.probe, m.queued, m.healthy} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}
