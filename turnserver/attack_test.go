package turnserver

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// clock is a clock that tests move.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time       { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) skip(d time.Duration) { c.ahead.Add(int64(d)) }

func (s *Server) dropped(r dropReason) int { return int(testutil.ToFloat64(s.metrics.drops[r])) }

func ready(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Ready(ctx); err != nil {
		t.Fatal(err)
	}
}

// Frames that make pion's own stream reader spin for ever.
func TestHangFrames(t *testing.T) {
	s := testServer(t, noLimits)
	for _, over := range []transport{overTCP, overTLS} {
		for name, head := range map[string][]byte{
			"channel data of 65532": {0x40, 0x00, 0xff, 0xfc},
			"stun of 65516":         {0x00, 0x03, 0xff, 0xec, 0x21, 0x12, 0xa4, 0x42},
			"channel data of 1601":  {0x40, 0x00, 0x06, 0x41},
			"http":                  []byte("GET / HTTP/1.1\r\n\r\n"),
			"tls":                   {0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01},
			"reserved bits":         {0xff, 0xff, 0xff, 0xff},
		} {
			w := newWire(t, s, over, "x")
			w.conn.Write(append(head, make([]byte, 16)...))
			if !w.closed(patience) {
				t.Errorf("%s over %s: connection stays open", name, over)
			}
		}
	}
	ready(t, s)
}

func TestBytewise(t *testing.T) {
	s := testServer(t, noLimits)
	for _, over := range []transport{overTCP, overTLS} {
		w := newWire(t, s, over, "x").login()
		b, tid := w.build(methodAllocate, udpRelay)
		for i := range b {
			w.conn.Write(b[i : i+1])
		}
		if a := w.await(tid); a.code != 0 || a.silent {
			t.Errorf("%s: %v", over, a)
		}
		// And many frames in one write.
		var many []byte
		for range 50 {
			one, id := w.build(methodBinding)
			many, tid = append(many, one...), id
		}
		w.conn.Write(many)
		if a := w.await(tid); a.silent {
			t.Errorf("%s: no answer to the last of many frames", over)
		}
	}
}

func TestIdleConnections(t *testing.T) {
	s := testServer(t, func(c *Config) {
		noLimits(c)
		c.Limits.FirstMessage, c.Limits.AllocateWithin, c.Limits.Handshake = 50*time.Millisecond, 300*time.Millisecond, 50*time.Millisecond
		c.Limits.ConnsPerAddr = 100
	})
	var silent []net.Conn
	for range 50 {
		for _, over := range []transport{overTCP, overTLS} { // TLS: no handshake either
			c, err := net.Dial("tcp", s.testAddr(t, over).String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			silent = append(silent, c)
		}
	}
	for _, c := range silent {
		c.SetReadDeadline(time.Now().Add(patience))
		if _, err := c.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
			t.Fatalf("idle connection: %v", err)
		}
	}
	// One message buys time, but not without end.
	w := newWire(t, s, overTCP, "x")
	w.sync()
	if !w.closed(patience) {
		t.Error("a connection without allocation stays open")
	}
	// With an allocation the deadline is gone; without it, it is back.
	w = newWire(t, s, overTCP, "x")
	w.allocated()
	if w.closed(500 * time.Millisecond) {
		t.Error("a connection with an allocation was closed")
	}
	w.must(methodRefresh, addU32(attrLifetime, 0))
	if !w.closed(patience) {
		t.Error("a connection whose allocation ended stays open")
	}
	testenv.Eventually(t, patience, func() bool { return s.conns.len() == 0 }, "connections left")
}

func TestConnectionCaps(t *testing.T) {
	s := testServer(t, func(c *Config) { c.Limits.ConnsPerAddr = 3 })
	for range 3 {
		newWire(t, s, overTCP, "x").sync()
	}
	if w := newWire(t, s, overTCP, "x"); !w.closed(patience) {
		t.Error("a fourth connection is served")
	}
	s = testServer(t, func(c *Config) { c.Limits.Conns = 2 })
	newWire(t, s, overTCP, "x").sync()
	newWire(t, s, overTLS, "x").sync()
	if w := newWire(t, s, overTCP, "x"); !w.closed(patience) {
		t.Error("a third connection is served")
	}
}

