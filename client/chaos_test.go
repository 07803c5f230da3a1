package client

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/rondo-chat/rondo/protocol"
)

// TestOrderOnceUnderCuts: whatever the network does, every push arrives in order,
// once. The fake server cuts the socket at random and replays more than it was
// asked to.
func TestOrderOnceUnderCuts(t *testing.T) {
	const pushes = 400
	f := newFake(t)
	c, s := f.dial(Options{Queue: 2 * pushes})
	rng := rand.New(rand.NewPCG(1, 2))
	served := make(chan error, 1)
	go func() { served <- serveWithCuts(f, s, pushes, rng) }()
	for want := 1; want <= pushes; {
		select {
		case ev := <-c.Events():
			switch ev := ev.(type) {
			case Signal:
				if got := string(ev.D); got != fmt.Sprint(want) {
					t.Fatalf("got %s, want %d", got, want)
				}
				want++
			case Down, Up:
			default:
				t.Fatalf("%T %+v", ev, ev)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("push %d did not come", want)
		}
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
}

// serveWithCuts sends numbered pushes on one socket after another.
func serveWithCuts(f *fakeServer, s *fakeSocket, pushes int, rng *rand.Rand) error {
	next := 1
	for round := 0; ; round++ {
		stop := min(next+1+rng.IntN(40), pushes+1)
		for ; next < stop; next++ {
			msg := fmt.Appendf(nil, `{"t":"signal","seq":%d,"room":"k","from":"2","kind":"candidate","d":%d}`, next, next)
			if err := s.conn.WriteMessage(websocket.TextMessage, msg); err != nil {
				break // cut from the other side: the resume tells where to go on
			}
		}
		if next > pushes {
			return nil
		}
		s.conn.NetConn().Close()
		s = <-f.sockets
		m := s.readAny()
		r, err := decode[protocol.Resume](m.D)
		if err != nil || m.T != protocol.TypeResume {
			return fmt.Errorf("%s %s: %v", m.T, m.D, err)
		}
		if r.Token != fmt.Sprintf("r%d", round+1) {
			return fmt.Errorf("token %s in round %d", r.Token, round)
		}
		s.send(`{"t":"resumed","id":%d,"d":{"sid":"s_1","resume":{"token":"r%d","ttl_ms":1},"ping_ms":25000}}`, m.ID, round+2)
		next = max(1, int(r.Seq)+1-rng.IntN(5)) // too far back: to be dropped
	}
}
