package rooms

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rondo-chat/rondo/protocol"
)

// metrics are the Registry's collectors. Labels are enumerated here.
type metrics struct {
	openedTotal *prometheus.CounterVec
	endedTotal  *prometheus.CounterVec
	joinsTotal  *prometheus.CounterVec
	leavesTotal *prometheus.CounterVec
	runsTotal   *prometheus.CounterVec
	retries     prometheus.Counter
	restores    prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, seats func() float64) *metrics {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		openedTotal: vec("rondo_rooms_opened_total", "Rooms made by this node.", "kind"),
		endedTotal:  vec("rondo_rooms_ended_total", "Rooms whose end this node brought about. reason: left, lost (a node died) or expired (was empty).", "kind", "reason"),
		joinsTotal:  vec("rondo_rooms_joins_total", "Attempts to join a named room. result: ok, not_found, room_full, passcode, rate_limited, unavailable or other.", "result"),
		leavesTotal: vec("rondo_rooms_leaves_total", "Members that this node took out of rooms. reason: left or lost (their node died, or no session held the seat).", "kind", "reason"),
		runsTotal:   vec("rondo_rooms_background_total", "Rounds of the registry's background work. task: renew, sweep, rebuild, keep or check; result: ok or error.", "task", "result"),
		retries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rondo_rooms_conflicts_total", Help: "Changes that had to be tried again because another node changed the room first."}),
		restores: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rondo_rooms_restores_total", Help: "Rooms put back that the store had lost, or had lost changes of."}),
	}
	m.zero()
	if reg != nil {
		reg.MustRegister(m.openedTotal, m.endedTotal, m.joinsTotal, m.leavesTotal, m.runsTotal, m.retries, m.restores,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "rondo_rooms_seats", Help: "Seats taken by sessions of this node, as of the last lease renewal."}, seats))
	}
	return m
}

// zero makes the series, so that graphs and alerts see them at 0 before the first
// event.
func (m *metrics) zero() {
	for _, kind := range []Kind{Matched, Named} {
		m.openedTotal.WithLabelValues(string(kind))
		for _, reason := range []string{"left", string(ReasonLost)} {
			m.leavesTotal.WithLabelValues(string(kind), reason)
		}
	}
	m.endedTotal.WithLabelValues(string(Matched), "left")
	m.endedTotal.WithLabelValues(string(Matched), string(ReasonLost))
	m.endedTotal.WithLabelValues(string(Named), string(ReasonExpired))
	for _, result := range []string{"ok", "not_found", "room_full", "passcode", "rate_limited", "unavailable", "other"} {
		m.joinsTotal.WithLabelValues(result)
	}
}

func (m *metrics) opened(room Room) { m.openedTotal.WithLabelValues(string(room.Kind)).Inc() }

func (m *metrics) ended(kind Kind, reason string) {
	m.endedTotal.WithLabelValues(string(kind), reason).Inc()
}

// left counts members that left; in a matched room the first ends the room,
// which then still holds the other, or nobody if both went at once.
func (m *metrics) left(reason string, room Room, members int) {
	m.leavesTotal.WithLabelValues(string(room.Kind), reason).Add(float64(members))
	if room.Kind == Matched && len(room.Members)+members == 2 {
		m.ended(Matched, reason)
	}
}

func (m *metrics) join(err error) {
	result := "ok"
	switch code := protocol.CodeOf(err); code {
	case "":
	case protocol.CodeNotFound, protocol.CodeRoomFull, protocol.CodePasscode, protocol.CodeRateLimited, protocol.CodeUnavailable:
		result = string(code)
	default:
		result = "other"
	}
	m.joinsTotal.WithLabelValues(result).Inc()
}

func (m *metrics) ran(task string, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.runsTotal.WithLabelValues(task, result).Inc()
}