// A client that takes nothing costs its own data and then its connection.
func TestSlowReader(t *testing.T) {
	for _, over := range []transport{overTCP, overTLS} {
		t.Run(string(over), func(t *testing.T) {
			s := testServer(t, func(c *Config) {
				noLimits(c)
				c.Limits.WriteTimeout, c.Limits.WriteQueueBytes = 200*time.Millisecond, 64<<10
				c.Limits.Bandwidth, c.Limits.BandwidthBurst = 1<<30, 1<<30
			})
			slow, fast := newWire(t, s, over, "slow"), newWire(t, s, overUDP, "fast")
			relaySlow, relayFast := slow.allocated(), fast.allocated()
			slow.must(methodChannelBind, peerOpt(relayFast.String()), channelOpt(0x4000))
			fast.must(methodChannelBind, peerOpt(relaySlow.String()), channelOpt(0x4000))
			a := slow.mine()
			payload := make([]byte, 1200)
			testenv.Eventually(t, 20*time.Second, func() bool {
				for range 200 {
					fast.sendChannel(0x4000, payload)
				}
				fast.sync() // the fast one is served all the while
				return a.ended.Load()
			}, "the slow reader's allocation lives")
			if s.dropped(dropQueue) == 0 {
				t.Error("nothing was dropped for the slow reader")
			}
		})
	}
}

func TestTLSGarbage(t *testing.T) {
	s := testServer(t, noLimits)
	for range 20 {
		c, err := net.Dial("tcp", s.testAddr(t, overTLS).String())
		if err != nil {
			t.Fatal(err)
		}
		c.Write(bytes.Repeat([]byte{0x80}, 300))
		c.SetReadDeadline(time.Now().Add(patience))
		if _, err := bytes.NewBuffer(nil).ReadFrom(c); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Fatal("not closed")
		}
		c.Close()
	}
	testenv.Eventually(t, patience, func() bool { return testutil.ToFloat64(s.metrics.handshakes) == 20 }, "failures not counted")
	newWire(t, s, overTLS, "x").sync()
}

// Unauthenticated floods get few answers and leave nothing behind.
func TestUnauthenticatedFlood(t *testing.T) {
	s := testServer(t, func(c *Config) {
		c.Limits.Answers = ratelimit.Rate{PerSecond: 1, Burst: 10}
		c.Limits.AnswersTotal = ratelimit.Rate{PerSecond: 1, Burst: 100}
	})
	to := net.UDPAddrFromAddrPort(s.testAddr(t, overUDP))
	var answers, bytesIn, bytesOut int
	flood := func(from string, n int) {
		c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)}, to)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for range n {
			b := newBuilder(methodAllocate, classRequest, newTID()).b
			c.Write(b)
			bytesIn += len(b)
		}
		buf := make([]byte, 2000)
		c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			answers, bytesOut = answers+1, bytesOut+n
		}
	}
	flood("127.0.9.1", 500)
	if answers < 5 || answers > 12 {
		t.Errorf("one source got %d answers, want about 10", answers)
	}
	if bytesOut > bytesIn {
		t.Errorf("amplified: %d bytes for %d", bytesOut, bytesIn)
	}
	for i := range 200 { // "spoofed" sources, each from a prefix of its own
		flood(fmt.Sprintf("127.1.%d.1", i), 3)
	}
	if answers > 115 {
		t.Errorf("all sources got %d answers, want about 100", answers)
	}
	for _, l := range s.udp {
		if len(l.clients) != 0 {
			t.Errorf("%d clients remembered", len(l.clients))
		}
	}
}

// What is known about a client keeps it served during a flood.
func TestEstablishedClientDuringFlood(t *testing.T) {
	s := testServer(t, func(c *Config) {
		c.Limits.AnswersTotal = ratelimit.Rate{PerSecond: 0.001, Burst: 3}
		c.Limits.Answers = ratelimit.Rate{PerSecond: 1000, Burst: 1000}
	})
	w := newWire(t, s, overUDP, "x")
	w.allocated()
	second := newWire(t, s, overUDP, "y").login()
	for range 50 {
		b, _ := w.build(methodAllocate, bare)
		second.send(b)
	}
	w.must(methodRefresh)
	w.sync()
	second.username, second.key = "wrong", []byte("wrong")
	if a := second.ask(methodAllocate, udpRelay); a.code != 401 {
		t.Errorf("a client with a valid nonce got %v", a)
	}
}

