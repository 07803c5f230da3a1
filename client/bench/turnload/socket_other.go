//go:build !linux

package turnload

import (
	"errors"
	"net/netip"
	"time"
)

// socket is there on Linux only.
type socket struct{ local netip.AddrPort }

func newSocket(netip.AddrPort) (*socket, error) { return nil, errors.ErrUnsupported }

func (s *socket) close()                            {}
func (s *socket) send([]byte, netip.AddrPort) error { return errors.ErrUnsupported }
func (s *socket) receive([]byte) (int, time.Time)   { return -1, time.Time{} }

func pause(d time.Duration) { <-time.After(d) }
