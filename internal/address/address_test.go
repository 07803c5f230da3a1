package address_test

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/rondo-chat/rondo/internal/address"
)

func TestPublic(t *testing.T) {
	for addr, want := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "100.63.255.255": true, "100.128.0.0": true, "172.15.0.1": true, "172.32.0.1": true,
		"192.0.1.1": true, "198.17.0.1": true, "198.20.0.1": true, "223.255.255.255": true, "169.253.0.1": true, "168.63.129.15": true, "168.63.129.16": false,
		"0.0.0.1": false, "10.1.1.1": false, "100.64.0.1": false, "100.127.255.255": false, "127.0.0.1": false, "169.254.0.1": false,
		"172.16.0.1": false, "192.0.0.1": false, "192.0.2.1": false, "192.88.99.1": false, "192.168.0.1": false, "198.18.0.1": false,
		"198.19.255.255": false, "198.51.100.1": false, "203.0.113.1": false, "224.0.0.1": false, "255.255.255.255": false,
		"2a00:1450::1": true, "2001:200::1": true, "2600::1": true,
		"::": false, "::1": false, "::8.8.8.8": false, "64:ff9b::808:808": false, "100::1": false, "2001::1": false, "2001:1ff::1": false,
		"2001:db8::1": false, "2002::1": false, "3fff:fff::1": false, "5f00::1": false, "fc00::1": false, "fe80::1": false, "ff02::1": false,
	} {
		if got := address.Public(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s public: %v", addr, got)
		}
	}
}

func TestParsePrefixes(t *testing.T) {
	list, err := address.ParsePrefixes([]string{" 10.1.0.7/16", "::ffff:10.2.0.0/112", "fd00:1::/32", "127.0.0.9"})
	want := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("10.2.0.0/16"), netip.MustParsePrefix("fd00:1::/32"),
		netip.MustParsePrefix("127.0.0.9/32")}
	if err != nil || !slices.Equal(list, want) {
		t.Errorf("%v, %v", list, err)
	}
	for _, bad := range []string{"", "10.0.0.0/33", "x", "10.0.0", "example.org", "fe80::1%eth0", "10.0.0.1:80"} {
		if _, err := address.ParsePrefixes([]string{bad}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestOwn(t *testing.T) {
	list, err := address.Own()
	if err != nil || !slices.ContainsFunc(list, func(a netip.Addr) bool { return net.IP(a.AsSlice()).IsLoopback() }) {
		t.Errorf("no loopback among %v, %v", list, err)
	}
}

// FuzzPrefixes: what is parsed prints as it means.
func FuzzPrefixes(f *testing.F) {
	f.Add("10.0.0.0/8")
	f.Add("::ffff:10.0.0.0/104")
	f.Add("2001:db8::1")
	f.Add("10.0.0.1/33")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := address.ParsePrefixes([]string{text})
		if err != nil {
			return
		}
		again, err := address.ParsePrefixes([]string{list[0].String()})
		if err != nil || again[0] != list[0] {
			t.Fatalf("%q gave %v, then %v: %v", text, list[0], again, err)
		}
	})
}