func TestGarbageFlood(t *testing.T) {
	s := testServer(t, noLimits)
	w := newWire(t, s, overUDP, "x")
	for i := range 2000 {
		b := make([]byte, i%1500)
		for j := range b {
			b[j] = byte(i * (j + 7))
		}
		w.conn.Write(b)
	}
	w.sync()
	if s.dropped(dropGarbage) < 1000 {
		t.Errorf("%d packets counted as garbage", s.dropped(dropGarbage))
	}
}

func TestQuotas(t *testing.T) {
	t.Run("user", func(t *testing.T) {
		s := testServer(t, func(c *Config) { noLimits(c); c.Limits.AllocationsPerUser = 2 })
		first := newWire(t, s, overUDP, "x")
		first.allocated()
		newWire(t, s, overTCP, "x").allocated()
		third := newWire(t, s, overUDP, "x").login()
		if a := third.ask(methodAllocate, udpRelay); a.String() != "486 MI" {
			t.Errorf("third allocation of a user: %v", a)
		}
		newWire(t, s, overUDP, "y").allocated()
		first.must(methodRefresh, addU32(attrLifetime, 0))
		third.must(methodAllocate, udpRelay)
	})
	t.Run("address", func(t *testing.T) {
		s := testServer(t, func(c *Config) { noLimits(c); c.Limits.AllocationsPerAddr = 2 })
		newWire(t, s, overUDP, "a").allocated()
		newWire(t, s, overTCP, "b").allocated()
		if a := newWire(t, s, overUDP, "c").login().ask(methodAllocate, udpRelay); a.String() != "486 MI" {
			t.Errorf("third allocation of an address: %v", a)
		}
	})
	t.Run("rate", func(t *testing.T) {
		s := testServer(t, func(c *Config) {
			noLimits(c)
			c.Limits.AllocationRate = ratelimit.Rate{PerSecond: 0.001, Burst: 2}
		})
		newWire(t, s, overUDP, "a").allocated()
		newWire(t, s, overUDP, "b").allocated()
		if a := newWire(t, s, overUDP, "c").login().ask(methodAllocate, udpRelay); a.String() != "486 MI" {
			t.Errorf("third allocation at once: %v", a)
		}
	})
	t.Run("total and ports", func(t *testing.T) {
		s := testServer(t, func(c *Config) { noLimits(c); c.RelayPorts = PortRange{50000, 50003} })
		for i := range 4 {
			newWire(t, s, overUDP, fmt.Sprint(i)).allocated()
		}
		if a := newWire(t, s, overUDP, "c").login().ask(methodAllocate, udpRelay); a.String() != "508 MI" {
			t.Errorf("allocation without port: %v", a)
		}
		if n := s.freePorts(); n != 0 {
			t.Errorf("%d ports free", n)
		}
	})
	t.Run("permissions", func(t *testing.T) {
		clk := &clock{}
		s := testServer(t, func(c *Config) { noLimits(c); c.Limits.Permissions = 8; c.now = clk.now })
		w := newWire(t, s, overUDP, "x")
		w.allocated()
		for i := range 8 {
			w.must(methodCreatePermission, peerOpt(fmt.Sprintf("8.8.8.%d", i)))
		}
		w.must(methodCreatePermission, peerOpt("8.8.8.1"))
		if a := w.ask(methodCreatePermission, peerOpt("8.8.9.1")); a.String() != "508 MI" {
			t.Errorf("ninth permission: %v", a)
		}
		if a := w.ask(methodChannelBind, peerOpt("8.8.9.1"), channelOpt(0x4000)); a.String() != "508 MI" {
			t.Errorf("channel with a ninth permission: %v", a)
		}
		clk.skip(permissionLifetime)
		w.must(methodCreatePermission, peerOpt("8.8.9.1"))
	})
	t.Run("channels", func(t *testing.T) {
		clk := &clock{}
		s := testServer(t, func(c *Config) { noLimits(c); c.Limits.Channels = 4; c.now = clk.now })
		w := newWire(t, s, overUDP, "x")
		w.allocated()
		for i := range 4 {
			w.must(methodChannelBind, peerOpt(fmt.Sprintf("8.8.8.%d", i)), channelOpt(0x4000+uint16(i)))
		}
		if a := w.ask(methodChannelBind, peerOpt("8.8.9.1"), channelOpt(0x4009)); a.String() != "508 MI" {
			t.Errorf("fifth channel: %v", a)
		}
		w.must(methodChannelBind, peerOpt("8.8.8.1"), channelOpt(0x4001))
	})
}

