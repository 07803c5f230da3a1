package turnserver

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// transport is how a client reaches the server.
type transport string

const (
	overUDP transport = "udp"
	overTCP transport = "tcp"
	overTLS transport = "tls"
)

// client is the way back to whoever sent a message: a UDP address on a listener,
// or a connection. It knows the one allocation of its 5-tuple.
type client interface {
	// send sends one message or drops it; it does not wait for the client. The
	// bytes are the caller's again when it returns.
	send(b []byte)
	addr() netip.AddrPort
	transport() transport
	padded() bool // ChannelData needs padding
	allocation() *allocation
	attach(a *allocation) bool // false when the client is gone
	detach(a *allocation)
}

// isChannelData tells ChannelData from STUN by the first two bits (RFC 8656
// section 12).
func isChannelData(b []byte) bool { return len(b) >= channelHeader && b[0]>>6 == 1 }

// receive takes one whole message of a client that is not ChannelData. p.at is
// where it begins. m is scratch space of the caller's goroutine.
func (s *Server) receive(c client, p packet, m *message) { s.message(direct{s}, c, p, m) }

// receiveChannel relays a ChannelData message. Clients without allocation have none.
func (s *Server) receiveChannel(a *allocation, p packet) { s.channelData(direct{s}, a, p) }

// message is receive with another outlet.
func (s *Server) message(o outlet, c client, p packet, m *message) {
	b := p.payload()
	if err := m.parse(b); err != nil {
		o.drop(dropGarbage)
		return
	}
	if m.class == classIndication && m.method == methodSend {
		s.receiveSend(o, c, p, m)
		return
	}
	o.flush() // the answer says that what came before has been dealt with
	switch {
	case m.class == classIndication && m.method == methodBinding: // a keepalive
	case m.class != classRequest:
		s.metrics.drop(dropGarbage)
	case m.method == methodBinding:
		s.receiveBinding(c, m)
	case known(m.method):
		s.receiveRequest(c, m)
	default:
		s.metrics.drop(dropGarbage)
	}
}

// known lists the methods whose requests need authentication. Those of RFC 6062
// are answered, though never granted.
func known(m method) bool {
	switch m {
	case methodAllocate, methodRefresh, methodCreatePermission, methodChannelBind, methodConnect, methodConnectionBind:
		return true
	}
	return false
}

// channelData relays a ChannelData message (RFC 8656 section 12.6).
func (s *Server) channelData(o outlet, a *allocation, p packet) {
	b := p.payload()
	number, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
	if number > s.cfg.lastChannel || n > len(b)-channelHeader {
		o.drop(dropGarbage)
		return
	}
	if a == nil {
		o.drop(dropChannel)
		return
	}
	p.at += channelHeader
	p.end = p.at + n
	a.fromClient(o, number, p)
}

// receiveSend relays a Send indication (RFC 8656 section 11.2). What is wrong
// with it is silently discarded.
func (s *Server) receiveSend(o outlet, c client, p packet, m *message) {
	a := c.allocation()
	if a == nil {
		o.drop(dropPermission)
		return
	}
	v, hasPeer := m.get(attrXORPeer)
	data, hasData := m.find(attrData)
	peer, ok := xorAddr(v, m.tid)
	if !hasPeer || !hasData || !ok || peer.Addr().Is4() != a.relay.Addr().Is4() || len(m.unknown()) > 0 {
		o.drop(dropGarbage)
		return
	}
	p.at += data.at
	p.end = p.at + len(data.value)
	a.sendIndication(o, peer, p)
}

// receiveBinding answers with the client's address (RFC 8489 section 3).
func (s *Server) receiveBinding(c client, m *message) {
	if c.allocation() == nil && !s.mayAnswer(c, false) {
		return
	}
	if unknown := m.unknown(); len(unknown) > 0 {
		s.refuse(c, m, 420, nil, unknown)
		return
	}
	w := newBuilder(m.method, classSuccess, m.tid)
	w.addXORAddr(attrXORMapped, c.addr())
	if m.fingerprint {
		w.addFingerprint()
	}
	s.metrics.request(m.method, 0)
	c.send(w.b)
}

// receiveRequest authenticates a request and queues it for the control plane.
func (s *Server) receiveRequest(c client, m *message) {
	id, key, ok := s.authenticate(c, m)
	if !ok {
		return
	}
	if unknown := m.unknown(); len(unknown) > 0 {
		s.refuse(c, m, 420, key, unknown)
		return
	}
	r := &request{client: c, who: id, key: key}
	if err := r.m.parse(slices.Clone(m.raw)); err != nil {
		return // cannot be: it was parsed before
	}
	if !s.control.submit(r) {
		s.metrics.drop(dropQueue)
	}
}

// authenticate checks the long-term credential (RFC 8489 section 9.2.4) and
// answers when something is wrong. Requests of the user who owns the client's
// allocation are verified with the key it was made with, so neither the end of
// the credential nor a rotated secret ends a call.
func (s *Server) authenticate(c client, m *message) (id identity, key []byte, ok bool) {
	now := s.cfg.now()
	if m.integrity < 0 {
		s.challenge(c, m, 401, false)
		return id, nil, false
	}
	username, hasUser := m.get(attrUsername)
	realm, hasRealm := m.get(attrRealm)
	nonce, hasNonce := m.get(attrNonce)
	if !hasUser || !hasRealm || !hasNonce {
		if s.mayAnswer(c, false) {
			s.refuse(c, m, 400, nil, nil)
		}
		return id, nil, false
	}
	if !s.nonces.valid(nonce, c.addr(), now) {
		s.challenge(c, m, 438, false)
		return id, nil, false
	}
	if a := c.allocation(); a != nil && a.who.username == string(username) {
		id, key, ok = a.who, a.key, m.authentic(a.key)
	} else {
		id, key, ok = s.keys.Load().authenticate(m, username)
		ok = ok && string(realm) == s.cfg.Realm && !s.barred(id, m.method, now)
	}
	s.metrics.authenticated(ok)
	if !ok {
		s.challenge(c, m, 401, true)
	}
	return id, key, ok
}

// challenge answers 401 or 438 with a nonce.
func (s *Server) challenge(c client, m *message, code int, proven bool) {
	if !s.mayAnswer(c, proven) {
		return
	}
	w := newBuilder(m.method, classError, m.tid)
	w.addError(code)
	w.add(attrNonce, s.nonces.make(c.addr(), s.cfg.now()))
	w.add(attrRealm, []byte(s.cfg.Realm))
	if m.fingerprint {
		w.addFingerprint()
	}
	s.metrics.request(m.method, code)
	c.send(w.b)
}

// refuse answers with an error, signed when the request was authentic.
func (s *Server) refuse(c client, m *message, code int, key []byte, unknown []attrType) {
	w := newBuilder(m.method, classError, m.tid)
	w.addError(code)
	if unknown != nil {
		w.addUnknown(unknown)
	}
	s.finish(c, m, w, key, code)
}

// finish signs an answer and sends it.
func (s *Server) finish(c client, m *message, w *builder, key []byte, code int) {
	if key != nil {
		w.addIntegrity(key)
	}
	if m.fingerprint {
		w.addFingerprint()
	}
	s.metrics.request(m.method, code)
	c.send(w.b)
}

// mayAnswer counts an answer to someone unauthenticated. proven says that the
// client has shown a valid nonce.
func (s *Server) mayAnswer(c client, proven bool) bool {
	proven = proven || c.transport() != overUDP
	if s.answers.take(c.addr().Addr(), proven, s.cfg.now()) {
		s.metrics.answered(true)
		return true
	}
	s.metrics.answered(false)
	return false
}
