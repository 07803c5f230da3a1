//go:build !unix

package signaling

import "syscall"

// readiness does nothing here: reading waits by itself.
type readiness struct{}

func newReadiness(syscall.RawConn) *readiness { return &readiness{} }

func (*readiness) wait() (over bool) { return false }
