package rooms

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/protocol"
)

// Store keeps records, node leases and what follows from them: which seats a
// node has and which rooms are over. It is safe for concurrent use, also by
// several nodes where it is shared.
//
// Each method is atomic by itself. Errors are *protocol.Error with code
// unavailable and mean that the outcome is unknown; the Registry repeats safely.
//
// A store may lose what it was given, all of it or the newest. It gives each
// stretch of its life in which it lost nothing a name of its own, the generation:
// another server, the same one started anew, or a replica that took its place.
type Store interface {
	// Load returns the record, or nil if there is none.
	Load(ctx context.Context, id protocol.RoomID) (*Record, error)

	// Swap replaces old by new if what is stored has old's revision, and reports
	// whether it did. A nil old means that nothing may be stored, a nil new
	// removes. New's revision is above old's. If old was written in another
	// generation than now, and new is of the same epoch, the error is ErrMoved. From before Swap changes the
	// record, each of new's members is among the Seats of its node; some time
	// after, a seat given up is not.
	Swap(ctx context.Context, old, new *Record) (bool, error)

	// Renew makes the node alive for ttl, by the store's clock.
	Renew(ctx context.Context, node protocol.NodeID, ttl time.Duration) (Renewed, error)

	// Relist puts seats on the node's list, and makes the node alive for ttl unless
	// it is on the list of nodes, alive or dead.
	Relist(ctx context.Context, node protocol.NodeID, seats []Seat, ttl time.Duration) error

	// Dead returns nodes whose lease is over and that were not forgotten.
	Dead(ctx context.Context) ([]protocol.NodeID, error)

	// Seats returns up to limit seats of the node after the cursor ("" at the
	// start), and the cursor to go on with ("" at the end). A seat may be
	// returned twice; one that is there all the time is not missed.
	Seats(ctx context.Context, node protocol.NodeID, cursor string, limit int) (seats []Seat, next string, err error)

	// Forget takes the seats off the node's list and, when none is left and its
	// lease is over, the node off the list of nodes.
	Forget(ctx context.Context, node protocol.NodeID, seats []Seat) error

	// Due returns, and takes off the list, up to limit rooms whose Until now has
	// reached. Each is returned once, to one caller. Ended rooms are not listed:
	// they go by themselves.
	Due(ctx context.Context, now time.Time, limit int) ([]protocol.RoomID, error)

	// Keep prolongs the life of the rooms. A store may remove a room that nobody
	// changed or kept for several hours.
	Keep(ctx context.Context, rooms []protocol.RoomID) error
}

// ErrMoved means that the record was written in another generation of the store,
// which may have lost newer ones of it: it needs a new epoch.
var ErrMoved = errors.New("rooms: the store has changed hands")

// Renewed is the answer to Renew.
type Renewed struct {
	Seats int    // how many the node has
	Known bool   // the node was on the list of nodes, alive or dead
	Gen   string // the generation of that list
}

// Seat is where a node's session sits.
type Seat struct {
	Room    protocol.RoomID
	Member  protocol.MemberID
	Session protocol.SessionID
}

// Record is a room as it is stored.
type Record struct {
	Room Room `json:"room"`
	// Rev counts writes, from 1. It rises at least as fast as Room.Version.
	Rev uint64 `json:"rev"`
	// Epoch changes when the room is put back after a loss; "" at first.
	Epoch string `json:"epoch,omitempty"`
	// Next is the number of the next member.
	Next uint64 `json:"next"`
	// Until, if set, is when the room is over: an empty named room's last
	// instant, in whole milliseconds, or how long an ended room is remembered.
	Until time.Time `json:"until,omitzero"`
	// Passcode is a MAC of the passcode under the Registry's key; nil for none.
	Passcode []byte `json:"passcode,omitempty"`
	// Guesses counts wrong passcodes.
	Guesses ratelimit.Bucket `json:"guesses,omitzero"`
	// Ops names the newest changes, newest last, so that who made one and lost
	// the answer can see that it happened.
	Ops []string `json:"ops,omitempty"`
}

const keptOps = 8

// Clone returns a copy that shares nothing with rec.
func (rec *Record) Clone() *Record {
	if rec == nil {
		return nil
	}
	c := *rec
	c.Room = rec.Room.clone()
	c.Passcode = slices.Clone(rec.Passcode)
	c.Ops = slices.Clone(rec.Ops)
	return &c
}

// Seats returns the record's seats on each node. It is for Stores.
func (rec *Record) Seats() map[Seat]protocol.NodeID {
	if rec == nil {
		return nil
	}
	seats := make(map[Seat]protocol.NodeID, len(rec.Room.Members))
	for _, m := range rec.Room.Members {
		seats[Seat{Room: rec.Room.ID, Member: m.ID, Session: m.Session}] = m.Node
	}
	return seats
}

// over reports whether the record's time has passed.
func (rec *Record) over(now time.Time) bool {
	return !rec.Until.IsZero() && !now.Before(rec.Until)
}
