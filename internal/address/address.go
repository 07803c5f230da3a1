// Package address knows which network addresses are whose: of the public Internet, of
// private use, of this machine.
package address

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// ParsePrefixes reads CIDR ranges or single addresses. IPv4 ranges written in
// IPv6 (::ffff:10.0.0.0/104) mean the IPv4 range.
func ParsePrefixes(list []string) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	for _, s := range list {
		s = strings.TrimSpace(s)
		p, err := netip.ParsePrefix(s)
		if err != nil {
			a, addrErr := netip.ParseAddr(s)
			if addrErr != nil || a.Zone() != "" {
				return nil, fmt.Errorf("%q is neither a CIDR range nor an address", s)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		prefixes = append(prefixes, UnmapPrefix(p))
	}
	return prefixes, nil
}

// UnmapPrefix makes a range of IPv4 written in IPv6 the IPv4 range, with its host bits zero.
func UnmapPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// Public reports whether an unmapped address belongs to the public Internet (the IANA
// special-purpose registries) and is no cloud's metadata service. Of IPv6 only 2000::/3
// is, less what is special there, so IPv4 in any other IPv6 disguise (::/96,
// 64:ff9b:1::/48, 2002::/16, Teredo) is out by construction.
func Public(a netip.Addr) bool {
	switch {
	case !a.IsValid():
		return false
	case a.Is4():
		v := a.As4()
		return !specialIPv4(v[0], v[1], v[2]) && v != [4]byte{168, 63, 129, 16} // Azure's
	}
	v := a.As16()
	switch {
	case v[0]&0xE0 != 0x20: // not 2000::/3
		return false
	case v[0] == 0x20 && v[1] == 0x01 && v[2] < 0x02: // 2001::/23
		return false
	case v[0] == 0x20 && v[1] == 0x01 && v[2] == 0x0d && v[3] == 0xb8: // 2001:db8::/32
		return false
	case v[0] == 0x20 && v[1] == 0x02: // 2002::/16
		return false
	case v[0] == 0x3f && v[1] == 0xff && v[2]&0xF0 == 0: // 3fff::/20
		return false
	}
	return true
}

func specialIPv4(a, b, c byte) bool {
	switch a {
	case 0, 10, 127: // this network, private, loopback
		return true
	case 100:
		return b&0xC0 == 64 // 100.64/10 carrier-grade NAT
	case 169:
		return b == 254 // link local, cloud metadata
	case 172:
		return b&0xF0 == 16
	case 192:
		return b == 168 || b == 0 && (c == 0 || c == 2) || b == 88 && c == 99
	case 198:
		return b&0xFE == 18 || b == 51 && c == 100
	case 203:
		return b == 0 && c == 113
	}
	return a >= 224 // multicast, reserved, broadcast
}

// Own lists the addresses of this machine.
func Own() ([]netip.Addr, error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var addrs []netip.Addr
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				addrs = append(addrs, ip.Unmap())
			}
		}
	}
	return addrs, nil
}
