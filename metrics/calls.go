package metrics

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rondo-chat/rondo/protocol"
)

const (
	other = "other" // a label value for whatever is not listed
	none  = "none"  // a label value for what was not said or does not apply

	// maxCallMS is the longest set-up a report can count, two minutes: beyond, a
	// browser has long given up, and a larger figure would only spoil the sums.
	maxCallMS = 120_000
)

// Calls counts how calls went, as their ends report it (call.state, section 7
// of the protocol). Reports come from clients and may be lies: each moves a
// counter by one and a histogram within its range, whatever it says. It is safe
// for concurrent use.
type Calls struct {
	connected  *prometheus.CounterVec
	failed     *prometheus.CounterVec
	ended      *prometheus.CounterVec
	setup      *prometheus.HistogramVec
	firstFrame *prometheus.HistogramVec
	steps      *prometheus.HistogramVec
}

// NewCalls makes a Calls and registers its collectors (reg nil: does not).
func NewCalls(reg prometheus.Registerer) *Calls {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, labels []string, buckets ...float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	}
	byPath := []string{"path"}
	c := &Calls{
		connected: counter("rondo_calls_connected_total",
			"Ends of calls that connected. local, remote: candidate types (host, srflx, prflx, relay, none, other); protocol: udp, tcp, none or other; relay_protocol: how a local relay is reached (udp, tcp, tls, none or other).",
			"local", "remote", "protocol", "relay_protocol"),
		failed: counter("rondo_calls_failed_total",
			"Ends of calls that failed. reason: ice-timeout, ice-disconnected, dtls, media-denied, no-turn, peer-left, none or other.", "reason"),
		ended: counter("rondo_calls_ended_total",
			"Ends of calls that ended after they had connected. reason: as of failed calls.", "reason"),
		setup: histogram("rondo_calls_setup_seconds",
			"From the match to the connection, by path: direct, relay (either side) or unknown.", byPath,
			0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 30),
		firstFrame: histogram("rondo_calls_first_frame_seconds",
			"From the match to the first picture or sound of the other side, by path: direct, relay (either side) or unknown.", byPath,
			0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 30),
		steps: histogram("rondo_calls_step_seconds",
			"How long the steps of a call's set-up took. step: ask, offer, answer, ice, dtls, frame, or total without the search; path: direct, relay (either side) or unknown; transport: of the direct path, or how the own relay is reached (udp, tcp, tls, none or other).",
			[]string{"step", "path", "transport"}, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10),
	}
	c.zero()
	if reg != nil {
		reg.MustRegister(c.connected, c.failed, c.ended, c.setup, c.firstFrame, c.steps)
	}
	return c
}

// zero makes the usual series, so that graphs and alerts see them at 0 before
// the first event.
func (c *Calls) zero() {
	for _, local := range candidates() {
		relays := []string{none}
		if local == "relay" {
			relays = transports()
		}
		for _, remote := range candidates() {
			for _, relay := range relays {
				c.connected.WithLabelValues(local, remote, "udp", relay)
			}
		}
	}
	for _, r := range append(reasons(), other, none) {
		c.failed.WithLabelValues(r)
		c.ended.WithLabelValues(r)
	}
	for _, path := range []string{"direct", "relay"} {
		c.setup.WithLabelValues(path)
		c.firstFrame.WithLabelValues(path)
		for _, step := range stepsOf(&protocol.CallSteps{}) {
			c.steps.WithLabelValues(step.name, path, "udp")
		}
	}
}

// Observe counts a report. A state that does not exist and a step that took an
// impossible time are bad_request, and then nothing counts; any other value that
// does not exist counts as "other".
func (c *Calls) Observe(s protocol.CallState) error {
	for _, step := range stepsOf(s.Steps) {
		if step.ms != nil && (*step.ms < 0 || *step.ms > maxCallMS) {
			return protocol.Errorf(protocol.CodeBadRequest, "steps: %s: 0 to %d ms", step.name, maxCallMS)
		}
	}
	switch s.State {
	case "connected":
		local, remote := candidate(s.Local), candidate(s.Remote)
		c.connected.WithLabelValues(local, remote, transport(s.Protocol), relayProtocol(local, s.RelayProtocol)).Inc()
		path := pathOf(local, remote)
		observe(c.setup, path, s.SetupMS)
		observe(c.firstFrame, path, s.FirstFrameMS)
		c.observeSteps(s, local, path)
	case "failed":
		c.failed.WithLabelValues(reason(s.Reason)).Inc()
	case "ended":
		c.ended.WithLabelValues(reason(s.Reason)).Inc()
	default:
		return protocol.Errorf(protocol.CodeBadRequest, "state: must be connected, failed or ended")
	}
	return nil
}

// observeSteps notes the steps that were given.
func (c *Calls) observeSteps(s protocol.CallState, local, path string) {
	over := transport(s.Protocol)
	if path == "relay" {
		over = relayProtocol(local, s.RelayProtocol)
	}
	for _, step := range stepsOf(s.Steps) {
		if step.ms != nil {
			c.steps.WithLabelValues(step.name, path, over).Observe(float64(*step.ms) / 1000)
		}
	}
}

type callStep struct {
	name string
	ms   *int64 // nil: not known
}

// stepsOf names the steps of a call's set-up.
func stepsOf(s *protocol.CallSteps) []callStep {
	if s == nil {
		return nil
	}
	return []callStep{{"ask", s.Ask}, {"offer", s.Offer}, {"answer", s.Answer}, {"ice", s.ICE}, {"dtls", s.DTLS}, {"frame", s.Frame}, {"total", s.Total}}
}

// observe notes a time in milliseconds; one that was not given is left out.
func observe(h *prometheus.HistogramVec, path string, ms int64) {
	if ms > 0 {
		h.WithLabelValues(path).Observe(float64(min(ms, maxCallMS)) / 1000)
	}
}

// The values of the labels, besides other and none.

func candidates() []string { return []string{"host", "srflx", "prflx", "relay"} }

// transports are how a relay is reached; a pair of candidates has the first two.
func transports() []string { return []string{"udp", "tcp", "tls"} }

func reasons() []string {
	return []string{"ice-timeout", "ice-disconnected", "dtls", "media-denied", "no-turn", "peer-left"}
}

// The following return their argument if it is one of the values listed, none
// for the empty string, and else other.

func candidate(s string) string { return oneOf(s, candidates()) }

func transport(s string) string { return oneOf(s, transports()[:2]) }

func relayProtocol(local, s string) string {
	if local != "relay" {
		return none
	}
	return oneOf(s, transports())
}

func reason(s string) string { return oneOf(s, reasons()) }

func oneOf(s string, values []string) string {
	if s == "" {
		return none
	}
	if i := slices.Index(values, s); i >= 0 {
		return values[i]
	}
	return other
}

// pathOf says whether media goes through a relay.
func pathOf(local, remote string) string {
	switch {
	case local == "relay" || remote == "relay":
		return "relay"
	case local == none || local == other || remote == none || remote == other:
		return "unknown"
	}
	return "direct"
}
