package matchmaking

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rondo-chat/rondo/protocol"
)

// metrics are the package's collectors.
type metrics struct {
	waiting   *prometheus.GaugeVec
	oldest    *prometheus.GaugeVec
	parts     *prometheus.GaugeVec
	enters    *prometheus.CounterVec
	rejects   prometheus.Counter
	strays    prometheus.Counter
	matches   *prometheus.CounterVec
	wait      *prometheus.HistogramVec
	confirm   prometheus.Histogram
	proposals *prometheus.CounterVec
	declines  *prometheus.CounterVec
	requeued  *prometheus.CounterVec
	reentered *prometheus.CounterVec
	abandoned *prometheus.CounterVec
	ghosts    prometheus.Counter
	sweeps    *prometheus.CounterVec
	notes     *prometheus.CounterVec
	calls     *prometheus.HistogramVec
	failures  *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, pools []*pool) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rondo_match_" + name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "rondo_match_" + name, Help: help}, labels)
	}
	m := &metrics{
		waiting:   gauge("waiting", "People who search in the pool, on all nodes.", "pool"),
		oldest:    gauge("oldest_wait_seconds", "Age of the oldest search of this node in the pool.", "pool"),
		parts:     gauge("parts", "Over how many parts of the queue this node spreads the searches of the pool.", "pool"),
		enters:    counter("enter_total", "Calls that brought a search into the queue, by what came of them.", "result"),
		rejects:   prometheus.NewCounter(prometheus.CounterOpts{Name: "rondo_match_candidate_rejects_total", Help: "Tickets that fitted but were of excluded people."}),
		strays:    prometheus.NewCounter(prometheus.CounterOpts{Name: "rondo_match_strays_total", Help: "Entries without a ticket that were found in the queue and removed; there should be none."}),
		matches:   counter("matches_total", "Matches whose offerer is on this node, by the reach at which it was found.", "pool", "reach"),
		wait:      prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "rondo_match_wait_seconds", Help: "From the start of a search to its match, for each person.", Buckets: []float64{.001, .005, .02, .1, .5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 900}}, []string{"pool"}),
		confirm:   prometheus.NewHistogram(prometheus.HistogramOpts{Name: "rondo_match_confirm_seconds", Help: "From proposal to match.", Buckets: []float64{.0005, .001, .002, .005, .01, .025, .05, .1, .25, .5, 1, 2, 5}}),
		proposals: counter("proposals_total", "Proposals to sessions of this node by outcome.", "result"),
		declines:  counter("declines_total", "Proposals that this node turned down.", "reason"),
		requeued:  counter("requeued_total", "Searches of this node that went back to their place because the other side turned down.", "reason"),
		reentered: counter("reenter_total", "Searches entered again because the queue did not know them or did not answer.", "reason"),
		abandoned: counter("abandoned_total", "Searches that ended without a match.", "pool"),
		ghosts:    prometheus.NewCounter(prometheus.CounterOpts{Name: "rondo_match_absent_total", Help: "Matches that went live although their local member had left."}),
		sweeps:    counter("swept_total", "What this node swept out of the queue.", "what"),
		notes:     counter("notes_total", "Messages between nodes.", "result"),
		calls:     prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "rondo_match_call_seconds", Help: "Duration of calls of the queue and the relations.", Buckets: []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .05, .25, 1, 2}}, []string{"call"}),
		failures:  counter("call_errors_total", "Failed calls of the queue and the relations.", "call"),
	}
	if reg == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.waiting, m.oldest, m.parts, m.enters, m.rejects, m.strays, m.matches, m.wait, m.confirm, m.proposals,
		m.declines, m.requeued, m.reentered, m.abandoned, m.ghosts, m.sweeps, m.notes, m.calls, m.failures} {
		errs = append(errs, reg.Register(c))
	}
	m.zero(pools)
	return m, errors.Join(errs...)
}

// zero makes series that an alert or a graph wants to see before their first event.
func (m *metrics) zero(pools []*pool) {
	for _, p := range pools {
		m.waiting.WithLabelValues(p.Name)
		m.oldest.WithLabelValues(p.Name)
		m.parts.WithLabelValues(p.Name).Set(1)
		m.abandoned.WithLabelValues(p.Name)
		for _, r := range []protocol.Reach{protocol.ReachTags, protocol.ReachLanguage, protocol.ReachAnyone} {
			m.matches.WithLabelValues(p.Name, string(r))
		}
	}
	for _, r := range []string{"live", "gone", "timeout", "withdrawn"} {
		m.proposals.WithLabelValues(r)
	}
	for _, w := range []why{whyGone, whyExcluded, whySilent, whyBusy} {
		m.declines.WithLabelValues(string(w))
		m.requeued.WithLabelValues(string(w))
	}
}

func (m *metrics) called(call string, start time.Time, err error) {
	m.calls.WithLabelValues(call).Observe(time.Since(start).Seconds())
	if err != nil {
		m.failures.WithLabelValues(call).Inc()
	}
}

func (m *metrics) entered(r Result, err error) {
	result := "error"
	if err == nil {
		result = map[Outcome]string{Listed: "listed", Proposed: "proposed", Stale: "stale", Used: "used"}[r.Outcome]
		m.rejects.Add(float64(r.Rejected))
		m.strays.Add(float64(r.Strays))
	}
	m.enters.WithLabelValues(result).Inc()
}

func (m *metrics) declined(w why) { m.declines.WithLabelValues(string(w)).Inc() }

// matched notes a match from the local side you.
func (m *metrics) matched(s *search, match Match, you int, now time.Time) {
	m.proposals.WithLabelValues("live").Inc()
	m.wait.WithLabelValues(s.pool.Name).Observe(now.Sub(s.start).Seconds())
	if !s.held.IsZero() {
		m.confirm.Observe(now.Sub(s.held).Seconds())
	}
	if you == 0 {
		m.matches.WithLabelValues(s.pool.Name, string(kind(match))).Inc()
	}
}

// kind says what brought two people together: the narrowest reach at which they fit.
func kind(m Match) protocol.Reach {
	a, b := m.Members[0], m.Members[1]
	fits := len(a.Languages) == 0 || len(b.Languages) == 0 || m.Shared.Language != ""
	switch {
	case fits && len(m.Shared.Tags) > 0:
		return protocol.ReachTags
	case fits:
		return protocol.ReachLanguage
	}
	return protocol.ReachAnyone
}

func (m *metrics) swept(s Swept) {
	for what, n := range map[string]int{"expired": s.Expired, "forgotten": s.Forgotten, "reaped": s.Reaped, "nodes": s.Nodes} {
		if n > 0 {
			m.sweeps.WithLabelValues(what).Add(float64(n))
		}
	}
}
