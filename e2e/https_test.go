package e2e_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/turnserver/probe"
)

// TestOnePort: the page, the WebSocket and the relay are all behind the one port of
// HTTPS, while others open that port and do nothing good.
func TestOnePort(t *testing.T) {
	cert := lab.NewCertificate(t, "localhost")
	n := lab.Start(t, lab.Options{Cert: cert})
	silent(t, n)
	for _, h2 := range []bool{true, false} {
		hc := http.Client{Timeout: wait, Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: cert.Pool}, ForceAttemptHTTP2: h2, DisableKeepAlives: true}}
		resp, err := hc.Get(n.PageURL("localhost"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if want := map[bool]int{true: 2, false: 1}[h2]; resp.ProtoMajor != want || resp.StatusCode != http.StatusOK {
			t.Errorf("the page came by %s with %d, want HTTP/%d", resp.Proto, resp.StatusCode, want)
		}
	}
	trust := &tls.Config{RootCAs: cert.Pool, ServerName: "localhost"}
	ann, bo := n.Dial(t, 0, client.Options{Name: "Ann", TLS: trust}), n.Dial(t, 1, client.Options{Name: "Bo", TLS: trust})
	f, _ := meet(t, ann, bo)
	say(t, ann, bo, f.Room, "over TLS")

	_, port, err := net.SplitHostPort(n.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	want := "turns:localhost:" + port + "?transport=tcp"
	relay := f.ICE.Servers[len(f.ICE.Servers)-1]
	if !strings.HasPrefix(relay.URLs[len(relay.URLs)-1], want) {
		t.Fatalf("clients are told of %q, want %s last", relay.URLs, want)
	}
	relay.URLs = []string{want}
	for _, r := range probe.Run(within(t, wait), probe.Config{Servers: []protocol.ICEServer{relay}, TLS: &tls.Config{RootCAs: cert.Pool}}) {
		if !r.OK {
			t.Errorf("%s %s: %v", r.URL, r.Check, r.Err)
		}
	}
	say(t, bo, ann, f.Room, "and still there")
}

// silent opens connections that stay as they are.
func silent(t *testing.T, n *lab.Node) {
	t.Helper()
	for i := range 90 {
		c, err := lab.DialFrom(100)(context.Background(), "tcp", n.HTTP)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		switch i % 3 {
		case 0: // nothing
		case 1:
			_, err = c.Write([]byte{0x16})
		case 2:
			err = tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestOnePortIsAChoice: without the setting the port is HTTP's alone.
func TestOnePortIsAChoice(t *testing.T) {
	cert := lab.NewCertificate(t, "localhost")
	n := lab.Start(t, lab.Options{Cert: cert, Args: []string{"--turn-share-https=false"}})
	ann := n.Dial(t, 0, client.Options{Name: "Ann", TLS: &tls.Config{RootCAs: cert.Pool, ServerName: "localhost"}})
	_, port, _ := net.SplitHostPort(n.HTTP)
	for _, s := range ann.Welcome().ICE.Servers {
		if slices.ContainsFunc(s.URLs, func(u string) bool { return strings.Contains(u, ":"+port) }) {
			t.Errorf("clients are told of %q", s.URLs)
		}
	}
	if _, err := tls.Dial("tcp", n.HTTP, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"stun.turn"}}); err == nil {
		t.Error("TURN is spoken on the port of HTTPS")
	}
}
