//go:build unix

package signaling

import "syscall"

// readiness waits until something can be read from a connection, or it is
// closed or past its deadline. A goroutine that waits deep inside of reading
// keeps a stack of 8 KiB; from here it shrinks to 4 KiB, which is most of what
// an idle session costs.
type readiness struct {
	raw    syscall.RawConn
	look   func(fd uintptr) bool // made once
	waited bool
	over   bool
}

func newReadiness(c syscall.RawConn) *readiness {
	r := &readiness{raw: c}
	r.look = func(fd uintptr) bool {
		if r.waited {
			return true
		}
		r.waited = true
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		r.over = n <= 0 && err != syscall.EAGAIN && err != syscall.EINTR
		return err != syscall.EAGAIN
	}
	return r
}

// wait reports whether the connection is over as far as one can see.
func (r *readiness) wait() (over bool) {
	r.waited, r.over = false, false
	_ = r.raw.Read(r.look) // an error shows again when reading
	return r.over
}
