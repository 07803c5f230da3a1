// Package bustest is the conformance suite of bus drivers: Run for what every
// driver does, RunFaults for what package bus promises when the network breaks.
package bustest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

const patience = 20 * time.Second

// Run tests a driver. Each call of network returns a function that makes buses
// of one network, one for each node, not started.
func Run(t *testing.T, network func(t *testing.T) func(node protocol.NodeID) bus.Bus) {
	tests := map[string]func(*testing.T, func(protocol.NodeID) bus.Bus){
		"Addressed":      testAddressed,
		"Broadcast":      testBroadcast,
		"Order":          testOrder,
		"PayloadIsOwn":   testPayload,
		"UnknownNode":    testUnknown,
		"Stopped":        testStopped,
		"HandlerPanics":  testPanic,
		"PublishInside":  testInside,
		"CloseJoins":     testClose,
		"HandleMisused":  testMisuse,
		"TooBig":         testTooBig,
		"Biggest":        testBiggest,
		"NeverBlocks":    testNeverBlocks,
		"UnhandledKinds": testUnhandled,
	}
	for name, f := range tests {
		t.Run(name, func(t *testing.T) { f(t, network(t)) })
	}
}

// inbox collects messages of kind "test".
type inbox struct {
	mu   sync.Mutex
	list []bus.Message
}

func (i *inbox) take(m bus.Message) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.list = append(i.list, m)
}

func (i *inbox) all() []bus.Message {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]bus.Message(nil), i.list...)
}

func (i *inbox) waits(t *testing.T, n int) []bus.Message {
	t.Helper()
	testenv.Eventually(t, patience, func() bool { return len(i.all()) >= n }, "%d messages", n)
	return i.all()
}

func start(t *testing.T, b bus.Bus) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := b.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := b.Healthy(); err != nil {
		t.Fatal(err)
	}
}

func started(t *testing.T, b bus.Bus) *inbox {
	t.Helper()
	in := &inbox{}
	b.Handle("test", in.take)
	start(t, b)
	return in
}

func publish(t *testing.T, b bus.Bus, m bus.Message) {
	t.Helper()
	m.Kind = "test"
	if err := b.Publish(m); err != nil {
		t.Fatal(err)
	}
}

func testAddressed(t *testing.T, join func(protocol.NodeID) bus.Bus) {
	a, b := join("a"), join("b")
	inA, inB := started(t, a), started(t, b)
	if a.Node() != "a" {
		t.Fatal(a.Node())
	}
	publish(t, a, bus.Message{From: "forged", To: "b", Key: "k", Payload: []byte("hi\x00\xff")})
	publish(t, a, bus.Message{To: "a", Key: "self"})
	m := inB.waits(t, 1)[0]
	if m.From != "a" || m.To != "b" || m.Kind != "test" || m.Key != "k" || string(m.Payload) != "hi\x00\xff" {
		t.Fatalf("%+v", m)
	}
	if m := inA.waits(t, 1)[0]; m.Key != "self" || m.From != "a" || m.To != "a" || len(m.Payload) != 0 {
		t.Fatalf("%+v", m)
	}
}

func testBroadcast(t *testing.T, join func(protocol.NodeID) bus.Bus) {
	var boxes []*inbox
	a := join("a")
	boxes = append(boxes, started(t, a))
	for _, n := range []protocol.NodeID{"b", "c"} {
		boxes = append(boxes, started(t, join(n)))
	}
	publish(t, a, bus.Message{Key: "one"})
	publish(t, a, bus.Message{Key: "two"})
	for _, box := range boxes {
		got := box.waits(t, 2)
		if len(got) != 2 || got[0].To != "" || got[0].From != "a" {
			t.Fatalf("%+v", got)
		}
	}
}

// testOrder: four senders, each with several keys and much at once.
func testOrder(t *testing.T, join func(protocol.NodeID) bus.Bus) {
	const senders, keys, each = 2, 5, 400
	to := join("to")
	in := started(t, to)
	var wg sync.WaitGroup
	for s := range senders {
		b := join(protocol.NodeID(fmt.Sprint("s", s)))
		started(t, b)
		for k := range keys {
			wg.Go(func() {
				for n := range each {
					m := bus.Message{To: "to", Kind: "test", Key: fmt.Sprint(k), Payload: binary.BigEndian.AppendUint32(nil, uint32(n))}
					for errors.Is(b.Publish(m), bus.ErrFull) {
						runtime.Gosched() // back-pressure
					}
				}
			})
		}
	}
	wg.Wait()
	got := in.waits(t, senders*keys*each)
	next := map[string]uint32{}
	for _, m := range got {
		id := string(m.From) + " " + m.Key
		if n := binary.BigEndian.Uint32(m.Payload); n != next[id] {
			t.Fatalf("%s: got %d, want %d", id, n, next[id])
		}
		next[id]++
	}
	if len(got) != senders*keys*each {
		t.Fatalf("%d messages", len(got))
	}
}

func testPayload(t *testing.T, join func(protocol.NodeID) bus.Bus) {
	a, b := join("a"), join("b")
	inA, inB := started(t, a), started(t, b)
	payload := []byte("before")
	publish(t, a, bus.Message{Payload: payload})
	copy(payload, "AFTER!")
	for _, in := range []*inbox{inA, inB} {
		m := in.waits(t, 1)[0]
		if string(m.Payload) != "before" {
			t.Fatalf("got %q", m.Payload)
		}
		copy(m.Payload, "xxxxxx")
	}
}

