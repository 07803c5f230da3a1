package events

import (
	"context"
	"errors"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// ErrLost means that another node has the sink's lease.
var ErrLost = errors.New("events: another node serves this sink")

// Log is the outbox as the Dispatcher of one node sees it.
type Log interface {
	// Lease gives or renews the node's lease for the sink until then, and reports whether the node has it.
	// A time that is not after now gives it back.
	Lease(ctx context.Context, sink string, until time.Time) (bool, error)
	// Events returns at most limit events after the position, in order. It never skips one that is
	// still to come: positions are given in the order of their being visible.
	Events(ctx context.Context, after uint64, limit int) ([]Row, error)
	// Kind returns what the conversation is, "" if it is gone.
	Kind(ctx context.Context, room protocol.RoomID) (protocol.ConvKind, error)
	// Cursor returns how far the sink is; a new one has the zero Cursor.
	Cursor(ctx context.Context, sink string) (Cursor, error)
	// Advance renews the lease until then and stores the cursor and the letters, all or
	// nothing. ErrLost if the node does not have the lease.
	Advance(ctx context.Context, sink string, until time.Time, c Cursor, letters ...Letter) error
}

// Letters are the dead letters of sinks.
type Letters interface {
	// Letters returns at most limit, the oldest first.
	Letters(ctx context.Context, sink string, limit int) ([]Letter, error)
	// Forget deletes a letter.
	Forget(ctx context.Context, l Letter) error
}

// Cursor is how far a sink has got.
type Cursor struct {
	Pos   uint64
	Tries int   // failed tries in a row since then
	Next  int64 // Unix milliseconds before which it is not tried again
	Error string
}

// Letter is an event that a sink did not get: a dead letter.
type Letter struct {
	Sink   string
	Row    Row
	Reason string
	At     int64 // Unix milliseconds
}
