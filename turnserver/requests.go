package turnserver

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/rondo-chat/rondo/internal/ratelimit"
)

// This file holds what RFC 8656 has a server check before it carries out a
// request. All of it runs on the control goroutine.

const (
	minLifetime = 10 * time.Minute
	maxLifetime = time.Hour - time.Second // pion takes an hour for ten minutes

	protoTCP = 6
	protoUDP = 17
)

// begin checks a request. It answers and returns nil, or returns the transaction
// for pion.
func (c *control) begin(r *request) *transaction {
	a := r.client.allocation()
	if r.m.method == methodAllocate {
		return c.beginAllocate(r, a)
	}
	if a == nil || a.ended.Load() {
		return c.refuse(r, 437)
	}
	if a.who.username != r.who.username {
		return c.refuse(r, 441)
	}
	switch r.m.method {
	case methodRefresh:
		return c.beginRefresh(r, a)
	case methodCreatePermission:
		return c.beginCreatePermission(r, a)
	case methodChannelBind:
		return c.beginChannelBind(r, a)
	}
	return c.refuse(r, 400) // RFC 6062's, on an allocation that is not TCP
}

// beginAllocate is RFC 8656 section 7.2.
func (c *control) beginAllocate(r *request, a *allocation) *transaction {
	if a != nil {
		if a.tid == r.m.tid && a.who.username == r.who.username {
			c.answerAllocate(r, a) // a retransmission
			return nil
		}
		return c.refuse(r, 437)
	}
	family, code := checkAllocate(&r.m, r.client.transport())
	if code != 0 {
		return c.refuse(r, code)
	}
	lifetime, ok := lifetimeOf(&r.m)
	if !ok {
		return c.refuse(r, 400)
	}
	a, code = c.s.allocate(r, family, c.nextID())
	if code != 0 {
		c.s.metrics.refused(code)
		return c.refuse(r, code)
	}
	return &transaction{
		r: r, a: a,
		attrs: []attr{
			{typ: attrTransport, value: []byte{protoUDP, 0, 0, 0}},
			{typ: attrLifetime, value: seconds(lifetime)},
		},
		done: func(granted time.Duration) {
			a.lifetime = granted
			c.s.metrics.created(a)
			c.answerAllocate(r, a)
		},
	}
}

func (c *control) nextID() uint64 {
	c.lastID++
	return c.lastID
}

// checkAllocate returns the family of the wanted relay, or an error code.
func checkAllocate(m *message, over transport) (family byte, code int) {
	v, ok := m.get(attrTransport)
	if !ok || len(v) != 4 {
		return 0, 400
	}
	if v[0] != protoUDP {
		if v[0] == protoTCP && over == overUDP {
			return 0, 400 // RFC 6062 section 5.1
		}
		return 0, 442
	}
	_, token := m.get(attrReservationToken)
	_, even := m.get(attrEvenPort)
	f, hasFamily := m.get(attrFamily)
	switch {
	case token && (even || hasFamily):
		return 0, 400
	case hasFamily && len(f) != 4:
		return 0, 400
	case token || even: // we reserve no ports: WebRTC never asks for it
		return 0, 508
	case !hasFamily:
		return familyIPv4, 0
	case f[0] != familyIPv4 && f[0] != familyIPv6:
		return 0, 440
	}
	return f[0], 0
}

// lifetimeOf is the lifetime to grant: what is asked for, within bounds.
func lifetimeOf(m *message) (time.Duration, bool) {
	v, ok := m.get(attrLifetime)
	if !ok {
		return minLifetime, true
	}
	if len(v) != 4 {
		return 0, false
	}
	asked := time.Duration(binary.BigEndian.Uint32(v)) * time.Second
	return min(max(asked, minLifetime), maxLifetime), true
}

func seconds(d time.Duration) []byte {
	return binary.BigEndian.AppendUint32(nil, uint32(d/time.Second))
}

func (c *control) answerAllocate(r *request, a *allocation) {
	w := newBuilder(methodAllocate, classSuccess, r.m.tid)
	w.addXORAddr(attrXORRelayed, a.relay)
	w.add(attrLifetime, seconds(a.lifetime))
	w.addXORAddr(attrXORMapped, r.client.addr())
	c.s.finish(r.client, &r.m, w, r.key, 0)
}

// beginRefresh is RFC 8656 section 8.2.
func (c *control) beginRefresh(r *request, a *allocation) *transaction {
	if f, ok := r.m.get(attrFamily); ok && (len(f) != 4 || (f[0] == familyIPv4) != a.relay.Addr().Is4()) {
		return c.refuse(r, 443)
	}
	lifetime, ok := lifetimeOf(&r.m)
	if !ok {
		return c.refuse(r, 400)
	}
	if v, ok := r.m.get(attrLifetime); ok && binary.BigEndian.Uint32(v) == 0 {
		lifetime = 0
	} else if left := c.s.cfg.MaxSession - c.s.cfg.now().Sub(a.created); left < lifetime {
		lifetime = max(left, 0).Truncate(time.Second)
	}
	return &transaction{
		r: r, a: a,
		attrs: []attr{{typ: attrLifetime, value: seconds(lifetime)}},
		done: func(granted time.Duration) {
			a.lifetime = granted
			w := newBuilder(methodRefresh, classSuccess, r.m.tid)
			w.add(attrLifetime, seconds(granted))
			c.s.finish(r.client, &r.m, w, r.key, 0)
		},
	}
}

