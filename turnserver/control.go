package turnserver

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"net"
	"time"

	"github.com/pion/turn/v4"
)

// request is an authentic request on its way to the control plane.
type request struct {
	client client
	m      message // owns its bytes
	who    identity
	key    []byte
}

// controlQueue is how many requests may wait; clients repeat what is dropped.
const controlQueue = 1024

// control is the control plane: the goroutine of pion's read loop. It takes
// requests one after another, checks each against the client's allocation and
// carries it out. The life of allocations is pion's: it carries out Allocate and
// Refresh, and ends what is not refreshed.
//
// To pion it is the one socket of a server: what pion reads are requests that
// control writes itself, canonical, signed with a key that only the two know,
// from an address made up for one allocation. That closes what pion leaves open
// in parsing, and a 5-tuple that a client uses again is never the same to pion.
// What pion writes goes back to the same goroutine, which then answers the client.
type control struct {
	s      *Server
	queue  chan *request
	pings  chan chan struct{}
	closed chan struct{}
	key    []byte // of MESSAGE-INTEGRITY between control and pion

	// owned by the goroutine
	nonce    []byte // pion's
	nonceAt  time.Time
	fetching bool         // pion is about to answer with a nonce
	waiting  *transaction // until the nonce is there
	current  *transaction // with pion
	lastID   uint64
}

// transaction is a request that pion carries out.
type transaction struct {
	r       *request
	a       *allocation
	attrs   []attr
	retried bool
	done    func(lifetime time.Duration) // answers the client
}

func newControl(s *Server) *control {
	key := make([]byte, 16)
	rand.Read(key) // never fails (crypto/rand)
	return &control{s: s, queue: make(chan *request, controlQueue), pings: make(chan chan struct{}), closed: make(chan struct{}), key: key}
}

// start hands control to a pion server.
func (c *control) start() (*turn.Server, error) {
	return turn.NewServer(turn.ServerConfig{
		Realm:              pionRealm,
		AuthHandler:        func(string, string, net.Addr) ([]byte, bool) { return c.key, true },
		LoggerFactory:      pionLogs{c.s.cfg.Logger},
		ChannelBindTimeout: channelLifetime,
		InboundMTU:         pionMTU,
		PacketConnConfigs: []turn.PacketConnConfig{{
			PacketConn:            c,
			RelayAddressGenerator: c,
			PermissionHandler:     func(net.Addr, net.IP) bool { return false }, // it keeps none
		}},
	})
}

const (
	pionRealm = "r"
	pionUser  = "u"
	pionMTU   = 1500
	// pionNonceAge is when pion is asked for a new nonce; its nonces live an hour.
	pionNonceAge = 30 * time.Minute
)

// submit queues a request. It reports false when the queue is full.
func (c *control) submit(r *request) bool {
	select {
	case c.queue <- r:
		return true
	default:
		return false
	}
}

// ping returns nil once the goroutine has answered.
func (c *control) ping(ctx context.Context) error {
	pong := make(chan struct{})
	select {
	case c.pings <- pong: // unbuffered: it is answered next
		<-pong
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.closed:
		return net.ErrClosed
	}
}

// ReadFrom gives pion its next request. Pion has answered the one before, or
// never will.
func (c *control) ReadFrom(b []byte) (int, net.Addr, error) {
	if t := c.current; t != nil {
		c.current = nil
		c.failed(t)
	}
	fetched := c.fetching
	c.fetching = false
	if t := c.waiting; t != nil {
		c.waiting = nil
		if c.nonce != nil || !fetched {
			return c.pass(b, t)
		}
		c.failed(t) // asked for a nonce, got none
	}
	for {
		select {
		case <-c.closed:
			return 0, nil, net.ErrClosed
		case pong := <-c.pings:
			close(pong)
		case r := <-c.queue:
			if t := c.begin(r); t != nil {
				return c.pass(b, t)
			}
		}
	}
}

// pass writes the transaction's request for pion into b, or first a request
// without credential, for a nonce.
func (c *control) pass(b []byte, t *transaction) (int, net.Addr, error) {
	if c.nonce == nil || time.Since(c.nonceAt) > pionNonceAge {
		c.nonce, c.fetching, c.waiting = nil, true, t
		return copy(b, newBuilder(methodAllocate, classRequest, t.r.m.tid).b), pionAddr(0), nil
	}
	c.current = t
	w := newBuilder(t.r.m.method, classRequest, t.r.m.tid)
	w.add(attrUsername, []byte(pionUser))
	w.add(attrRealm, []byte(pionRealm))
	w.add(attrNonce, c.nonce)
	for _, a := range t.attrs {
		w.add(a.typ, a.value)
	}
	w.addIntegrity(c.key)
	return copy(b, w.b), pionAddr(t.a.id), nil
}

