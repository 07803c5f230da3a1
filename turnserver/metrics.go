package turnserver

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// direction is which way data was relayed.
type direction string

const (
	dirUp      direction = "up"      // client to peer, by the network
	dirDown    direction = "down"    // to the client
	dirHairpin direction = "hairpin" // client to another client's relay, in the process
)

// dropReason is why something was dropped without an answer.
type dropReason string

const (
	dropGarbage    dropReason = "garbage"
	dropChannel    dropReason = "no_channel"
	dropPermission dropReason = "no_permission"
	dropPolicy     dropReason = "policy"
	dropBandwidth  dropReason = "bandwidth"
	dropQueue      dropReason = "queue"
	dropSocket     dropReason = "socket"
)

// allDropReasons are the values of the label.
func allDropReasons() []dropReason {
	return []dropReason{dropGarbage, dropChannel, dropPermission, dropPolicy, dropBandwidth, dropQueue, dropSocket}
}

// syscallKind is what the data path of Linux asks the system for.
type syscallKind string

const (
	callWait    syscallKind = "wait"
	callReceive syscallKind = "receive"
	callSend    syscallKind = "send"
)

// metrics holds the collectors of one Server, rondo_turn_….
type metrics struct {
	packets, bytes map[direction]prometheus.Counter
	drops          map[dropReason]prometheus.Counter
	requests       *prometheus.CounterVec
	auth           *prometheus.CounterVec
	answers        *prometheus.CounterVec
	createdBy      *prometheus.CounterVec
	endedBy        *prometheus.CounterVec
	refusedBy      *prometheus.CounterVec
	deniedBy       *prometheus.CounterVec
	syscalls       map[syscallKind]prometheus.Counter
	segmented      prometheus.Counter
	unsegmented    prometheus.Counter
	connsRefused   prometheus.Counter
	handshakes     prometheus.Counter
	seconds        prometheus.Histogram
	sessionBytes   prometheus.Histogram

	all []prometheus.Collector
}

func newMetrics(s *Server) *metrics {
	m := &metrics{packets: map[direction]prometheus.Counter{}, bytes: map[direction]prometheus.Counter{}, drops: map[dropReason]prometheus.Counter{}}
	packets := m.vec("packets_total", "Packets relayed, by way: up, down, hairpin.", "way")
	bytes := m.vec("bytes_total", "Payload bytes relayed, by way: up, down, hairpin.", "way")
	for _, d := range []direction{dirUp, dirDown, dirHairpin} {
		m.packets[d], m.bytes[d] = packets.WithLabelValues(string(d)), bytes.WithLabelValues(string(d))
	}
	drops := m.vec("drops_total", "Packets dropped without an answer, by reason.", "reason")
	for _, r := range allDropReasons() {
		m.drops[r] = drops.WithLabelValues(string(r))
	}
	m.requests = m.vec("requests_total", "Requests answered, by method and error code (0 is success).", "method", "code")
	m.auth = m.vec("auth_total", "Credentials checked, by result: ok, failed.", "result")
	m.answers = m.vec("unauthenticated_answers_total", "Answers due to clients without credential, by fate: sent, suppressed.", "fate")
	m.createdBy = m.vec("allocations_created_total", "Allocations made, by the client's transport.", "transport")
	m.endedBy = m.vec("allocations_ended_total", "Allocations ended, by reason.", "reason")
	m.refusedBy = m.vec("allocations_refused_total", "Allocations refused by quota or capacity, by error code.", "code")
	m.deniedBy = m.vec("peers_denied_total", "Permissions and channels refused by the peer policy, by reason.", "reason")
	syscalls := m.vec("syscalls_total", "System calls of the data path on Linux, by call: wait, receive, send.", "call")
	m.syscalls = map[syscallKind]prometheus.Counter{}
	for _, c := range []syscallKind{callWait, callReceive, callSend} {
		m.syscalls[c] = syscalls.WithLabelValues(string(c))
	}
	m.segmented = m.counter("gso_packets_total", "Packets sent several at a time by UDP segmentation (GSO).")
	m.unsegmented = m.counter("gso_disabled_total", "Sockets on which the system refused UDP segmentation, so that they send without.")
	m.connsRefused = m.counter("connections_refused_total", "TCP and TLS connections closed at once, over a limit.")
	m.handshakes = m.counter("tls_handshake_failures_total", "TLS handshakes that failed.")
	m.seconds = m.histogram("session_seconds", "Life of allocations.", prometheus.ExponentialBuckets(1, 4, 9))
	m.sessionBytes = m.histogram("session_bytes", "Payload bytes relayed both ways per allocation.", prometheus.ExponentialBuckets(1<<10, 8, 9))
	m.gauge("allocations", "Live allocations.", s.relays.len)
	m.gauge("connections", "Open TCP and TLS connections.", s.conns.len)
	m.gauge("ports_free", "Relay ports that are free.", s.freePorts)
	return m
}

