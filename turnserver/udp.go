package turnserver

import (
	"errors"
	"net"
	"net/netip"
	"sync"
)

// udpListener is one UDP port, on one socket or several that share it, and the
// allocations of its clients. Nothing is kept for clients without allocation.
type udpListener struct {
	s     *Server
	conns []*net.UDPConn

	mu      sync.RWMutex
	clients map[udpPath]*allocation
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
	l := &udpListener{s: s, clients: map[udpPath]*allocation{}}
	if !canShare || s.cfg.Workers == 1 {
		l.conns = append(l.conns, first)
		return l, l.prepare(t)
	}
	at := localAddr(first.LocalAddr())
	first.Close()
	for range s.cfg.Workers {
		conn, err := listenShared(network, at)
		if err != nil {
			l.close()
			return nil, err
		}
		l.conns = append(l.conns, conn)
	}
	return l, l.prepare(t)
}

func (l *udpListener) prepare(t target) error {
	for _, conn := range l.conns {
		got, err := setBuffers(conn, l.s.cfg.SocketBuffer)
		if err != nil {
			l.s.cfg.Logger.Warn("turn: socket buffers", "error", err)
		}
		l.s.noteBuffer(got)
		if t.addr.Addr().IsUnspecified() {
			if err := tellDestination(conn, t.family == "4"); err != nil {
				l.close()
				return err
			}
		}
	}
	return nil
}

func (l *udpListener) close() {
	for _, conn := range l.conns {
		conn.Close()
	}
}

func (l *udpListener) addr() netip.AddrPort { return localAddr(l.conns[0].LocalAddr()) }

// serve reads one socket until it is closed.
func (l *udpListener) serve(conn *net.UDPConn) {
	buf := make([]byte, headroom+maxFrame+1)
	oob := make([]byte, oobBytes)
	var m message
	for {
		n, oobn, _, from, err := conn.ReadMsgUDPAddrPort(buf[headroom:], oob)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n > maxFrame {
			l.s.metrics.drop(dropGarbage)
			continue
		}
		path := udpPath{from: netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), local: destination(oob[:oobn])}
		p := packet{buf, headroom, headroom + n}
		if isChannelData(p.payload()) {
			l.s.receiveChannel(l.find(path), p)
			continue
		}
		l.s.receive(&udpClient{l: l, conn: conn, path: path, oob: source(path.local)}, p, &m)
	}
}

func (l *udpListener) find(path udpPath) *allocation {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.clients[path]
}

// udpClient is a client on a listener.
type udpClient struct {
	l    *udpListener
	conn *net.UDPConn
	path udpPath
	oob  []byte // has answers leave from the address that the client sent to
}

func (c *udpClient) send(b []byte) {
	if _, _, err := c.conn.WriteMsgUDPAddrPort(b, c.oob, c.path.from); err != nil {
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
