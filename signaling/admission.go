package signaling

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/protocol"
)

const maxAddresses = 1 << 17 // whose upgrade rate is remembered

// admission counts sockets, in all and by address.
type admission struct {
	limits *Limits
	rate   *ratelimit.Keyed

	mu     sync.Mutex
	total  int
	counts map[string]int
}

func newAdmission(l *Limits) *admission {
	return &admission{limits: l, rate: ratelimit.NewKeyed(l.Upgrades, maxAddresses), counts: map[string]int{}}
}

// refusal is why an upgrade does not happen (section 1).
type refusal struct {
	status int
	reason string // for metrics
	err    *protocol.Error
}

func (a *admission) refuseRate(key string, now time.Time) *refusal {
	if ok, retry := a.rate.Take(key, now, 1); !ok {
		return tooMany("rate", "too many connections opened from this address", retry)
	}
	return nil
}

// enter counts a socket in, or refuses it; with dry it only asks.
func (a *admission) enter(key string, dry bool) *refusal {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := a.limits.PerAddress; n >= 0 && a.counts[key] >= n {
		return tooMany("address", "too many connections from this address", 5*time.Second)
	}
	if n := a.limits.MaxSessions; n >= 0 && a.total >= n {
		return unavailable("full", "the server is full")
	}
	if !dry {
		a.total++
		a.counts[key]++
	}
	return nil
}

func (a *admission) leave(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.total--
	if a.counts[key]--; a.counts[key] <= 0 {
		delete(a.counts, key)
	}
}

func tooMany(reason, msg string, retry time.Duration) *refusal {
	return &refusal{http.StatusTooManyRequests, reason, &protocol.Error{Code: protocol.CodeRateLimited, Msg: msg, Retry: retry}}
}

func unavailable(reason, msg string) *refusal {
	return &refusal{http.StatusServiceUnavailable, reason, &protocol.Error{Code: protocol.CodeUnavailable, Msg: msg, Retry: 5 * time.Second}}
}

// write answers with an RFC 9457 problem.
func (f *refusal) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	problem := map[string]any{
		"type": "about:blank", "title": http.StatusText(f.status), "status": f.status,
		"detail": f.err.Msg, "code": f.err.Code,
	}
	if f.err.Retry > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((f.err.Retry+time.Second-1)/time.Second), 10))
		problem["retry_ms"] = f.err.Retry.Milliseconds()
	}
	w.WriteHeader(f.status)
	_ = json.NewEncoder(w).Encode(problem) // the client may be gone
}

// refuse checks a request before its upgrade; key is its address's for limits.
func (h *Hub) refuse(r *http.Request, dry bool) (key string, no *refusal) {
	if h.draining.Load() {
		return "", unavailable("draining", "the server is going away")
	}
	if err := h.cfg.CheckOrigin(r); err != nil {
		e := protocol.Errorf(protocol.CodeOrigin, "pages of this origin may not connect here")
		if pe, ok := errors.AsType[*protocol.Error](err); ok {
			e.Msg = pe.Msg
		}
		return "", &refusal{http.StatusForbidden, "origin", e}
	}
	key = ratelimit.AddrKey(h.cfg.RemoteAddr(r))
	if no := h.admission.refuseRate(key, time.Now()); no != nil {
		return "", no
	}
	return key, h.admission.enter(key, dry)
}

// Check serves GET /ws/check: what ServeHTTP would say, without the upgrade.
func (h *Hub) Check(w http.ResponseWriter, r *http.Request) {
	if _, no := h.refuse(r, true); no != nil {
		no.write(w)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}

// ServeHTTP serves GET /ws: it upgrades the request and returns; the session
// goes on by itself.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key, no := h.refuse(r, false)
	if no != nil {
		h.m.refusals.WithLabelValues(no.reason).Inc()
		no.write(w)
		return
	}
	h.patience.Pass()
	k := newSocket(h, key, keep(r, h.cfg.RemoteAddr(r), h.cfg.Secure(r)))
	ws, err := h.upgrader.Upgrade(hijacker{w}, r, nil)
	if err != nil {
		h.admission.leave(key)
		h.m.refusals.WithLabelValues("handshake").Inc()
		return
	}
	k.attach(newWebSocket(ws.NetConn(), h.buffers, h.watcher(), k))
	if !h.enter(k) { // closed meanwhile; nobody is left to wait for an answer
		_ = k.t.write(closeFrame(protocol.CloseDrain, "drain"))
		k.t.close()
		h.admission.leave(key)
		return
	}
	switch {
	case h.draining.Load(): // meanwhile
		k.close(protocol.CloseDrain, "drain")
	case !spoken(ws):
		k.close(protocol.CloseVersion, "version")
	}
	go k.run()
}

// badHandshake answers a request that is no proper upgrade.
func badHandshake(w http.ResponseWriter, status int, reason error) {
	(&refusal{status, "handshake", protocol.Errorf(protocol.CodeBadRequest, "%v", reason)}).write(w)
}
