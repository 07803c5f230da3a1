package chat

import (
	"context"
	"errors"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// Leap is how many offsets a room skips when its store has lost messages: more
// than may have been given out between the last message that a node heard of and
// the loss, so that none is given out again.
const Leap = 1000

// GoneFor is how long a room that was dropped refuses messages.
const GoneFor = 2 * time.Minute

// Store keeps messages. It is safe for concurrent use, also by several nodes
// where it is shared. Rooms and members have ids of letters, digits, "_" and "-".
// Errors are *protocol.Error: ErrGone of a room that was dropped, or unavailable,
// which means that the outcome is unknown.
//
// A store may lose what it was given, all of it or the newest. It gives each
// stretch of its life in which it lost nothing a name of its own, the generation:
// another server, the same one started anew, or a replica that took its place.
type Store interface {
	// Append stores m under the next offset of its room and returns it with Off
	// set, and with At raised to that of the message before it if it was lower:
	// within a room time does not run backwards. If a kept message of the same
	// From and CID exists, that one is returned and nothing is stored. It is one
	// atomic step, durable as far as the store is when Append returns.
	//
	// If the room's newest offset is below known.Last, if it has another epoch than
	// known, or if it was written or known in another generation than now, the
	// answer is Behind and nothing is stored: Restore comes first.
	Append(ctx context.Context, m Message, known Mark) (Appended, error)

	// Restore puts messages back that the room has lost: each at its own offset,
	// unless one is there. They count for retries and against Retention as they
	// did. If the room is not there, was written in another generation than now, or
	// has no offset as high as known.Last, it gets a new epoch and its newest offset
	// is then Leap above the highest of known.Last, the messages and what it was.
	// It is one atomic step and may be repeated, also by several
	// nodes with different messages: what is kept is the union.
	Restore(ctx context.Context, room protocol.RoomID, lost []Message, known Mark) (Mark, error)

	// Page returns messages in the order of their offsets, and the room's mark,
	// all as of one instant.
	Page(ctx context.Context, room protocol.RoomID, q Query) (Page, error)

	// Marks returns the mark of each room.
	Marks(ctx context.Context, rooms []protocol.RoomID) ([]Mark, error)

	// Touch starts the rooms' time to live anew.
	Touch(ctx context.Context, rooms []protocol.RoomID) error

	// Forget removes the user's messages from all rooms, and those of the same
	// members whose user is not known. Their offsets stay empty. It looks at all
	// rooms and may take seconds.
	Forget(ctx context.Context, user protocol.UserID) error

	// Drop removes the room's messages and its counter. For GoneFor the room is
	// gone: Append, Restore and Page answer ErrGone.
	Drop(ctx context.Context, room protocol.RoomID) error
}

// ErrGone is the answer of a Store of a room that was dropped, and what clients
// are told who are not in a room.
func ErrGone() error { return protocol.Errorf(protocol.CodeForbidden, "the room is over") }

// Mark is how far a room has come in a store.
type Mark struct {
	Last  uint64 // the newest offset given out; 0: none
	Gen   string // the generation it was written in last; "": not known
	Epoch string // changes when it begins and when it leaps; "": not there, or not known
}

// Appended is the answer to Append.
type Appended struct {
	Message Message // as it is stored
	Dup     bool    // it was there before
	Mark    Mark    // of the room, if it was stored
	Behind  bool    // nothing was stored: the store has lost messages, or may have
}

// Query asks for a page.
type Query struct {
	Forward bool   // the first Limit messages with Off > After; else the last Limit with Off < Before
	After   uint64 // with Forward
	Before  uint64 // without; 0: no bound
	Limit   int    // 1 or more
}

// Page is the answer to a Query. Of a room without messages Gen is the store's.
type Page struct {
	Mark
	Messages []Message
	More     bool // kept messages fit the query beyond Limit
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
