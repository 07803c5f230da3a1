package chat

import (
	"context"
	"errors"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// Store keeps messages. It is safe for concurrent use, also by several nodes
// where it is shared. Rooms and members have ids of letters, digits, "_" and "-".
// Errors are *protocol.Error with code unavailable and mean that the outcome is
// unknown.
type Store interface {
	// Append stores m under the next offset of its room and returns it with Off
	// set, and with At raised to that of the message before it if it was lower:
	// within a room time does not run backwards. If a kept message of the same
	// From and CID exists, that one is returned and nothing is stored. It is one
	// atomic step, durable as far as the store is when Append returns.
	Append(ctx context.Context, m Message) (stored Message, dup bool, err error)

	// Page returns messages in the order of their offsets, and the room's newest
	// offset, all as of one instant.
	Page(ctx context.Context, room protocol.RoomID, q Query) (Page, error)

	// Touch starts the rooms' time to live anew.
	Touch(ctx context.Context, rooms []protocol.RoomID) error

	// Drop removes the room's messages and its counter.
	Drop(ctx context.Context, room protocol.RoomID) error
}

// Query asks for a page.
type Query struct {
	Forward bool   // the first Limit messages with Off > After; else the last Limit with Off < Before
	After   uint64 // with Forward
	Before  uint64 // without; 0: no bound
	Limit   int    // 1 or more
}

// Page is the answer to a Query.
type Page struct {
	Messages []Message
	Last     uint64 // the room's newest offset; 0: none
	More     bool   // kept messages fit the query beyond Limit
}

// Retention says what a Store keeps of each room. Zero fields have the defaults
// given; the newest message is always kept.
type Retention struct {
	Messages int           // 1,000
	Bytes    int           // sum of Message.Weight; 4 MiB
	TTL      time.Duration // after the last Append or Touch; 24 h
}

// WithDefaults returns r with its defaults filled in, or an error.
func (r Retention) WithDefaults() (Retention, error) {
	if r.Messages < 0 || r.Bytes < 0 || r.TTL < 0 {
		return r, errors.New("chat: Retention must not be negative")
	}
	if r.Messages == 0 {
		r.Messages = 1000
	}
	if r.Bytes == 0 {
		r.Bytes = 4 << 20
	}
	if r.TTL == 0 {
		r.TTL = 24 * time.Hour
	}
	return r, nil
}
