package turnserver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// canShare says that several sockets can share a port, each client staying with
// one of them.
const canShare = true

// hasDataPlane says that packets can be moved many at a time (dataplane_linux.go).
const hasDataPlane = true

// listenShared opens one more UDP socket on a port that others of this server hold.
func listenShared(network string, at netip.AddrPort) (*net.UDPConn, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var opt error
		err := c.Control(func(fd uintptr) { opt = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
		if err != nil {
			return err
		}
		return opt
	}}
	pc, err := lc.ListenPacket(context.Background(), network, at.String())
	if err != nil {
		return nil, err
	}
	return pc.(*net.UDPConn), nil
}

// setBuffers sets a socket's buffers, past the system's limit where the process
// may, and returns what it got for receiving.
func setBuffers(conn *net.UDPConn, size int) (int, error) {
	got := 0
	err := onDescriptor(conn, func(fd int) (err error) {
		err = errors.Join(
			force(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, size),
			force(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, size))
		got, _ = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
		return err
	})
	return got / 2, err // Linux doubles it for its own bookkeeping
}

// setReceiveBuffer sets the one for receiving, as far as it goes.
func setReceiveBuffer(conn *net.UDPConn, size int) {
	onDescriptor(conn, func(fd int) error { return force(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, size) })
}

// force sets an option that only some may set, or else the one that everybody may.
func force(fd, forced, plain, value int) error {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, forced, value) == nil {
		return nil
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, value)
}

// onDescriptor has f do something with a connection's descriptor.
func onDescriptor(conn *net.UDPConn, f func(fd int) error) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	ctl := raw.Control(func(fd uintptr) { err = f(int(fd)) })
	if ctl != nil {
		return ctl
	}
	return err
}

// tellDestination has a socket that listens on all addresses say which of them
// each datagram was sent to, so that the answer leaves from there.
func tellDestination(conn *net.UDPConn, v4 bool) error {
	return onDescriptor(conn, func(fd int) error {
		if v4 {
			return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		}
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	})
}

// oobBytes is room for a destination (in6_pktinfo is the larger).
var oobBytes = unix.CmsgSpace(unix.SizeofInet6Pktinfo)

// destination reads what tellDestination asked for.
func destination(oob []byte) netip.Addr {
	for len(oob) > 0 {
		h, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		switch {
		case err != nil:
			return netip.Addr{}
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			return netip.AddrFrom4([4]byte(data[4:8])) // ipi_spec_dst
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			return netip.AddrFrom16([16]byte(data[:16]))
		}
		oob = rest
	}
	return netip.Addr{}
}

// source makes the control message that has a datagram leave from an address.
func source(a netip.Addr) []byte {
	switch {
	case !a.IsValid():
		return nil
	case a.Is4():
		return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: a.As4()})
	}
	return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: a.As16()})
}