const (
	namespace = "rondo"
	subsystem = "turn"
)

func (m *metrics) vec(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, labels)
	m.all = append(m.all, v)
	return v
}

func (m *metrics) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help})
	m.all = append(m.all, c)
	return c
}

func (m *metrics) histogram(name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help, Buckets: buckets})
	m.all = append(m.all, h)
	return h
}

func (m *metrics) gauge(name, help string, value func() int) {
	m.all = append(m.all, prometheus.NewGaugeFunc(
		prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help},
		func() float64 { return float64(value()) }))
}

// register registers all collectors, or none.
func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for i, c := range m.all {
		if err := r.Register(c); err != nil {
			for _, done := range m.all[:i] {
				r.Unregister(done)
			}
			return err
		}
	}
	return nil
}

func (m *metrics) drop(r dropReason) { m.drops[r].Inc() }

func (m *metrics) relayed(d direction, n int) {
	m.packets[d].Inc()
	m.bytes[d].Add(float64(n))
}

// tally counts what a goroutine did since it last told the metrics.
type tally struct {
	up, down, hairpin      flow
	drops                  map[dropReason]int
	dropped                bool
	waits, receives, sends int // system calls
	segmented, unsegmented int
}

type flow struct{ packets, bytes int }

func (t *tally) relay(d direction, packets, bytes int) {
	f := &t.up
	switch d {
	case dirDown:
		f = &t.down
	case dirHairpin:
		f = &t.hairpin
	}
	f.packets += packets
	f.bytes += bytes
}

func (t *tally) drop(r dropReason, packets int) {
	if t.drops == nil {
		t.drops = map[dropReason]int{}
	}
	t.drops[r] += packets
	t.dropped = true
}

// tell adds everything to the metrics and begins anew.
func (t *tally) tell(m *metrics) {
	m.flowed(dirUp, &t.up)
	m.flowed(dirDown, &t.down)
	m.flowed(dirHairpin, &t.hairpin)
	tell(m.syscalls[callWait], &t.waits)
	tell(m.syscalls[callReceive], &t.receives)
	tell(m.syscalls[callSend], &t.sends)
	tell(m.segmented, &t.segmented)
	tell(m.unsegmented, &t.unsegmented)
	if !t.dropped {
		return
	}
	t.dropped = false
	for r, n := range t.drops {
		m.drops[r].Add(float64(n))
	}
	clear(t.drops)
}

func (m *metrics) flowed(d direction, f *flow) {
	if f.packets > 0 {
		tell(m.packets[d], &f.packets)
		tell(m.bytes[d], &f.bytes)
	}
}

func tell(c prometheus.Counter, n *int) {
	if *n > 0 {
		c.Add(float64(*n))
		*n = 0
	}
}

func (m *metrics) request(method method, code int) {
	m.requests.WithLabelValues(method.String(), strconv.Itoa(code)).Inc()
}

func (m *metrics) authenticated(ok bool) {
	result := "failed"
	if ok {
		result = "ok"
	}
	m.auth.WithLabelValues(result).Inc()
}

func (m *metrics) answered(sent bool) {
	fate := "suppressed"
	if sent {
		fate = "sent"
	}
	m.answers.WithLabelValues(fate).Inc()
}

func (m *metrics) created(a *allocation) {
	m.createdBy.WithLabelValues(string(a.client.transport())).Inc()
}

func (m *metrics) refused(code int) { m.refusedBy.WithLabelValues(strconv.Itoa(code)).Inc() }
func (m *metrics) denied(d denial)  { m.deniedBy.WithLabelValues(string(d)).Inc() }
func (m *metrics) connRefused()     { m.connsRefused.Inc() }
func (m *metrics) handshakeFailed() { m.handshakes.Inc() }

func (m *metrics) ended(a *allocation, why endReason) {
	m.endedBy.WithLabelValues(string(why)).Inc()
	m.seconds.Observe(a.s.cfg.now().Sub(a.created).Seconds())
	m.sessionBytes.Observe(float64(a.upped.Load() + a.downed.Load()))
}

// String names the methods that are answered; there are no others in labels.
func (m method) String() string {
	switch m {
	case methodBinding:
		return "binding"
	case methodAllocate:
		return "allocate"
	case methodRefresh:
		return "refresh"
	case methodCreatePermission:
		return "create_permission"
	case methodChannelBind:
		return "channel_bind"
	case methodConnect, methodConnectionBind:
		return "connect"
	}
	return "other"
}

// unregister takes the collectors back, so that another server can have them.
func (m *metrics) unregister(r prometheus.Registerer) {
	if r == nil {
		return
	}
	for _, c := range m.all {
		r.Unregister(c)
	}
}
