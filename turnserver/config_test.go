package turnserver

import (
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/protocol"
)

func TestConfigErrors(t *testing.T) {
	addr := netip.MustParseAddr
	key := []byte("0123456789abcdef")
	for _, c := range []struct {
		want string
		cfg  Config
	}{
		{"relay ports", Config{RelayPorts: PortRange{5000, 4000}}},
		{"relay ports", Config{RelayPorts: PortRange{80, 4000}}},
		{"certificate", Config{TLSListen: []string{":5349"}}},
		{"realm", Config{Realm: "a\"b"}},
		{"host", Config{Host: "turn:host"[0:4] + "/x"}},
		{"negative", Config{CredentialTTL: -1}},
		{"cannot be reached", Config{ExternalIPs: []netip.Addr{addr("0.0.0.0")}}},
		{"more than one", Config{ExternalIPs: []netip.Addr{addr("192.0.2.1"), addr("192.0.2.2")}}},
		{"shorter", Config{Secrets: []Secret{{ID: "a", Key: []byte("short")}}}},
		{"letters and digits", Config{Secrets: []Secret{{ID: "a.b", Key: key}}}},
		{"two secrets", Config{Secrets: []Secret{{ID: "a", Key: key}, {ID: "a", Key: key}}}},
		{"mode", Config{Policy: Policy{Mode: "open"}}},
		{"CIDR", Config{Policy: Policy{Deny: []netip.Prefix{{}}}}},
		{"without URL", Config{Servers: []ExternalServer{{}}}},
		{"want a stun:", Config{Servers: []ExternalServer{{URLs: []string{"http://x"}}}}},
		{"host:port", Config{Servers: []ExternalServer{{URLs: []string{"turn://x"}}}}},
		{"needs a username", Config{Servers: []ExternalServer{{URLs: []string{"turn:x"}}}}},
		{"shorter", Config{Servers: []ExternalServer{{URLs: []string{"turn:x"}, Secret: Secret{Key: []byte("x")}}}}},
	} {
		if _, err := New(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want %q, got %v", c.want, err)
		}
	}
}

func TestStartErrors(t *testing.T) {
	held, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	for _, addr := range []string{held.LocalAddr().String(), "nonsense", "localhost:0", "127.0.0.1:99999"} {
		s, err := New(Config{Listen: []string{addr}})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start(); err == nil {
			t.Errorf("listening on %s went well", addr)
		}
		s.Close()
	}
	// A second server on the port of a first one fails, though sockets share ports.
	s := testServer(t, nil)
	second, err := New(Config{Listen: []string{s.testAddr(t, overUDP).String()}})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := second.Start(); err == nil {
		t.Error("two servers share a port")
	}
	if err := s.Start(); err == nil {
		t.Error("started twice")
	}
}

