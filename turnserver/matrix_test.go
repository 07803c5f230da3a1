package turnserver

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
)

// TestMatrix is the behaviour that RFC 8489, RFC 8656 and their security
// sections ask for, over every transport.
func TestMatrix(t *testing.T) {
	testTransports(t, nil, func(t *testing.T, s *Server, over transport) {
		for _, group := range [][]probe{bindingProbes, authProbes, allocateProbes, mismatchProbes, peerProbes, channelProbes, dataProbes} {
			for _, p := range group {
				t.Run(p.name, func(t *testing.T) {
					w := newWire(t, s, over, "probe")
					got := p.do(w)
					want := p.want
					if p.stream != "" && over != overUDP {
						want = p.stream
					}
					if got != want {
						t.Errorf("got %q, want %q", got, want)
					}
				})
			}
		}
	})
}

type probe struct {
	name, want string
	do         func(w *wire) string
	stream     string // what is wanted over TCP and TLS, when it differs
}

// ask is a probe of one request after login.
func askProbe(name, want string, m method, options ...option) probe {
	return probe{name: name, want: want, do: func(w *wire) string { return w.login().ask(m, options...).String() }}
}

// onAllocation is a probe of one request on an allocation.
func onAllocation(name, want string, m method, options ...option) probe {
	return probe{name: name, want: want, do: func(w *wire) string {
		w.allocated()
		return w.ask(m, options...).String()
	}}
}

// tellBinding is a probe of a Binding request that is broken by hand.
func tellBinding(name, want, stream string, spoil func(b []byte) []byte) probe {
	return probe{name: name, want: want, stream: stream, do: func(w *wire) string {
		b, tid := w.build(methodBinding, withFP)
		b = spoil(b)
		if stream == "closed" && w.over != overUDP {
			w.send(b)
			if w.closed(patience) {
				return "closed"
			}
			return "open"
		}
		return w.tell(b, tid).String()
	}}
}

var bindingProbes = []probe{
	askProbe("binding", "ok", methodBinding),
	askProbe("binding with fingerprint", "ok FP", methodBinding, withFP),
	askProbe("binding unknown required", "420 unknown", methodBinding, unknownRq),
	askProbe("binding unknown optional", "ok", methodBinding, add(0x8FFF, 1, 2, 3, 4)),
	{name: "binding says the address", want: "ok", do: func(w *wire) string {
		a := w.ask(methodBinding)
		v, _ := a.m.get(attrXORMapped)
		if got, ok := xorAddr(v, a.m.tid); !ok || got != w.local() {
			return fmt.Sprint(got)
		}
		if len(a.m.attrs) != 1 || len(a.m.raw) != 32 {
			return "more than the address"
		}
		return a.String()
	}},
	tellBinding("bad cookie", "silent", "closed", func(b []byte) []byte { b[5] ^= 1; return b }),
	tellBinding("bad fingerprint", "silent", "silent", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }),
	tellBinding("length not a multiple of 4", "silent", "closed", func(b []byte) []byte { b[3]++; return append(b, 0) }),
	tellBinding("length beyond datagram", "silent", "closed", func(b []byte) []byte { b[2], b[3] = 0xff, 0xec; return b }),
	tellBinding("trailing bytes", "silent", "closed", func(b []byte) []byte { return append(b, 0xff, 0xff, 0xff, 0xff) }),
	tellBinding("success class", "silent", "silent", func(b []byte) []byte { b[0] |= 1; return b }),
	tellBinding("error class", "silent", "silent", func(b []byte) []byte { b[0] |= 1; b[1] |= 0x10; return b }),
	tellBinding("unknown method", "silent", "silent", func(b []byte) []byte { b[1] = 0x0f; return b }),
	tellBinding("attribute beyond the end", "silent", "silent", func(b []byte) []byte {
		return binary.BigEndian.AppendUint32(setLength(b[:headerBytes:headerBytes], 4), 0x00060040)
	}),
}

func setLength(b []byte, n int) []byte {
	binary.BigEndian.PutUint16(b[2:], uint16(n))
	return b
}

