package redisbus

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	publishedVec  *prometheus.CounterVec
	receivedVec   *prometheus.CounterVec
	published     published
	received      received
	batch         prometheus.Histogram
	subscriptions prometheus.Counter
	silences      prometheus.Counter
	probe         prometheus.Gauge
	queued        prometheus.GaugeFunc
	oldest        prometheus.GaugeFunc
	healthy       prometheus.GaugeFunc
}

// published and received are the series of their vectors.
type published struct{ sent, failed, stale, full, expired, restarted prometheus.Counter }
type received struct{ taken, repeated, early, strange, unreadable prometheus.Counter }

func newMetrics(b *Bus) *metrics {
	m := &metrics{
		publishedVec:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rondo_bus_published_total", Help: "Messages for other nodes by result: sent (each time), failed (each time), stale (for all, waited too long), full (refused), expired (no sign of the node for too long), restarted (meant for a process that was replaced)."}, []string{"result"}),
		receivedVec:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rondo_bus_received_total", Help: "Messages of other nodes: taken, repeated (dropped), early (come again), strange (of or for another process, come again), unreadable (frames dropped)."}, []string{"result"}),
		batch:         prometheus.NewHistogram(prometheus.HistogramOpts{Name: "rondo_bus_batch_messages", Help: "Messages sent in one pipeline.", Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256}}),
		subscriptions: prometheus.NewCounter(prometheus.CounterOpts{Name: "rondo_bus_subscriptions_total", Help: "Times this node subscribed; more than one means that a subscription was lost."}),
		silences:      prometheus.NewCounter(prometheus.CounterOpts{Name: "rondo_bus_probes_lost_total", Help: "Probes that did not come back in time."}),
		probe:         prometheus.NewGauge(prometheus.GaugeOpts{Name: "rondo_bus_probe_seconds", Help: "How long the last probe took to come back."}),
		queued:        prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "rondo_bus_queue_bytes", Help: "Bytes waiting to be sent or acknowledged."}, func() float64 { kept, _ := b.Pending(); return float64(kept) }),
		oldest:        prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "rondo_bus_oldest_seconds", Help: "Age of the oldest message that its node has not acknowledged."}, func() float64 { _, age := b.Pending(); return age.Seconds() }),
		healthy: prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "rondo_bus_healthy", Help: "1 if messages arrive."}, func() float64 {
			if b.Healthy() != nil {
				return 0
			}
			return 1
		}),
	}
	p, r := m.publishedVec.WithLabelValues, m.receivedVec.WithLabelValues
	m.published = published{p("sent"), p("failed"), p("stale"), p("full"), p("expired"), p("restarted")}
	m.received = received{r("taken"), r("repeated"), r("early"), r("strange"), r("unreadable")}
	return m
}

func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for _, c := range []prometheus.Collector{m.publishedVec, m.receivedVec, m.batch, m.subscriptions, m.silences, m.probe, m.queued, m.oldest, m.healthy} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}
