// Package rooms keeps who sits in which room.
//
// A room is one record. Every change of it is atomic and total: it happens once,
// raises the room's version by one, and returns the room as it is afterwards, so
// that whoever made the change can tell all members, on whatever node they are.
// A change that would change nothing raises nothing and returns the same room.
//
// Promises:
//
//   - a seat is taken by one member; a room never holds more than its capacity;
//   - member ids are never used twice in a room;
//   - every call may be repeated, after an error too: the second one changes
//     nothing and says the same;
//   - members of a node that died are away for a grace time, in which their
//     sessions may Return on another node, and are then taken out by another node;
//     Config.Stranded and Config.Removed hear of each of them on one node only;
//   - a node gives up, renames and marks the seats of its own sessions only, so
//     that one which wakes up late does nothing to who is elsewhere by now;
//   - an empty named room is gone after ten minutes, a matched room at the first
//     leave; nothing remains in the store if every node dies;
//   - a room with a member on a living node is put back if the store loses it, or
//     loses the newest changes of it, with the members that the nodes vouch for and
//     with its passcode, at once where it is asked for and else within seconds. A
//     member that left, and a matched room that ended, which another node put back
//     because it had not heard of that, are taken out again as soon as the node
//     looks that knows. Versions and member numbers skip a thousand then, so that
//     none is given out twice. Wrong passcodes may be counted anew.
//
// The Registry holds the rules; a Store holds records and knows no rule.
package rooms

import (
	"slices"
	"strings"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// Kind is how a room came to be.
type Kind string

// Kinds.
const (
	// Matched rooms are made by a match, have two seats and end when one leaves.
	Matched Kind = "matched"
	// Named rooms are made by a member and reached by their id.
	Named Kind = "named"
)

// Member is a seat taken in a room.
type Member struct {
	ID      protocol.MemberID  `json:"id"`
	Session protocol.SessionID `json:"session"`
	Node    protocol.NodeID    `json:"node"` // where the session lives
	User    protocol.UserID    `json:"user"`
	Name    string             `json:"name"`
	Since   time.Time          `json:"since"`
	Away    bool               `json:"away,omitempty"` // the socket is gone, the seat is kept
	Lost    time.Time          `json:"lost,omitzero"`  // when its node was found dead; zero: it was not
}

// Room is a room at one version. It is a value: changing it changes no room.
type Room struct {
	ID        protocol.RoomID `json:"id"`
	Kind      Kind            `json:"kind"`
	Name      string          `json:"name,omitempty"`
	Mode      protocol.Mode   `json:"mode"`
	Capacity  int             `json:"capacity"`
	Locked    bool            `json:"locked,omitempty"` // it has a passcode
	RelayOnly bool            `json:"relay_only,omitempty"`
	Pool      string          `json:"pool,omitempty"`
	Version   uint64          `json:"version"`         // 1 when made
	Ended     bool            `json:"ended,omitempty"` // a matched room that somebody left: nothing but Leave works there
	Members   []Member        `json:"members"`         // in the order of their ids
	Note      []byte          `json:"note,omitempty"`  // opaque to this package
	Carry     *Carry          `json:"carry,omitempty"` // for other nodes; never changed
}

// Member returns the session's member.
func (r *Room) Member(s protocol.SessionID) (Member, bool) {
	if i := r.seat(s); i >= 0 {
		return r.Members[i], true
	}
	return Member{}, false
}

func (r *Room) seat(s protocol.SessionID) int {
	return slices.IndexFunc(r.Members, func(m Member) bool { return m.Session == s })
}

func (r *Room) clone() Room {
	c := *r
	c.Members = slices.Clone(r.Members)
	c.Note = slices.Clone(r.Note)
	return c
}

// validID reports whether an id can name a room: 1 to 64 letters, digits, "_"
// and "-". What a client sends as an id goes no further than this.
func validID(id protocol.RoomID) bool {
	return len(id) >= 1 && len(id) <= 64 && !strings.ContainsFunc(string(id), func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-'
	})
}
