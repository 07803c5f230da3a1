package e2e_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/client/rtc"
	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// TestProgramsRelayed: two programs see each other through the embedded TURN
// server, over UDP and over TCP, because one of them asked to hide its address.
func TestProgramsRelayed(t *testing.T) {
	n := lab.Start(t, lab.Options{})
	engine, err := rtc.NewEngine(rtc.EngineConfig{Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	for i, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			ann := n.Dial(t, 2*i, client.Options{Name: "Ann"})
			bo := n.Dial(t, 2*i+1, client.Options{Name: "Bo"})
			find(t, ann, protocol.Find{Relay: true})
			find(t, bo, protocol.Find{})
			fa, fb := next[client.Found](t, ann), next[client.Found](t, bo)
			checkMatch(t, fa, fb)
			if !fa.RelayOnly || !fb.RelayOnly {
				t.Fatal("one asked for relay and not both are relayed")
			}
			a, b := call(t, engine, ann, fa, transport), call(t, engine, bo, fb, transport)
			for _, p := range []*rtc.Peer{a, b} {
				select {
				case <-p.Connected():
				case <-time.After(wait):
					t.Fatalf("not connected: %v %v", p.State(), p.Err())
				}
				testenv.Eventually(t, wait, func() bool { return p.Counts().Frames >= 5 }, "pictures")
				if pair, ok := p.Pair(); !ok || pair.Local != "relay" || pair.Remote != "relay" {
					t.Fatalf("%+v, want relay on both sides", pair)
				}
			}
			text := n.MetricsText(t)
			if !strings.Contains(text, "rondo_turn_") {
				t.Fatal("/metrics tells nothing of TURN")
			}
		})
	}
}

// call makes c's peer of a match, over one transport of TURN, and feeds it until
// the test ends.
func call(t *testing.T, engine *rtc.Engine, c *client.Client, f client.Found, transport string) *rtc.Peer {
	t.Helper()
	ice := *f.ICE
	ice.Servers = nil
	for _, s := range f.ICE.Servers {
		s.URLs = slices.DeleteFunc(slices.Clone(s.URLs), func(u string) bool {
			return !strings.HasPrefix(u, "turn:") || strings.Contains(u, "transport=tcp") != (transport == "tcp")
		})
		if len(s.URLs) > 0 {
			ice.Servers = append(ice.Servers, s)
		}
	}
	if len(ice.Servers) == 0 {
		t.Fatalf("no TURN over %s in %+v", transport, f.ICE)
	}
	f.ICE = &ice
	p, err := engine.Match(c, f, rtc.Config{Video: true})
	if err != nil {
		t.Fatal(err)
	}
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		for ev := range c.Events() {
			if s, ok := ev.(client.Signal); ok {
				p.Handle(s)
			}
		}
	}()
	t.Cleanup(func() {
		p.Close()
		c.Close()
		<-fed
	})
	return p
}
