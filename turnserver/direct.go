package turnserver

import (
	"errors"
	"net"
	"net/netip"
	"time"
)

// This file moves packets one by one, on every system: for clients on streams,
// and for UDP where there is nothing faster.

// direct is the outlet that keeps nothing back.
type direct struct{ s *Server }

func (d direct) now() time.Time             { return d.s.cfg.now() }
func (d direct) relayed(w direction, n int) { d.s.metrics.relayed(w, n) }
func (d direct) drop(r dropReason)          { d.s.metrics.drop(r) }
func (d direct) flush()                     {}

func (d direct) toClient(a *allocation, b []byte) { a.client.send(b) }

func (d direct) toPeer(a *allocation, b []byte, peer netip.AddrPort) {
	if err := a.sock.send(b, peer); err != nil {
		d.drop(dropSocket)
		return
	}
	d.relayed(dirUp, len(b))
}

// netSocket is a UDP socket of the standard library.
type netSocket struct{ conn *net.UDPConn }

func (n netSocket) send(b []byte, peer netip.AddrPort) error {
	_, err := n.conn.WriteToUDPAddrPort(b, peer)
	return err
}

func (n netSocket) sendFrom(b, source []byte, to netip.AddrPort) error {
	_, _, err := n.conn.WriteMsgUDPAddrPort(b, source, to)
	return err
}

func (n netSocket) close() { n.conn.Close() }

// receive reads the relay socket until it is closed.
func (n netSocket) receive(a *allocation) error {
	o := direct{a.s}
	buf := make([]byte, bufferBytes)
	for failures := 0; failures < maxReadFailures; {
		n, from, err := n.conn.ReadFromUDPAddrPort(buf[headroom : headroom+maxFrame+1])
		switch {
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // such as a port-unreachable message of some peer
			failures++
			continue
		}
		failures = 0
		from = netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port())
		a.received(o, packet{buf, headroom, headroom + n}, from)
	}
	return net.ErrClosed
}

const maxReadFailures = 100

// netReader serves one socket of a listener.
type netReader struct {
	netSocket
	l *udpListener
}

// serve reads until the socket is closed.
func (r *netReader) serve() {
	o := direct{r.l.s}
	buf := make([]byte, bufferBytes)
	oob := make([]byte, oobBytes)
	var m message
	for {
		n, oobn, _, from, err := r.conn.ReadMsgUDPAddrPort(buf[headroom:headroom+maxFrame+1], oob)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			o.drop(dropGarbage)
			continue
		}
		path := udpPath{from: netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), local: destination(oob[:oobn])}
		r.l.received(o, r, packet{buf, headroom, headroom + n}, path, &m)
	}
}

func (r *netReader) relay(conn *net.UDPConn) (relaySocket, error) { return netSocket{conn}, nil }
func (r *netReader) free()                                        {}
