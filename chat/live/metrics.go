package live

import "github.com/prometheus/client_golang/prometheus"

type liveMetrics struct {
	topics, followers prometheus.Gauge
	told, lost        *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *liveMetrics {
	m := &liveMetrics{
		topics:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "rondo_live_conversations", Help: "Conversations that sessions of this node follow."}),
		followers: prometheus.NewGauge(prometheus.GaugeOpts{Name: "rondo_live_followers", Help: "Sessions that follow a conversation, once for each conversation."}),
		told:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rondo_live_events_total", Help: "Events given to followers, by how they came here."}, []string{"by"}),
		lost:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rondo_live_lost_total", Help: "Messages for which there was no room."}, []string{"where"}),
	}
	for _, by := range []string{"event", "healed"} {
		m.told.WithLabelValues(by)
	}
	for _, where := range []string{"queue", "bus"} {
		m.lost.WithLabelValues(where)
	}
	if reg != nil {
		reg.MustRegister(m.topics, m.followers, m.told, m.lost)
	}
	return m
}
