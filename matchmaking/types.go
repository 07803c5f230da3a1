package matchmaking

import (
	"context"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// Profile is what somebody looks for. Its texts are clean already (NFKC, lower
// case, see docs/protocol.md, section 5); what is wrong is refused all the same.
type Profile struct {
	Pool      string
	Tags      []string // at most protocol.MaxTags
	Languages []string // primary subtags, at most protocol.MaxLanguages; none: any language
	Trait     string   // one of the pool's, or ""
	Want      []string // traits of those to meet; none: anyone
	Strict    bool     // never widen tags and languages
	Relay     bool     // media through TURN only; no filter
}

// Asker is who asks. People are told apart by User, their searches by Session.
type Asker struct {
	Session protocol.SessionID
	User    protocol.UserID
	Name    string
}

// Member is one side of a match.
type Member struct {
	Session   protocol.SessionID
	User      protocol.UserID
	Name      string
	Node      protocol.NodeID
	Since     time.Time // start of the search: by the own clock for a local session, else by the queue's
	Tags      []string
	Languages []string
	Relay     bool
}

// Match is two people who are brought together.
type Match struct {
	ID      protocol.RoomID // also the room's
	Pool    string
	Members [2]Member // the first is the one who waited: the offerer
	Shared  protocol.Shared
	Relay   bool // either member or the pool asks for it
}

// Hooks is what matchmaking needs of its surroundings. No hook is called under
// a lock; for one session they are called one after another.
type Hooks interface {
	// Alive reports whether the session's client is there, asking it if
	// nothing was heard from it lately; false when ctx ends first.
	Alive(ctx context.Context, s protocol.SessionID) bool
	// Open makes the match's room. It is called before anybody is told, by
	// each of the two nodes if need be, and again after an error: it must be
	// idempotent by m.ID.
	Open(ctx context.Context, m Match) error
	// Found tells a local session of its match; you is its index. It ends the
	// search. If that session is gone meanwhile, Found must see to it that the
	// other does not wait for it.
	Found(s protocol.SessionID, m Match, you int)
	// Waiting tells a local session that its search stands differently.
	Waiting(s protocol.SessionID, w protocol.Waiting)
	// Stopped tells a local session that its search ended without a match.
	Stopped(s protocol.SessionID, err *protocol.Error)
}

// Absentee may be implemented by Hooks. Absent is called in place of Found when
// a match went live although its local member had already left or searches
// again (the queue was out of reach when it left): the match's room must lose
// that member, so that the other does not wait for it.
type Absentee interface {
	Absent(m Match, you int)
}

// Notifier carries a message to another node, where it goes to Matcher.Receive.
// Messages with the same key from one node to another stay in order; any may be
// lost. It must not block.
type Notifier interface {
	Notify(to protocol.NodeID, key string, payload []byte) error
}
