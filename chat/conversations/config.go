package conversations

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/protocol"
)

// Caller is who asks, verified, with the name that others see.
type Caller struct {
	auth.Principal
	Name string
}

// Person is somebody as People knows them.
type Person struct {
	ID    protocol.UserID
	Name  string
	Guest bool
}

// People knows who there is. It is asked outside of transactions.
type People interface {
	// Person returns who has the id or username; not_found.
	Person(ctx context.Context, idOrUsername string) (Person, error)
	// Blocked reports whether one of the two keeps the other away.
	Blocked(ctx context.Context, a, b protocol.UserID) (bool, error)
}

// Publisher brings events to those who read at present, on all nodes.
type Publisher interface {
	// Publish must not block. What it does not take is published again later.
	Publish(e protocol.ConvEvent) error
}

// Moderator looks at texts before they are stored.
type Moderator interface {
	// Check refuses a text with a *protocol.Error, which its author sees.
	Check(ctx context.Context, who Caller, room protocol.RoomID, text string) error
}

// Files is where uploads are.
type Files interface {
	// Delete deletes a file; that it is not there is no error.
	Delete(ctx context.Context, stored string) error
}

// Config is what Conversations works with.
type Config struct {
	Store     Store           // required
	People    People          // required
	Publisher Publisher       // required
	Node      protocol.NodeID // required: who has the leases
	Key       []byte          // required, at least 32 bytes: MACs passcodes

	Cache     Cache     // none by default
	Moderator Moderator // all passes by default
	Files     Files     // nil: there are none
	Sinks     []string  // names of who gets all events (events out); without any they are not put in order

	Limits  Limits            // zero fields have the defaults given there
	Limiter ratelimit.Limiter // counts; by default in this process's memory

	Now        func() time.Time      // time.Now
	Logger     *slog.Logger          // discards by default
	Registerer prometheus.Registerer // nil: no metrics
}

// Limits are the bounds of this package that are not the protocol's. Zero fields have the defaults given; a
// rate whose PerSecond is negative is none.
type Limits struct {
	Send   ratelimit.Rate // messages of one user in one conversation; 2 a second, 20 at once
	Change ratelimit.Rate // edits, deletions, reactions and pins of one user in one conversation; 3 a second, 30 at once
	Create ratelimit.Rate // conversations made by one user; 1 in 30 s, 20 at once
	Join   ratelimit.Rate // joins and departures of one user; 1 in 2 s, 30 at once
	Manage ratelimit.Rate // invitations, roles and settings changed by one user; 1 in 2 s, 60 at once
	Guess  ratelimit.Rate // passcodes tried by one user; 1 in 10 s, 10 at once
	// GuessRoom: passcodes tried at one conversation by anybody; 1 in 2 s, 60 at once.
	GuessRoom ratelimit.Rate
	Search    ratelimit.Rate // searches of one user; 1 a second, 20 at once
	Attach    ratelimit.Rate // uploads of one user; 1 in 2 s, 30 at once

	Pending int           // invitations that wait for one user's answer; 100
	Told    time.Duration // an event that nobody marked as told is published again after so long; 5 s
	Outbox  time.Duration // told events are kept so long; 1 h
	Idle    time.Duration // guests who write nothing for so long are no members any more; 30 d
	Orphan  time.Duration // uploads that no message has after so long are deleted; 24 h
}

func (l *Limits) setDefaults() {
	rate := func(every time.Duration, burst float64) ratelimit.Rate {
		return ratelimit.Rate{PerSecond: 1 / every.Seconds(), Burst: burst}
	}
	defaultTo(&l.Send, rate(500*time.Millisecond, 20))
	defaultTo(&l.Change, rate(time.Second/3, 30))
	defaultTo(&l.Create, rate(30*time.Second, 20))
	defaultTo(&l.Join, rate(2*time.Second, 30))
	defaultTo(&l.Manage, rate(2*time.Second, 60))
	defaultTo(&l.Guess, rate(10*time.Second, 10))
	defaultTo(&l.GuessRoom, rate(2*time.Second, 60))
	defaultTo(&l.Search, rate(time.Second, 20))
	defaultTo(&l.Attach, rate(2*time.Second, 30))
	defaultTo(&l.Pending, 100)
	defaultTo(&l.Told, 5*time.Second)
	defaultTo(&l.Outbox, time.Hour)
	defaultTo(&l.Idle, 30*24*time.Hour)
	defaultTo(&l.Orphan, 24*time.Hour)
}

func defaultTo[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// limiterKeys bounds the busy buckets of each rate where a node counts for itself.
const limiterKeys = 100_000

func (c *Config) validate() error {
	switch {
	case c.Store == nil, c.People == nil, c.Publisher == nil:
		return errors.New("conversations: Store, People and Publisher are required")
	case c.Node == "":
		return errors.New("conversations: Node is required")
	case len(c.Key) < 32:
		return errors.New("conversations: Key must have at least 32 bytes")
	case c.Limits.Pending < 0 || c.Limits.Told < 0 || c.Limits.Outbox < 0 || c.Limits.Idle < 0 || c.Limits.Orphan < 0:
		return errors.New("conversations: a limit is negative")
	}
	c.Limits.setDefaults()
	if c.Cache == nil {
		c.Cache = noCache{}
	}
	if c.Limiter == nil {
		c.Limiter = ratelimit.NewMemory(limiterKeys)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}
