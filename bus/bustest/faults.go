package bustest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// recovery is how soon after a short fault messages must arrive again: a second,
// and another for a busy machine.
const recovery = 2 * time.Second

// Network is what tests of faults run on: buses that meet over something that
// can break.
type Network struct {
	// Join makes a bus, not started. A node may join again after its bus was closed.
	Join func(node protocol.NodeID) bus.Bus
	// Keep is how long these buses keep what is not acknowledged.
	Keep time.Duration
	// Faults are what can happen between nodes a, b and c. Each makes a fault,
	// shorter than Keep, and returns when it is over.
	Faults map[string]Fault
	// Down and Up end and begin all traffic.
	Down, Up func()
}

// Fault is one of a Network's faults.
type Fault struct {
	Make func()
	// Slow says that the buses have to find out by themselves that something is
	// wrong, so that it may take more than a second.
	Slow bool
	// First says that it happens before the nodes have heard of each other.
	First bool
}

// pending is what a driver with a queue has.
type pending interface {
	Pending() (bytes int64, oldest time.Duration)
}

// RunFaults tests what package bus promises when the network breaks. Each call
// of network makes one for one test.
func RunFaults(t *testing.T, network func(t *testing.T) Network) {
	RunSurvives(t, network)
	for name, f := range map[string]func(*testing.T, Network){
		"Full": testFull, "DeadNode": testDeadNode, "RestartedNode": testRestartedNode,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, network(t))
		})
	}
}

// RunSurvives is the part of RunFaults that makes the Network's Faults.
func RunSurvives(t *testing.T, network func(t *testing.T) Network) {
	for name := range network(t).Faults {
		t.Run("Survives/"+name, func(t *testing.T) {
			t.Parallel()
			n := network(t)
			testSurvives(t, n, n.Faults[name])
		})
	}
}

// flow is what one sender publishes under one key, as fast as its pace.
type flow struct {
	from bus.Bus
	to   protocol.NodeID
	key  string
	sent uint32
}

func (f *flow) id() string { return fmt.Sprint(f.from.Node(), ">", f.to, " ", f.key) }

// send publishes the next message, unless too much waits.
func (f *flow) send(t *testing.T) {
	err := f.from.Publish(bus.Message{To: f.to, Kind: "test", Key: f.key, Payload: binary.BigEndian.AppendUint32(nil, f.sent)})
	switch {
	case err == nil:
		f.sent++
	case !errors.Is(err, bus.ErrFull):
		t.Error(err)
	}
}

// run publishes until stop is closed.
func (f *flow) run(t *testing.T, stop <-chan struct{}) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			f.send(t)
		}
	}
}

// ledger checks what arrives: each flow in order, nothing twice or left out.
type ledger struct {
	mu   sync.Mutex
	next map[string]uint32
	bad  []string
}

func (l *ledger) take(m bus.Message) {
	id := fmt.Sprint(m.From, ">", m.To, " ", m.Key)
	n := binary.BigEndian.Uint32(m.Payload)
	l.mu.Lock()
	defer l.mu.Unlock()
	if n != l.next[id] && len(l.bad) < 10 {
		l.bad = append(l.bad, fmt.Sprintf("%s: got %d, want %d", id, n, l.next[id]))
	}
	l.next[id] = n + 1
}

// has reports whether all of the flow has come.
func (l *ledger) has(f *flow) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next[f.id()] >= f.sent
}

// some reports whether a message of the flow has come.
func (l *ledger) some(f *flow) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next[f.id()] > 0
}

func (l *ledger) check(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.bad {
		t.Error(s)
	}
}

// nodes starts buses that all write into one ledger.
func nodes(t *testing.T, n Network, names ...protocol.NodeID) (list []bus.Bus, l *ledger) {
	t.Helper()
	l = &ledger{next: map[string]uint32{}}
	for _, name := range names {
		b := n.Join(name)
		b.Handle("test", l.take)
		start(t, b)
		list = append(list, b)
	}
	return list, l
}

