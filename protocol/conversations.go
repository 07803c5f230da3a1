package protocol

// Types of section 11: conversations, the chat that lasts. The envelope's room is
// the conversation's id.
const (
	TypeConvList      Type = "conv.list"
	TypeConvOpen      Type = "conv.open"
	TypeConvClose     Type = "conv.close"
	TypeConvSync      Type = "conv.sync"
	TypeConvHistory   Type = "conv.history"
	TypeConvSend      Type = "conv.send"
	TypeConvEdit      Type = "conv.edit"
	TypeConvDelete    Type = "conv.delete"
	TypeConvReact     Type = "conv.react"
	TypeConvPin       Type = "conv.pin"
	TypeConvMark      Type = "conv.mark"
	TypeConvTyping    Type = "conv.typing"
	TypeConvTranslate Type = "conv.translate"

	TypeConvEvent    Type = "conv.event"    // push, Ordered: what changed
	TypeConvMarks    Type = "conv.marks"    // push, Latest: receipts
	TypeConvPresence Type = "conv.presence" // push, Latest: who is here
	TypeConvRemoved  Type = "conv.removed"  // push: the receiver is no member any more, or the conversation is gone
)

// Limits of section 11.
const (
	MaxConvNameChars  = 80
	MaxAboutChars     = 4000
	MaxGroupMembers   = 500
	MaxMentions       = 20
	MaxFilesPerText   = 10
	MaxReactionKinds  = 20 // different emoji on one message
	MaxReactionBy     = 50 // people named for each
	MaxPins           = 50
	MaxSearchChars    = 200
	MaxSlowSeconds    = 3600
	MaxConvMembers    = 10_000 // of a topic
	MaxConversations  = 500    // of one user
	MaxTranslateBatch = 50
	MaxPushDevices    = 10   // of one user; an older one gives way
	MaxPushEndpoint   = 2048 // bytes of its address
)

// ConvKind is what a conversation is.
type ConvKind string

// The kinds.
const (
	ConvDirect ConvKind = "direct" // of two users, for ever
	ConvGroup  ConvKind = "group"  // of who was invited or knows the passcode
	ConvTopic  ConvKind = "topic"  // public, found in the directory
)

// ConvRole is what a member may do; roles rise from banned to owner.
type ConvRole string

// The roles. "left" and "invited" are states of who is no member (any more, yet).
const (
	ConvOwner     ConvRole = "owner"
	ConvModerator ConvRole = "moderator"
	ConvMember    ConvRole = "member"
	ConvInvited   ConvRole = "invited"
	ConvLeft      ConvRole = "left"
	ConvBanned    ConvRole = "banned"
)

// ConvWriters is who may write.
type ConvWriters string

// The writers.
const (
	WriteEveryone   ConvWriters = "everyone"   // of a topic: also who has not joined; writing joins
	WriteMembers    ConvWriters = "members"    // default
	WriteModerators ConvWriters = "moderators" // moderators and the owner
)

// Conversation is what its readers see of one. Seq counts every lasting change in it: 1, 2, 3 …
type Conversation struct {
	ID       RoomID      `json:"id"`
	Kind     ConvKind    `json:"kind"`
	Name     string      `json:"name,omitempty"`  // direct: ""
	About    string      `json:"about,omitempty"` // of a topic: the post
	Language string      `json:"language,omitempty"`
	Tags     []string    `json:"tags,omitempty"`
	Writers  ConvWriters `json:"writers"`
	Slow     int         `json:"slow_s,omitempty"`      // seconds between a member's messages
	Keep     int64       `json:"retention_s,omitempty"` // seconds that messages are kept; 0: for ever
	Guests   bool        `json:"guests"`                // guests may read and write (topics)
	Passcode bool        `json:"passcode"`              // one is asked for
	Members  int         `json:"members"`               // how many
	Seq      uint64      `json:"seq"`
	Rev      uint64      `json:"rev"`              // the number of the last change of what stands here, but for Members, Seq and Active
	Oldest   uint64      `json:"oldest,omitempty"` // messages before this one are gone (retention)
	Created  int64       `json:"created_at"`
	Active   int64       `json:"active_at"` // of the newest message, else Created
	Deleted  bool        `json:"deleted,omitempty"`
}

