package eventstest

import (
	"net/netip"
	"testing"

	"github.com/rondo-chat/rondo/internal/outbound"
)

// Way returns a way out that leads to these addresses of this machine, and to none of the others.
func Way(t testing.TB, allow ...string) *outbound.Dialer {
	t.Helper()
	var prefixes []netip.Prefix
	for _, a := range allow {
		addr := netip.MustParseAddr(a)
		prefixes = append(prefixes, netip.PrefixFrom(addr, addr.BitLen()))
	}
	d, err := outbound.New(outbound.Config{Allow: prefixes})
	if err != nil {
		t.Fatal(err)
	}
	return d
}