var authProbes = []probe{
	{name: "allocate unauthenticated", want: "401 nonce, 60 bytes: 9 15 14", do: func(w *wire) string {
		a := w.ask(methodAllocate, bare)
		out := fmt.Sprintf("%v, %d bytes:", a, len(a.m.raw))
		for _, at := range a.m.attrs {
			out += fmt.Sprintf(" %x", int(at.typ))
		}
		return out
	}},
	askProbe("allocate without credential", "401 nonce", methodAllocate, bare, udpRelay),
	askProbe("refresh without credential", "401 nonce", methodRefresh, bare),
	askProbe("permission without credential", "401 nonce", methodCreatePermission, bare, peerOpt("8.8.8.8")),
	askProbe("channel without credential", "401 nonce", methodChannelBind, bare, peerOpt("8.8.8.8"), channelOpt(0x4000)),
	{name: "wrong password", want: "401 nonce", do: func(w *wire) string {
		w.login()
		w.password = "wrong"
		w.rekey()
		return w.ask(methodAllocate, udpRelay).String()
	}},
	{name: "unknown user", want: "401 nonce", do: func(w *wire) string {
		w.login()
		w.username = "nobody"
		w.rekey()
		return w.ask(methodAllocate, udpRelay).String()
	}},
	{name: "unknown key id", want: "401 nonce", do: func(w *wire) string {
		w.login()
		w.username = "9999999999:zz.probe"
		w.rekey()
		return w.ask(methodAllocate, udpRelay).String()
	}},
	{name: "other realm", want: "401 nonce", do: func(w *wire) string {
		w.login()
		tid := newTID()
		b := newBuilder(methodAllocate, classRequest, tid)
		b.add(attrUsername, []byte(w.username))
		b.add(attrRealm, []byte("elsewhere"))
		b.add(attrNonce, w.nonce)
		b.addIntegrity(w.key)
		w.send(b.b)
		return w.await(tid).String()
	}},
	{name: "garbage nonce", want: "438 nonce", do: func(w *wire) string {
		w.nonce = []byte("garbage")
		return w.ask(methodAllocate, udpRelay).String()
	}},
	{name: "forged nonce", want: "438 nonce", do: func(w *wire) string {
		w.login()
		w.nonce[len(w.nonce)-1] ^= 1
		return w.ask(methodAllocate, udpRelay).String()
	}},
	{name: "nonce of another address", want: "438 nonce", do: func(w *wire) string {
		w.login()
		w.connect()
		return w.ask(methodAllocate, udpRelay).String()
	}},
	{name: "integrity without username", want: "400", do: func(w *wire) string {
		tid := newTID()
		b := newBuilder(methodAllocate, classRequest, tid)
		b.addIntegrity(w.key)
		w.send(b.b)
		return w.await(tid).String()
	}},
	askProbe("fingerprint in, fingerprint out", "401 nonce FP", methodAllocate, bare, withFP),
}

