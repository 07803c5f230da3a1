package accounts

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	limits *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		limits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rondo_accounts_limited_total", Help: "Calls refused because they came too fast.",
		}, []string{"limit"}),
	}
	if r != nil {
		r.MustRegister(m.limits)
	}
	return m
}

func (m *metrics) limited(what string) { m.limits.WithLabelValues(what).Inc() }
