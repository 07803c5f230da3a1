package e2e_test

import (
	"testing"
	"time"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// TestGhosts: who searched and whose network then died is matched with nobody,
// whether the server could notice (reset) or not (half-open).
func TestGhosts(t *testing.T) {
	t.Parallel() // it mostly waits
	for _, death := range []struct {
		name string
		die  func(p *lab.Proxy)
	}{
		{"reset without a close frame", (*lab.Proxy).Cut},
		{"half-open", (*lab.Proxy).Blackhole},
	} {
		t.Run(death.name, func(t *testing.T) {
			services(t, func(t *testing.T, nodes []*lab.Node) {
				last := nodes[len(nodes)-1]
				proxy := lab.NewProxy(t, nodes[0].HTTP)
				ghost, err := nodes[0].DialErr(t.Context(), 1, client.Options{Name: "Ghost", NetDial: proxy.Dial, NoReconnect: true})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(ghost.Abandon)
				find(t, ghost, protocol.Find{})
				death.die(proxy)
				if death.name == "half-open" {
					// Who spoke within the last quarter of a second passes for alive.
					testenv.Eventually(t, wait, func() bool { return proxy.Quiet() > 400*time.Millisecond }, "silence")
				}

				began := time.Now()
				ann := last.Dial(t, 2, client.Options{Name: "Ann"})
				find(t, ann, protocol.Find{})
				bo := last.Dial(t, 3, client.Options{Name: "Bo"})
				find(t, bo, protocol.Find{})
				fa, fb := next[client.Found](t, ann), next[client.Found](t, bo)
				checkMatch(t, fa, fb)
				if fa.Peer.Name != "Bo" {
					t.Fatalf("Ann met %s", fa.Peer.Name)
				}
				t.Logf("met after %v", time.Since(began).Round(time.Millisecond))

				// The ghost is left alone also when nobody else is there.
				cy := last.Dial(t, 4, client.Options{Name: "Cy"})
				find(t, cy, protocol.Find{})
				dee := nodes[0].Dial(t, 5, client.Options{Name: "Dee"})
				find(t, dee, protocol.Find{})
				if f := next[client.Found](t, cy); f.Peer.Name != "Dee" {
					t.Fatalf("Cy met %s", f.Peer.Name)
				}
				for {
					select {
					case ev, ok := <-ghost.Events():
						if found, is := ev.(client.Found); is {
							t.Fatalf("the ghost met %s", found.Peer.Name)
						}
						if ok {
							continue
						}
					default:
					}
					break
				}
			})
		})
	}
}

// TestWaitingGhostComesBack: the place in the queue outlives the socket.
func TestWaitingGhostComesBack(t *testing.T) {
	n := lab.Start(t, lab.Options{})
	proxy := lab.NewProxy(t, n.HTTP)
	ann := n.Dial(t, 1, client.Options{Name: "Ann", NetDial: proxy.Dial, BackoffMin: 10 * time.Millisecond, BackoffMax: 20 * time.Millisecond})
	find(t, ann, protocol.Find{})
	proxy.Cut()
	next[client.Down](t, ann)
	if up := next[client.Up](t, ann); up.New {
		t.Fatal("the session is lost")
	}
	bo := n.Dial(t, 2, client.Options{Name: "Bo"})
	find(t, bo, protocol.Find{})
	checkMatch(t, next[client.Found](t, ann), next[client.Found](t, bo))
}

// TestResume: a call outlives the socket; what was sent meanwhile arrives, in
// order, once.
func TestResume(t *testing.T) {
	services(t, func(t *testing.T, nodes []*lab.Node) {
		proxy := lab.NewProxy(t, nodes[0].HTTP)
		ann := nodes[0].Dial(t, 1, client.Options{Name: "Ann", NetDial: proxy.Dial, BackoffMin: 300 * time.Millisecond, BackoffMax: 600 * time.Millisecond})
		bo := nodes[len(nodes)-1].Dial(t, 2, client.Options{Name: "Bo"})
		fa, _ := meet(t, ann, bo)
		proxy.Cut()
		if ev := next[client.PeerReconnecting](t, bo); ev.Peer != fa.You {
			t.Fatalf("%+v", ev)
		}
		if _, err := bo.Chat(within(t, wait), fa.Room, "are you there?"); err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			if err := bo.Signal(within(t, wait), fa.Room, "", protocol.SignalCandidate, map[string]any{"candidate": map[string]any{"candidate": "", "n": i}}); err != nil {
				t.Fatal(err)
			}
		}
		if up := next[client.Up](t, ann); up.New || up.State != nil {
			t.Fatalf("%+v", up)
		}
		// The two streams each keep their order.
		chats, signals := 0, 0
		for chats < 1 || signals < 5 {
			select {
			case ev := <-ann.Events():
				switch ev := ev.(type) {
				case client.Chat:
					chats++
					if ev.Text != "are you there?" || chats > 1 {
						t.Fatalf("%+v", ev)
					}
				case client.Signal:
					if want := map[string]any{"n": signals}; !contains(ev.D, want) {
						t.Fatalf("signal %d is %s", signals, ev.D)
					}
					signals++
				}
			case <-time.After(wait):
				t.Fatalf("%d chats and %d signals came", chats, signals)
			}
		}
		if ev := next[client.PeerBack](t, bo); ev.Peer != fa.You || ev.Fresh {
			t.Fatalf("%+v", ev)
		}
		say(t, ann, bo, fa.Room, "back")
	})
}

// TestGraceEnds: who does not come back has left.
func TestGraceEnds(t *testing.T) {
	t.Parallel() // it mostly waits
	services(t, func(t *testing.T, nodes []*lab.Node) {
		ann, err := nodes[0].DialErr(t.Context(), 1, client.Options{Name: "Ann", NoReconnect: true})
		if err != nil {
			t.Fatal(err)
		}
		bo := nodes[len(nodes)-1].Dial(t, 2, client.Options{Name: "Bo"})
		fa, _ := meet(t, ann, bo)
		ann.Abandon()
		next[client.PeerReconnecting](t, bo)
		var left client.PeerLeft
		testenv.Eventually(t, wait, func() bool {
			select {
			case ev := <-bo.Events():
				is := false
				left, is = ev.(client.PeerLeft)
				return is
			default:
				return false
			}
		}, "the partner is told")
		if left.Reason != protocol.LeaveLost || left.Peer != fa.You {
			t.Fatalf("%+v", left)
		}
	}, "--grace", "2s")
}
