package conversations

import (
	"context"
	"errors"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// Store keeps what Conversations knows: the record. It is safe for concurrent use, also by several nodes.
// A database that does not answer is unavailable (*protocol.Error).
type Store interface {
	// Write runs f in one transaction and commits it if f returns nil: then it is on disk, else
	// nothing of it is there. f may run more than once. name is a constant of the program.
	// Transactions that Draw from one conversation run one after another: from Draw on, Tx reads of that
	// conversation what the one before left, and nobody changes it.
	Write(ctx context.Context, name string, f func(Tx) error) error
	// Read runs f over one snapshot that has everything committed before. f may run more than once.
	Read(ctx context.Context, name string, f func(Reader) error) error
}

var (
	// ErrNotFound means that there is no such row.
	ErrNotFound = errors.New("conversations: not found")
	// ErrTaken means that a row with this key is there. After it the transaction takes nothing more.
	ErrTaken = errors.New("conversations: taken")
)

// Row is a conversation as it is stored.
type Row struct {
	protocol.Conversation        // Passcode is whether there is a PasscodeHash
	Pair                  string // of a direct one: both ids in their order, a space between; unique
	PasscodeHash          string
	// Purged is the number of the last change that left nothing of what it took away (a person who was
	// deleted): who has less must read afresh (protocol.ConvSync.Reset).
	Purged uint64
	// Terms are what the directory finds it by, of name, post and tags; nil leaves them (UpdateConversation), empty
	// removes them. Readers do not return them.
	Terms []string
}

// Member is a person in a conversation as it is stored: all who ever were, Role tells.
type Member struct {
	Room protocol.RoomID
	protocol.ConvPerson
	Wrote int64 // Unix milliseconds of the last message: slow mode
}

// Message is a message as it is stored.
type Message struct {
	Room protocol.RoomID
	protocol.ConvMessage
	Terms []string // what search finds it by; nil leaves them (UpdateMessage), empty removes them; readers do not return them
}

// Position is a place in a list that is sorted by time and id; the zero Position is before all.
type Position struct {
	At int64
	ID string
}

// Page says which messages Messages returns. At most one of Before, After is not 0; with neither the newest.
type Page struct {
	Before, After uint64
	Thread        uint64 // 0: all
	Author        protocol.UserID
	Pinned        bool
	Limit         int // at least 1
}

// Found is a place in search results, newest first: a message.
type Found struct {
	At   int64
	Room protocol.RoomID
	Seq  uint64
}

// Search says what Search looks for: messages with all Terms, of the Rooms if there are any, else
// of all conversations in which Searcher is a member (owner, moderator, member).
type Search struct {
	Terms    []string // of Terms(text), at least one; the last one is a beginning if Prefix
	Prefix   bool
	Searcher protocol.UserID
	Room     protocol.RoomID
	Author   protocol.UserID
	Before   Found // zero: from the newest
	Limit    int
}

// Directory says what Topics returns: public, not deleted, by Active, newest first.
type Directory struct {
	Terms    []string // all of them, in name, about or tags
	Language string
	Tag      string
	After    Position // zero: from the start
	Limit    int
}

// Event is a row of the outbox. Payload is the JSON of Event (protocol.ConvEvent).
type Event struct {
	Room    protocol.RoomID
	Seq     uint64
	Pos     uint64 // its place among all events; 0: not yet sequenced
	At      int64
	Payload []byte
}

// File is an upload. Seq is 0 until a message has it.
type File struct {
	protocol.ConvFile
	Owner  protocol.UserID
	Room   protocol.RoomID // the conversation it was uploaded for
	Seq    uint64
	Stored string // its name in the blob store
	At     int64
}

// Subscription is a device that takes notifications.
type Subscription struct {
	ID      string // the SHA-256 of Endpoint in base64url: a device is known once, and is whose it was said to be last
	User    protocol.UserID
	Session string // of the account: with it the subscription ends
	protocol.PushSubscription
	Created int64
	Failed  int // notifications that its push service refused, one after the other
}

// Subscribed says whose subscriptions to look for: of owner, moderators and members of the room who did not write the message Seq nor
// have read so far.
type Subscribed struct {
	Room   protocol.RoomID
	Seq    uint64
	Author protocol.UserID
	Among  []protocol.UserID // only these people; none: all
}

// Cursor is how far a sink has got.
type Cursor struct {
	Pos   uint64
	Tries int   // failed tries at the next event
	Next  int64 // Unix milliseconds of the next try
	Error string
}

// Letter is an event that a sink will not get: a dead letter.
type Letter struct {
	Sink   string
	Event  Event
	Reason string
	At     int64
}

// Reader reads. What is one row is ErrNotFound if it is not there.
type Reader interface {
	Conversation(id protocol.RoomID) (Row, error)
	Direct(pair string) (Row, error)
	// Heads returns the Seq of each that is there.
	Heads(ids []protocol.RoomID) (map[protocol.RoomID]uint64, error)
	// Conversations returns those with a greater id, by id; with keep only those that keep messages for a time (Keep over 0).
	Conversations(after protocol.RoomID, keep bool, limit int) ([]Row, error)
	// Inbox returns the conversations, not deleted, in which the user is owner, moderator, member or invited, by
	// Active, newest first, after the position.
	Inbox(user protocol.UserID, after Position, limit int) ([]Row, error)
	Topics(q Directory) ([]Row, error)

	Member(room protocol.RoomID, user protocol.UserID) (Member, error)
	// Members returns those with one of the roles (none: all rows), by Joined and ID, after the position.
	Members(room protocol.RoomID, roles []protocol.ConvRole, after Position, limit int) ([]Member, error)
	// Memberships returns all rows of the user.
	Memberships(user protocol.UserID) ([]Member, error)
	// IdleGuests returns guests with the role member who joined and wrote (if ever) before the instant, in any order.
	IdleGuests(before int64, limit int) ([]Member, error)

	Message(room protocol.RoomID, seq uint64) (Message, error)
	MessageByCID(room protocol.RoomID, author protocol.UserID, cid string) (Message, error)
	// Messages returns a page, oldest first, deleted ones too (tombstones).
	Messages(room protocol.RoomID, p Page) ([]Message, error)
	// Last returns the newest message of each room, of those that have one.
	Last(rooms []protocol.RoomID) (map[protocol.RoomID]Message, error)
	// Unread counts the messages after seq that are not the user's and not deleted, up to limit.
	Unread(room protocol.RoomID, user protocol.UserID, seq uint64, limit int) (int, error)
	// Pins returns the seqs of pinned messages, in order.
	Pins(room protocol.RoomID) ([]uint64, error)
	// Changed and PeopleChanged return what has a Rev over since, by Rev.
	Changed(room protocol.RoomID, since uint64, limit int) ([]Message, error)
	PeopleChanged(room protocol.RoomID, since uint64, limit int) ([]Member, error)
	// Revisions returns what the message said before, oldest first.
	Revisions(room protocol.RoomID, seq uint64) ([]protocol.ConvRevision, error)
	// Reactions returns the emoji in the order of their first use, with all people in order.
	Reactions(room protocol.RoomID, seq uint64) ([]protocol.ConvReaction, error)
	// Search returns matches, newest first (At, Room, Seq descending); deleted messages match nothing.
	Search(q Search) ([]Message, error)

	File(id string) (File, error)

	// Subscriptions returns those of the user, by Created and ID.
	Subscriptions(user protocol.UserID) ([]Subscription, error)
	// Subscribed returns all, in any order: of a group at most protocol.MaxGroupMembers × MaxPushDevices.
	Subscribed(q Subscribed) ([]Subscription, error)

	// Untold returns events that were not marked told and are from before the instant, oldest first.
	Untold(before int64, limit int) ([]Event, error)
	// Events returns sequenced events after pos, in order.
	Events(after uint64, limit int) ([]Event, error)
	Cursor(sink string) (Cursor, error) // a sink that is not known has the zero Cursor
	Letters(sink string, limit int) ([]Letter, error)
}

// Tx reads and writes. A Put makes the row or replaces the one with the same key; a Delete of what is not there does nothing.
type Tx interface {
	Reader

	// Draw adds n to the conversation's Seq and returns the row as it then is, locked until the end. ErrNotFound.
	Draw(id protocol.RoomID, n int) (Row, error)
	// InsertConversation is ErrTaken if the id or the pair is there.
	InsertConversation(Row) error
	// UpdateConversation sets everything of the row but Seq.
	UpdateConversation(Row) error
	// RemoveConversation deletes it with everything in it; its outbox stays, and its files are Orphans.
	RemoveConversation(id protocol.RoomID) error

	// PutMember never lowers the marks that are there: another transaction may have raised them.
	PutMember(Member) error
	// Mark raises the marks of a member, never lowers them, and returns them. ErrNotFound.
	Mark(room protocol.RoomID, user protocol.UserID, delivered, read uint64) (Member, error)

	// InsertMessage is ErrTaken if (Room, From, CID) or the seq is there; look for them first.
	InsertMessage(Message) error
	// UpdateMessage sets everything of the message with its Room and Seq.
	UpdateMessage(Message) error
	// RemoveMessages deletes the messages up to seq that were sent before the instant, with revisions, reactions and terms: at most
	// limit, oldest first. It returns their files' ids and how many messages it were. It looks at the oldest limit messages only.
	RemoveMessages(room protocol.RoomID, upTo uint64, before int64, limit int) (files []string, n int, err error)
	AddRevision(room protocol.RoomID, seq, rev uint64, r protocol.ConvRevision) error
	DeleteRevisions(room protocol.RoomID, seq uint64) error
	React(room protocol.RoomID, seq uint64, user protocol.UserID, emoji string, on bool, at int64) error
	DeleteReactions(room protocol.RoomID, seq uint64) error
	// MessagesOf returns messages from the user, ReactedBy those under which the user reacted, of all conversations.
	MessagesOf(user protocol.UserID, limit int) ([]Message, error)
	ReactedBy(user protocol.UserID, limit int) ([]Message, error)
	// RemoveMember deletes the row.
	RemoveMember(room protocol.RoomID, user protocol.UserID) error

	PutFile(File) error
	DeleteFile(id string) error
	// Orphans returns files without a message from before the instant, and those whose message is gone or deleted.
	Orphans(before int64, limit int) ([]File, error)

	PutSubscription(Subscription) error
	DeleteSubscription(id string) error
	// SetFailed sets Failed of a subscription, if it is there.
	SetFailed(id string, failed int) error
	// EndSubscriptions deletes those of the user, and those of the sessions.
	EndSubscriptions(user protocol.UserID, sessions []string) error

	// Enqueue puts an event into the outbox.
	Enqueue(Event) error
	Told(events []Event) error
	// Sequence gives events without Pos the next ones, of each conversation in the order of Seq, and returns how many.
	Sequence(limit int) (int, error)
	// Trim deletes events that were told and, if sinks are given, sequenced and behind the cursors of all of them, from before the instant.
	Trim(sinks []string, before int64, limit int) (int, error)
	PutCursor(sink string, c Cursor) error
	PutLetter(Letter) error
	DeleteLetter(sink string, room protocol.RoomID, seq uint64) error

	// Lease gives or renews the lease to the node until the instant, and reports whether the node has it.
	Lease(name string, node protocol.NodeID, now, until time.Time) (bool, error)
}