// ConvPerson is a member. Delivered and Read are the highest seq that reached a device of
// the person, and that the person has seen; in topics they are the reader's own only.
type ConvPerson struct {
	ID        UserID   `json:"id"`
	Name      string   `json:"name"`
	Guest     bool     `json:"guest,omitempty"`
	Role      ConvRole `json:"role"`
	Joined    int64    `json:"joined_at"`
	Rev       uint64   `json:"rev"`
	Delivered uint64   `json:"delivered"`
	Read      uint64   `json:"read"`
}

// ConvMessage is a message as it is now. Seq is its place for ever, Rev the number of its last change.
type ConvMessage struct {
	Seq       uint64         `json:"seq"`
	Rev       uint64         `json:"rev"`
	From      UserID         `json:"from"` // "" of who has been deleted
	Name      string         `json:"name"`
	CID       string         `json:"cid"`
	Text      string         `json:"text"` // "" of a deleted one
	ReplyTo   uint64         `json:"reply_to,omitempty"`
	Thread    uint64         `json:"thread,omitempty"`  // the first message of the thread it answers in
	Replies   int            `json:"replies,omitempty"` // of the first message of a thread: how many answers
	Mentions  []UserID       `json:"mentions,omitempty"`
	Files     []ConvFile     `json:"files,omitempty"`
	Reactions []ConvReaction `json:"reactions,omitempty"`
	Pinned    bool           `json:"pinned,omitempty"`
	At        int64          `json:"at"` // Unix milliseconds, as all times here
	Edited    int64          `json:"edited_at,omitempty"`
	Deleted   int64          `json:"deleted_at,omitempty"`
}

// ConvReaction is one emoji under a message; By names the first MaxReactionBy people.
type ConvReaction struct {
	Emoji string   `json:"emoji"`
	Count int      `json:"count"`
	By    []UserID `json:"by"`
}

// ConvFile is an attachment, served at /api/v1/files/{id}.
type ConvFile struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Type   string `json:"type"` // as sniffed: image/jpeg, image/png, image/gif, image/webp, or application/octet-stream …
	Size   int64  `json:"size"` // bytes
	Width  int    `json:"width,omitempty"`
	Height int    `json:"height,omitempty"`
}

// ConvEvent is one lasting change: its Seq follows the one before by one. Exactly one of
// Message, Person and Conversation is there, as it is after the change, so that applying
// events in any order, keeping what has the highest Rev, gives what a fresh read gives.
// After is there in an event that is told late: it comes after that one, and what was between has
// changed again since, so that later events hold it.
type ConvEvent struct {
	Room         RoomID        `json:"room"`
	Seq          uint64        `json:"seq"`
	After        uint64        `json:"after,omitempty"`
	At           int64         `json:"at"`
	By           UserID        `json:"by,omitempty"`
	Message      *ConvMessage  `json:"message,omitempty"`
	Person       *ConvPerson   `json:"person,omitempty"`
	Conversation *Conversation `json:"conversation,omitempty"`
}

// ConvEntry is a line of a user's list of conversations.
type ConvEntry struct {
	Conversation
	Me     ConvPerson   `json:"me"`
	Peer   *ConvPerson  `json:"peer,omitempty"` // of a direct one: the other
	Last   *ConvMessage `json:"last,omitempty"`
	Unread int          `json:"unread"` // messages of others after Me.Read, at most 1000
}

// ConvListQuery asks for a page of the own list, newest activity first.
type ConvListQuery struct {
	Cursor string `json:"cursor,omitempty"`
	Limit  int    `json:"limit,omitempty"` // 1 to 100, default 50
}

// ConvList is the page. Next is the cursor of the next one; "" at the end.
type ConvList struct {
	Entries []ConvEntry `json:"entries"`
	Next    string      `json:"next,omitempty"`
}

// ConvOpen asks for everything that is needed to show a conversation, and for its pushes. With
// Since, the reader has everything up to there already.
type ConvOpen struct {
	Since *uint64 `json:"since,omitempty"`
	Limit int     `json:"limit,omitempty"` // of the newest messages
}

