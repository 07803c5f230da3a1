package turnserver

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawSocket is a UDP socket that Go's network poller does not know: a datagram
// that comes in wakes the worker that waits for it and nothing else. It never
// waits: the system calls are raw, so the scheduler has no part in them either.
type rawSocket struct {
	descriptor
	ip6 bool // it takes IPv6 addresses, and IPv4 as mapped ones

	plain  atomic.Bool // it does no segmentation, or no more
	proven atomic.Bool // segmentation has worked
}

// detach takes the socket out of conn, which is closed in any case.
func detach(conn *net.UDPConn, segments bool) (*rawSocket, error) {
	defer conn.Close()
	r := &rawSocket{}
	err := onDescriptor(conn, func(fd int) (err error) {
		domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
		if err != nil {
			return err
		}
		r.ip6 = domain == unix.AF_INET6
		if _, err := unix.GetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT); err != nil {
			segments = false // a kernel before 4.18, which would ignore the request
		}
		r.fd, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		return err
	})
	r.plain.Store(!segments)
	return r, err
}

// send sends one datagram to a peer.
func (r *rawSocket) send(b []byte, peer netip.AddrPort) error { return r.sendFrom(b, nil, peer) }

// sendFrom sends one datagram, or drops it when the system has no room for it.
func (r *rawSocket) sendFrom(b, source []byte, to netip.AddrPort) error {
	if !r.acquire() {
		return net.ErrClosed
	}
	defer r.release()
	var name unix.RawSockaddrInet6
	var vec unix.Iovec
	var h unix.Msghdr
	h.Name, h.Namelen = (*byte)(unsafe.Pointer(&name)), r.encode(&name, to)
	vec.Base = unsafe.SliceData(b)
	vec.SetLen(len(b))
	h.Iov = &vec
	h.SetIovlen(1)
	if len(source) > 0 {
		h.Control = &source[0]
		h.SetControllen(len(source))
	}
	_, _, e := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(r.fd), uintptr(unsafe.Pointer(&h)), unix.MSG_DONTWAIT)
	if e != 0 {
		return e
	}
	return nil
}

// encode writes an address as the system has it and returns its length.
func (r *rawSocket) encode(name *unix.RawSockaddrInet6, to netip.AddrPort) uint32 {
	port := (*[2]byte)(unsafe.Pointer(&name.Port)) // at the same place in both families
	if r.ip6 {
		name.Family, name.Flowinfo = unix.AF_INET6, 0
		name.Addr = to.Addr().As16()
		scope, _ := strconv.ParseUint(to.Addr().Zone(), 10, 32)
		name.Scope_id = uint32(scope)
		binary.BigEndian.PutUint16(port[:], to.Port())
		return unix.SizeofSockaddrInet6
	}
	n4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
	n4.Family = unix.AF_INET
	n4.Addr = to.Addr().Unmap().As4()
	binary.BigEndian.PutUint16(port[:], to.Port())
	return unix.SizeofSockaddrInet4
}

// decode reads an address that the system wrote.
func decode(name *unix.RawSockaddrInet6) netip.AddrPort {
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&name.Port))[:])
	if name.Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(name)).Addr), port)
	}
	addr := netip.AddrFrom16(name.Addr).Unmap()
	if name.Scope_id != 0 {
		addr = addr.WithZone(strconv.FormatUint(uint64(name.Scope_id), 10))
	}
	return netip.AddrPortFrom(addr, port)
}

// multiMessage is struct mmsghdr: a message and how many bytes it had.
type multiMessage struct {
	unix.Msghdr
	n uint32
}

// receiveMany is recvmmsg: it returns how many datagrams there were, at most as
// many as messages.
func (r *rawSocket) receiveMany(messages []multiMessage) (int, unix.Errno) {
	if !r.acquire() {
		return 0, unix.EBADF
	}
	defer r.release()
	n, _, e := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(r.fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(messages))), uintptr(len(messages)), unix.MSG_DONTWAIT, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

// sendMany is sendmmsg: it returns how many messages were sent. There is an error
// only if the first one was not.
func (r *rawSocket) sendMany(messages []multiMessage) (int, unix.Errno) {
	if !r.acquire() {
		return 0, unix.EBADF
	}
	defer r.release()
	n, _, e := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(r.fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(messages))), uintptr(len(messages)), unix.MSG_DONTWAIT, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

// sendOne is sendto for a message that is one packet without control messages.
func (r *rawSocket) sendOne(m *multiMessage) unix.Errno {
	if !r.acquire() {
		return unix.EBADF
	}
	defer r.release()
	_, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(r.fd), uintptr(unsafe.Pointer(m.Iov.Base)), uintptr(m.Iov.Len),
		unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(m.Name)), uintptr(m.Namelen))
	return e
}

// descriptor is a file descriptor that several goroutines use. It is closed by the
// last of them, for the moment after its number may be anything.
type descriptor struct {
	fd    int
	users atomic.Int32 // who are within a system call; negative when closed
}

const closedDescriptor = -1 << 31

// acquire keeps the descriptor open until release. It is false on a closed socket.
func (d *descriptor) acquire() bool {
	for {
		n := d.users.Load()
		if n < 0 {
			return false
		}
		if d.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (d *descriptor) release() {
	if d.users.Add(-1) == closedDescriptor {
		d.shut()
	}
}

func (d *descriptor) close() {
	for {
		n := d.users.Load()
		if n < 0 {
			return
		}
		if d.users.CompareAndSwap(n, n+closedDescriptor) {
			if n == 0 {
				d.shut()
			}
			return
		}
	}
}

func (d *descriptor) shut() {
	if d.fd >= 0 {
		unix.Close(d.fd)
	}
}
