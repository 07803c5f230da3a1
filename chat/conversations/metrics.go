package conversations

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rondo-chat/rondo/protocol"
)

// metrics are the collectors. Labels are enumerated here.
type metrics struct {
	sends     *prometheus.CounterVec
	reads     *prometheus.CounterVec
	published *prometheus.CounterVec
	jobs      *prometheus.CounterVec
	differs   *prometheus.CounterVec
	outbox    prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	vec := func(name, help, label string, values ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
		for _, value := range values {
			v.WithLabelValues(value) // at 0 before the first event
		}
		return v
	}
	m := &metrics{
		sends: vec("rondo_conversations_sends_total", "Messages sent. result: stored, repeated (a retry got the first answer), refused, limited or failed.",
			"result", "stored", "repeated", "refused", "limited", "failed"),
		reads: vec("rondo_conversations_reads_total", "Pages of history read. source: cache or store.",
			"source", "cache", "store"),
		published: vec("rondo_conversations_published_total", "Events published. result: ok, cache (the cache did not hear of it) or failed; both are published again.",
			"result", "ok", "cache", "failed"),
		jobs: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rondo_conversations_jobs_total",
			Help: "Steps of jobs. job: as of Run; result: ok or failed."}, []string{"job", "result"}),
		differs: vec("rondo_conversations_inconsistencies_total", "What reconciliation found. kind: revision, mark, members, activity or cache.",
			"kind", kindRevision, kindMark, kindMembers, kindActivity, kindCache),
		outbox: prometheus.NewGauge(prometheus.GaugeOpts{Name: "rondo_conversations_outbox_age_seconds",
			Help: "Age of the oldest event that is published again from the outbox; 0: none."}),
	}
	for _, job := range jobNames() {
		m.jobs.WithLabelValues(job, "ok")
		m.jobs.WithLabelValues(job, "failed")
	}
	if reg != nil {
		reg.MustRegister(m.sends, m.reads, m.published, m.jobs, m.differs, m.outbox)
	}
	return m
}

func (m *metrics) sent(again bool, err error) {
	result := "failed"
	switch protocol.CodeOf(err) {
	case "":
		result = "stored"
		if again {
			result = "repeated"
		}
	case protocol.CodeRateLimited:
		result = "limited"
	case protocol.CodeBadRequest, protocol.CodeTooLarge, protocol.CodeForbidden, protocol.CodeNotFound, protocol.CodeUnauthorized:
		result = "refused"
	}
	m.sends.WithLabelValues(result).Inc()
}

// age notes how old the oldest of the events is.
func (m *metrics) age(events []Event, now int64) {
	oldest := now
	for _, e := range events {
		oldest = min(oldest, e.At)
	}
	m.outbox.Set(float64(now-oldest) / 1000)
}

// lost forgets what another node measures now.
func (m *metrics) lost(job string) {
	if job == jobOutbox {
		m.outbox.Set(0)
	}
}

func (m *metrics) job(name string, err error) {
	result := "ok"
	if err != nil {
		result = "failed"
	}
	m.jobs.WithLabelValues(name, result).Inc()
}