// ConvOpened is the answer. Sync is there if Since was given, else History is.
type ConvOpened struct {
	Conversation Conversation `json:"conversation"`
	Me           *ConvPerson  `json:"me,omitempty"` // not of who has not joined
	People       []ConvPerson `json:"people"`       // of direct ones and groups all, of topics owner and moderators
	Pins         []uint64     `json:"pins"`
	History      *ConvHistory `json:"history,omitempty"`
	Sync         *ConvSync    `json:"sync,omitempty"`
	Unread       int          `json:"unread"`
	Online       int          `json:"online"`
	Here         []UserID     `json:"here"` // at most 50
}

// ConvHistoryQuery asks for a page of messages by their Seq: before, after, around (a middle), or the newest.
type ConvHistoryQuery struct {
	Before uint64 `json:"before,omitempty"`
	After  uint64 `json:"after,omitempty"`
	Around uint64 `json:"around,omitempty"`
	Thread uint64 `json:"thread,omitempty"` // only the answers to this message
	Author UserID `json:"author,omitempty"` // only this one's
	Pinned bool   `json:"pinned,omitempty"`
	Limit  int    `json:"limit,omitempty"` // 1 to 100, default 50
}

// ConvHistory is the page, oldest first. Seq is the conversation's when it was read.
type ConvHistory struct {
	Seq      uint64        `json:"seq"`
	Messages []ConvMessage `json:"messages"`
	Older    bool          `json:"older"` // there are older ones
	Newer    bool          `json:"newer"`
}

// ConvSyncQuery asks for everything that changed after Since.
type ConvSyncQuery struct {
	Since uint64 `json:"since"`
	Limit int    `json:"limit,omitempty"` // changes; 1 to 500, default 200
}

// ConvSync is what changed, by Rev: who applies it has everything up to Seq. More: ask again with Since = Seq.
// Reset: too much changed; read afresh.
type ConvSync struct {
	Seq          uint64        `json:"seq"`
	More         bool          `json:"more,omitempty"`
	Reset        bool          `json:"reset,omitempty"`
	Messages     []ConvMessage `json:"messages"`
	People       []ConvPerson  `json:"people"` // with their marks
	Conversation *Conversation `json:"conversation,omitempty"`
}

// ConvSend is a new message. CID is the client's own number of it, unique per author and conversation.
type ConvSend struct {
	CID     string   `json:"cid"`
	Text    string   `json:"text"` // may be "" with Files
	ReplyTo uint64   `json:"reply_to,omitempty"`
	Thread  bool     `json:"thread,omitempty"` // the answer belongs into the thread of ReplyTo
	Files   []string `json:"files,omitempty"`  // ids of own uploads
}

// ConvSent is the answer to whatever changes a message: as it is now.
type ConvSent struct {
	Message ConvMessage `json:"message"`
	Seq     uint64      `json:"seq"` // of this change; of a repeated send, of the first one
}

// ConvChange names a message, and what to do to it.
type ConvChange struct {
	Seq   uint64 `json:"seq"`
	Text  string `json:"text,omitempty"`  // edit
	Emoji string `json:"emoji,omitempty"` // react
	On    bool   `json:"on,omitempty"`    // react, pin
}

// ConvMark tells how far the reader is; marks never go back.
type ConvMark struct {
	Delivered uint64 `json:"delivered,omitempty"`
	Read      uint64 `json:"read,omitempty"`
}

// ConvMarked is the answer, and with User the push.
type ConvMarked struct {
	User      UserID `json:"user,omitempty"`
	Delivered uint64 `json:"delivered"`
	Read      uint64 `json:"read"`
	Unread    int    `json:"unread,omitempty"`
}

// ConvTyping: asked by a client On only; the push has the User, whose typing counts for 5 s.
type ConvTyping struct {
	On   bool   `json:"on"`
	User UserID `json:"user,omitempty"`
	Name string `json:"name,omitempty"`
}

// ConvPresence is who has the conversation's events at present.
type ConvPresence struct {
	Online int      `json:"online"`
	Here   []UserID `json:"here"` // at most 50
}

// ConvTranslate asks for messages in a language (BCP 47, the primary language counts).
type ConvTranslate struct {
	Messages []uint64 `json:"messages"`
	To       string   `json:"to"`
}

