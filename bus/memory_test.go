package bus_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/bus/bustest"
	"github.com/rondo-chat/rondo/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	bustest.Run(t, func(*testing.T) func(protocol.NodeID) bus.Bus {
		net := &bus.Network{}
		return func(n protocol.NodeID) bus.Bus { return net.Join(n) }
	})
}

func TestMemoryRefusesTwins(t *testing.T) {
	net := &bus.Network{}
	a, twin := net.Join("a"), net.Join("a")
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	if twin.Start(t.Context()) == nil {
		t.Fatal("two nodes of one name")
	}
	_ = twin.Close()
	if err := a.Healthy(); err != nil {
		t.Fatal(err)
	}
}
