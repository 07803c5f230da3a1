package protocol

// The "d" of each type. Durations are milliseconds (…MS), times Unix
// milliseconds.

// Hello opens a session (section 3).
type Hello struct {
	Name     string   `json:"name,omitempty"`
	Guest    string   `json:"guest,omitempty"`
	Auth     string   `json:"auth,omitempty"`
	Features []string `json:"features,omitempty"`
}

// Welcome answers Hello.
type Welcome struct {
	SID      SessionID  `json:"sid"`
	Node     NodeID     `json:"node"`
	Server   string     `json:"server"`
	User     User       `json:"user"`
	Guest    string     `json:"guest,omitempty"`
	AuthMS   int64      `json:"auth_ms,omitempty"`
	Resume   ResumeInfo `json:"resume"`
	PingMS   int64      `json:"ping_ms"`
	Limits   Limits     `json:"limits"`
	Features []string   `json:"features"`
	Pools    []Pool     `json:"pools"`
	ICE      *ICE       `json:"ice,omitempty"`
}

// User is a person as clients see them.
type User struct {
	ID    UserID `json:"id"`
	Name  string `json:"name"`
	Guest bool   `json:"guest"`
}

// ResumeInfo holds the single-use token that continues the session.
type ResumeInfo struct {
	Token string `json:"token"`
	TTLMS int64  `json:"ttl_ms"`
}

// Limits are the sizes the server enforces.
type Limits struct {
	MessageBytes   int `json:"message_bytes"`
	SignalBytes    int `json:"signal_bytes"`
	CandidateBytes int `json:"candidate_bytes"`
	ChatChars      int `json:"chat_chars"`
	Tags           int `json:"tags"`
	Languages      int `json:"languages"`
	NameChars      int `json:"name_chars"`
}

// DefaultLimits are the limits of version 1.
func DefaultLimits() Limits {
	return Limits{MaxMessageBytes, MaxSignalBytes, MaxCandidateBytes, MaxChatChars, MaxTags, MaxLanguages, MaxNameChars}
}

// Pool describes a pool to clients.
type Pool struct {
	Name      string   `json:"name"`
	Mode      Mode     `json:"mode"`
	Traits    []string `json:"traits"`
	RelayOnly bool     `json:"relay_only"`
	Schedule  []Widen  `json:"schedule"`
}

// Widen is a step of the widening schedule: AfterMS counts from the start of the search.
type Widen struct {
	AfterMS int64 `json:"after_ms"`
	Reach   Reach `json:"reach"`
}

// ICE holds what an RTCPeerConnection needs.
type ICE struct {
	Servers []ICEServer `json:"servers"`
	TTLMS   int64       `json:"ttl_ms"`
	Policy  string      `json:"policy"` // "all" or "relay"
}

// ICEServer is an RTCIceServer.
type ICEServer struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username,omitempty"`
	Credential string   `json:"credential,omitempty"`
}

// Resume continues a session on a new socket.
type Resume struct {
	Token string `json:"token"`
	Seq   uint64 `json:"seq"`
	Fresh bool   `json:"fresh,omitempty"`
	Auth  string `json:"auth,omitempty"`
}

// Auth renews whose the session is, or makes its guest a user (section 3).
type Auth struct {
	Auth string `json:"auth"`
}

// Authed answers Auth.
type Authed struct {
	User   User  `json:"user"`
	AuthMS int64 `json:"auth_ms"`
}

// Resumed answers Resume.
type Resumed struct {
	SID      SessionID  `json:"sid"`
	Node     NodeID     `json:"node"`
	Seq      uint64     `json:"seq"`
	Replayed int        `json:"replayed"`
	Resync   bool       `json:"resync,omitempty"`
	Resume   ResumeInfo `json:"resume"`
	PingMS   int64      `json:"ping_ms"`
	AuthMS   int64      `json:"auth_ms,omitempty"`
	ICE      *ICE       `json:"ice,omitempty"`
	State    *State     `json:"state,omitempty"`
}

