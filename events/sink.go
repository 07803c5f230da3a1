package events

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// Sink is a system that gets events. A Dispatcher calls it from one goroutine at a time.
type Sink interface {
	// Deliver hands events over in order and returns how many of them, from the first
	// on, were acknowledged, and why not the next one: a *Refused, a *Later, or another error,
	// which is taken as temporary. Fewer than all without an error: the rest is handed
	// in again. It ends with ctx, whose deadline leaves time for one event at least, and connects if it
	// has to. Errors hold neither a secret nor anything of an event.
	Deliver(ctx context.Context, list []Event) (int, error)
	// Close ends connections. A later Deliver makes new ones.
	Close()
}

// Mirror is a Sink that can show who is present.
type Mirror interface {
	Sink
	// Present replaces what it shows of the room. It may be called while Deliver runs.
	Present(ctx context.Context, room protocol.RoomID, p protocol.ConvPresence) error
}

// Refused is the error of an event that the sink will not take, now or later.
type Refused struct{ Reason string }

// Error implements error.
func (e *Refused) Error() string { return "refused: " + e.Reason }

// Later is the error of a sink that says when it is to be asked again.
type Later struct {
	After  time.Duration
	Reason string
}

// Error implements error.
func (e *Later) Error() string { return "later: " + e.Reason }

// Subscription is a sink and what it gets.
type Subscription struct {
	Name     string // 1 to 32 of a-z, 0-9 and -: names cursor, lease and metrics; a new name starts anew
	Sink     Sink
	Types    []Type // none: all
	Private  bool   // also what happens in groups and direct conversations; false: public topics only
	Presence bool   // Sink is a Mirror, and is to be one
	Batch    int    // events handed over at once, 100
}

func (s *Subscription) validate() error {
	if !goodName(s.Name) {
		return fmt.Errorf("events: the name %q must be 1 to 32 of a-z, 0-9 and -", s.Name)
	}
	if s.Sink == nil || s.Batch < 0 {
		return errors.New("events: the subscription " + s.Name + " has no sink or a negative batch")
	}
	for _, t := range s.Types {
		if t != Message && t != Person && t != Conversation {
			return fmt.Errorf("events: the type %q of %s is none of message, person, conversation", t, s.Name)
		}
	}
	if _, ok := s.Sink.(Mirror); s.Presence && !ok {
		return errors.New("events: the sink " + s.Name + " cannot show presence")
	}
	if s.Batch == 0 {
		s.Batch = 100
	}
	return nil
}

func goodName(s string) bool {
	for _, r := range s {
		if r != '-' && (r < 'a' || r > 'z') && (r < '0' || r > '9') {
			return false
		}
	}
	return s != "" && len(s) <= 32
}

// TimeFor reports whether ctx leaves the time d: for drivers that go through a list one by
// one, after the first.
func TimeFor(ctx context.Context, d time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() == nil && (!ok || time.Until(deadline) > d)
}

// Dial opens the connections of drivers that are no HTTP: internal/outbound's DialContext, which decides what
// may be reached.
type Dial func(ctx context.Context, network, addr string) (net.Conn, error)

// RetryAfter reads the header Retry-After (RFC 9110, section 10.2.3); 0 without it.
func RetryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(s); err == nil && n > 0 {
		return time.Duration(min(n, 24*3600)) * time.Second
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}
