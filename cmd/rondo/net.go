package main

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/rondo-chat/rondo/internal/turnstile"
)

// interfaceAddrs returns this machine's unicast addresses, loopback included.
func interfaceAddrs() []netip.Addr {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, a := range all {
		if ipNet, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(ipNet.IP); ok && !addr.IsLinkLocalUnicast() {
				out = append(out, addr.Unmap())
			}
		}
	}
	return out
}

// clientAddr returns a function that tells a request's client address. Behind
// trusted proxies it is the last address of X-Forwarded-For that none of them
// added; anybody else's header is ignored.
func clientAddr(trusted []netip.Prefix) func(*http.Request) netip.Addr {
	isTrusted := func(a netip.Addr) bool {
		for _, p := range trusted {
			if p.Contains(a) {
				return true
			}
		}
		return false
	}
	return func(r *http.Request) netip.Addr {
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil {
			return netip.Addr{}
		}
		addr := peer.Addr().Unmap()
		hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		for i := len(hops) - 1; i >= 0 && isTrusted(addr); i-- {
			hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
			if err != nil {
				break
			}
			addr = hop.Unmap()
		}
		return addr
	}
}

// patient lets who comes, and who asks for a page, wait for those who are there.
type patient struct {
	net.Listener
	turn *turnstile.Turnstile
}

// Accept implements net.Listener.
func (p patient) Accept() (net.Conn, error) {
	c, err := p.Listener.Accept()
	p.turn.Next()
	return c, err
}

// page lets requests for h wait in the same way.
func page(h http.Handler, turn *turnstile.Turnstile) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		turn.Pass()
		h.ServeHTTP(w, r)
	})
}
