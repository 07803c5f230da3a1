package turnserver

import (
	"net"
	"net/netip"
	"sync"
)

// udpListener is one UDP port, on one socket or several that share it, and the
// allocations of its clients. Nothing is kept for clients without allocation.
type udpListener struct {
	s       *Server
	at      netip.AddrPort
	readers []udpReader

	mu      sync.RWMutex
	clients map[udpPath]*allocation
}

// udpReader serves one socket of a listener, and the relays of its clients.
type udpReader interface {
	serve() // until it is closed
	// sendFrom sends a datagram to a client, from the source that it knows.
	sendFrom(b, source []byte, to netip.AddrPort) error
	// relay makes conn a relay socket, or closes it.
	relay(conn *net.UDPConn) (relaySocket, error)
	close()
	free() // gives back what is left, after serve or instead of it
}

// udpPath is a client's address and the local address it sent to, which is known
// (and needed) only where the listener is on all addresses.
type udpPath struct {
	from  netip.AddrPort
	local netip.Addr
}

// listenUDP opens the sockets of one port. Sockets that share a port would let a
// second server of the same user take half of it: the first one is exclusive
// until it is known that nobody else holds the port.
func (s *Server) listenUDP(t target) (*udpListener, error) {
	network := "udp" + t.family
	first, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(t.addr))
	if err != nil {
		return nil, err
	}
	at := localAddr(first.LocalAddr())
	l := &udpListener{s: s, at: at, clients: map[udpPath]*allocation{}}
	if !canShare || s.cfg.Workers == 1 {
		return l, l.add(first, t)
	}
	first.Close()
	for range s.cfg.Workers {
		conn, err := listenShared(network, at)
		if err == nil {
			err = l.add(conn, t)
		}
		if err != nil {
			l.close()
			return nil, err
		}
	}
	return l, nil
}

// add prepares a socket and makes the reader that has it from now on.
func (l *udpListener) add(conn *net.UDPConn, t target) error {
	got, err := setBuffers(conn, l.s.cfg.SocketBuffer)
	if err != nil {
		l.s.cfg.Logger.Warn("turn: socket buffers", "error", err)
	}
	l.s.noteBuffer(got)
	everywhere := t.addr.Addr().IsUnspecified()
	if everywhere {
		if err := tellDestination(conn, t.family == "4"); err != nil {
			conn.Close()
			return err
		}
	}
	r, err := l.newReader(conn, everywhere)
	if err != nil {
		return err
	}
	l.readers = append(l.readers, r)
	return nil
}

// newReader makes the fastest reader that there is.
func (l *udpListener) newReader(conn *net.UDPConn, everywhere bool) (udpReader, error) {
	if hasDataPlane && !l.s.cfg.portable {
		return newWorker(l, conn, everywhere)
	}
	return &netReader{netSocket{conn}, l}, nil
}

func (l *udpListener) close() {
	for _, r := range l.readers {
		r.close()
	}
}

func (l *udpListener) free() {
	for _, r := range l.readers {
		r.free()
	}
}

func (l *udpListener) addr() netip.AddrPort { return l.at }

// received takes one datagram that came in on r.
func (l *udpListener) received(o outlet, r udpReader, p packet, path udpPath, m *message) {
	if p.end-p.at > maxFrame {
		o.drop(dropGarbage)
		return
	}
	a := l.find(path)
	if isChannelData(p.payload()) {
		l.s.channelData(o, a, p)
		return
	}
	if a != nil {
		l.s.message(o, a.client, p, m)
		return
	}
	l.s.message(o, &udpClient{l: l, r: r, path: path, source: source(path.local)}, p, m)
}

func (l *udpListener) find(path udpPath) *allocation {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.clients[path]
}

// udpClient is a client on a listener.
type udpClient struct {
	l      *udpListener
	r      udpReader
	path   udpPath
	source []byte // has answers leave from the address that the client sent to
}

func (c *udpClient) send(b []byte) {
	if c.r.sendFrom(b, c.source, c.path.from) != nil {
		c.l.s.metrics.drop(dropSocket)
	}
}

func (c *udpClient) addr() netip.AddrPort    { return c.path.from }
func (c *udpClient) transport() transport    { return overUDP }
func (c *udpClient) padded() bool            { return false }
func (c *udpClient) allocation() *allocation { return c.l.find(c.path) }

func (c *udpClient) attach(a *allocation) bool {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	c.l.clients[c.path] = a
	return true
}

func (c *udpClient) detach(a *allocation) {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if c.l.clients[c.path] == a {
		delete(c.l.clients, c.path)
	}
}
