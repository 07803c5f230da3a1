package redisbreaker

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	opened, refused prometheus.Counter
}

func newMetrics(b *Breaker, reg prometheus.Registerer) *metrics {
	m := &metrics{
		opened:  prometheus.NewCounter(prometheus.CounterOpts{Name: "rondo_redis_circuits_opened_total", Help: "Times that a circuit opened because a Redis server did not answer."}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "rondo_redis_circuit_refused_total", Help: "Calls that were refused because the circuit was open."}),
	}
	if reg != nil {
		reg.MustRegister(m.opened, m.refused, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "rondo_redis_circuits_open", Help: "Redis servers whose circuit is open: calls to them are refused at once.",
		}, func() float64 { return float64(b.open()) }))
	}
	return m
}
