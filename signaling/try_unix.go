//go:build unix

package signaling

import "syscall"

func newAttempt() *attempt {
	a := &attempt{}
	a.call = func(fd uintptr) bool {
		a.n, a.err = syscall.Write(int(fd), a.b)
		return true // whatever came of it: nothing waits here
	}
	return a
}

func (t *webSocket) tries() bool { return t.raw != nil }

// try writes as much of b as the connection takes at once.
func (t *webSocket) try(b []byte, a *attempt) (n int, err error) {
	a.b = b
	err = t.raw.Write(a.call)
	a.b = nil
	switch {
	case err != nil:
		return 0, err
	case a.err == syscall.EAGAIN || a.err == syscall.EINTR:
		return 0, nil
	case a.err != nil:
		return 0, a.err
	}
	return a.n, nil
}
