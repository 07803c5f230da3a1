package bus

import (
	"bytes"
	"context"
	"errors"
	"sync"

	"github.com/rondo-chat/rondo/protocol"
)

// Network joins Memory buses of one process. The zero Network is ready.
type Network struct {
	mu    sync.RWMutex
	nodes map[protocol.NodeID]*Memory
}

// Join makes a bus that reaches the others of the network once it is started.
func (n *Network) Join(node protocol.NodeID) *Memory {
	return &Memory{node: node, net: n, in: NewDispatcher(0, 0, nil)}
}

// Memory is a Bus within one process.
type Memory struct {
	node protocol.NodeID
	net  *Network
	in   *Dispatcher
}

var _ Bus = (*Memory)(nil)

// NewMemory makes a bus with a network of its own, for a server that is alone.
func NewMemory(node protocol.NodeID) *Memory { return new(Network).Join(node) }

// Node implements Bus.
func (b *Memory) Node() protocol.NodeID { return b.node }

// Handle implements Bus.
func (b *Memory) Handle(k Kind, h Handler) { b.in.Handle(k, h) }

// Start implements Bus. It fails when the network has a node of the same name.
func (b *Memory) Start(context.Context) error {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	if b.net.nodes == nil {
		b.net.nodes = map[protocol.NodeID]*Memory{}
	}
	if b.net.nodes[b.node] != nil {
		return errors.New("bus: there is another node of this name")
	}
	if err := b.in.Start(); err != nil {
		return err
	}
	b.net.nodes[b.node] = b
	return nil
}

// Close implements Bus.
func (b *Memory) Close() error {
	b.net.mu.Lock()
	if b.net.nodes[b.node] == b {
		delete(b.net.nodes, b.node)
	}
	b.net.mu.Unlock()
	b.in.Close()
	return nil
}

// Healthy implements Bus.
func (b *Memory) Healthy() error {
	if !b.in.Running() {
		return ErrStopped
	}
	return nil
}

// Publish implements Bus. ErrFull means that a receiver's queue was full; with
// To "" the others have the message nevertheless.
func (b *Memory) Publish(m Message) error {
	if len(m.Kind)+len(m.Key)+len(m.Payload) > MaxMessage {
		return ErrTooBig
	}
	if !b.in.Running() {
		return ErrStopped
	}
	m.From = b.node
	if m.To != "" {
		return b.net.offer(m.To, m)
	}
	b.net.mu.RLock()
	defer b.net.mu.RUnlock()
	var err error
	for _, peer := range b.net.nodes {
		err = errors.Join(err, peer.accept(m))
	}
	return err
}

func (n *Network) offer(to protocol.NodeID, m Message) error {
	n.mu.RLock()
	defer n.mu.RUnlock()
	peer := n.nodes[to]
	if peer == nil {
		return nil // lost, as on any network
	}
	return peer.accept(m)
}

// accept takes a copy of m. That a peer stops just now is not the sender's error.
func (b *Memory) accept(m Message) error {
	m.Payload = bytes.Clone(m.Payload)
	if err := b.in.Offer(m); !errors.Is(err, ErrStopped) {
		return err
	}
	return nil
}
