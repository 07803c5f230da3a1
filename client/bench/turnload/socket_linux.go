package turnload

import (
	"encoding/binary"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// socket is a UDP socket that nobody waits at.
type socket struct {
	fd    int
	local netip.AddrPort
	oob   []byte
}

const socketBuffer = 4 << 20

func newSocket(at netip.AddrPort) (*socket, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	s := &socket{fd: fd, oob: make([]byte, 128)}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBuffer) != nil {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, socketBuffer) // as far as it goes
	}
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())})
	}
	if err != nil {
		s.close()
		return nil, err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		s.close()
		return nil, err
	}
	v4 := name.(*unix.SockaddrInet4)
	s.local = netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), uint16(v4.Port))
	return s, nil
}

func (s *socket) close() { unix.Close(s.fd) }

func (s *socket) send(b []byte, to netip.AddrPort) error {
	return unix.Sendto(s.fd, b, 0, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())})
}

// receive returns a datagram's length and when the kernel got it, or -1.
func (s *socket) receive(b []byte) (int, time.Time) {
	n, oobn, _, _, err := unix.Recvmsg(s.fd, b, s.oob, unix.MSG_DONTWAIT)
	if err != nil {
		return -1, time.Time{}
	}
	h, data, _, err := unix.ParseOneSocketControlMessage(s.oob[:oobn])
	if err != nil || h.Type != unix.SO_TIMESTAMPNS || len(data) < 16 {
		return n, time.Now()
	}
	return n, time.Unix(int64(binary.NativeEndian.Uint64(data)), int64(binary.NativeEndian.Uint64(data[8:])))
}

// pause sleeps in the kernel: Go's timers are too coarse for 50 µs.
func pause(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	unix.Nanosleep(&ts, nil)
}
