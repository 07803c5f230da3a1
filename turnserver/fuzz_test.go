package turnserver

import (
	"bytes"
	"net/netip"
	"testing"
	"time"
)

// FuzzMessage: the parser never panics, never reads past a message, and what it
// takes is whole.
func FuzzMessage(f *testing.F) {
	for _, v := range []string{vectorRequest, vectorIPv4, vectorIPv6, vectorLongTerm} {
		f.Add(vector(f, v))
	}
	f.Add(newBuilder(methodAllocate, classRequest, [tidBytes]byte{}).b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var m message
		if m.parse(b) != nil {
			return
		}
		if len(b)%4 != 0 || len(m.attrs) > maxAttrs {
			t.Fatalf("took %d bytes, %d attributes", len(b), len(m.attrs))
		}
		for _, a := range m.attrs {
			if !bytes.Equal(b[a.at:a.at+len(a.value)], a.value) {
				t.Fatal("an attribute is not where it says")
			}
			if addr, ok := xorAddr(a.value, m.tid); ok {
				if !bytes.Equal(appendXORAddr(nil, addr, m.tid)[1:], a.value[1:]) {
					t.Fatalf("address %v does not survive", addr)
				}
			}
		}
		m.authentic([]byte("key"))
		m.unknown()
		_ = joinType(m.method, m.class)
	})
}

// FuzzFrames: a stream cut anywhere gives the same frames, none too large, and
// always comes forward.
func FuzzFrames(f *testing.F) {
	request := newBuilder(methodBinding, classRequest, [tidBytes]byte{}).b
	f.Add(append(bytes.Clone(request), 0x40, 0, 0, 3, 'a', 'b', 'c', 0), 7)
	f.Add([]byte{0x40, 0x00, 0xff, 0xfc, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 1)
	f.Add([]byte{0x00, 0x03, 0xff, 0xec, 0x21, 0x12, 0xa4, 0x42}, 3)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		whole, fine := split(t, b)
		if cut < 0 || cut > len(b) {
			return
		}
		size, ok := frameSize(b[:cut])
		if fullSize, fullOK := frameSize(b); size != 0 && ok && (fullSize != size || !fullOK) {
			t.Fatalf("size %d of a part, %d of all", size, fullSize)
		}
		if fine && whole > len(b) {
			t.Fatal("more frames than bytes")
		}
	})
}

func split(t *testing.T, b []byte) (used int, ok bool) {
	for {
		size, ok := frameSize(b)
		if !ok || size == 0 || size > len(b) {
			return used, ok
		}
		if size < channelHeader || size > maxFrame || size%4 != 0 {
			t.Fatalf("frame of %d bytes", size)
		}
		b, used = b[size:], used+size
	}
}

// FuzzGuard: whatever a client sends over UDP or a stream, with or without an
// allocation, the server neither panics nor answers with more than it may.
func FuzzGuard(f *testing.F) {
	for _, v := range []string{vectorRequest, vectorLongTerm} {
		f.Add(vector(f, v), false)
	}
	f.Add([]byte{0x40, 0x00, 0x00, 0x05, 'h', 'e', 'l', 'l', 'o'}, true)
	send := newBuilder(methodSend, classIndication, [tidBytes]byte{})
	send.addXORAddr(attrXORPeer, netip.MustParseAddrPort("127.0.0.1:50000"))
	send.add(attrData, []byte("hello"))
	f.Add(send.b, true)
	s := testServer(f, noLimits)
	c := &fakeClient{from: netip.MustParseAddrPort("127.0.0.1:9")}
	a := newWire(f, s, overUDP, "x")
	a.allocated()
	a.must(methodChannelBind, peerOpt("8.8.8.8"), channelOpt(0x4000))
	alloc := a.mine()
	alloc.permit([]netip.AddrPort{alloc.relay}, 10, time.Now())
	f.Fuzz(func(t *testing.T, b []byte, allocated bool) {
		if len(b) > maxFrame {
			return
		}
		c.alloc, c.sent = nil, nil
		if allocated {
			c.alloc = alloc
		}
		buf := append(make([]byte, headroom), b...)
		p := packet{buf, headroom, len(buf)}
		if isChannelData(b) {
			if b[0] != 0x40 || b[1] != 0 { // no test sends to the Internet
				s.receiveChannel(c.alloc, p)
			}
			return
		}
		var m message
		s.receive(c, p, &m)
		if len(c.sent) > 1 {
			t.Fatalf("%d answers", len(c.sent))
		}
		for _, out := range c.sent {
			var m message
			if m.parse(out) != nil {
				t.Fatalf("answered %x", out)
			}
		}
	})
}

// fakeClient keeps what it is sent.
type fakeClient struct {
	from  netip.AddrPort
	alloc *allocation
	sent  [][]byte
}

func (c *fakeClient) send(b []byte)           { c.sent = append(c.sent, bytes.Clone(b)) }
func (c *fakeClient) addr() netip.AddrPort    { return c.from }
func (c *fakeClient) transport() transport    { return overUDP }
func (c *fakeClient) padded() bool            { return false }
func (c *fakeClient) allocation() *allocation { return c.alloc }
func (c *fakeClient) attach(*allocation) bool { return false }
func (c *fakeClient) detach(*allocation)      {}

// FuzzUsername: a name that is taken apart can be put together again.
func FuzzUsername(f *testing.F) {
	f.Add("1700000000:k1.s_abc")
	f.Add("1700000000:alice")
	f.Add(":")
	f.Add("-5:x")
	f.Add("99999999999999999999:x")
	f.Fuzz(func(t *testing.T, name string) {
		id, err := parseUsername(name)
		if err != nil {
			return
		}
		if id.user == "" || len(name) > maxUsername || id.expiry.Unix() < 0 || name[len(name)-len(id.user):] != id.user {
			t.Fatalf("%q gave %+v", name, id)
		}
	})
}

// FuzzNonce: no nonce but ours is valid, for no address but its own.
func FuzzNonce(f *testing.F) {
	n := newNonces()
	now := time.Now()
	from := netip.MustParseAddrPort("192.0.2.1:1000")
	ours := n.make(from, now)
	if !n.valid(ours, from, now) {
		f.Fatal("a fresh nonce is not valid")
	}
	f.Add(ours)
	f.Add([]byte("garbage"))
	f.Fuzz(func(t *testing.T, nonce []byte) {
		if n.valid(nonce, from, now) && !bytes.Equal(nonce, ours) {
			t.Fatalf("forged %q", nonce)
		}
		if n.valid(nonce, netip.MustParseAddrPort("192.0.2.1:1001"), now) {
			t.Fatal("valid for another address")
		}
	})
}
