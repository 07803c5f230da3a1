package turnserver

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/logging"
	"github.com/pion/turn/v4"
	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testServer is a server on loopback with all three transports.
func testServer(t testing.TB, change func(*Config)) *Server {
	t.Helper()
	cfg := Config{
		Listen:    []string{"127.0.0.1:0"},
		TLSListen: []string{"127.0.0.1:0"},
		TLS:       &tls.Config{Certificates: []tls.Certificate{testCertificate(t)}},
		Host:      "127.0.0.1",
		portable:  strings.HasPrefix(t.Name(), portableTests),
	}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func testCertificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "turn.test"}, DNSNames: []string{"turn.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (s *Server) testAddr(t testing.TB, over transport) netip.AddrPort {
	t.Helper()
	for _, a := range s.Addrs() {
		if a.Transport == string(over) {
			return a.Addr
		}
	}
	t.Fatalf("no %s listener", over)
	return netip.AddrPort{}
}

// dial opens a socket to the server, as a net.PacketConn for pion's client.
func dial(t testing.TB, s *Server, over transport) net.PacketConn {
	t.Helper()
	at := s.testAddr(t, over).String()
	if over == overUDP {
		pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { pc.Close() })
		return pc
	}
	conn, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	if over == overTLS || over == overHTTPS {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	t.Cleanup(func() { conn.Close() })
	return turn.NewSTUNConn(conn)
}

// pionClient allocates with pion's client.
func pionClient(t testing.TB, s *Server, over transport, session protocol.SessionID) (*turn.Client, net.PacketConn) {
	t.Helper()
	username, password, _ := s.Mint(session, time.Now())
	at := s.testAddr(t, over).String()
	c, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: at, TURNServerAddr: at, Conn: dial(t, s, over),
		Username: username, Password: password, Realm: s.cfg.Realm,
		LoggerFactory: &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.Listen(); err != nil {
		t.Fatal(err)
	}
	relay, err := c.Allocate()
	if err != nil {
		t.Fatalf("allocate over %s: %v", over, err)
	}
	t.Cleanup(func() { relay.Close() })
	return c, relay
}

func TestRelayToRelay(t *testing.T) {
	s := testServer(t, nil)
	for _, over := range []transport{overUDP, overTCP, overTLS} {
		t.Run(string(over), func(t *testing.T) {
			_, a := pionClient(t, s, over, "a")
			_, b := pionClient(t, s, overUDP, "b")
			// Pion sends the first packets as Send indications and binds a
			// channel meanwhile.
			for i := range 20 {
				exchange(t, a, b, byte(i))
				exchange(t, b, a, byte(i))
			}
		})
	}
}

// exchange sends until it arrives: permissions take a moment.
func exchange(t *testing.T, from, to net.PacketConn, tag byte) {
	t.Helper()
	buf := make([]byte, 100)
	deadline := time.Now().Add(5 * time.Second)
	for time.Now().Before(deadline) {
		if _, err := from.WriteTo([]byte{'h', 'i', tag}, to.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		// The answer opens the other side's permission.
		to.WriteTo([]byte("open"), from.LocalAddr())
		to.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		for {
			n, peer, err := to.ReadFrom(buf)
			if err != nil {
				break
			}
			if n == 3 && buf[2] == tag && peer.String() == from.LocalAddr().String() {
				return
			}
		}
	}
	t.Fatal("nothing arrived")
}

func TestReady(t *testing.T) {
	s := testServer(t, nil)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.Ready(ctx); err != nil {
		t.Fatal(err)
	}
}