var allocateProbes = []probe{
	askProbe("no transport", "400 MI", methodAllocate),
	askProbe("short transport", "400 MI", methodAllocate, add(attrTransport, protoUDP)),
	askProbe("transport 99", "442 MI", methodAllocate, add(attrTransport, 99, 0, 0, 0)),
	{name: "tcp relay", want: "400 MI", stream: "442 MI", do: func(w *wire) string {
		return w.login().ask(methodAllocate, add(attrTransport, protoTCP, 0, 0, 0)).String()
	}},
	askProbe("unknown required", "420 unknown MI", methodAllocate, udpRelay, unknownRq),
	askProbe("dont fragment", "420 unknown MI", methodAllocate, udpRelay, add(0x001A)),
	askProbe("signed and fingerprinted", "420 unknown MI FP", methodAllocate, udpRelay, unknownRq, withFP),
	askProbe("family IPv4", "ok MI", methodAllocate, udpRelay, add(attrFamily, familyIPv4, 0, 0, 0)),
	askProbe("family IPv6, which is not served here", "440 MI", methodAllocate, udpRelay, add(attrFamily, familyIPv6, 0, 0, 0)),
	askProbe("family 9", "440 MI", methodAllocate, udpRelay, add(attrFamily, 9, 0, 0, 0)),
	askProbe("family short", "400 MI", methodAllocate, udpRelay, add(attrFamily, 1)),
	{name: "even port, no token", want: "ok MI 0 false", do: func(w *wire) string {
		a := w.login().ask(methodAllocate, udpRelay, add(attrEvenPort, 0))
		_, token := a.m.get(attrReservationToken)
		return fmt.Sprint(a, " ", w.relayed(a).Port()%2, " ", token)
	}},
	askProbe("even port too long", "400 MI", methodAllocate, udpRelay, add(attrEvenPort, 0, 0)),
	askProbe("even port, reserve", "508 MI", methodAllocate, udpRelay, add(attrEvenPort, 0x80)),
	askProbe("reservation token", "508 MI", methodAllocate, udpRelay, add(attrReservationToken, 1, 2, 3, 4, 5, 6, 7, 8)),
	askProbe("even port and token", "400 MI", methodAllocate, udpRelay, add(attrEvenPort, 0), add(attrReservationToken, 1, 2, 3, 4, 5, 6, 7, 8)),
	lifetimeProbe("lifetime default", "ok MI 600"),
	lifetimeProbe("lifetime 0", "ok MI 600", addU32(attrLifetime, 0)),
	lifetimeProbe("lifetime 1", "ok MI 600", addU32(attrLifetime, 1)),
	lifetimeProbe("lifetime 600", "ok MI 600", addU32(attrLifetime, 600)),
	lifetimeProbe("lifetime 3599", "ok MI 3599", addU32(attrLifetime, 3599)),
	lifetimeProbe("lifetime 3600", "ok MI 3599", addU32(attrLifetime, 3600)),
	lifetimeProbe("lifetime 100000", "ok MI 3599", addU32(attrLifetime, 100000)),
	lifetimeProbe("lifetime short", "400 MI", add(attrLifetime, 1)),
	{name: "retransmission gets the same answer", want: "ok MI, same true", do: func(w *wire) string {
		w.login()
		tid := newTID()
		first := w.ask(methodAllocate, udpRelay, option{tid: &tid})
		second := w.ask(methodAllocate, udpRelay, option{tid: &tid})
		return fmt.Sprintf("%v, same %v", second, string(first.m.raw) == string(second.m.raw))
	}},
	{name: "second allocate", want: "437 MI", do: func(w *wire) string {
		w.allocated()
		return w.ask(methodAllocate, udpRelay).String()
	}},
	{name: "allocate says both addresses", want: "ok", do: func(w *wire) string {
		a := w.login().ask(methodAllocate, udpRelay)
		v, _ := a.m.get(attrXORMapped)
		mapped, _ := xorAddr(v, a.m.tid)
		relay := w.relayed(a)
		if mapped != w.local() || relay.Addr() != netip.MustParseAddr("127.0.0.1") || relay.Port() < 49152 {
			return fmt.Sprint(mapped, relay)
		}
		return "ok"
	}},
}

func lifetimeProbe(name, want string, options ...option) probe {
	return probe{name: name, want: want, do: func(w *wire) string {
		return lifetimeIn(w.login().ask(methodAllocate, append(options, udpRelay)...))
	}}
}

// asOther is a probe of a request by another valid user on the same 5-tuple.
func asOther(name, want string, m method, options ...option) probe {
	return probe{name: name, want: want, do: func(w *wire) string {
		w.allocated()
		other := newWire(w.t, w.s, w.over, "other")
		w.username, w.key = other.username, other.key
		return w.ask(m, options...).String()
	}}
}

var mismatchProbes = []probe{
	askProbe("refresh, no allocation", "437 MI", methodRefresh),
	askProbe("refresh 0, no allocation", "437 MI", methodRefresh, addU32(attrLifetime, 0)),
	askProbe("permission, no allocation", "437 MI", methodCreatePermission, peerOpt("8.8.8.8")),
	askProbe("channel, no allocation", "437 MI", methodChannelBind, peerOpt("8.8.8.8"), channelOpt(0x4000)),
	askProbe("connect, no allocation", "437 MI", methodConnect, peerOpt("8.8.8.8")),
	onAllocation("connect", "400 MI", methodConnect, peerOpt("8.8.8.8")),
	asOther("refresh by other user", "441 MI", methodRefresh),
	asOther("refresh 0 by other user", "441 MI", methodRefresh, addU32(attrLifetime, 0)),
	asOther("permission by other user", "441 MI", methodCreatePermission, peerOpt("8.8.8.8")),
	asOther("channel by other user", "441 MI", methodChannelBind, peerOpt("8.8.8.8"), channelOpt(0x4000)),
	asOther("allocate by other user", "437 MI", methodAllocate, udpRelay),
	{name: "refresh", want: "ok MI 600", do: func(w *wire) string { w.allocated(); return lifetimeIn(w.ask(methodRefresh)) }},
	{name: "refresh 1800", want: "ok MI 1800", do: func(w *wire) string {
		w.allocated()
		return lifetimeIn(w.ask(methodRefresh, addU32(attrLifetime, 1800)))
	}},
	onAllocation("refresh other family", "443 MI", methodRefresh, add(attrFamily, familyIPv6, 0, 0, 0)),
	onAllocation("refresh unknown required", "420 unknown MI", methodRefresh, unknownRq),
	{name: "refresh 0 frees at once", want: "ok MI 0, 437 MI, ok MI", do: func(w *wire) string {
		w.allocated()
		out := lifetimeIn(w.ask(methodRefresh, addU32(attrLifetime, 0)))
		return fmt.Sprintf("%s, %v, %v", out, w.ask(methodRefresh), w.ask(methodAllocate, udpRelay))
	}},
}

