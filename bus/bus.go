// Package bus carries messages between the nodes of one installation.
//
// It promises: a message that Publish took for one other node (To) arrives there
// exactly once, and those of one sender and Key in the order they were published,
// if both nodes go on running. Whatever lies between them may die, stall, come
// back empty or bring nothing for a while, as long as that is shorter than the
// driver keeps messages (30 s). When too much waits for a node, Publish refuses
// with ErrFull; it never takes a message and drops it while there is hope. After
// that time without any sign of the other node, it is taken for dead and what
// waits for it is dropped. A process that takes the place of another under the
// same name gets nothing that was meant for the one before it, as far as the
// sender knew of that one; what was published after the sender noticed arrives.
//
// A message for all nodes (To "") arrives at most once, and not at all at those
// that cannot be reached just then.
//
// That a message arrived says nothing about what its handler made of it. Who
// needs to know asks, and waits for an answer. Publishing never waits for a peer,
// and what goes to the own node does not need the network.
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
	ErrFull    = errors.New("bus: too much waits to be sent or handled")
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
	// waits for that node, ErrStopped before Start and after Close; m is not
	// sent then. What goes to the own node is delivered without the network.
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
