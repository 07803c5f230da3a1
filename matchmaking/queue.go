package matchmaking

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// Queue is where nodes that share it find people for each other: a driver.
//
// Each method is one atomic step within one pool, however many nodes call at
// once, and may be repeated: a call whose answer was lost has the same effect
// when made again. Time is the queue's own. An error means that the outcome is
// unknown, unless it is ErrInvalid. Implementations keep the slices they get.
type Queue interface {
	// Enter takes the oldest listed ticket that offers a term of s.Seeks and is
	// of no user in s.Exclude, and proposes the two to each other as s.Match
	// (Proposed); where there is none it lists t (Listed). The same session
	// with the same epoch that has an undecided proposal already gets that one
	// again, on whichever side it is (Proposed); one with a smaller epoch is
	// replaced, its proposal undone; a greater epoch wins over this call
	// (Stale). Used says that s.Match was used before: enter with another.
	Enter(ctx context.Context, t Ticket, s Search) (Result, error)

	// Ack decides a proposal. From the one who waited it is the yes that makes
	// the match live (Live; again Live when repeated). From the one who
	// searched it is a question: Pending within the deadline, then Gone.
	// Whatever became of nothing, or is not known, is Gone.
	Ack(ctx context.Context, c Claim) (Verdict, error)

	// Nack undoes a proposal (Gone): neither side is listed any more, both
	// must enter again who want to go on. A match that is live stays (Live).
	Nack(ctx context.Context, c Claim) (Verdict, error)

	// Leave takes the session's ticket out, if its epoch is not greater; an
	// undecided proposal is undone and returned, so that the other can be told.
	Leave(ctx context.Context, pool string, t Ref) (*Pair, error)

	// Missing returns the positions in list of those who are neither listed
	// nor in an undecided proposal with their epoch.
	Missing(ctx context.Context, pool string, list []Ref) ([]int, error)

	// Renew keeps the node's tickets from being swept for ttl; with ttl 0 they
	// are swept from now on. Entering counts as a first renewal.
	Renew(ctx context.Context, pool string, node protocol.NodeID, ttl time.Duration) error

	// Sweep undoes proposals past their deadline, forgets decided ones, and
	// takes out tickets of nodes that did not renew: up to limit things of
	// each kind in a call. Any node may call it at any time.
	Sweep(ctx context.Context, pool string, limit int) (Swept, error)

	// Stats returns how many search in the pool and how long the last ones
	// waited who were found by somebody. It costs the same however many wait.
	Stats(ctx context.Context, pool string) (Stats, error)
}

// Times that all drivers share.
const (
	// NodeTTL is how long a node's tickets outlive its last renewal.
	NodeTTL = 6 * time.Second
	// RememberMatch is how long a decided match is remembered, for questions.
	RememberMatch = 30 * time.Second
	// MaxWait bounds how far back a place in the queue can be.
	MaxWait = time.Hour
	// WaitsKept is how many waits Stats looks back, within WaitsWindow.
	WaitsKept   = 101
	WaitsWindow = 10 * time.Minute
)

// Ref names a search.
type Ref struct {
	Session protocol.SessionID
	Epoch   uint64 // grows with each search and each return of a session; below 10¹⁶
}

// Entrant is one side of a proposal.
type Entrant struct {
	Ref
	User  protocol.UserID
	Node  protocol.NodeID
	Since time.Time // place in the queue, by the queue's clock, in whole microseconds
	Data  string    // whatever the matcher wants the other side to know; no control characters
}

// Ticket is a search as it stands in the queue. A zero Since means now, or the
// place the same search has already; a later one than now means now.
type Ticket struct {
	Entrant
	Pool   string
	Offers []Term // at most MaxTerms
}

// Search says whom a ticket looks for.
type Search struct {
	Match   protocol.RoomID // the id of the match if there is one; used once
	Seeks   []Term          // at most MaxTerms
	Exclude []protocol.UserID
	Look    int           // how many listed tickets to look at per term, 1 to MaxLook
	Hold    time.Duration // deadline of the proposal, from now on
}