// peerProbe asks for a permission and for a channel: both are to be answered alike.
func peerProbe(peer, want string) probe {
	return probe{name: "peer " + peer, want: want + " / " + want, do: func(w *wire) string {
		w.allocated()
		return fmt.Sprintf("%v / %v", w.ask(methodCreatePermission, peerOpt(peer)), w.ask(methodChannelBind, peerOpt(peer), channelOpt(0x4000)))
	}}
}

var peerProbes = []probe{
	peerProbe("8.8.8.8", "ok MI"),
	peerProbe("0.0.0.0", "403 MI"),
	peerProbe("0.1.2.3", "403 MI"),
	peerProbe("10.0.0.1", "403 MI"),
	peerProbe("100.64.0.1", "403 MI"),
	peerProbe("127.0.0.2", "403 MI"),
	peerProbe("169.254.169.254", "403 MI"),
	peerProbe("172.16.0.1", "403 MI"),
	peerProbe("172.31.255.255", "403 MI"),
	peerProbe("192.0.0.8", "403 MI"),
	peerProbe("192.0.2.1", "403 MI"),
	peerProbe("192.88.99.1", "403 MI"),
	peerProbe("192.168.1.1", "403 MI"),
	peerProbe("198.18.0.1", "403 MI"),
	peerProbe("198.51.100.1", "403 MI"),
	peerProbe("203.0.113.1", "403 MI"),
	peerProbe("224.0.0.1", "403 MI"),
	peerProbe("240.0.0.1", "403 MI"),
	peerProbe("255.255.255.255", "403 MI"),
	peerProbe("::1", "443 MI"),
	peerProbe("::ffff:127.0.0.1", "443 MI"),
	peerProbe("::ffff:10.0.0.1", "443 MI"),
	peerProbe("::ffff:8.8.8.8", "443 MI"),
	peerProbe("2001:db8::1", "443 MI"),
	onAllocation("permission without peer", "400 MI", methodCreatePermission),
	onAllocation("permission with a broken peer", "400 MI", methodCreatePermission, add(attrXORPeer, 0, 1, 2)),
	onAllocation("permission unknown required", "420 unknown MI", methodCreatePermission, peerOpt("8.8.8.8"), unknownRq),
	onAllocation("one of two peers is bad", "403 MI", methodCreatePermission, peerOpt("8.8.8.8"), peerOpt("10.0.0.1")),
	onAllocation("channel to port 53", "403 MI", methodChannelBind, peerOpt("8.8.8.8:53"), channelOpt(0x4000)),
	onAllocation("channel to own address, no relay there", "403 MI", methodChannelBind, peerOpt("127.0.0.1:40000"), channelOpt(0x4000)),
}

func channelProbe(name, want string, number uint16) probe {
	return onAllocation(name, want, methodChannelBind, peerOpt("8.8.8.8"), channelOpt(number))
}

var channelProbes = []probe{
	channelProbe("channel 0x3fff", "400 MI", 0x3fff),
	channelProbe("channel 0x4000", "ok MI", 0x4000),
	channelProbe("channel 0x4fff", "ok MI", 0x4fff),
	channelProbe("channel 0x5000", "400 MI", 0x5000),
	channelProbe("channel 0x7fff", "400 MI", 0x7fff),
	channelProbe("channel 0x8000", "400 MI", 0x8000),
	onAllocation("channel without number", "400 MI", methodChannelBind, peerOpt("8.8.8.8")),
	onAllocation("channel without peer", "400 MI", methodChannelBind, channelOpt(0x4000)),
	onAllocation("channel to port 0", "400 MI", methodChannelBind, peerOpt("8.8.8.8:0"), channelOpt(0x4000)),
	{name: "one channel, one peer", want: "ok MI / ok MI / 400 MI / 400 MI / 400 MI", do: func(w *wire) string {
		w.allocated()
		bind := func(peer string, n uint16) answer {
			return w.ask(methodChannelBind, peerOpt(peer), channelOpt(n))
		}
		return fmt.Sprintf("%v / %v / %v / %v / %v", bind("8.8.8.8:4000", 0x4000), bind("8.8.8.8:4000", 0x4000),
			bind("9.9.9.9:4000", 0x4000), bind("8.8.8.8:4000", 0x4001), bind("8.8.8.8:4001", 0x4000))
	}},
}