// Nothing of this machine is a peer: not the listener, not other services.
func TestOwnAddresses(t *testing.T) {
	service, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	for _, allow := range []bool{false, true} {
		s := testServer(t, func(c *Config) {
			noLimits(c)
			if allow {
				c.Policy.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
			}
		})
		w := newWire(t, s, overUDP, "x")
		w.allocated()
		w.must(methodCreatePermission, peerOpt("127.0.0.1")) // for relays there
		w.sendIndication(s.testAddr(t, overUDP), newBuilder(methodBinding, classRequest, newTID()).b)
		w.sync()
		if n := s.dropped(dropPolicy); n != 1 {
			t.Errorf("allow %v: sending to the own listener: %d drops", allow, n)
		}
		w.sendIndication(localAddr(service.LocalAddr()), []byte("x"))
		w.sync()
		if n := s.dropped(dropPolicy); n != map[bool]int{false: 2, true: 1}[allow] {
			t.Errorf("allow %v: sending to an own service: %d drops", allow, n)
		}
		if a := w.ask(methodChannelBind, peerOpt(s.testAddr(t, overUDP).String()), channelOpt(0x4000)); a.code != 403 {
			t.Errorf("allow %v: channel to the own listener: %v", allow, a)
		}
		for _, port := range []int{53, 123, 1023, 1900, 3702, 5353, 11211} {
			w.sendIndication(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port)), []byte("x"))
		}
		before := s.dropped(dropPolicy)
		w.sync()
		if n := s.dropped(dropPolicy); n != before && n-before > 7 {
			t.Errorf("drops: %d", n)
		}
		testenv.Eventually(t, patience, func() bool { return s.dropped(dropPolicy) == map[bool]int{false: 9, true: 8}[allow] }, "drops: %d", s.dropped(dropPolicy))
	}
}

