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

// begin carries a request out, or checks it and returns the transaction that
// pion is to carry out.
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
		c.createPermission(r, a)
	case methodChannelBind:
		c.channelBind(r, a)
	default:
		c.refuse(r, 400) // RFC 6062's, on an allocation that is not TCP
	}
	return nil
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
	want, code := checkAllocate(&r.m, r.client.transport())
	if code != 0 {
		return c.refuse(r, code)
	}
	lifetime, ok := lifetimeOf(&r.m)
	if !ok {
		return c.refuse(r, 400)
	}
	a, code = c.s.allocate(r, want, c.nextID())
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

// wanted is what an Allocate request wants of its relay.
type wanted struct {
	family byte
	even   bool
}

// checkAllocate returns what is wanted, or an error code. An even port is given;
// the one above is not kept for later (WebRTC never asks for it).
func checkAllocate(m *message, over transport) (w wanted, code int) {
	v, ok := m.get(attrTransport)
	if !ok || len(v) != 4 {
		return w, 400
	}
	if v[0] != protoUDP {
		if v[0] == protoTCP && over == overUDP {
			return w, 400 // RFC 6062 section 5.1
		}
		return w, 442
	}
	_, token := m.get(attrReservationToken)
	even, hasEven := m.get(attrEvenPort)
	family, hasFamily := m.get(attrFamily)
	switch {
	case token && (hasEven || hasFamily), hasFamily && len(family) != 4, hasEven && len(even) != 1:
		return w, 400
	case token, hasEven && even[0]&0x80 != 0:
		return w, 508
	case !hasFamily:
		return wanted{familyIPv4, hasEven}, 0
	case family[0] != familyIPv4 && family[0] != familyIPv6:
		return w, 440
	}
	return wanted{family[0], hasEven}, 0
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

// createPermission is RFC 8656 section 10.2. Pion is not asked: it has a data
// race there that can crash the process when the allocation ends meanwhile, and
// its permissions would decide nothing, because data does not pass through pion.
func (c *control) createPermission(r *request, a *allocation) {
	var peers []netip.AddrPort
	for _, v := range r.m.attrs {
		if v.typ != attrXORPeer {
			continue
		}
		peer, code := c.s.checkPeer(a, v.value, r.m.tid)
		if code != 0 {
			c.refuse(r, code)
			return
		}
		peers = append(peers, peer)
	}
	if len(peers) == 0 {
		c.refuse(r, 400)
		return
	}
	if !a.permit(peers, c.s.cfg.Limits.Permissions, c.s.cfg.now()) {
		c.refuse(r, 508)
		return
	}
	c.s.finish(r.client, &r.m, newBuilder(methodCreatePermission, classSuccess, r.m.tid), r.key, 0)
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

// channelBind is RFC 8656 section 12.2. Pion is not asked, as for permissions.
func (c *control) channelBind(r *request, a *allocation) {
	number, peer, code := c.s.checkChannel(r, a)
	if code == 0 {
		code = a.bind(number, peer, &c.s.cfg.Limits, c.s.cfg.now())
	}
	if code != 0 {
		c.refuse(r, code)
		return
	}
	c.s.finish(r.client, &r.m, newBuilder(methodChannelBind, classSuccess, r.m.tid), r.key, 0)
}

// checkChannel decodes a channel number and its peer.
func (s *Server) checkChannel(r *request, a *allocation) (number uint16, peer netip.AddrPort, code int) {
	n, hasNumber := r.m.get(attrChannelNumber)
	v, hasPeer := r.m.get(attrXORPeer)
	if !hasNumber || !hasPeer || len(n) != 4 {
		return 0, peer, 400
	}
	number = binary.BigEndian.Uint16(n)
	if number < firstChannel || number > s.cfg.lastChannel {
		return 0, peer, 400
	}
	if peer, code = s.checkPeer(a, v, r.m.tid); code != 0 {
		return 0, peer, code
	}
	if peer.Port() == 0 {
		return 0, peer, 400
	}
	if d := s.reachable(peer); d != allowed {
		s.metrics.denied(d)
		return 0, peer, 403
	}
	return number, peer, 0
}

// reachable says whether datagrams may go to a peer now.
func (s *Server) reachable(peer netip.AddrPort) denial {
	if s.relays.get(peer) != nil {
		return allowed
	}
	return s.policy.Load().sendable(peer)
}

// allocate makes an allocation within all quotas, or returns an error code.
func (s *Server) allocate(r *request, want wanted, id uint64) (*allocation, int) {
	p := s.ports[want.family]
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
	sock, relay, err := s.openRelay(p, r.client, want.even, id)
	if err != nil {
		s.perUser.release(r.who.user)
		s.perAddr.release(addrKey)
		s.cfg.Logger.Debug("turn: no relay socket", "error", err)
		return nil, 508
	}
	a := &allocation{
		s: s, id: id, client: r.client, who: r.who, key: r.key, relay: relay, sock: sock, tid: r.m.tid, created: now, done: make(chan struct{}),
		permissions: map[netip.Addr]time.Time{}, channels: map[uint16]*channel{}, peers: map[netip.AddrPort]*channel{},
	}
	s.relays.add(a)
	if !r.client.attach(a) {
		a.end(endConn)
		return nil, 437
	}
	return a, 0
}

// openRelay opens a relay socket. The one who reads what its client sends also
// reads what comes in there; for clients on streams it is one after another.
func (s *Server) openRelay(p *ports, c client, even bool, id uint64) (relaySocket, netip.AddrPort, error) {
	conn, relay, err := p.open(even)
	if err != nil {
		return nil, relay, err
	}
	var r udpReader = &netReader{} // a server that does not listen on UDP
	if u, ok := c.(*udpClient); ok {
		r = u.r
	} else if len(s.udp) > 0 {
		l := s.udp[id%uint64(len(s.udp))]
		r = l.readers[id/uint64(len(s.udp))%uint64(len(l.readers))]
	}
	sock, err := r.relay(conn)
	if err != nil {
		p.release(relay.Port())
	}
	return sock, relay, err
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