// pair is two clients with permission for each other's relay.
func pair(w *wire) (a, b *wire, relayA, relayB netip.AddrPort) {
	a, b = w, newWire(w.t, w.s, w.over, "other")
	relayA, relayB = a.allocated(), b.allocated()
	return a, b, relayA, relayB
}

var dataProbes = []probe{
	{name: "send without permission", want: "", do: func(w *wire) string {
		a, b, relayA, relayB := pair(w)
		b.must(methodCreatePermission, peerOpt(relayA.String()))
		a.sendIndication(relayB, []byte("x"))
		a.sync()
		b.sync()
		return b.buffered()
	}},
	{name: "receive without permission", want: "", do: func(w *wire) string {
		a, b, _, relayB := pair(w)
		a.must(methodCreatePermission, peerOpt(relayB.String()))
		a.sendIndication(relayB, []byte("x"))
		a.sync()
		return b.buffered()
	}},
	{name: "send with permission", want: "hello", do: func(w *wire) string {
		a, b, relayA, relayB := pair(w)
		a.must(methodCreatePermission, peerOpt(relayB.String()))
		b.must(methodCreatePermission, peerOpt(relayA.String()))
		a.sendIndication(relayB, []byte("hello"))
		got, from, _ := b.data(patience)
		if from != relayA {
			return "from " + from.String()
		}
		return got
	}},
	{name: "channel to channel", want: "hello 4321", do: func(w *wire) string {
		a, b, relayA, relayB := pair(w)
		a.must(methodChannelBind, peerOpt(relayB.String()), channelOpt(0x4001))
		b.must(methodChannelBind, peerOpt(relayA.String()), channelOpt(0x4321))
		a.sendChannel(0x4001, []byte("hello"))
		got, _, n := b.data(patience)
		return fmt.Sprintf("%s %x", got, n)
	}},
	{name: "unbound channel", want: "", do: func(w *wire) string {
		a, b, relayA, relayB := pair(w)
		a.must(methodChannelBind, peerOpt(relayB.String()), channelOpt(0x4001))
		b.must(methodChannelBind, peerOpt(relayA.String()), channelOpt(0x4321))
		a.sendChannel(0x4002, []byte("hello"))
		a.sync()
		return b.buffered()
	}},
	{name: "peer after MESSAGE-INTEGRITY is ignored", want: "ok MI, 1 permission", do: func(w *wire) string {
		w.allocated()
		out := w.ask(methodCreatePermission, peerOpt("8.8.8.8"), option{after: func(b *builder) { b.addXORAddr(attrXORPeer, testPeer("9.9.9.9")) }})
		n, _ := w.mine().counts()
		return fmt.Sprintf("%v, %d permission", out, n)
	}},
	{name: "only a peer after MESSAGE-INTEGRITY", want: "400 MI", do: func(w *wire) string {
		w.allocated()
		return w.ask(methodCreatePermission, option{after: func(b *builder) { b.addXORAddr(attrXORPeer, testPeer("9.9.9.9")) }}).String()
	}},
	{name: "unknown attribute after MESSAGE-INTEGRITY", want: "ok MI", do: func(w *wire) string {
		w.allocated()
		return w.ask(methodRefresh, option{after: func(b *builder) { b.add(0x7777, []byte("evil")) }}).String()
	}},
}

// mine is the server's side of the client's allocation.
func (w *wire) mine() *allocation {
	w.t.Helper()
	for _, a := range w.s.relays.list(func(a *allocation) bool { return a.client.addr() == w.local() }) {
		return a
	}
	w.t.Fatal("no allocation")
	return nil
}

// buffered returns relayed data that is there before the answer to a Binding.
func (w *wire) buffered() string {
	w.t.Helper()
	probe, tid := w.build(methodBinding)
	w.send(probe)
	out := ""
	for {
		b, ok := w.recv(patience)
		if !ok {
			w.t.Fatal("no answer to binding")
		}
		var m message
		if b[0]>>6 == 1 || m.parse(b) == nil && m.method == methodData {
			out += "data "
		} else if m.tid == tid {
			return out
		}
	}
}