// ConvTranslated has what is known by now; what is left out is to be asked for again.
type ConvTranslated struct {
	To    string            `json:"to"`
	Texts []ConvTranslation `json:"texts"`
}

// ConvTranslation is one text. Rev says of which version of the message.
type ConvTranslation struct {
	Seq  uint64 `json:"seq"`
	Rev  uint64 `json:"rev"`
	From string `json:"from,omitempty"` // the language that was recognised
	Text string `json:"text"`
}

// ConvCreate makes a conversation. Direct: With only. Name is needed by the others.
type ConvCreate struct {
	Kind     ConvKind    `json:"kind"`
	With     string      `json:"with,omitempty"` // user id or username
	Name     string      `json:"name,omitempty"`
	About    string      `json:"about,omitempty"`
	Language string      `json:"language,omitempty"`
	Tags     []string    `json:"tags,omitempty"`
	Writers  ConvWriters `json:"writers,omitempty"`
	Slow     int         `json:"slow_s,omitempty"`
	Keep     int64       `json:"retention_s,omitempty"`
	Guests   *bool       `json:"guests,omitempty"` // topics: default true
	Passcode string      `json:"passcode,omitempty"`
}

// ConvPatch changes settings; nil leaves them.
type ConvPatch struct {
	Name     *string      `json:"name,omitempty"`
	About    *string      `json:"about,omitempty"`
	Language *string      `json:"language,omitempty"`
	Tags     *[]string    `json:"tags,omitempty"`
	Writers  *ConvWriters `json:"writers,omitempty"`
	Slow     *int         `json:"slow_s,omitempty"`
	Keep     *int64       `json:"retention_s,omitempty"`
	Guests   *bool        `json:"guests,omitempty"`
	Passcode *string      `json:"passcode,omitempty"` // "" takes it away
}

// ConvDirectoryQuery asks for public topics, by activity, newest first; Text filters by words of name, post and tags.
type ConvDirectoryQuery struct {
	Text     string `json:"text,omitempty"`
	Language string `json:"language,omitempty"`
	Tag      string `json:"tag,omitempty"`
	Cursor   string `json:"cursor,omitempty"`
	Limit    int    `json:"limit,omitempty"`
}

// ConvDirectory is the page.
type ConvDirectory struct {
	Topics []Conversation `json:"topics"`
	Next   string         `json:"next,omitempty"`
}

// ConvPeople is a page of members, in the order of their coming.
type ConvPeople struct {
	People []ConvPerson `json:"people"`
	Next   string       `json:"next,omitempty"`
}

// ConvSearchQuery looks for messages with all words of Text, newest first; in one conversation or, without Room, in all that the
// searcher is a member of. A word in quotes and one before * are no operators: the last word may be unfinished.
type ConvSearchQuery struct {
	Text   string `json:"text"`
	Room   RoomID `json:"room,omitempty"`
	Author UserID `json:"author,omitempty"`
	Cursor string `json:"cursor,omitempty"`
	Limit  int    `json:"limit,omitempty"`
}

// ConvFound is the page.
type ConvFound struct {
	Hits []ConvHit `json:"hits"`
	Next string    `json:"next,omitempty"`
}

// ConvHit is a message that was found.
type ConvHit struct {
	Room    RoomID      `json:"room"`
	Message ConvMessage `json:"message"`
}

// ConvRevision is what a message said before an edit.
type ConvRevision struct {
	Text string `json:"text"`
	At   int64  `json:"at"` // when it was written
}

// PushSubscription is where a browser takes notifications (RFC 8030): what its PushManager gives. Keys are in
// base64url without padding.
type PushSubscription struct {
	Endpoint string   `json:"endpoint"` // https; it is a secret
	Keys     PushKeys `json:"keys"`
}

// PushKeys are what notifications are encrypted for (RFC 8291).
type PushKeys struct {
	P256dh string `json:"p256dh"` // public key, an uncompressed point of P-256
	Auth   string `json:"auth"`   // secret of 16 bytes
}

// PushDevice is a subscription as its owner sees it. ID is the SHA-256 of the endpoint in base64url.
type PushDevice struct {
	ID      string `json:"id"`
	Service string `json:"service"` // the host of the endpoint: whose push service it is
	Created int64  `json:"created_at"`
}
