package turnserver

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"

	"github.com/rondo-chat/rondo/internal/address"
)

func randomSecret() Secret {
	key := make([]byte, 32)
	rand.Read(key) // never fails (crypto/rand)
	return Secret{ID: "r", Key: key}
}

// relayAddr is where relays of one family live: bound to bind, reached by
// clients and peers at public.
type relayAddr struct {
	bind, public netip.Addr
}

// relayAddrs finds the addresses of relays and says in plain words what looks
// wrong with them.
func relayAddrs(configured, own []netip.Addr) (addrs []relayAddr, warnings []string) {
	external := configured
	if len(external) == 0 {
		external = detectExternal(own)
	}
	for _, a := range external {
		addrs = append(addrs, relayAddr{bind: bindFor(a.Unmap(), own), public: a.Unmap()})
		if w := externalWarning(a.Unmap(), len(configured) > 0); w != "" {
			warnings = append(warnings, w)
		}
	}
	if len(external) == 0 {
		warnings = append(warnings, "TURN: this machine has no network address that clients could reach; TURN cannot relay. Set the external IP.")
	}
	return addrs, warnings
}

// detectExternal takes the first public address of each family; without any,
// the IPv4 address that leads out; without that, loopback.
func detectExternal(own []netip.Addr) (list []netip.Addr) {
	var v4, v6 netip.Addr
	for _, a := range own {
		if !address.Public(a) {
			continue
		}
		if a.Is4() && !v4.IsValid() {
			v4 = a
		} else if a.Is6() && !v6.IsValid() {
			v6 = a
		}
	}
	if !v4.IsValid() {
		v4 = outwardIPv4()
	}
	if !v4.IsValid() && !v6.IsValid() {
		v4 = loopbackOf(own)
	}
	for _, a := range []netip.Addr{v4, v6} {
		if a.IsValid() {
			list = append(list, a)
		}
	}
	return list
}

// outwardIPv4 is the source address the system would use towards the Internet.
// Connecting a UDP socket sends nothing.
func outwardIPv4() netip.Addr {
	c, err := net.Dial("udp4", "192.0.2.1:9")
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}

func loopbackOf(own []netip.Addr) netip.Addr {
	for _, a := range own {
		if a.Is4() && a.IsLoopback() {
			return a
		}
	}
	return netip.Addr{}
}

// bindFor binds relays to their own address when this machine has it, so that
// what they send leaves from there, else (behind 1:1 NAT) to all of the family.
func bindFor(external netip.Addr, own []netip.Addr) netip.Addr {
	for _, a := range own {
		if a == external {
			return a
		}
	}
	if external.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

func externalWarning(a netip.Addr, configured bool) string {
	if address.Public(a) {
		return ""
	}
	how := "was found on this machine"
	if configured {
		how = "is configured"
	}
	switch {
	case a.IsLoopback():
		return fmt.Sprintf("TURN: the external IP %v %s: only programs on this machine can use TURN. Set the public IP as external IP.", a, how)
	case a.IsLinkLocalUnicast():
		return fmt.Sprintf("TURN: the external IP %v %s and works only on its network segment. Set the public IP as external IP.", a, how)
	}
	return fmt.Sprintf("TURN: the external IP %v %s and is private: clients outside this network cannot use TURN. Behind NAT or in a container set the public IP as external IP and forward the TURN port and the relay ports.", a, how)
}
