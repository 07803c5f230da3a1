package lab

import "testing"

// OnlyHTTPS has A's router let nothing out but TCP to port 443, as the networks of
// some companies and hotels do.
func (n *NATs) OnlyHTTPS(t testing.TB) {
	t.Helper()
	for _, rule := range []string{"meta l4proto != tcp", "tcp dport != 443"} {
		n.net.run("ra", n.net.nft+" insert rule ip wall pass iifname lan0 "+rule+" drop")
	}
}
