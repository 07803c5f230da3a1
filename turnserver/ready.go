package turnserver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"
)

// Ready reports whether the server answers: it asks itself for its address over
// UDP, as a client would, and has the control plane answer. ctx bounds the wait.
func (s *Server) Ready(ctx context.Context) error {
	if s.cfg.ExternalOnly {
		return nil
	}
	self, ok := s.firstUDP()
	if !ok {
		return errors.New("turnserver: not started")
	}
	if err := askBinding(ctx, self); err != nil {
		return fmt.Errorf("turnserver: no answer from %v: %w", self, err)
	}
	if err := s.control.ping(ctx); err != nil {
		return fmt.Errorf("turnserver: the control plane does not answer: %w", err)
	}
	return nil
}

// firstUDP is an address at which this process reaches its own listener.
func (s *Server) firstUDP() (netip.AddrPort, bool) {
	for _, a := range s.Addrs() {
		if a.Transport != string(overUDP) {
			continue
		}
		if a.Addr.Addr().IsUnspecified() {
			return netip.AddrPortFrom(loopback(a.Addr.Addr()), a.Addr.Port()), true
		}
		return a.Addr, true
	}
	return netip.AddrPort{}, false
}

func loopback(unspecified netip.Addr) netip.Addr {
	if unspecified.Is4() {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.IPv6Loopback()
}

// bindingRepeat is when an unanswered Binding request is sent again (RFC 8489
// section 6.2.1).
const bindingRepeat = 500 * time.Millisecond

// askBinding sends Binding requests until one is answered.
func askBinding(ctx context.Context, to netip.AddrPort) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", to.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	var tid [tidBytes]byte
	binary.BigEndian.PutUint64(tid[:], rand.Uint64())
	for {
		if _, err := conn.Write(newBuilder(methodBinding, classRequest, tid).b); err != nil {
			return err
		}
		until := time.Now().Add(bindingRepeat)
		if d, ok := ctx.Deadline(); ok && d.Before(until) {
			until = d
		}
		conn.SetReadDeadline(until)
		err := awaitBinding(conn, tid)
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if d, ok := ctx.Deadline(); ok && !time.Now().Before(d) {
			return context.DeadlineExceeded
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func awaitBinding(conn net.Conn, tid [tidBytes]byte) error {
	buf := make([]byte, maxFrame)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return err
		}
		var m message
		if m.parse(buf[:n]) == nil && m.tid == tid && m.class == classSuccess {
			return nil
		}
	}
}
