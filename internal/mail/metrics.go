package mail

import "github.com/prometheus/client_golang/prometheus"

// outcome is how a try to send a mail ended.
type outcome string

const (
	sent        outcome = "sent"
	deferred    outcome = "deferred"    // "not now": this mail is tried again
	refused     outcome = "refused"     // "never"
	unreachable outcome = "unreachable" // there is no session to be had; says nothing of the mail
	expired     outcome = "expired"     // not worth sending any more
	unreadable  outcome = "unreadable"  // sealed with another key, or not to be written
	decoy       outcome = "decoy"       // Message.Decoy
	broken      outcome = "broken"      // Close broke it off
)

func outcomes() []outcome {
	return []outcome{sent, deferred, refused, unreachable, expired, unreadable, decoy, broken}
}

// failure is why a mail was not sent. It holds nothing of the mail.
type failure struct {
	outcome outcome
	reason  string
}

// Error implements error.
func (f *failure) Error() string { return "mail: " + string(f.outcome) + ": " + f.reason }

type metrics struct {
	outcomes                *prometheus.CounterVec
	seconds                 prometheus.Histogram
	waiting, oldest, buried prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rondo_mail_outcomes_total", Help: "Tries to send a mail, by template and how they ended.",
		}, []string{"template", "outcome"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "rondo_mail_seconds", Help: "From a mail's cause until the server took it.",
			Buckets: []float64{0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 600, 3600, 24 * 3600},
		}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{Name: "rondo_mail_waiting", Help: "Mails in the outbox."}),
		oldest:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "rondo_mail_oldest_seconds", Help: "Age of the oldest mail in the outbox."}),
		buried:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "rondo_mail_dead", Help: "Dead letters: mails that were refused or expired."}),
	}
	for _, t := range Templates() {
		for _, o := range outcomes() {
			m.outcomes.WithLabelValues(string(t), string(o))
		}
	}
	if reg != nil {
		reg.MustRegister(m.outcomes, m.seconds, m.waiting, m.oldest, m.buried)
	}
	return m
}