func TestWildcardAnswersFromTheAddressAsked(t *testing.T) {
	s, err := New(Config{Listen: []string{":0"}, ExternalIPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ready(t, s)
	port := s.testAddr(t, overUDP).Port()
	for _, ip := range []string{"127.0.0.1", "127.0.0.2", "127.3.2.1"} {
		at := netip.AddrPortFrom(netip.MustParseAddr(ip), port)
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 9)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.WriteToUDPAddrPort(newBuilder(methodBinding, classRequest, newTID()).b, at)
		c.SetReadDeadline(time.Now().Add(patience))
		if _, from, err := c.ReadFromUDPAddrPort(make([]byte, 100)); err != nil || from != at {
			t.Errorf("asked %v, answered from %v: %v", at, from, err)
		}
	}
}

func TestICE(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	shared := Secret{Key: []byte("static-auth-secret")}
	s := testServer(t, func(c *Config) {
		c.Host = "turn.example.org"
		c.Servers = []ExternalServer{
			{URLs: []string{"stun:stun.example.net:3478"}},
			{URLs: []string{"turn:a.example.net:3478?transport=udp"}, Username: "u", Credential: "p"},
			{URLs: []string{"turns:b.example.net:5349?transport=tcp"}, Secret: shared},
		}
	})
	ice := s.ICE("s_1", now)
	port := func(over transport) string {
		_, p, _ := net.SplitHostPort(s.testAddr(t, over).String())
		return p
	}
	user, credential, _ := s.Mint("s_1", now)
	want := []protocol.ICEServer{
		{URLs: []string{"stun:turn.example.org:" + port(overUDP)}},
		{URLs: []string{
			"turn:turn.example.org:" + port(overUDP) + "?transport=udp",
			"turn:turn.example.org:" + port(overTCP) + "?transport=tcp",
			"turns:turn.example.org:" + port(overTLS) + "?transport=tcp",
		}, Username: user, Credential: credential},
		{URLs: []string{"stun:stun.example.net:3478"}},
		{URLs: []string{"turn:a.example.net:3478?transport=udp"}, Username: "u", Credential: "p"},
		{URLs: []string{"turns:b.example.net:5349?transport=tcp"}, Username: "1700000600:s_1", Credential: shared.password("1700000600:s_1")},
	}
	if len(ice.Servers) != len(want) || ice.TTLMS != 600_000 || ice.Policy != "all" {
		t.Fatalf("%+v", ice)
	}
	for i := range want {
		if got := ice.Servers[i]; !slices.Equal(got.URLs, want[i].URLs) || got.Username != want[i].Username || got.Credential != want[i].Credential {
			t.Errorf("server %d: %+v, want %+v", i, got, want[i])
		}
	}
}

func TestExternalOnly(t *testing.T) {
	s, err := New(Config{ExternalOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	ready(t, s)
	if ice := s.ICE("x", time.Now()); ice.Servers == nil || len(ice.Servers) != 0 || len(s.Addrs()) != 0 {
		t.Errorf("%+v %v", ice, s.Addrs())
	}
	if len(s.Warnings()) != 1 {
		t.Errorf("warnings %q", s.Warnings())
	}
}

func TestWarnings(t *testing.T) {
	own := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("2a00:1450::5")}
	for _, c := range []struct {
		configured []string
		want       string
	}{
		{[]string{"8.8.8.8"}, ""},
		{[]string{"10.0.0.5"}, "is configured and is private"},
		{[]string{"127.0.0.1"}, "only programs on this machine"},
		{[]string{"169.254.1.1"}, "network segment"},
	} {
		var list []netip.Addr
		for _, a := range c.configured {
			list = append(list, netip.MustParseAddr(a))
		}
		_, warnings := relayAddrs(list, own)
		if got := strings.Join(warnings, "\n"); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%v: %q", c.configured, got)
		}
	}
	addrs, _ := relayAddrs([]netip.Addr{netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("2a00:1450::5")}, own)
	if addrs[0].bind != netip.IPv4Unspecified() || addrs[1].bind != addrs[1].public {
		t.Errorf("bound to %v", addrs)
	}
	cfg := Config{TLS: &tls.Config{}, Host: "192.0.2.1"}
	if w := cfg.hostWarnings(); len(w) != 1 || !strings.Contains(w[0], "Firefox") {
		t.Errorf("%q", w)
	}
}

func TestPolicyOrder(t *testing.T) {
	prefix := netip.MustParsePrefix
	own := []netip.Addr{netip.MustParseAddr("10.0.0.5")}
	p := newPeerPolicy(Policy{Mode: ModePublic, Allow: []netip.Prefix{prefix("10.0.0.0/8")}, Deny: []netip.Prefix{prefix("10.6.0.0/16"), prefix("::ffff:8.8.4.0/120")}},
		[]netip.Addr{netip.MustParseAddr("192.168.1.1")}, own, []uint16{3478})
	for addr, want := range map[string]denial{
		"10.1.1.1:5000":            allowed,
		"10.6.1.1:5000":            denyList,
		"[::ffff:10.6.1.1]:5000":   denyList,
		"8.8.8.8:5000":             allowed,
		"8.8.4.4:5000":             denyList,
		"10.0.0.5:5000":            allowed, // the operator says so
		"10.0.0.5:3478":            denyOwn, // but never the listener
		"192.168.1.1:5000":         denyOwn,
		"192.168.1.2:5000":         denyPrivate,
		"8.8.8.8:53":               denyPort,
		"10.1.1.1:11211":           denyPort,
		"224.0.0.1:5000":           denyPrivate,
		"[fe80::1]:5000":           denyPrivate,
		"[::ffff:127.0.0.1]:50000": denyPrivate,
	} {
		if got := p.sendable(netip.MustParseAddrPort(addr)); got != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
	if p.permit(netip.MustParseAddr("192.168.1.1")) != allowed {
		t.Error("the address of relays gets no permission")
	}
}

func TestPorts(t *testing.T) {
	for _, low := range []uint16{50000, 50001} {
		p := newPorts(relayAddr{bind: netip.MustParseAddr("127.0.0.1")}, PortRange{low, low + 99})
		seen := map[uint16]bool{}
		for range 50 {
			port, ok := p.take(true)
			if !ok || port%2 != 0 || seen[port] || port < low || port > low+99 {
				t.Fatalf("even port %d, %v", port, ok)
			}
			seen[port] = true
		}
		if port, ok := p.take(true); ok {
			t.Fatalf("a 51st even port: %d", port)
		}
		for range 50 {
			port, ok := p.take(false)
			if !ok || seen[port] {
				t.Fatalf("port %d, %v", port, ok)
			}
			seen[port] = true
		}
		if _, ok := p.take(false); ok || p.available() != 0 {
			t.Fatal("more ports than there are")
		}
		p.release(low)
		p.release(low) // twice is once
		p.release(1)
		if port, ok := p.take(false); !ok || port != low || p.available() != 0 {
			t.Fatalf("port %d", port)
		}
	}
}

func TestRandomPortsSpread(t *testing.T) {
	p := newPorts(relayAddr{}, PortRange{49152, 65535})
	below := 0
	for range 1000 {
		port, _ := p.take(false)
		if port < 57344 {
			below++
		}
	}
	if below < 400 || below > 600 {
		t.Errorf("%d of 1000 ports in the lower half", below)
	}
}

func TestBusyPortsAreSkipped(t *testing.T) {
	held, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	busy := localAddr(held.LocalAddr()).Port()
	p := newPorts(relayAddr{bind: netip.MustParseAddr("127.0.0.1"), public: netip.MustParseAddr("127.0.0.1")}, PortRange{busy, busy})
	if conn, _, err := p.open(false); err == nil {
		conn.Close()
		t.Error("opened a port that is held")
	}
	if p.available() != 1 {
		t.Error("a busy port is lost for ever")
	}
}

func TestMetricsRegister(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	s := testServer(t, func(c *Config) { noLimits(c); c.Registerer = r })
	w := newWire(t, s, overUDP, "username")
	w.allocated()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "rondo_turn_") {
			t.Errorf("metric %s", f.GetName())
		}
		for _, m := range f.Metric {
			for _, l := range m.Label {
				if strings.Contains(l.GetValue(), "username") || strings.Contains(l.GetValue(), "127.") {
					t.Errorf("label %v", l)
				}
			}
		}
	}
	s.Close()
	again := testServer(t, func(c *Config) { c.Registerer = r })
	again.Close()
}

func TestAnswersShareSlots(t *testing.T) {
	a := newAnswers(ratelimit.Rate{PerSecond: 1, Burst: 2}, ratelimit.Rate{PerSecond: 1, Burst: 100})
	now := time.Now()
	v4, neighbour, far := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.200"), netip.MustParseAddr("198.51.100.1")
	if !a.take(v4, false, now) || !a.take(neighbour, false, now) || a.take(v4, false, now) {
		t.Error("a /24 does not share its rate")
	}
	if !a.take(far, false, now) {
		t.Error("another /24 is limited too")
	}
	if !a.take(v4, false, now.Add(time.Second)) {
		t.Error("the rate does not recover")
	}
}