// beginCreatePermission is RFC 8656 section 10.2.
func (c *control) beginCreatePermission(r *request, a *allocation) *transaction {
	var peers []netip.AddrPort
	var attrs []attr
	for _, v := range r.m.attrs {
		if v.typ != attrXORPeer {
			continue
		}
		peer, code := c.s.checkPeer(a, v.value, r.m.tid)
		if code != 0 {
			return c.refuse(r, code)
		}
		peers = append(peers, peer)
		attrs = append(attrs, attr{typ: attrXORPeer, value: v.value})
	}
	if len(peers) == 0 {
		return c.refuse(r, 400)
	}
	now := c.s.cfg.now()
	if !a.fits(peers, c.s.cfg.Limits.Permissions, now) {
		return c.refuse(r, 508)
	}
	return &transaction{r: r, a: a, attrs: attrs, done: func(time.Duration) {
		a.permit(peers, now)
		c.s.finish(r.client, &r.m, newBuilder(methodCreatePermission, classSuccess, r.m.tid), r.key, 0)
	}}
}

// checkPeer decodes a peer and checks its address; ports are checked when sending.
func (s *Server) checkPeer(a *allocation, value []byte, tid [tidBytes]byte) (netip.AddrPort, int) {
	peer, ok := xorAddr(value, tid)
	switch {
	case !ok:
		return peer, 400
	case peer.Addr().Is4() != a.relay.Addr().Is4():
		return peer, 443
	case peer.Addr().Is4In6():
		return peer, 403
	}
	if d := s.policy.Load().permit(peer.Addr()); d != allowed {
		s.metrics.denied(d)
		return peer, 403
	}
	return peer, 0
}

// beginChannelBind is RFC 8656 section 12.2.
func (c *control) beginChannelBind(r *request, a *allocation) *transaction {
	n, hasNumber := r.m.get(attrChannelNumber)
	v, hasPeer := r.m.get(attrXORPeer)
	if !hasNumber || !hasPeer || len(n) != 4 {
		return c.refuse(r, 400)
	}
	number := binary.BigEndian.Uint16(n)
	if number < firstChannel || number > lastChannel {
		return c.refuse(r, 400)
	}
	peer, code := c.s.checkPeer(a, v, r.m.tid)
	if code != 0 {
		return c.refuse(r, code)
	}
	if peer.Port() == 0 {
		return c.refuse(r, 400)
	}
	if d := c.s.reachable(peer); d != allowed {
		c.s.metrics.denied(d)
		return c.refuse(r, 403)
	}
	now := c.s.cfg.now()
	free, room := a.bindable(number, peer, c.s.cfg.Limits.Channels, now)
	if !free {
		return c.refuse(r, 400)
	}
	if !room || !a.fits([]netip.AddrPort{peer}, c.s.cfg.Limits.Permissions, now) {
		return c.refuse(r, 508)
	}
	return &transaction{
		r: r, a: a,
		attrs: []attr{{typ: attrChannelNumber, value: n}, {typ: attrXORPeer, value: v}},
		done: func(time.Duration) {
			a.bind(number, peer, now)
			c.s.finish(r.client, &r.m, newBuilder(methodChannelBind, classSuccess, r.m.tid), r.key, 0)
		},
	}
}

// reachable says whether datagrams may go to a peer now.
func (s *Server) reachable(peer netip.AddrPort) denial {
	if s.relays.get(peer) != nil {
		return allowed
	}
	return s.policy.Load().sendable(peer)
}

// allocate makes an allocation within all quotas, or returns an error code.
func (s *Server) allocate(r *request, family byte, id uint64) (*allocation, int) {
	p := s.ports[family]
	addrKey := ratelimit.AddrKey(r.client.addr().Addr())
	now := s.cfg.now()
	if p == nil {
		return nil, 440
	}
	if s.draining.Load() {
		return nil, 508
	}
	if ok, _ := s.allocationRate.Take(addrKey, now, 1); !ok {
		return nil, 486
	}
	if s.relays.len() >= s.cfg.Limits.Allocations {
		return nil, 508
	}
	if !s.perUser.take(r.who.user) {
		return nil, 486
	}
	if !s.perAddr.take(addrKey) {
		s.perUser.release(r.who.user)
		return nil, 486
	}
	sock, relay, err := p.open()
	if err != nil {
		s.perUser.release(r.who.user)
		s.perAddr.release(addrKey)
		s.cfg.Logger.Debug("turn: no relay socket", "error", err)
		return nil, 508
	}
	a := &allocation{
		s: s, id: id, client: r.client, who: r.who, key: r.key, relay: relay, sock: sock, tid: r.m.tid, created: now,
		permissions: map[netip.Addr]time.Time{}, channels: map[uint16]*channel{}, peers: map[netip.AddrPort]*channel{},
	}
	s.relays.add(a)
	if !r.client.attach(a) {
		a.end(endConn)
		return nil, 437
	}
	return a, 0
}

// forget is the end of an allocation everywhere but in pion.
func (s *Server) forget(a *allocation, why endReason) {
	s.relays.remove(a)
	a.client.detach(a)
	s.ports[familyOf(a.relay.Addr())].release(a.relay.Port())
	s.perUser.release(a.who.user)
	s.perAddr.release(ratelimit.AddrKey(a.client.addr().Addr()))
	s.metrics.ended(a, why)
}

func familyOf(a netip.Addr) byte {
	if a.Is4() {
		return familyIPv4
	}
	return familyIPv6
}
