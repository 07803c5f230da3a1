// Package bus carries messages between the nodes of one installation.
//
// It promises: messages of one sender with one destination and one Key are
// handled in the order they were published, each at most once. It does not
// promise that a message arrives: a node may die, a network may break. Who needs
// to know asks the other side and waits for an answer. Publishing never waits
// for a peer.
//
// Memory serves one process; package redisbus joins any number of them.
package bus

import (
	"context"
	"errors"

	"github.com/rondo-chat/rondo/protocol"
)

// Kind says which handler a message is for.
type Kind string

// Message is what one node tells another.
type Message struct {
	From    protocol.NodeID // set by Publish
	To      protocol.NodeID // "" means every node, the sender included
	Kind    Kind
	Key     string // messages of one From, To and Key stay in order
	Payload []byte // in a handler: the handler's own
}

// Handler handles a message. Handlers of different keys run at the same time;
// one that blocks holds up other keys, so it must not block for long.
type Handler func(Message)

// Errors of Publish and Start. None of them says anything about a peer.
var (
	ErrFull    = errors.New("bus: the send queue is full")
	ErrStopped = errors.New("bus: not running")
	ErrTooBig  = errors.New("bus: the message is too big")
)

// MaxMessage is the greatest length in bytes of Kind, Key and Payload together.
const MaxMessage = 4 << 20

// Bus is one node's end of the bus. All methods but Handle and Start may be
// called from many goroutines, also from handlers (Close excepted).
type Bus interface {
	// Node returns the own node.
	Node() protocol.NodeID
	// Publish sends m; From is set. It never waits for a peer or the network
	// and keeps nothing of m when it returns. It returns ErrFull when too much
	// waits to be sent, ErrStopped before Start and after Close. What goes to
	// the own node is delivered without the network.
	Publish(m Message) error
	// Handle sets the handler of a kind: before Start, once a kind.
	Handle(k Kind, h Handler)
	// Start begins to receive and returns when messages of others can arrive,
	// or an error when ctx ends first; ctx bounds nothing else.
	Start(ctx context.Context) error
	// Close stops. No handler runs when it has returned.
	Close() error
	// Healthy returns nil, or why messages may not arrive at present.
	Healthy() error
}
