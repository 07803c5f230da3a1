package webpush

import "github.com/prometheus/client_golang/prometheus"

// result is what came of a notification.
type result string

const (
	sent         result = "sent"
	gone         result = "gone"         // the device does not exist any more
	refused      result = "refused"      // for good
	unauthorized result = "unauthorized" // this service's signature is not accepted
	later        result = "later"        // not now: it is tried again
	dropped      result = "dropped"      // it became too old, or too many wait
)

type metrics struct{ results *prometheus.CounterVec }

func newMetrics(reg prometheus.Registerer, waiting func() int) *metrics {
	m := &metrics{results: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "rondo_webpush_notifications_total", Help: "Tries to send a notification to a device, by result.",
	}, []string{"result"})}
	for _, r := range []result{sent, gone, refused, unauthorized, later, dropped} {
		m.results.WithLabelValues(string(r))
	}
	if reg != nil {
		reg.MustRegister(m.results, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "rondo_webpush_waiting", Help: "Notifications that wait for their push service on this node.",
		}, func() float64 { return float64(waiting()) }))
	}
	return m
}

func (m *metrics) count(r result) { m.results.WithLabelValues(string(r)).Inc() }
