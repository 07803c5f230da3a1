package turnserver

import (
	"errors"
	"net"
	"net/netip"
	"sync"
)

// udpListener is one UDP socket and the allocations of its clients. Nothing is
// kept for clients without allocation.
type udpListener struct {
	s    *Server
	conn *net.UDPConn

	mu      sync.RWMutex
	clients map[netip.AddrPort]*allocation
}

func newUDPListener(s *Server, conn *net.UDPConn) *udpListener {
	return &udpListener{s: s, conn: conn, clients: map[netip.AddrPort]*allocation{}}
}

// serve reads until the socket is closed.
func (l *udpListener) serve() {
	buf := make([]byte, headroom+maxFrame+1)
	var m message
	for {
		n, from, err := l.conn.ReadFromUDPAddrPort(buf[headroom:])
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n > maxFrame {
			l.s.metrics.drop(dropGarbage)
			continue
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		l.s.receive(udpClient{l, from}, packet{buf, headroom, headroom + n}, &m)
	}
}

// udpClient is a client address on a listener.
type udpClient struct {
	l    *udpListener
	from netip.AddrPort
}

func (c udpClient) send(b []byte) {
	if _, err := c.l.conn.WriteToUDPAddrPort(b, c.from); err != nil {
		c.l.s.metrics.drop(dropSocket)
	}
}

func (c udpClient) addr() netip.AddrPort { return c.from }
func (c udpClient) transport() transport { return overUDP }
func (c udpClient) padded() bool         { return false }

func (c udpClient) allocation() *allocation {
	c.l.mu.RLock()
	defer c.l.mu.RUnlock()
	return c.l.clients[c.from]
}

func (c udpClient) attach(a *allocation) bool {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	c.l.clients[c.from] = a
	return true
}

func (c udpClient) detach(a *allocation) {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if c.l.clients[c.from] == a {
		delete(c.l.clients, c.from)
	}
}
