//go:build !race

package turnserver

import "testing"

// A burst makes no garbage, whichever way it goes.
func TestCostOfBurst(t *testing.T) {
	h := newHeld(t, GSOAuto)
	packets := make([]byte, 4+1200)
	packets[0], packets[3] = 0x40, 0
	packets[2], packets[3] = 1200>>8, 1200&0xff
	for _, way := range []struct {
		name   string
		number byte
	}{{"to a peer", 0}, {"to a client", 2}, {"from client to client", 1}} {
		burst := func() {
			packets[1] = way.number
			for range 7 {
				if way.number == 2 {
					h.peer.WriteToUDPAddrPort(packets[4:], h.relayA)
				} else {
					h.a.conn.Write(packets)
				}
			}
			h.w.round()
		}
		if n := testing.AllocsPerRun(100, burst); n != 0 {
			t.Errorf("%s: %v allocations in a burst", way.name, n)
		}
		t.Log(way.name, h.count())
	}
}

// Nor do Send indications and Data indications.
func TestCostOfIndications(t *testing.T) {
	h := newHeld(t, GSOAuto)
	b := newBuilder(methodSend, classIndication, newTID())
	b.addXORAddr(attrXORPeer, localAddr(h.peer.LocalAddr()))
	b.add(attrData, make([]byte, 1001))
	if n := testing.AllocsPerRun(100, func() { h.a.conn.Write(b.b); h.w.round() }); n != 0 {
		t.Errorf("%v allocations for a Send indication", n)
	}
	h.alloc.mu.Lock()
	clear(h.alloc.peers)
	h.alloc.mu.Unlock()
	data := make([]byte, 1001)
	if n := testing.AllocsPerRun(100, func() { h.peer.WriteToUDPAddrPort(data, h.relayA); h.w.round() }); n != 0 {
		t.Errorf("%v allocations for a Data indication", n)
	}
}