// What a peer sends from where the policy forbids does not reach the client,
// permission or not.
func TestInboundPolicy(t *testing.T) {
	s := testServer(t, noLimits)
	w := newWire(t, s, overUDP, "x")
	relay := w.allocated()
	w.must(methodCreatePermission, peerOpt("127.0.0.1"))
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(relay))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write([]byte("x"))
	testenv.Eventually(t, patience, func() bool { return s.dropped(dropPolicy) == 1 }, "not dropped")
	if got := w.buffered(); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestIPv6(t *testing.T) {
	s, err := New(Config{Listen: []string{"[::1]:0"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		testenv.Missing(t, "no IPv6 loopback: %v", err)
	}
	defer s.Close()
	ready(t, s)
	v6 := add(attrFamily, familyIPv6, 0, 0, 0)
	w, other := newWire(t, s, overUDP, "x"), newWire(t, s, overTCP, "y")
	if a := w.login().ask(methodAllocate, udpRelay); a.String() != "440 MI" {
		t.Errorf("IPv4 relay: %v", a)
	}
	relayA, relayB := w.allocated(v6), other.allocated(v6)
	w.must(methodChannelBind, peerOpt(relayB.String()), channelOpt(0x4000))
	other.must(methodCreatePermission, peerOpt(relayA.String()))
	w.sendChannel(0x4000, []byte("hello"))
	if got, from, _ := other.data(patience); got != "hello" || from != relayA {
		t.Errorf("got %q from %v", got, from)
	}
	for _, peer := range []string{
		"::", "::ffff:8.8.8.8", "::ffff:127.0.0.1", "::127.0.0.1", "::8.8.8.8", "64:ff9b::808:808", "64:ff9b:1::1",
		"100::1", "2001::1", "2001:db8::1", "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1", "fd00::1", "fe80::1", "fec0::1", "ff02::1",
	} {
		if a := w.ask(methodCreatePermission, peerOpt(peer)); a.String() != "403 MI" {
			t.Errorf("permission for %s: %v", peer, a)
		}
		if a := w.ask(methodChannelBind, peerOpt(netip.AddrPortFrom(netip.MustParseAddr(peer), 4000).String()), channelOpt(0x4001)); a.String() != "403 MI" {
			t.Errorf("channel to %s: %v", peer, a)
		}
	}
	if a := w.ask(methodCreatePermission, peerOpt("8.8.8.8")); a.String() != "443 MI" {
		t.Errorf("IPv4 peer: %v", a)
	}
	w.must(methodCreatePermission, peerOpt("2a00:1450:4001::1"))
}

// Disguised peers in Send indications reach nothing, also with a permission for
// the address they disguise.
func TestSendDisguised(t *testing.T) {
	s := testServer(t, noLimits)
	a, b, relayA, relayB := pair(newWire(t, s, overUDP, "x"))
	a.must(methodCreatePermission, peerOpt(relayB.String()))
	b.must(methodCreatePermission, peerOpt(relayA.String()))
	mapped := netip.AddrPortFrom(netip.AddrFrom16(relayB.Addr().As16()), relayB.Port())
	a.sendIndication(mapped, []byte("x"))
	a.sync()
	if got := b.buffered(); got != "" {
		t.Error("a mapped address was accepted")
	}
	if n := s.dropped(dropGarbage); n != 1 {
		t.Errorf("%d dropped", n)
	}
}

func TestNonceExpires(t *testing.T) {
	clk := &clock{}
	s := testServer(t, func(c *Config) { noLimits(c); c.now = clk.now })
	w := newWire(t, s, overUDP, "x")
	w.allocated()
	clk.skip(nonceLifetime - 2*time.Minute)
	w.must(methodRefresh)
	clk.skip(4 * time.Minute)
	if a := w.ask(methodRefresh); a.String() != "438 nonce" {
		t.Errorf("expired nonce: %v", a)
	}
	w.login().must(methodRefresh)
}

func TestCredentialExpires(t *testing.T) {
	clk := &clock{}
	s := testServer(t, func(c *Config) { noLimits(c); c.now = clk.now })
	w, late := newWire(t, s, overUDP, "x"), newWire(t, s, overUDP, "x")
	w.allocated()
	clk.skip(s.cfg.CredentialTTL + time.Second)
	w.must(methodRefresh)
	w.must(methodCreatePermission, peerOpt("8.8.8.8"))
	if a := late.login().ask(methodAllocate, udpRelay); a.String() != "401 nonce" {
		t.Errorf("allocate with an expired credential: %v", a)
	}
	w.must(methodRefresh, addU32(attrLifetime, 0))
	if a := w.ask(methodAllocate, udpRelay); a.String() != "401 nonce" {
		t.Errorf("allocate again with an expired credential: %v", a)
	}
}

func TestSecretRotation(t *testing.T) {
	old, fresh := Secret{ID: "k1", Key: []byte("0123456789abcdef")}, Secret{ID: "k2", Key: []byte("fedcba9876543210")}
	s := testServer(t, func(c *Config) { noLimits(c); c.Secrets = []Secret{old} })
	before := newWire(t, s, overUDP, "x")
	living := newWire(t, s, overUDP, "y")
	living.allocated()
	if err := s.SetSecrets([]Secret{fresh, old}); err != nil {
		t.Fatal(err)
	}
	after := newWire(t, s, overUDP, "x")
	if !strings.Contains(after.username, ":k2.") {
		t.Errorf("minted %q", after.username)
	}
	before.allocated()
	after.allocated()
	if err := s.SetSecrets([]Secret{fresh}); err != nil {
		t.Fatal(err)
	}
	before.connect()
	if a := before.login().ask(methodAllocate, udpRelay); a.String() != "401 nonce" {
		t.Errorf("credential of a secret that is gone: %v", a)
	}
	living.must(methodRefresh)
	if err := s.SetSecrets(nil); err == nil {
		t.Error("no secrets accepted")
	}
}

func TestStaticSecret(t *testing.T) {
	secret := Secret{Key: []byte("static-auth-secret")}
	s := testServer(t, func(c *Config) { noLimits(c); c.Secrets = []Secret{{ID: "a", Key: []byte("0123456789abcdef")}, secret} })
	w := newWire(t, s, overUDP, "x")
	for _, rest := range []string{"alice", "a.lice", "any:thing @ all"} {
		w.connect()
		w.username = fmt.Sprintf("%d:%s", time.Now().Add(time.Hour).Unix(), rest)
		w.password = secret.password(w.username)
		w.rekey()
		w.allocated()
	}
}

// Using a 5-tuple again must never meet what is left of the allocation before.
func TestReusedFiveTuple(t *testing.T) {
	testTransports(t, nil, func(t *testing.T, s *Server, over transport) {
		w := newWire(t, s, over, "x")
		relays := map[netip.AddrPort]bool{}
		for range 100 {
			relays[w.allocated()] = true
			w.must(methodRefresh)
			w.must(methodRefresh, addU32(attrLifetime, 0))
		}
		w.allocated()
		w.sync()
		w.must(methodRefresh)
		if len(relays) < 90 {
			t.Errorf("only %d different relay ports in 100", len(relays))
		}
		if n := s.Allocations(); n != 1 {
			t.Errorf("%d allocations", n)
		}
	})
}

func TestEvenPortLeaksNothing(t *testing.T) {
	s := testServer(t, noLimits)
	w := newWire(t, s, overUDP, "x").login()
	free := s.freePorts()
	for range 200 {
		if a := w.ask(methodAllocate, udpRelay, add(attrEvenPort, 0x80)); a.code != 508 {
			t.Fatal(a)
		}
		if relay := w.allocated(add(attrEvenPort, 0)); relay.Port()%2 != 0 {
			t.Fatalf("relay %v", relay)
		}
		w.must(methodRefresh, addU32(attrLifetime, 0))
	}
	if s.freePorts() != free {
		t.Error("ports leaked")
	}
}

// logLines counts log records and keeps their text.
type logLines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Whatever clients do, the log stays short and holds no user and no secret.
func TestLogs(t *testing.T) {
	log := &logLines{}
	s := testServer(t, func(c *Config) {
		noLimits(c)
		c.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c.Secrets = []Secret{{ID: "kid", Key: []byte("very secret secret")}}
	})
	started := strings.Count(log.String(), "\n")
	for range 50 {
		w := newWire(t, s, overUDP, "sessionname")
		w.allocated()
		w.ask(methodCreatePermission, peerOpt("10.0.0.1"))
		w.must(methodCreatePermission, peerOpt("8.8.8.8"))
		w.password = "x"
		w.rekey()
		w.ask(methodRefresh)
		w.send([]byte("garbage"))
		w.sync()
	}
	text := log.String()
	if n := strings.Count(text, "\n") - started; n > 10 {
		t.Errorf("%d log lines:\n%s", n, text)
	}
	for _, word := range []string{"sessionname", "very secret", s.cfg.Secrets[0].password("x")} {
		if strings.Contains(text, word) {
			t.Errorf("the log has %q", word)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v", s.cfg.Secrets[0], s.cfg.Secrets[0], s.cfg.Secrets[0]); strings.Contains(text, "very") {
		t.Errorf("a secret prints as %s", text)
	}
}

func TestBandwidth(t *testing.T) {
	clk := &clock{}
	s := testServer(t, func(c *Config) {
		noLimits(c)
		c.Limits.Bandwidth, c.Limits.BandwidthBurst = 1, 10_000
		c.now = clk.now
	})
	a, b, relayA, relayB := pair(newWire(t, s, overUDP, "x"))
	a.must(methodChannelBind, peerOpt(relayB.String()), channelOpt(0x4000))
	b.must(methodChannelBind, peerOpt(relayA.String()), channelOpt(0x4000))
	for range 30 {
		a.sendChannel(0x4000, make([]byte, 1000))
	}
	a.sync()
	got := strings.Count(b.buffered(), "data")
	if got != 10 || s.dropped(dropBandwidth) != 20 {
		t.Errorf("%d of 30 passed, %d dropped", got, s.dropped(dropBandwidth))
	}
}

func TestTotalBandwidth(t *testing.T) {
	r := newSharedRate(1_000_000)
	now := time.Now()
	passed := 0
	for range 1000 {
		if r.take(1000, now) {
			passed++
		}
	}
	if passed != 262 {
		t.Errorf("%d kB passed at once", passed)
	}
	if newSharedRate(0) != nil {
		t.Error("0 is a limit")
	}
}

// Permissions live 5 minutes and channels 10; data refreshes neither.
func TestExpiry(t *testing.T) {
	clk := &clock{}
	s := testServer(t, func(c *Config) { noLimits(c); c.now = clk.now })
	a, b, relayA, relayB := pair(newWire(t, s, overUDP, "x"))
	a.must(methodChannelBind, peerOpt(relayB.String()), channelOpt(0x4000))
	b.must(methodChannelBind, peerOpt(relayA.String()), channelOpt(0x4000))
	pass := func() string {
		a.sendChannel(0x4000, []byte("x"))
		a.sync()
		return b.buffered()
	}
	clk.skip(permissionLifetime - time.Second)
	if pass() == "" {
		t.Error("dropped before its time")
	}
	clk.skip(2 * time.Second)
	if pass() != "" {
		t.Error("a channel without permission passed data")
	}
	a.must(methodCreatePermission, peerOpt(relayB.String()))
	b.must(methodCreatePermission, peerOpt(relayA.String()))
	if pass() == "" {
		t.Error("a renewed permission does not count")
	}
	clk.skip(permissionLifetime)
	a.must(methodCreatePermission, peerOpt(relayB.String()))
	b.must(methodCreatePermission, peerOpt(relayA.String()))
	if pass() != "" {
		t.Error("a channel lives longer than 10 minutes")
	}
}

func TestMaxSession(t *testing.T) {
	clk := &clock{}
	s := testServer(t, func(c *Config) { noLimits(c); c.now = clk.now; c.MaxSession = time.Hour })
	w := newWire(t, s, overUDP, "x")
	w.allocated()
	clk.skip(55 * time.Minute)
	if a := lifetimeIn(w.ask(methodRefresh, addU32(attrLifetime, 3599))); a != "ok MI 299" && a != "ok MI 300" {
		t.Errorf("refresh near the end: %v", a)
	}
	w.login()
	clk.skip(6 * time.Minute)
	if a := lifetimeIn(w.ask(methodRefresh)); a != "ok MI 0" {
		t.Errorf("refresh after the end: %v", a)
	}
	if s.Allocations() != 0 {
		t.Error("it lives")
	}
}

func TestRevoke(t *testing.T) {
	s := testServer(t, noLimits)
	a, b := newWire(t, s, overUDP, "a"), newWire(t, s, overTCP, "b")
	a.allocated()
	b.allocated()
	s.Revoke("a", 0)
	if s.Allocations() != 1 {
		t.Errorf("%d allocations", s.Allocations())
	}
	if got := a.ask(methodRefresh); got.String() != "401 nonce" {
		t.Errorf("refresh after revoke: %v", got)
	}
	if got := a.login().ask(methodAllocate, udpRelay); got.String() != "401 nonce" {
		t.Errorf("allocate after revoke: %v", got)
	}
	s.Revoke("b", 50*time.Millisecond)
	again := newWire(t, s, overUDP, "b")
	again.allocated()
	testenv.Eventually(t, patience, func() bool { return s.Allocations() == 1 }, "not revoked later")
	again.must(methodRefresh) // it is younger than the revocation
	s.Revoke("b", time.Hour)  // Close must not wait for it
}

func TestPolicyReload(t *testing.T) {
	peer, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	loop := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	s := testServer(t, func(c *Config) { noLimits(c); c.Policy.Allow = loop })
	w := newWire(t, s, overUDP, "x")
	relay := w.allocated()
	w.must(methodChannelBind, peerOpt(peer.LocalAddr().String()), channelOpt(0x4000))
	w.sendChannel(0x4000, []byte("one"))
	buf := make([]byte, 10)
	peer.SetReadDeadline(time.Now().Add(patience))
	n, from, err := peer.ReadFromUDPAddrPort(buf)
	if err != nil || string(buf[:n]) != "one" || from != relay {
		t.Fatalf("%q from %v: %v", buf[:n], from, err)
	}
	peer.WriteToUDPAddrPort([]byte("back"), relay)
	if got, _, ch := w.data(patience); got != "back" || ch != 0x4000 {
		t.Fatalf("%q in channel %x", got, ch)
	}
	if err := s.SetPolicy(Policy{Allow: loop, Deny: loop}); err != nil {
		t.Fatal(err)
	}
	w.sendChannel(0x4000, []byte("two"))
	w.sync()
	if s.dropped(dropPolicy) != 1 {
		t.Error("the new policy is not used")
	}
	if err := s.SetPolicy(Policy{Mode: "other"}); err == nil {
		t.Error("a mode that does not exist was taken")
	}
}

func TestRelayOnly(t *testing.T) {
	s := testServer(t, func(c *Config) { noLimits(c); c.Policy.Mode = ModeRelayOnly })
	a, b, relayA, relayB := pair(newWire(t, s, overUDP, "x"))
	if got := a.ask(methodCreatePermission, peerOpt("8.8.8.8")); got.String() != "403 MI" {
		t.Errorf("a public peer: %v", got)
	}
	a.must(methodCreatePermission, peerOpt(relayB.String()))
	b.must(methodCreatePermission, peerOpt(relayA.String()))
	a.sendIndication(relayB, []byte("hello"))
	if got, _, _ := b.data(patience); got != "hello" {
		t.Errorf("got %q", got)
	}
	if got := s.ICE("x", time.Now()).Policy; got != "relay" {
		t.Errorf("policy %q", got)
	}
}

func TestDrain(t *testing.T) {
	s := testServer(t, noLimits)
	w := newWire(t, s, overUDP, "x")
	w.allocated()
	short, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := s.Drain(short); err != context.DeadlineExceeded {
		t.Errorf("drain with an allocation: %v", err)
	}
	if a := newWire(t, s, overUDP, "y").login().ask(methodAllocate, udpRelay); a.String() != "508 MI" {
		t.Errorf("allocate while draining: %v", a)
	}
	w.must(methodRefresh, addU32(attrLifetime, 0))
	long, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Drain(long); err != nil {
		t.Errorf("drain: %v", err)
	}
	w.sync()
}

// The end of a connection is the end of its allocation.
func TestConnectionEnds(t *testing.T) {
	s := testServer(t, noLimits)
	for _, over := range []transport{overTCP, overTLS} {
		w := newWire(t, s, over, "x")
		w.allocated()
		w.conn.Close()
	}
	testenv.Eventually(t, patience, func() bool { return s.Allocations() == 0 && s.conns.len() == 0 }, "allocations live")
	if free := s.freePorts(); free != s.cfg.RelayPorts.size() {
		t.Errorf("%d ports free", free)
	}
}

func TestMintIsStandard(t *testing.T) {
	s := testServer(t, nil)
	now := time.Unix(1_700_000_000, 5)
	user, _, expiry := s.Mint(protocol.SessionID("s_1"), now)
	if user != "1700000600:r.s_1" || !expiry.Equal(time.Unix(1_700_000_600, 0)) {
		t.Errorf("%s until %v", user, expiry)
	}
}

// Length fields that lie about what follows.
func TestChannelDataLies(t *testing.T) {
	s := testServer(t, noLimits)
	a, b, relayA, relayB := pair(newWire(t, s, overUDP, "x"))
	a.must(methodChannelBind, peerOpt(relayB.String()), channelOpt(0x4000))
	b.must(methodChannelBind, peerOpt(relayA.String()), channelOpt(0x4000))
	lie := binary.BigEndian.AppendUint16([]byte{0x40, 0x00}, 100)
	a.send(append(lie, "short"...))
	a.send([]byte{0x40, 0x00, 0x00})
	a.send([]byte{0x40})
	a.send(append([]byte{0x40, 0x00, 0x00, 0x02}, "hi and padding"...))
	if got, _, _ := b.data(patience); got != "hi" {
		t.Errorf("got %q", got)
	}
	a.sendChannel(0x4000, nil) // an empty datagram is one
	if got, _, ch := b.data(patience); got != "" || ch != 0x4000 {
		t.Errorf("got %q in %x", got, ch)
	}
}