// testSurvives: many keys between three nodes, before, during and after a fault.
func testSurvives(t *testing.T, n Network, fault Fault) {
	const keys = 6
	list, l := nodes(t, n, "a", "b", "c")
	var flows, fresh []*flow
	for i, from := range list {
		for j, to := range list {
			if i == j {
				continue
			}
			fresh = append(fresh, &flow{from: from, to: to.Node(), key: "after"})
			for k := range keys {
				flows = append(flows, &flow{from: from, to: to.Node(), key: fmt.Sprint(k)})
			}
		}
	}
	stop := make(chan struct{})
	var running sync.WaitGroup
	for _, f := range flows {
		running.Go(func() { f.run(t, stop) })
	}
	for _, f := range flows {
		if !fault.First {
			testenv.Eventually(t, patience, func() bool { return l.some(f) }, "a message: %s", f.id())
		}
	}
	fault.Make()
	over := time.Now()
	for _, f := range fresh { // behind all that waits
		f.send(t)
	}
	limit := recovery
	if fault.Slow {
		limit = patience
	}
	for _, f := range fresh {
		testenv.Eventually(t, patience, func() bool { return l.has(f) }, "a message after the fault: %s", f.id())
	}
	took := time.Since(over)
	t.Logf("messages arrived %v after the fault", took.Round(time.Millisecond))
	if took > limit {
		t.Errorf("messages arrived %v after the fault", took)
	}
	close(stop)
	running.Wait()
	sent := uint32(0)
	for _, f := range flows {
		testenv.Eventually(t, patience, func() bool { return l.has(f) }, "all of %s", f.id())
		sent += f.sent
	}
	l.check(t)
	t.Logf("%d messages", sent)
	for _, b := range list {
		if p, ok := b.(pending); ok {
			testenv.Eventually(t, patience, func() bool { bytes, age := p.Pending(); return bytes == 0 && age == 0 }, "everything to be acknowledged")
		}
	}
}

// testFull: when too much waits, Publish says so, and what it took before arrives.
func testFull(t *testing.T, n Network) {
	list, l := nodes(t, n, "a", "b")
	f := &flow{from: list[0], to: "b", key: "k"}
	f.send(t)
	testenv.Eventually(t, patience, func() bool { return l.has(f) }, "the first message")
	n.Down()
	for {
		err := list[0].Publish(bus.Message{To: "b", Kind: "test", Key: "k", Payload: binary.BigEndian.AppendUint32(nil, f.sent)})
		if errors.Is(err, bus.ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if f.sent++; f.sent > 10_000_000 {
			t.Fatal("the queue has no bound")
		}
	}
	n.Up()
	testenv.Eventually(t, patience, func() bool { return l.has(f) }, "%d messages", f.sent)
	f.send(t)
	testenv.Eventually(t, patience, func() bool { return l.has(f) }, "a message after all those")
	l.check(t)
}

// testDeadNode: what waits for a node that is gone goes after Keep, and does so
// again.
func testDeadNode(t *testing.T, n Network) {
	list, l := nodes(t, n, "a", "b")
	f := &flow{from: list[0], to: "b", key: "k"}
	f.send(t)
	testenv.Eventually(t, patience, func() bool { return l.has(f) }, "the first message")
	if err := list[1].Close(); err != nil {
		t.Fatal(err)
	}
	p, ok := list[0].(pending)
	if !ok {
		t.Fatal("the driver does not say what it keeps")
	}
	for range 2 {
		begin := time.Now()
		for range 100 {
			if err := list[0].Publish(bus.Message{To: "b", Kind: "test", Payload: make([]byte, 10_000)}); err != nil {
				t.Fatal(err)
			}
		}
		if bytes, _ := p.Pending(); bytes < 1_000_000 {
			t.Fatalf("%d bytes are kept", bytes)
		}
		testenv.Eventually(t, n.Keep+patience, func() bool { bytes, age := p.Pending(); return bytes == 0 && age == 0 }, "nothing to be kept")
		if took := time.Since(begin); took < n.Keep*9/10 {
			t.Fatalf("given up after %v", took)
		}
	}
}

// testRestartedNode: a process gets nothing that was meant for the one before it,
// and all that was published when that was noticed.
func testRestartedNode(t *testing.T, n Network) {
	list, l := nodes(t, n, "a", "b")
	f := &flow{from: list[0], to: "b", key: "k"}
	f.send(t)
	testenv.Eventually(t, patience, func() bool { return l.has(f) }, "the first message")
	if err := list[1].Close(); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		publish(t, list[0], bus.Message{To: "b", Payload: []byte("old")})
	}
	again := n.Join("b")
	in := started(t, again)
	for i := uint32(0); len(in.all()) == 0; i++ {
		publish(t, list[0], bus.Message{To: "b", Payload: binary.BigEndian.AppendUint32(nil, i)})
		select {
		case <-time.After(time.Millisecond):
		case <-t.Context().Done():
			return
		}
	}
	publish(t, list[0], bus.Message{To: "b", Payload: []byte("the last")})
	testenv.Eventually(t, patience, func() bool { all := in.all(); return string(all[len(all)-1].Payload) == "the last" }, "the last message")
	all := in.all()
	for i, m := range all[:len(all)-1] {
		if len(m.Payload) != 4 || binary.BigEndian.Uint32(m.Payload) != binary.BigEndian.Uint32(all[0].Payload)+uint32(i) {
			t.Fatalf("message %d is %q, the first was %q", i, m.Payload, all[0].Payload)
		}
	}
	publish(t, again, bus.Message{To: "a", Key: "other", Payload: make([]byte, 4)}) // the other direction
	back := &flow{from: again, to: "a", key: "other", sent: 1}
	testenv.Eventually(t, patience, func() bool { return l.has(back) }, "a message back")
}
