package e2e_test

import (
	"encoding/json"
	"testing"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// services runs a test on the ways to run Rondo that must behave alike, with further
// flags args; nodes are those that clients connect to in turn.
func services(t *testing.T, run func(t *testing.T, nodes []*lab.Node), args ...string) {
	t.Run("memory", func(t *testing.T) {
		run(t, []*lab.Node{lab.Start(t, lab.Options{Args: args})})
	})
	t.Run("two nodes one redis", func(t *testing.T) {
		n := lab.Pair(t, testenv.Redis(t).URL, args...)
		run(t, n[:])
	})
	t.Run("two nodes redis cluster", func(t *testing.T) {
		n := lab.Pair(t, clusterURL(testenv.RedisCluster(t)), args...)
		run(t, n[:])
	})
}

func clusterURL(c *testenv.Cluster) string { return "redis+cluster" + c.URL[len("redis"):] }

// TestMeet: two strangers meet, signal, write, part and meet the next one.
func TestMeet(t *testing.T) {
	services(t, func(t *testing.T, nodes []*lab.Node) {
		node := func(i int) *lab.Node { return nodes[i%len(nodes)] }
		ann := node(0).Dial(t, 1, client.Options{Name: "Ann"})
		bo := node(1).Dial(t, 2, client.Options{Name: "Bo"})
		fa, fb := meet(t, ann, bo)
		if fa.Peer.Name != "Bo" || fb.Peer.Name != "Ann" {
			t.Fatalf("names %q, %q", fa.Peer.Name, fb.Peer.Name)
		}
		room := fa.Room
		signal(t, ann, bo, room, protocol.SignalOffer, `{"sdp":"o \u00fc \"x\" <é>"}`)
		signal(t, bo, ann, room, protocol.SignalAnswer, `{ "sdp" : "spaces stay" }`)
		say(t, ann, bo, room, "hello 👋🏽")
		say(t, bo, ann, room, "line\ntwo")
		if err := ann.Typing(room, true); err != nil {
			t.Fatal(err)
		}
		if ev := next[client.Typing](t, bo); !ev.On || ev.From != fa.You || ev.Room != room {
			t.Fatalf("%+v", ev)
		}

		cy := node(1).Dial(t, 3, client.Options{Name: "Cy"})
		find(t, cy, protocol.Find{})
		if _, err := ann.Next(within(t, wait), nil); err != nil {
			t.Fatal(err)
		}
		if ev := next[client.PeerLeft](t, bo); ev.Reason != protocol.LeaveNext || ev.Room != room || ev.Peer != fa.You {
			t.Fatalf("%+v", ev)
		}
		fa, fc := next[client.Found](t, ann), next[client.Found](t, cy)
		checkMatch(t, fa, fc)
		if fa.Room == room {
			t.Fatal("the same room again")
		}
		say(t, cy, ann, fa.Room, "new here")

		if err := ann.Close(); err != nil { // bye: gone at once
			t.Fatal(err)
		}
		if ev := next[client.PeerLeft](t, cy); ev.Reason != protocol.LeaveLeft {
			t.Fatalf("%+v", ev)
		}
	})
}

// signal sends d and checks that it arrives byte for byte.
func signal(t *testing.T, from, to *client.Client, room protocol.RoomID, kind protocol.SignalKind, d string) {
	t.Helper()
	if err := from.Send(room, "", kind, json.RawMessage(d)); err != nil {
		t.Fatal(err)
	}
	// The SDK compacts what it sends; what it sent is what must arrive.
	compact, err := json.Marshal(json.RawMessage(d))
	if err != nil {
		t.Fatal(err)
	}
	got := next[client.Signal](t, to)
	if got.Kind != kind || string(got.D) != string(compact) || got.Room != room {
		t.Fatalf("got %s %s, sent %s", got.Kind, got.D, compact)
	}
}

// TestRaw bytes of a signal pass untouched, white space and escapes included.
func TestSignalBytesUntouched(t *testing.T) {
	n := lab.Start(t, lab.Options{})
	a, _ := n.RawHello(t, "Ann", lab.RawOptions{From: 1})
	b, _ := n.RawHello(t, "Bo", lab.RawOptions{From: 2})
	room := rawMeet(t, a, b)
	const d = `{ "sdp" : "A\/\u0041\ud83d\ude00 é 😀" ,"x":[1.0e+2,  null ] }`
	a.Send(`{"t":"signal","room":%q,"kind":"offer","d":%s}`, room, d)
	if m := b.Expect(protocol.TypeSignal); string(m.D) != d {
		t.Fatalf("got  %s\nsent %s", m.D, d)
	}
}

// rawMeet lets two raw clients find each other.
func rawMeet(t testing.TB, a, b *lab.Raw) protocol.RoomID {
	t.Helper()
	a.Send(`{"t":"match.find","id":2}`)
	a.Expect(protocol.TypeOK)
	b.Send(`{"t":"match.find","id":2}`)
	// The reply and the match come in either order.
	ma := a.Expect(protocol.TypeMatchFound)
	var mb *lab.RawMessage
	for range 2 {
		m, err := b.Next(wait)
		if err != nil {
			t.Fatal(err)
		}
		switch m.T {
		case protocol.TypeMatchFound:
			mb = m
		case protocol.TypeOK, protocol.TypeMatchWaiting:
		default:
			t.Fatalf("got %s", m.Text)
		}
	}
	if mb == nil {
		mb = b.Expect(protocol.TypeMatchFound)
	}
	if ma.Room != mb.Room {
		t.Fatalf("rooms %s and %s", ma.Room, mb.Room)
	}
	return ma.Room
}

// TestNamedRoom: made, described, joined by passcode, left.
func TestNamedRoom(t *testing.T) {
	services(t, func(t *testing.T, nodes []*lab.Node) {
		a := nodes[0].Dial(t, 1, client.Options{Name: "Ann"})
		b := nodes[len(nodes)-1].Dial(t, 2, client.Options{Name: "Bo"})
		st, err := a.Create(within(t, wait), protocol.RoomCreate{Name: "Monday", Passcode: "pass", Capacity: 3})
		if err != nil {
			t.Fatal(err)
		}
		if sent, err := a.Chat(within(t, wait), st.Room, "first"); err != nil || sent.Off != 1 {
			t.Fatal(sent, err)
		}
		info, err := b.Info(within(t, wait), st.Room)
		if err != nil || info.Name != "Monday" || info.Members != 1 || info.Capacity != 3 || !info.Passcode {
			t.Fatalf("%+v, %v", info, err)
		}
		if _, err := b.Join(within(t, wait), st.Room, "wrong"); protocol.CodeOf(err) != protocol.CodePasscode {
			t.Fatal(err)
		}
		if _, err := b.Join(within(t, wait), "nosuchroom", ""); protocol.CodeOf(err) != protocol.CodeNotFound {
			t.Fatal(err)
		}
		sb, err := b.Join(within(t, wait), st.Room, "pass")
		if err != nil || len(sb.Peers) != 1 || sb.Peers[0].Name != "Ann" || len(sb.Chat.Messages) != 1 {
			t.Fatalf("%+v, %v", sb, err)
		}
		if ev := next[client.PeerJoined](t, a); ev.Peer.Name != "Bo" || ev.Peer.ID != sb.You {
			t.Fatalf("%+v", ev)
		}
		if err := a.Signal(within(t, wait), st.Room, sb.You, protocol.SignalCandidate, map[string]any{"candidate": nil}); err != nil {
			t.Fatal(err)
		}
		if ev := next[client.Signal](t, b); ev.From != st.You {
			t.Fatalf("%+v", ev)
		}
		if err := b.Leave(within(t, wait), st.Room); err != nil {
			t.Fatal(err)
		}
		if ev := next[client.PeerLeft](t, a); ev.Reason != protocol.LeaveLeft || ev.Peer != sb.You {
			t.Fatalf("%+v", ev)
		}
	})
}

// TestBlock: who blocked never meets the other again, from either side.
func TestBlock(t *testing.T) {
	t.Parallel() // it mostly waits
	services(t, func(t *testing.T, nodes []*lab.Node) {
		a := nodes[0].Dial(t, 1, client.Options{Name: "Ann"})
		b := nodes[len(nodes)-1].Dial(t, 2, client.Options{Name: "Bo"})
		fa, _ := meet(t, a, b)
		if err := a.Block(within(t, wait), fa.Room, fa.Peer.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Next(within(t, wait), nil); err != nil {
			t.Fatal(err)
		}
		next[client.PeerLeft](t, b)
		find(t, b, protocol.Find{})
		// A third one meets whoever of them waits longest, and the other goes on waiting.
		c := nodes[0].Dial(t, 3, client.Options{Name: "Cy"})
		find(t, c, protocol.Find{})
		if f := next[client.Found](t, c); f.Peer.Name != "Ann" {
			t.Fatalf("met %s, who waits shorter", f.Peer.Name)
		}
		if f := next[client.Found](t, a); f.Peer.Name != "Cy" {
			t.Fatalf("Ann met %s", f.Peer.Name)
		}
	})
}
