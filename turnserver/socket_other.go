//go:build !linux

package turnserver

import (
	"errors"
	"net"
	"net/netip"
)

const (
	canShare     = false
	hasDataPlane = false
	oobBytes     = 0
)

func newWorker(*udpListener, *net.UDPConn, bool) (udpReader, error) {
	return nil, errors.ErrUnsupported
}

func listenShared(string, netip.AddrPort) (*net.UDPConn, error) {
	return nil, errors.ErrUnsupported
}

// setBuffers sets a socket's buffers; what it got is not known here.
func setBuffers(conn *net.UDPConn, size int) (int, error) {
	return size, errors.Join(conn.SetReadBuffer(size), conn.SetWriteBuffer(size))
}

// tellDestination does nothing here: on a machine with several addresses, listen
// on each of them.
func tellDestination(*net.UDPConn, bool) error { return nil }

func destination([]byte) netip.Addr { return netip.Addr{} }
func source(netip.Addr) []byte      { return nil }

func setReceiveBuffer(conn *net.UDPConn, size int) { conn.SetReadBuffer(size) }