func testUnknown(t *testing.T, join func(protocol.NodeID) bus.Bus) {
	a := join("a")
	in := started(t, a)
	publish(t, a, bus.Message{To: "nobody"})
	publish(t, a, bus.Message{To: "a"})
	in.waits(t, 1)
}

func testStopped(t *testing.T, join func(protocol.NodeID) bus.Bus) {
	b := join("a")
	if err := b.Publish(bus.Message{To: "a", Kind: "test"}); !errors.Is(err, bus.ErrStopped) {
		t.Fatal(err)
	}
	if b.Healthy() == nil {
		t.Fatal("healthy before Start")
	}
	started(t, b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for _, to := range []protocol.NodeID{"a", "b", ""} {
		if err := b.Publish(bus.Message{To: to, Kind: "test"}); !errors.Is(err, bus.ErrStopped) {
			t.Fatal(to, err)
		}
	}
	if b.Healthy() == nil {
		t.Fatal("healthy after Close")
	}
	if b.Start(t.Context()) == nil {
		t.Fatal("started again")
	}
}

func testPanic(t *testing.T, join func(protocol.NodeID) bus.Bus) {
	b := join("a")
	b.Handle("boom", func(bus.Message) { panic("boom") })
	in := started(t, b)
	for range 20 {
		if err := b.Publish(bus.Message{To: "a", Kind: "boom", Key: "k"}); err != nil {
			t.Fatal(err)
		}
	}
	publish(t, b, bus.Message{To: "a", Key: "k"})
	in.waits(t, 1)
}

func testInside(t *testing.T, join func(protocol.NodeID) bus.Bus) {
	a, b := join("a"), join("b")
	in := &inbox{}
	a.Handle("test", in.take)
	b.Handle("test", func(m bus.Message) {
		m.To, m.Kind = m.From, "test"
		if err := b.Publish(m); err != nil {
			t.Error(err)
		}
	})
	start(t, a)
	start(t, b)
	publish(t, a, bus.Message{To: "b", Payload: []byte("echo")})
	if m := in.waits(t, 1)[0]; m.From != "b" || string(m.Payload) != "echo" {
		t.Fatalf("%+v", m)
	}
}

func testClose(t *testing.T, join func(protocol.NodeID) bus.Bus) {
	b := join("a")
	entered, leave := make(chan struct{}), make(chan struct{})
	var running sync.Mutex
	var once sync.Once
	b.Handle("test", func(bus.Message) {
		running.Lock()
		defer running.Unlock()
		once.Do(func() { close(entered) })
		<-leave
	})
	start(t, b)
	for range 3 {
		publish(t, b, bus.Message{To: "a"})
	}
	<-entered
	closed := make(chan struct{})
	go func() { defer close(closed); _ = b.Close() }()
	select {
	case <-closed:
		t.Fatal("Close returned while a handler ran")
	case <-time.After(20 * time.Millisecond):
	}
	close(leave)
	<-closed
	if !running.TryLock() {
		t.Fatal("a handler runs after Close")
	}
}

func testMisuse(t *testing.T, join func(protocol.NodeID) bus.Bus) {
	b := join("a")
	started(t, b)
	for _, k := range []bus.Kind{"test", "late"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Handle(%q) after Start did not panic", k)
				}
			}()
			b.Handle(k, func(bus.Message) {})
		}()
	}
}

func testTooBig(t *testing.T, join func(protocol.NodeID) bus.Bus) {
	b := join("a")
	started(t, b)
	for _, to := range []protocol.NodeID{"a", "b", ""} {
		if err := b.Publish(bus.Message{To: to, Kind: "test", Payload: make([]byte, bus.MaxMessage)}); !errors.Is(err, bus.ErrTooBig) {
			t.Fatal(to, err)
		}
	}
}

// testBiggest: the biggest messages arrive, and small ones between them.
func testBiggest(t *testing.T, join func(protocol.NodeID) bus.Bus) {
	a, b := join("a"), join("b")
	started(t, a)
	in := started(t, b)
	const rounds = 3
	for range rounds {
		publish(t, a, bus.Message{To: "b", Key: "k", Payload: make([]byte, bus.MaxMessage-len("testk"))})
		publish(t, a, bus.Message{To: "b", Key: "k"})
	}
	for i, m := range in.waits(t, 2*rounds) {
		if big := len(m.Payload) > 0; big != (i%2 == 0) {
			t.Fatalf("message %d has %d bytes", i, len(m.Payload))
		}
	}
}

// testNeverBlocks: a handler that hangs fills queues, and Publish says so.
func testNeverBlocks(t *testing.T, join func(protocol.NodeID) bus.Bus) {
	b := join("a")
	leave := make(chan struct{})
	b.Handle("test", func(bus.Message) { <-leave })
	start(t, b)
	t.Cleanup(func() { close(leave) })
	for range 1 << 20 {
		if err := b.Publish(bus.Message{To: "a", Kind: "test", Key: "k"}); err != nil {
			if !errors.Is(err, bus.ErrFull) {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("the queue has no bound")
}

func testUnhandled(t *testing.T, join func(protocol.NodeID) bus.Bus) {
	a, b := join("a"), join("b")
	in := started(t, b)
	started(t, a)
	if err := a.Publish(bus.Message{To: "b", Kind: "other"}); err != nil {
		t.Fatal(err)
	}
	publish(t, a, bus.Message{To: "b"})
	if got := in.waits(t, 1); len(got) != 1 {
		t.Fatal(got)
	}
}