// State is everything a client needs that lost its memory.
type State struct {
	User     User       `json:"user"`
	Limits   Limits     `json:"limits"`
	Features []string   `json:"features"`
	Pools    []Pool     `json:"pools"`
	Match    *Waiting   `json:"match"`
	Room     *RoomState `json:"room"`
}

// Find is the wish of a match.find or match.next (section 5).
type Find struct {
	Pool      string   `json:"pool,omitempty"`
	Tags      []string `json:"tags,omitempty"`
	Languages []string `json:"languages,omitempty"`
	Trait     string   `json:"trait,omitempty"`
	Want      []string `json:"want,omitempty"`
	Strict    bool     `json:"strict,omitempty"`
	Relay     bool     `json:"relay,omitempty"`
}

// Waiting is how a search stands.
type Waiting struct {
	Pool       string `json:"pool"`
	WaitedMS   int64  `json:"waited_ms"`
	Reach      Reach  `json:"reach"`
	Next       *Widen `json:"next"`
	Waiting    int    `json:"waiting"`
	EstimateMS *int64 `json:"estimate_ms"`
}

// Found tells of a match.
type Found struct {
	Pool      string   `json:"pool"`
	Mode      Mode     `json:"mode"`
	You       MemberID `json:"you"`
	Peer      Peer     `json:"peer"`
	Offerer   bool     `json:"offerer"`
	Polite    bool     `json:"polite"`
	Shared    Shared   `json:"shared"`
	RelayOnly bool     `json:"relay_only"`
	WaitedMS  int64    `json:"waited_ms"`
	ICE       *ICE     `json:"ice,omitempty"`
}

// Shared is what two matched people have in common.
type Shared struct {
	Tags     []string `json:"tags,omitempty"`
	Language string   `json:"language,omitempty"`
}

// Stopped tells that a search ended without a match.
type Stopped struct {
	Reason  string `json:"reason"`
	RetryMS int64  `json:"retry_ms,omitempty"`
}

// PeerState is whether a member's socket is there.
type PeerState string

// Peer states.
const (
	PeerHere PeerState = "here"
	PeerAway PeerState = "away"
)

// Peer is a member of a room as other members see it (section 6).
type Peer struct {
	ID    MemberID  `json:"id"`
	Name  string    `json:"name"`
	Since int64     `json:"since"`
	State PeerState `json:"state,omitempty"`
	// Picture is the name that the member's picture has in this room, at
	// /api/v1/pictures/; "" where there are no accounts.
	Picture string `json:"picture,omitempty"`
}

// RoomCreate makes a named room.
type RoomCreate struct {
	Name     string `json:"name,omitempty"`
	Mode     Mode   `json:"mode,omitempty"`
	Capacity int    `json:"capacity,omitempty"`
	Passcode string `json:"passcode,omitempty"`
}

// RoomJoin enters a named room.
type RoomJoin struct {
	Passcode string `json:"passcode,omitempty"`
}

// RoomInfo describes a room to who is not in it.
type RoomInfo struct {
	Room     RoomID `json:"room"`
	Name     string `json:"name"`
	Mode     Mode   `json:"mode"`
	Members  int    `json:"members"`
	Capacity int    `json:"capacity"`
	Passcode bool   `json:"passcode"`
}

// RoomState describes a room to a member.
type RoomState struct {
	Room      RoomID      `json:"room"`
	Kind      string      `json:"kind"` // "matched" or "named"
	Name      string      `json:"name,omitempty"`
	Mode      Mode        `json:"mode"`
	Capacity  int         `json:"capacity"`
	You       MemberID    `json:"you"`
	Peers     []Peer      `json:"peers"`
	RelayOnly bool        `json:"relay_only"`
	Chat      ChatHistory `json:"chat"`
	ICE       *ICE        `json:"ice,omitempty"`
	Match     *Found      `json:"match,omitempty"`
}

