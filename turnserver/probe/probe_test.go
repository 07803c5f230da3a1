package probe

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/turnserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server runs on loopback and has a certificate for "localhost".
func server(t *testing.T) (*turnserver.Server, *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	s, err := turnserver.New(turnserver.Config{
		Listen: []string{"127.0.0.1:0"}, TLSListen: []string{"127.0.0.1:0"}, Host: "localhost",
		TLS: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return s, &tls.Config{RootCAs: pool}
}

func run(t *testing.T, cfg Config) []Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return Run(ctx, cfg)
}

func TestAllWaysWork(t *testing.T) {
	s, trust := server(t)
	results := run(t, Config{Servers: s.ICE("doctor", time.Now()).Servers, TLS: trust})
	var got []string
	for _, r := range results {
		if !r.OK {
			t.Errorf("%s %s: %v (%s)", r.URL, r.Check, r.Err, r.Advice)
		}
		got = append(got, r.Transport+" "+string(r.Check))
	}
	want := []string{"udp stun", "udp stun", "udp turn", "udp relay", "tcp stun", "tcp turn", "tcp relay", "tls stun", "tls turn", "tls relay"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestAdvice(t *testing.T) {
	s, trust := server(t)
	user, password, _ := s.Mint("x", time.Now())
	urls := s.ICE("x", time.Now()).Servers[1].URLs
	udpURL, tlsURL := urls[0], urls[2]
	silent, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	closed, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closedPort := port(closed.Addr())
	closed.Close()
	for _, c := range []struct {
		name, url, password, advice string
		trust                       *tls.Config
		check                       Check
	}{
		{"silent UDP", "turn:127.0.0.1:" + port(silent.LocalAddr()), password, "Open UDP port " + port(silent.LocalAddr()), nil, CheckSTUN},
		{"closed TCP", "turn:127.0.0.1:" + closedPort + "?transport=tcp", password, "Nothing listens on TCP port " + closedPort, nil, CheckSTUN},
		{"wrong password", udpURL, "wrong", "credential is not accepted", nil, CheckTURN},
		{"unknown certificate", tlsURL, password, "certificate is not valid for localhost", nil, CheckSTUN},
		{"name of nobody", "turn:nobody.invalid:1", password, "cannot be resolved", trust, CheckSTUN},
		{"no URL", "http://x", password, "Correct the URL", nil, CheckSTUN},
	} {
		t.Run(c.name, func(t *testing.T) {
			results := run(t, Config{
				Servers: []protocol.ICEServer{{URLs: []string{c.url}, Username: user, Credential: c.password}},
				TLS:     c.trust, Timeout: 700 * time.Millisecond,
			})
			last := results[len(results)-1]
			if last.OK || last.Err == nil || last.Check != c.check || !strings.Contains(last.Advice, c.advice) {
				t.Errorf("%+v", last)
			}
		})
	}
}

func port(a net.Addr) string {
	_, p, _ := net.SplitHostPort(a.String())
	return p
}

func FuzzParseURL(f *testing.F) {
	f.Add("turn:example.org:3478?transport=udp")
	f.Add("turns:[2001:db8::1]:5349?transport=tcp")
	f.Add("stun:x")
	f.Fuzz(func(t *testing.T, url string) {
		u, err := parseURL(url)
		if err != nil {
			return
		}
		if n, err := strconv.Atoi(u.port); u.host == "" || err != nil || n < 1 {
			t.Fatalf("%q gave %+v", url, u)
		}
	})
}
