package turnserver

import (
	"net/netip"
	"testing"
	"time"
)

// pionSide plays pion: it reads requests and writes answers.
type pionSide struct {
	t *testing.T
	c *control
}

func (p pionSide) read() (m message) {
	p.t.Helper()
	buf := make([]byte, pionMTU)
	n, _, err := p.c.ReadFrom(buf)
	if err != nil || m.parse(buf[:n]) != nil {
		p.t.Fatalf("no request: %v", err)
	}
	return m
}

func (p pionSide) write(m message, c class, fill func(w *builder)) {
	w := newBuilder(m.method, c, m.tid)
	fill(w)
	p.c.WriteTo(w.b, nil)
}

// What pion does wrong, or not at all, reaches the client as an error.
func TestPionMisbehaves(t *testing.T) {
	s, err := New(Config{Listen: []string{"127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	client := &fakeClient{from: netip.MustParseAddrPort("192.0.2.9:1000")}
	attached := &attachable{fakeClient: client}
	pion := pionSide{t, s.control}
	ask := func(m method, fill func(w *builder)) {
		w := newBuilder(m, classRequest, newTID())
		fill(w)
		r := &request{client: attached, who: identity{username: "u", user: "u"}, key: []byte("k")}
		if err := r.m.parse(w.b); err != nil {
			t.Fatal(err)
		}
		s.control.submit(r)
	}
	allocate := func() { ask(methodAllocate, func(w *builder) { w.add(attrTransport, []byte{protoUDP, 0, 0, 0}) }) }
	last := func() answer {
		var a answer
		if len(client.sent) == 0 || a.m.parse(client.sent[len(client.sent)-1]) != nil {
			t.Fatal("no answer")
		}
		a.code, a.signed = errorCode(&a.m), a.m.authentic([]byte("k"))
		return a
	}

	// First pion is asked for a nonce. It gives none: the request fails.
	allocate()
	if m := pion.read(); m.integrity >= 0 {
		t.Fatal("the first request has a credential")
	}
	allocate()
	pion.read()
	if a := last(); a.String() != "508 MI" || s.Allocations() != 1 {
		t.Fatalf("without nonce: %v, %d allocations", a, s.Allocations())
	}
	// Then it gives one, calls it stale, gives another and is satisfied.
	nonce := func(code int) func(w *builder) {
		return func(w *builder) { w.addError(code); w.add(attrNonce, []byte("n")) }
	}
	m := message{method: methodAllocate}
	pion.write(m, classError, nonce(401))
	m = pion.read()
	if v, _ := m.get(attrNonce); string(v) != "n" || !m.authentic(s.control.key) {
		t.Fatal("not pion's nonce, or not signed")
	}
	pion.write(m, classError, nonce(438))
	if m := pion.read(); m.integrity >= 0 {
		t.Fatal("no new nonce is asked for")
	}
	pion.write(message{method: methodAllocate}, classError, nonce(401))
	m = pion.read()
	pion.write(m, classSuccess, func(w *builder) { w.add(attrLifetime, seconds(10*time.Minute)) })
	if a := last(); lifetimeIn(a) != "ok MI 600" {
		t.Fatalf("allocate: %v", lifetimeIn(a))
	}
	// It does not answer a Refresh: the allocation is gone, for us too.
	ask(methodRefresh, func(*builder) {})
	pion.read()
	allocate()
	pion.read()
	if a := last(); a.String() != "437 MI" {
		t.Fatalf("refresh without answer: %v", a)
	}
	// It refuses an Allocate.
	pion.write(m, classError, nonce(438)) // another transaction's answer is ignored
	m = message{method: methodAllocate, tid: s.control.current.r.m.tid}
	pion.write(m, classError, func(w *builder) { w.addError(508) })
	if a := last(); a.String() != "508 MI" || s.Allocations() != 0 {
		t.Fatalf("allocate refused: %v, %d allocations", a, s.Allocations())
	}
}

// attachable is a fakeClient that keeps its allocation.
type attachable struct{ *fakeClient }

func (c *attachable) attach(a *allocation) bool { c.alloc = a; return true }
func (c *attachable) detach(a *allocation) {
	if c.alloc == a {
		c.alloc = nil
	}
}

// A packet in a channel costs no garbage, hairpin or not.
func TestNoGarbagePerPacket(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	s := testServer(t, noLimits)
	a, b, relayA, relayB := pair(newWire(t, s, overUDP, "x"))
	a.must(methodChannelBind, peerOpt(relayB.String()), channelOpt(0x4000))
	b.must(methodChannelBind, peerOpt(relayA.String()), channelOpt(0x4000))
	from := a.mine()
	buf := make([]byte, headroom+200)
	if n := testing.AllocsPerRun(100, func() { from.fromClient(direct{s}, 0x4000, packet{buf, headroom, headroom + 100}) }); n != 0 {
		t.Errorf("%v allocations per packet", n)
	}
}