// MaxLook bounds Search.Look, MaxExclude Search.Exclude.
const (
	MaxLook    = 1024
	MaxExclude = 512
)

// Outcome is what came of entering.
type Outcome int

// Outcomes.
const (
	Listed Outcome = iota + 1
	Proposed
	Stale
	Used
)

// Result is the answer to Enter.
type Result struct {
	Outcome  Outcome
	Since    time.Time // Listed: the ticket's place
	Waiting  int       // Listed: how many search in the pool
	Rejected int       // how many were looked at and excluded
	Strays   int       // entries without a ticket that were found and removed; there should be none
	Pair     Pair      // Proposed
}

// Pair is a proposal or a match. The first entrant is the one who waited.
type Pair struct {
	Match    protocol.RoomID
	Pool     string
	Entrants [2]Entrant
}

// Claim names a side of a match.
type Claim struct {
	Pool  string
	Match protocol.RoomID
	Ref
}

// Verdict is how a match stands.
type Verdict int

// Verdicts.
const (
	Pending Verdict = iota + 1
	Live
	Gone
)

// Swept is what Sweep did.
type Swept struct {
	Expired   int // proposals past their deadline
	Forgotten int // decided matches past RememberMatch
	Reaped    int // tickets of nodes that did not renew
	Nodes     int // such nodes of whom nothing is left
}

// More reports whether a kind of thing reached the limit, so that there may be
// more to sweep.
func (s Swept) More(limit int) bool {
	return s.Expired+s.Forgotten >= limit || s.Reaped >= limit
}

// Stats is how a pool stands.
type Stats struct {
	Waiting int             // tickets listed or in an undecided proposal
	Waits   []time.Duration // the last ones, at most WaitsKept, none older than WaitsWindow
	Rate    float64         // matches a second lately (MatchRate)
}

// ErrInvalid is the error for arguments that no driver takes. Nothing happened.
type ErrInvalid struct{ What string }

func (e *ErrInvalid) Error() string { return "matchmaking: invalid " + e.What }

// maxEpoch is what 16 decimal digits hold.
const maxEpoch = 9_999_999_999_999_999

// CheckEnter returns an *ErrInvalid for what no driver takes: the drivers rely
// on it that ids and terms hold no separators of theirs.
func CheckEnter(t Ticket, s Search) error {
	switch {
	case !isPart(t.Pool):
		return &ErrInvalid{"pool"}
	case !plain(string(t.Session), 128) || !plain(string(t.User), 128) || !plain(string(t.Node), 128) || !plain(string(s.Match), 128):
		return &ErrInvalid{"id"}
	case t.Epoch == 0 || t.Epoch > maxEpoch:
		return &ErrInvalid{"epoch"}
	case len(t.Data) > 8<<10 || strings.ContainsAny(t.Data, "\x00\x01\n"):
		return &ErrInvalid{"data"}
	case len(t.Offers) == 0 || len(t.Offers) > MaxTerms || len(s.Seeks) > MaxTerms:
		return &ErrInvalid{"number of terms"}
	case len(s.Exclude) > MaxExclude:
		return &ErrInvalid{"number of exclusions"}
	case s.Look < 1 || s.Look > MaxLook:
		return &ErrInvalid{"look"}
	case s.Hold <= 0:
		return &ErrInvalid{"hold"}
	}
	for _, list := range [][]Term{t.Offers, s.Seeks} {
		for _, term := range list {
			if !plain(string(term), MaxTermBytes) {
				return &ErrInvalid{fmt.Sprintf("term %q", term)}
			}
		}
	}
	for _, u := range s.Exclude {
		if !plain(string(u), 128) {
			return &ErrInvalid{"excluded user"}
		}
	}
	return nil
}

// plain reports whether s is 1 to limit bytes, none of them below sep, and
// does not begin with what drivers mark their own entries with.
func plain(s string, limit int) bool {
	for i := range len(s) {
		if s[i] < sep[0] {
			return false
		}
	}
	return len(s) > 0 && len(s) <= limit && s[0] != '@' && s[0] != '#'
}