// PeerJoined, PeerLeft, PeerReconnecting, PeerBack, PeerUpdated and RoomClosed
// are the pushes of section 6.
type (
	PeerJoined struct {
		Peer Peer `json:"peer"`
	}
	PeerLeft struct {
		Peer   MemberID    `json:"peer"`
		Reason LeaveReason `json:"reason"`
	}
	PeerReconnecting struct {
		Peer MemberID `json:"peer"`
	}
	PeerBack struct {
		Peer  MemberID `json:"peer"`
		Fresh bool     `json:"fresh"`
	}
	PeerUpdated struct {
		Peer Peer `json:"peer"`
	}
	RoomClosed struct {
		Reason string `json:"reason"`
	}
)

// CallState reports how a call went (section 7).
type CallState struct {
	State         string     `json:"state"`
	Room          RoomID     `json:"room,omitempty"`
	Peer          MemberID   `json:"peer,omitempty"`
	Local         string     `json:"local,omitempty"`
	Remote        string     `json:"remote,omitempty"`
	Protocol      string     `json:"protocol,omitempty"`
	RelayProtocol string     `json:"relay_protocol,omitempty"`
	SetupMS       int64      `json:"setup_ms,omitempty"`
	FirstFrameMS  int64      `json:"first_frame_ms,omitempty"`
	Reason        string     `json:"reason,omitempty"`
	Steps         *CallSteps `json:"steps,omitempty"`
}

// CallSteps are the milliseconds, at most 120,000, that each step of a call's
// set-up took; nil: not known.
type CallSteps struct {
	Ask    *int64 `json:"ask,omitempty"`    // from the click to the asking
	Offer  *int64 `json:"offer,omitempty"`  // from the match to the offer
	Answer *int64 `json:"answer,omitempty"` // to the answer
	ICE    *int64 `json:"ice,omitempty"`    // to a path
	DTLS   *int64 `json:"dtls,omitempty"`   // to where media can flow
	Frame  *int64 `json:"frame,omitempty"`  // to the first decoded picture
	Total  *int64 `json:"total,omitempty"`  // from the click to that, without the search
}

// ChatSend is a message on its way in (section 8).
type ChatSend struct {
	CID  string `json:"cid"`
	Text string `json:"text"`
}

// ChatSent answers ChatSend.
type ChatSent struct {
	Off uint64 `json:"off"`
	At  int64  `json:"at"`
}

// ChatMessage is a message in a room.
type ChatMessage struct {
	Off  uint64   `json:"off"`
	From MemberID `json:"from"`
	Name string   `json:"name"`
	CID  string   `json:"cid"`
	Text string   `json:"text"`
	At   int64    `json:"at"`
}

// ChatQuery asks for history; Since or Before, not both.
type ChatQuery struct {
	Since  *uint64 `json:"since,omitempty"`
	Before uint64  `json:"before,omitempty"`
	Limit  int     `json:"limit,omitempty"`
}

// ChatHistory is a page of messages, oldest first. Off is the room's newest.
type ChatHistory struct {
	Off      uint64        `json:"off"`
	Messages []ChatMessage `json:"messages"`
	More     bool          `json:"more"`
}

// Typing tells that someone writes.
type Typing struct {
	On bool `json:"on"`
}

// Block names whom not to meet again.
type Block struct {
	Peer MemberID `json:"peer"`
}

// UserUpdate changes the own profile.
type UserUpdate struct {
	Name string `json:"name"`
}

// UserUpdated answers UserUpdate.
type UserUpdated struct {
	User User `json:"user"`
}

// Stats are the live counts.
type Stats struct {
	Online int         `json:"online"`
	Pools  []PoolStats `json:"pools"`
}

// PoolStats are the live counts of a pool.
type PoolStats struct {
	Name       string `json:"name"`
	Waiting    int    `json:"waiting"`
	EstimateMS *int64 `json:"estimate_ms"`
}

// Reconnect asks a client to come back, here or on another node.
type Reconnect struct {
	AfterMS int64 `json:"after_ms"`
}

// WireError is the "e" of an err.
type WireError struct {
	Code    Code   `json:"code"`
	Msg     string `json:"msg"`
	RetryMS int64  `json:"retry_ms,omitempty"`
}
