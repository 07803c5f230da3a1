package outbound

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/rondo-chat/rondo/internal/address"
)

// judge reports ErrRefused for an address that may not be reached.
func (d *Dialer) judge(a netip.Addr) error {
	zone := a.Zone()
	a = unwrap(a.WithZone(""))
	for _, p := range d.cfg.Allow {
		if p.Contains(a) {
			return nil
		}
	}
	if zone != "" || !address.Public(a) {
		return fmt.Errorf("%w: %v is not public", ErrRefused, a)
	}
	own, err := d.cfg.own()
	if err != nil {
		return fmt.Errorf("%w: own addresses are not known: %w", ErrRefused, err)
	}
	for _, o := range own {
		if o.WithZone("").Unmap() == a {
			return fmt.Errorf("%w: %v is this machine's own", ErrRefused, a)
		}
	}
	return nil
}

// unwrap gives the IPv4 address that a is in truth: mapped (::ffff:0:0/96), or behind a
// NAT64 gateway with the well-known prefix (64:ff9b::/96, RFC 6052), where networks
// without IPv4 have all of it.
func unwrap(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if !a.Is6() {
		return a
	}
	v := a.As16()
	if [12]byte(v[:12]) == [12]byte{0, 0x64, 0xff, 0x9b} {
		return netip.AddrFrom4([4]byte(v[12:]))
	}
	return a
}

// webPort reports whether a URL's port may be a web server's. Others below 1024 belong to
// services that could take a request for their own commands (mail, printers).
func webPort(port string) bool {
	if port == "" {
		return true
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && (n == 80 || n == 443 || n >= 1024)
}
