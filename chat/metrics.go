package chat

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rondo-chat/rondo/protocol"
)

// metrics are the Log's collectors. Labels are enumerated here.
type metrics struct {
	sendsTotal *prometheus.CounterVec
	readsTotal *prometheus.CounterVec
	restores   *prometheus.CounterVec
	bytes      prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		sendsTotal: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rondo_chat_sends_total",
			Help: "Messages sent. result: stored, repeated (a retry got the first answer), refused or failed.",
		}, []string{"result"}),
		readsTotal: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rondo_chat_reads_total",
			Help: "Pages of history asked for. result: ok, refused or failed.",
		}, []string{"result"}),
		restores: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rondo_chat_restores_total",
			Help: "Times that what this node remembers of a room was put back into the store. result: ok, refused (the room is over) or failed.",
		}, []string{"result"}),
		bytes: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "rondo_chat_text_bytes",
			Help:    "Size of stored messages' text in bytes.",
			Buckets: prometheus.ExponentialBuckets(16, 4, 6),
		}),
	}
	for _, result := range []string{"stored", "repeated", "refused", "failed"} {
		m.sendsTotal.WithLabelValues(result) // at 0 before the first event
	}
	for _, result := range []string{"ok", "refused", "failed"} {
		m.readsTotal.WithLabelValues(result)
	}
	for _, result := range []string{"ok", "refused", "failed"} {
		m.restores.WithLabelValues(result)
	}
	if reg != nil {
		reg.MustRegister(m.sendsTotal, m.readsTotal, m.restores, m.bytes)
	}
	return m
}

func (m *metrics) sent(msg Message, dup bool, err error) {
	result := resultOf(err, "stored")
	if err == nil && dup {
		result = "repeated"
	}
	if result == "stored" {
		m.bytes.Observe(float64(len(msg.Text)))
	}
	m.sendsTotal.WithLabelValues(result).Inc()
}

func (m *metrics) restored(err error) { m.restores.WithLabelValues(resultOf(err, "ok")).Inc() }

func (m *metrics) read(err error) { m.readsTotal.WithLabelValues(resultOf(err, "ok")).Inc() }

func resultOf(err error, ok string) string {
	switch protocol.CodeOf(err) {
	case "":
		return ok
	case protocol.CodeBadRequest, protocol.CodeTooLarge, protocol.CodeForbidden:
		return "refused"
	}
	return "failed"
}
