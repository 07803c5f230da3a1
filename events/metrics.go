package events

import "github.com/prometheus/client_golang/prometheus"

// failure is what a try ended with.
type failure string

const (
	temporary failure = "temporary"
	refused   failure = "refused"
	presence  failure = "presence" // not mirrored, and not tried again
)

type metrics struct {
	delivered, failures, letters *prometheus.CounterVec
	lag, serving                 *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer, sinks []Subscription) *metrics {
	sink := []string{"sink"}
	m := &metrics{
		delivered: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rondo_events_delivered_total", Help: "Events that a sink acknowledged.",
		}, sink),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rondo_events_failures_total", Help: "Tries to hand something to a sink that failed, by kind.",
		}, []string{"sink", "kind"}),
		letters: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rondo_events_dead_letters_total", Help: "Events that a sink refused for good.",
		}, sink),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "rondo_events_lag_seconds", Help: "Age of the oldest event that a sink did not get yet; 0 on nodes that do not serve it.",
		}, sink),
		serving: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "rondo_events_serving", Help: "1 on the node that serves the sink.",
		}, sink),
	}
	for _, s := range sinks {
		m.delivered.WithLabelValues(s.Name)
		m.letters.WithLabelValues(s.Name)
		m.lag.WithLabelValues(s.Name)
		m.serving.WithLabelValues(s.Name)
		for _, f := range []failure{temporary, refused, presence} {
			m.failures.WithLabelValues(s.Name, string(f))
		}
	}
	if reg != nil {
		reg.MustRegister(m.delivered, m.failures, m.letters, m.lag, m.serving)
	}
	return m
}
