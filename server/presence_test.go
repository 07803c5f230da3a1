package server

import (
	"testing"
	"time"

	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/rooms"
)

// TestPresenceInOrder: news of one session are told one after another; of who
// comes and goes faster than that, the last is told, and nobody waits for ever.
func TestPresenceInOrder(t *testing.T) {
	p := newPresence()
	news := func(away, fresh bool) presenceNews { return presenceNews{away, fresh, make(chan struct{})} }
	first := news(true, false)
	if !p.add("s", first) || p.add("s", news(false, false)) {
		t.Fatal("one tells, and only one")
	}
	if !p.add("other", news(true, false)) {
		t.Fatal("another session waits for nobody")
	}
	if n, ok := p.next("s"); !ok || !n.away {
		t.Fatal("the first news come first")
	}
	// It is back, and while that waits it goes and comes again with a lost memory.
	again := []presenceNews{news(true, false), news(false, true)}
	for _, n := range again {
		if p.add("s", n) {
			t.Fatal("somebody tells already")
		}
	}
	select {
	case <-again[0].told:
	default:
		t.Error("who waits for news that are not told waits for ever")
	}
	if n, ok := p.next("s"); !ok || n.away || !n.fresh {
		t.Fatalf("%+v", n)
	}
	if n, ok := p.next("s"); ok {
		t.Fatalf("%+v", n)
	}
	if !p.add("s", news(true, false)) {
		t.Fatal("nobody tells any more")
	}
}

// TestKept: what is kept is forgotten in time, and never more than the bounds.
func TestKept(t *testing.T) {
	k := newKept(time.Minute)
	now := time.Now()
	payload := make([]byte, 1<<20)
	for i := range 40 {
		k.addLocked("r", "s", payload, now.Add(time.Duration(i)*time.Second))
	}
	if k.bytes > maxKept || len(k.rooms["r"]) != maxKept>>20 {
		t.Fatalf("%d bytes, %d signals", k.bytes, len(k.rooms["r"]))
	}
	if n := len(k.forLocked("r", "s", now.Add(70*time.Second))); n != maxKept>>20-10 {
		t.Errorf("%d are still good", n)
	}
	if len(k.forLocked("r", "x", now)) != 0 || len(k.forLocked("x", "s", now)) != 0 {
		t.Error("for somebody else")
	}
	for range 2 * maxKeptRoom {
		k.addLocked("many", "s", []byte("x"), now.Add(20*time.Minute))
	}
	if len(k.rooms["many"]) != maxKeptRoom || len(k.rooms["r"]) != 0 {
		t.Errorf("%d and %d signals", len(k.rooms["many"]), len(k.rooms["r"]))
	}
	k.prune(now.Add(time.Hour))
	if k.bytes != 0 || len(k.rooms) != 0 || len(k.queue) != 0 {
		t.Errorf("%d bytes, %d rooms, %d signals stay", k.bytes, len(k.rooms), len(k.queue))
	}
}

// TestLeftOrNotYet: a signal waits for who is about to sit down, and not for who
// has left.
func TestLeftOrNotYet(t *testing.T) {
	s := newSeats()
	room := rooms.Room{ID: "r", Version: 1, Members: []rooms.Member{{ID: "1", Session: "a", Node: "n"}}}
	if s.hasLeft("a", "r") {
		t.Error("it was never there")
	}
	s.enter("a", seat{room: "r", me: "1"}, room)
	if node, ok := s.nodeOf("r", "a"); !ok || node != protocol.NodeID("n") {
		t.Error(node, ok)
	}
	s.leave("a", "r")
	if !s.hasLeft("a", "r") || s.hasLeft("a", "other") {
		t.Error("it left that room, and no other")
	}
}
