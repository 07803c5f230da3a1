package eventstest

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/events"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// Secret returns the secret that the events of tests are signed with.
func Secret() []byte { return []byte("a secret of tests: 32 bytes long") }

// Signer signs with Secret.
func Signer(t testing.TB) *events.Signer {
	t.Helper()
	s, err := events.NewSigner(Secret())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Got is what came out of a sink, in the order of coming. It is safe for concurrent use.
type Got struct {
	mu   sync.Mutex
	list []events.Envelope
	bad  []string
}

// Take notes what came, and checks its signature.
func (g *Got) Take(header func(name string) string, body []byte) {
	err := events.Verify(Secret(), header, body, time.Now(), time.Minute)
	var e events.Envelope
	if err == nil {
		err = json.Unmarshal(body, &e)
	}
	if err == nil && e.ID != header(events.HeaderID) {
		err = fmt.Errorf("the header says %q", header(events.HeaderID))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.bad = append(g.bad, fmt.Sprintf("%s: %v", body, err))
		return
	}
	g.list = append(g.list, e)
}

// Len is how many came.
func (g *Got) Len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.list)
}

// Distinct is how many different ones came.
func (g *Got) Distinct() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	seen := map[string]bool{}
	for _, e := range g.list {
		seen[e.ID] = true
	}
	return len(seen)
}

// Last is the highest position that came.
func (g *Got) Last() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	last := uint64(0)
	for _, e := range g.list {
		last = max(last, e.Pos)
	}
	return last
}

// Check fails the test unless, of each event counted once, all came in order: as
// positions of the log and as numbers of each room.
func (g *Got) Check(t testing.TB, want uint64) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, b := range g.bad {
		t.Errorf("signature: %s", b)
	}
	seen, rooms, next := map[string]bool{}, map[protocol.RoomID]uint64{}, uint64(1)
	for i, e := range g.list {
		if seen[e.ID] {
			continue
		}
		seen[e.ID] = true
		var data protocol.ConvEvent
		if err := json.Unmarshal(e.Data, &data); err != nil {
			t.Fatalf("%s: %v", e.ID, err)
		}
		if e.Pos != next || data.Seq != rooms[data.Room]+1 || e.ID != fmt.Sprintf("%s:%d", data.Room, data.Seq) {
			t.Fatalf("the %d. that came is %s at %d, want position %d and number %d", i+1, e.ID, e.Pos, next, rooms[data.Room]+1)
		}
		next++
		rooms[data.Room] = data.Seq
	}
	if next-1 != want {
		t.Fatalf("%d events came, want %d", next-1, want)
	}
	t.Logf("%d events in order, %d more of them twice", want, uint64(len(g.list))-want)
}

// Outage is a sink and its server that goes away and comes back.
type Outage struct {
	Sink  func(t testing.TB) events.Sink // a new one for each node
	Stop  func()                         // the server goes; what it acknowledged, it keeps
	Start func()                         // it comes back at the same address
	Got   *Got                           // what comes out of it
}

// Run has a server go away and come back while events flow, and the node that serves the sink
// die in between: everything comes out at least once and in order.
func (o Outage) Run(t *testing.T) {
	t.Helper()
	const part = 150
	log := NewLog()
	say := func(n int) {
		for i := range n {
			log.Say(Room(i%7), fmt.Sprintf("text %d «ü» 漢", i))
		}
	}
	a, b := log.Node("a"), log.Node("b")
	first := o.dispatcher(t, a)
	first.Start()
	say(part)
	testenv.Eventually(t, 20*time.Second, func() bool { return o.Got.Last() >= part }, "the first events come")
	o.Stop()
	say(part)
	testenv.Eventually(t, 20*time.Second, func() bool { return log.At("out").Tries >= 2 }, "the outage is noticed")
	if o.Got.Last() > part {
		t.Fatal("events came out of a server that was away")
	}
	o.Start()
	testenv.Eventually(t, 30*time.Second, func() bool { return o.Got.Last() > part }, "events come again")
	a.Cut() // in the middle of it: what it hands over from here on, it cannot note
	say(part)
	second := o.dispatcher(t, b)
	second.Start()
	testenv.Eventually(t, 30*time.Second, func() bool { return log.Server("out") == "b" }, "another node takes over")
	say(part)
	head := log.Head()
	testenv.Eventually(t, 60*time.Second, func() bool { return log.At("out").Pos == head && o.Got.Last() == head }, "everything comes")
	first.Close()
	second.Close()
	o.Got.Check(t, head)
	if letters, err := log.Letters(t.Context(), "out", 10); err != nil || len(letters) > 0 {
		t.Fatalf("dead letters: %v, %v", letters, err)
	}
}

// CheckRooms fails the test unless, of each event counted once, the rooms' events came with rising
// positions and numbers, so many messages of each, and none of another room.
func (g *Got) CheckRooms(t testing.TB, rooms []protocol.RoomID, messages int) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, b := range g.bad {
		t.Errorf("signature: %s", b)
	}
	seen, last, count, pos := map[string]bool{}, map[protocol.RoomID]uint64{}, map[protocol.RoomID]int{}, uint64(0)
	for _, e := range g.list {
		if seen[e.ID] {
			continue
		}
		seen[e.ID] = true
		var data protocol.ConvEvent
		if err := json.Unmarshal(e.Data, &data); err != nil {
			t.Fatalf("%s: %v", e.ID, err)
		}
		if e.Pos <= pos || data.Seq <= last[data.Room] {
			t.Fatalf("%s at %d comes after position %d and number %d", e.ID, e.Pos, pos, last[data.Room])
		}
		pos, last[data.Room] = e.Pos, data.Seq
		if data.Message != nil {
			count[data.Room]++
		}
	}
	for _, room := range rooms {
		if count[room] != messages {
			t.Errorf("%d messages of %s came, want %d", count[room], room, messages)
		}
		delete(count, room)
	}
	if len(count) > 0 {
		t.Errorf("messages of other conversations came: %v", count)
	}
}

func (o Outage) dispatcher(t *testing.T, log events.Log) *events.Dispatcher {
	t.Helper()
	d, err := events.New(events.Config{
		Log: log, Sinks: []events.Subscription{{Name: "out", Sink: o.Sink(t), Batch: 40}},
		Lease: 2 * time.Second, Poll: 5 * time.Millisecond, MinPause: 20 * time.Millisecond, MaxPause: 300 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}
