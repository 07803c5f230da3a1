package protocol

// Subprotocol is the WebSocket subprotocol of this version (section 1).
const Subprotocol = "rondo.v1"

// Typed identifiers. All are opaque to clients.
type (
	// NodeID names one running server process.
	NodeID string
	// SessionID names one session: one client, across its sockets.
	SessionID string
	// UserID names a person: a guest or, with accounts, a user.
	UserID string
	// RoomID names a room; a matched call's room is made by its match.
	RoomID string
	// MemberID names a member within one room ("1", "2", …), never reused there.
	MemberID string
)

// Type is the "t" of an envelope.
type Type string

// Message types (sections 3 to 8).
const (
	TypeHello     Type = "hello"
	TypeWelcome   Type = "welcome"
	TypeResume    Type = "resume"
	TypeResumed   Type = "resumed"
	TypeAuth      Type = "auth"
	TypeBye       Type = "bye"
	TypeOK        Type = "ok"
	TypeErr       Type = "err"
	TypeAck       Type = "ack"
	TypePing      Type = "ping"
	TypePong      Type = "pong"
	TypeReconnect Type = "reconnect"

	TypeMatchFind    Type = "match.find"
	TypeMatchNext    Type = "match.next"
	TypeMatchCancel  Type = "match.cancel"
	TypeMatchWaiting Type = "match.waiting"
	TypeMatchFound   Type = "match.found"
	TypeMatchStopped Type = "match.stopped"

	TypeRoomCreate       Type = "room.create"
	TypeRoomJoin         Type = "room.join"
	TypeRoomLeave        Type = "room.leave"
	TypeRoomInfo         Type = "room.info"
	TypeRoomClosed       Type = "room.closed"
	TypePeerJoined       Type = "peer.joined"
	TypePeerLeft         Type = "peer.left"
	TypePeerReconnecting Type = "peer.reconnecting"
	TypePeerBack         Type = "peer.back"
	TypePeerUpdated      Type = "peer.updated"

	TypeSignal    Type = "signal"
	TypeCallState Type = "call.state"

	TypeChat        Type = "chat"
	TypeChatHistory Type = "chat.history"
	TypeTyping      Type = "typing"

	TypeBlock      Type = "block"
	TypeUserUpdate Type = "user.update"
	TypeICE        Type = "ice"
	TypeStats      Type = "stats"
)

// SignalKind is the "kind" of a signal (section 7).
type SignalKind string

// Signal kinds.
const (
	SignalOffer      SignalKind = "offer"
	SignalAnswer     SignalKind = "answer"
	SignalCandidate  SignalKind = "candidate"
	SignalCandidates SignalKind = "candidates"
	SignalRestart    SignalKind = "restart"
	SignalMedia      SignalKind = "media"
	SignalHangup     SignalKind = "hangup"
)

// MaxBytes returns the largest allowed size of d for the kind, in bytes, or 0
// for a kind that does not exist.
func (k SignalKind) MaxBytes() int {
	switch k {
	case SignalOffer, SignalAnswer, SignalCandidates:
		return MaxSignalBytes
	case SignalCandidate, SignalRestart, SignalMedia, SignalHangup:
		return MaxCandidateBytes
	}
	return 0
}

// Reach says how far a search has widened (section 5).
type Reach string

// Reaches, in the order of widening.
const (
	ReachTags     Reach = "tags"
	ReachLanguage Reach = "language"
	ReachAnyone   Reach = "anyone"
)

// Mode is what members of a room send each other.
type Mode string

// Modes.
const (
	ModeVideo Mode = "video"
	ModeAudio Mode = "audio"
	ModeText  Mode = "text"
)

// LeaveReason is why a member left (section 6).
type LeaveReason string

// Leave reasons.
const (
	LeaveLeft    LeaveReason = "left"
	LeaveNext    LeaveReason = "next"
	LeaveLost    LeaveReason = "lost"
	LeaveBlocked LeaveReason = "blocked"
)

// Limits of version 1 (sections 3, 5, 6, 8). Sizes are bytes unless named
// otherwise; "chars" are grapheme clusters.
const (
	MaxHelloBytes     = 4 << 10
	MaxMessageBytes   = 64 << 10
	MaxSignalBytes    = 48 << 10
	MaxCandidateBytes = 2 << 10
	MaxChatChars      = 4000
	MaxChatBytes      = 16 << 10
	MaxDepth          = 32
	MaxTypeBytes      = 32
	MaxNameChars      = 40
	MaxRoomNameChars  = 80
	MaxPasscodeBytes  = 64
	MaxTags           = 3
	MaxTagChars       = 24
	MaxLanguages      = 2
	MaxCIDBytes       = 64
	MaxRoomCapacity   = 6
	MaxHistory        = 100
)