// pionAddr is the client address that pion knows an allocation by.
func pionAddr(id uint64) net.Addr {
	ip := make(net.IP, net.IPv6len)
	ip[0] = 0xfd
	binary.BigEndian.PutUint64(ip[8:], id)
	return &net.UDPAddr{IP: ip, Port: 1}
}

// WriteTo takes pion's answer. Pion answers in the goroutine that reads.
func (c *control) WriteTo(b []byte, _ net.Addr) (int, error) {
	var m message
	if m.parse(b) != nil {
		return len(b), nil
	}
	if c.fetching {
		if nonce, ok := m.get(attrNonce); ok {
			c.nonce, c.nonceAt = append([]byte(nil), nonce...), time.Now()
		}
		return len(b), nil
	}
	t := c.current
	if t == nil || m.tid != t.r.m.tid {
		return len(b), nil
	}
	c.current = nil
	if m.class == classSuccess {
		var lifetime time.Duration
		if v, ok := m.get(attrLifetime); ok && len(v) == 4 {
			lifetime = time.Duration(binary.BigEndian.Uint32(v)) * time.Second
		}
		t.done(lifetime)
		return len(b), nil
	}
	if errorCode(&m) == 438 && !t.retried { // the clock was set back
		t.retried = true
		c.nonce, c.waiting = nil, t
		return len(b), nil
	}
	c.failed(t)
	return len(b), nil
}

func errorCode(m *message) int {
	v, ok := m.get(attrErrorCode)
	if !ok || len(v) < 4 {
		return 0
	}
	return int(v[2]&7)*100 + int(v[3])
}

// failed answers for pion, which has refused what passed all our checks: its
// allocation ended in between.
func (c *control) failed(t *transaction) {
	code := 437
	if t.r.m.method == methodAllocate {
		code = 508
	}
	t.a.end(endFailed)
	c.refuse(t.r, code)
}

func (c *control) refuse(r *request, code int) *transaction {
	c.s.refuse(r.client, &r.m, code, r.key, nil)
	return nil
}

// AllocatePacketConn gives pion the relay socket of the current transaction.
func (c *control) AllocatePacketConn(string, int) (net.PacketConn, net.Addr, error) {
	if c.current == nil {
		return nil, nil, errNoPort
	}
	a := c.current.a
	return relayConn{a}, net.UDPAddrFromAddrPort(a.relay), nil
}

// AllocateConn refuses TCP relays (RFC 6062).
func (c *control) AllocateConn(string, int) (net.Conn, net.Addr, error) { return nil, nil, errNoPort }

// Validate implements turn.RelayAddressGenerator.
func (c *control) Validate() error { return nil }

// Close ends pion's read loop, once.
func (c *control) Close() error {
	close(c.closed)
	return nil
}

// LocalAddr is the server address that pion knows.
func (c *control) LocalAddr() net.Addr { return pionAddr(1 << 63) }

// SetDeadline, SetReadDeadline and SetWriteDeadline implement net.PacketConn.
func (c *control) SetDeadline(time.Time) error      { return nil }
func (c *control) SetReadDeadline(time.Time) error  { return nil }
func (c *control) SetWriteDeadline(time.Time) error { return nil }

// relayConn is what pion gets for a relay socket. Pion's goroutine for it runs
// our data plane: it never sees a datagram, only the end.
type relayConn struct{ a *allocation }

func (r relayConn) ReadFrom([]byte) (int, net.Addr, error) { return 0, nil, r.a.sock.receive(r.a) }

// WriteTo is never called: pion gets no data to relay.
func (r relayConn) WriteTo([]byte, net.Addr) (int, error) { return 0, net.ErrClosed }

// Close is pion's word that the allocation expired or was released.
func (r relayConn) Close() error {
	r.a.end(endReleased)
	return nil
}

func (r relayConn) LocalAddr() net.Addr              { return net.UDPAddrFromAddrPort(r.a.relay) }
func (r relayConn) SetDeadline(time.Time) error      { return nil }
func (r relayConn) SetReadDeadline(time.Time) error  { return nil }
func (r relayConn) SetWriteDeadline(time.Time) error { return nil }
