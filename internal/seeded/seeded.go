// Package seeded holds bugs that are put into the server on purpose, so that tests
// of the whole service can show that they would find them (docs/reliability.md).
//
// A place that can go wrong asks its [Bug] whether it does. Without the build tag
// chaosbug the answer is a constant, and the compiler removes question and bug
// alike: no release contains any of them. With the tag the process has the one bug
// that its environment names.
package seeded

// Bug is a bug.
type Bug string

// The bugs.
const (
	// PushUnkept: a push is not kept for a client whose socket is lost.
	PushUnkept Bug = "push-unkept"
	// PushTwice: a push is sent twice, each time as a new one.
	PushTwice Bug = "push-twice"
	// ReplaySkipped: a resume says that nothing was missed.
	ReplaySkipped Bug = "replay-skipped"
	// RequestAgain: a reply is lost, and the request, sent again on the next socket,
	// executed again.
	RequestAgain Bug = "request-again"
	// ReplyLost: a request is executed and not answered.
	ReplyLost Bug = "reply-lost"
	// TokenRefused: a good resume token is refused.
	TokenRefused Bug = "token-refused"
	// SignalLost: a signal for another node is acknowledged and not published.
	SignalLost Bug = "signal-lost"
	// SignalLate: a signal is overtaken by those after it.
	SignalLate Bug = "signal-late"
	// PublishLost: what the members of a room are told does not reach other nodes.
	PublishLost Bug = "publish-lost"
	// CastAstray: what the members of a room are told goes to everybody in any room
	// of the node.
	CastAstray Bug = "cast-astray"
	// LeaveUntold: nobody is told that a member left.
	LeaveUntold Bug = "leave-untold"
	// HalfTold: one side of a match is not told of it.
	HalfTold Bug = "half-told"
	// BothOffer: both sides of a match are told to offer.
	BothOffer Bug = "both-offer"
	// GhostStays: who has no socket stays in the queue, and counts as alive.
	GhostStays Bug = "ghost-stays"
	// NextStays: who asks for the next one keeps its seat, and takes another.
	NextStays Bug = "next-stays"
	// ChatUntold: a chat message is stored, acknowledged and told to nobody.
	ChatUntold Bug = "chat-untold"
	// SeatLeftBehind: a session that comes from another node does not get its seat.
	SeatLeftBehind Bug = "seat-left-behind"
	// UndoMissing: a search stays in a proposal that came to nothing.
	UndoMissing Bug = "undo-missing"
	// LeaseShort: a node's lease on its seats ends at once, so that others take it for
	// dead.
	LeaseShort Bug = "lease-short"
	// DeadUnburied: the members of a dead node that do not come back keep their seats.
	DeadUnburied Bug = "dead-unburied"
	// HistoryShort: a page of the chat lacks its newest message.
	HistoryShort Bug = "history-short"
	// ChatAgain: a chat message is stored once more under another number.
	ChatAgain Bug = "chat-again"
)
