package signaling

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rondo-chat/rondo/protocol"
)

// metrics are the hub's collectors. Counters of hot paths are looked up once.
type metrics struct {
	sessions  *prometheus.GaugeVec
	connected prometheus.Gauge
	away      prometheus.Gauge

	received map[protocol.Type]prometheus.Counter
	unknown  prometheus.Counter
	seconds  map[protocol.Type]prometheus.Observer
	pushes   [3]prometheus.Counter
	dropped  [3]prometheus.Counter
	bytesIn  prometheus.Counter
	bytesOut prometheus.Counter
	messages *prometheus.CounterVec
	handlers *prometheus.HistogramVec
	pushed   *prometheus.CounterVec
	bytes    *prometheus.CounterVec
	drops    *prometheus.CounterVec
	closes   *prometheus.CounterVec
	refusals *prometheus.CounterVec
	limited  *prometheus.CounterVec
	resumes  *prometheus.CounterVec
	errors   *prometheus.CounterVec
	moves    *prometheus.CounterVec

	storeFailures *prometheus.CounterVec
	queueBytes    prometheus.GaugeFunc
}

func newMetrics(c *Config, queued func() float64) *metrics {
	m := &metrics{
		sessions:      gauge("rondo_ws_sessions", "Sessions by state: connected, or away within their grace time.", "state"),
		messages:      counter("rondo_ws_messages_received_total", "Messages of clients by type.", "type"),
		pushed:        counter("rondo_ws_pushes_total", "Pushes to clients by class.", "class"),
		bytes:         counter("rondo_ws_bytes_total", "Bytes of messages received, and of frames put into outboxes.", "direction"),
		drops:         counter("rondo_ws_dropped_total", "Pushes that went to no socket, by reason: away (kept for a resume unless latest), full (its socket is closed), ended.", "reason"),
		closes:        counter("rondo_ws_closes_total", "Sockets closed, by code and by who closed first.", "code", "by"),
		refusals:      counter("rondo_ws_refused_upgrades_total", "Upgrades refused, by reason.", "reason"),
		limited:       counter("rondo_ws_rate_limited_total", "Messages refused because of a rate, by limit.", "limit"),
		resumes:       counter("rondo_ws_resumes_total", "Resumes by result.", "result"),
		moves:         counter("rondo_ws_moves_total", "Sessions that came from another node (handover, silent or dead: that node), or went (given, fenced: taken from here).", "way"),
		storeFailures: counter("rondo_ws_store_failures_total", "Failed calls of the store of sessions, by call.", "call"),
		errors:        counter("rondo_ws_errors_total", "Error replies by code.", "code"),
		handlers:      histogram("rondo_ws_handler_seconds", "Duration of handlers by type.", "type"),
		queueBytes:    prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "rondo_ws_queue_bytes", Help: "Bytes waiting in all outboxes."}, queued),
		received:      map[protocol.Type]prometheus.Counter{},
		seconds:       map[protocol.Type]prometheus.Observer{},
	}
	for t := range c.Handlers {
		m.received[t] = m.messages.WithLabelValues(string(t))
		m.seconds[t] = m.handlers.WithLabelValues(string(t))
	}
	for _, t := range []protocol.Type{protocol.TypeHello, protocol.TypeResume, protocol.TypeAck, protocol.TypePing, protocol.TypePong, protocol.TypeBye} {
		m.received[t] = m.messages.WithLabelValues(string(t))
	}
	m.unknown = m.messages.WithLabelValues("unknown")
	for i, class := range []string{MustDeliver: "must_deliver", Ordered: "ordered", Latest: "latest"} {
		m.pushes[i] = m.pushed.WithLabelValues(class)
	}
	for i, reason := range []string{dropAway: "away", dropFull: "full", dropEnded: "ended"} {
		m.dropped[i] = m.drops.WithLabelValues(reason)
	}
	m.bytesIn, m.bytesOut = m.bytes.WithLabelValues("in"), m.bytes.WithLabelValues("out")
	m.connected, m.away = m.sessions.WithLabelValues("connected"), m.sessions.WithLabelValues("away")
	return m
}

// Indexes of metrics.dropped.
const (
	dropAway = iota
	dropFull
	dropEnded
)

func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for _, c := range []prometheus.Collector{m.sessions, m.messages, m.pushed, m.bytes, m.drops, m.closes, m.refusals, m.limited, m.resumes, m.moves, m.storeFailures, m.errors, m.handlers, m.queueBytes} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func (m *metrics) receivedType(t protocol.Type) prometheus.Counter {
	if c := m.received[t]; c != nil {
		return c
	}
	return m.unknown
}

// closed counts a close; codes of clients that we do not know count as other.
func (m *metrics) closed(code protocol.CloseCode, by string) {
	label := "other"
	switch code {
	case 0:
		label = "none"
	case protocol.CloseBye, 1001, protocol.CloseUTF8, protocol.CloseTooBig, protocol.CloseDrain, protocol.CloseInternal,
		protocol.CloseSlow, protocol.CloseSilent, protocol.CloseRateLimited, protocol.CloseAuthExpired, protocol.CloseAuth, protocol.CloseProtocol,
		protocol.CloseHelloTimeout, protocol.CloseBanned, protocol.CloseVersion, protocol.CloseReplaced:
		label = strconv.Itoa(int(code))
	}
	m.closes.WithLabelValues(label, by).Inc()
}

func gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func histogram(name, help string, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: []float64{.0001, .001, .005, .025, .1, .5, 1, 5, 10},
	}, labels)
}
