package auth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"
)

const (
	// DefaultRevocationPoll is how often the database is asked for revocations.
	DefaultRevocationPoll = time.Second

	revocationPage    = 500
	revocationOverlap = clockSkew
	maxRevocation     = 24 * time.Hour
	maxRevocationWire = 1 << 10
)

// Revocation says that a session's access tokens are refused.
type Revocation struct {
	Sequence int64     // of its row, positive; greater for later ones, give or take a minute: see RevocationSource
	Session  string    // 1 to 64 bytes
	Until    time.Time // when the last of its access tokens has expired
}

// RevocationSource is where all revocations can be read: those that were told
// over the bus while a node was away too. Its sequence may be the time by the
// clock of the node that writes, and transactions may commit in another order: a
// row that is up to a minute behind others is found as soon as it is there.
type RevocationSource interface {
	// Revocations returns at most limit revocations whose Sequence is greater than
	// after, in the order of their sequence. Those whose Until has passed may be
	// left out. It reads what was committed, from no replica that lags.
	Revocations(ctx context.Context, after int64, limit int) ([]Revocation, error)
}

// RevocationCache is a faster, forgetful copy of a RevocationSource that all nodes
// share: it may lose what it was told, so the Source is asked all the same.
type RevocationCache interface {
	RevocationSource
	// Remember adds a revocation; its Sequence is given by the cache.
	Remember(ctx context.Context, r Revocation) error
}

// RevocationsConfig configures Revocations. Zero fields have the defaults given.
type RevocationsConfig struct {
	// Publish tells the other nodes, which give it to Receive. It may fail: they
	// then learn it from the Source. Nil: there are none.
	Publish func(message []byte) error
	// OnRevoke is called once on each node for each session that becomes revoked,
	// by Revoke, Receive or the Source; never under a lock. It must not block for
	// long. Nil: nothing is done.
	OnRevoke func(session string)
	Source   RevocationSource // nil: there is only the bus
	// Cache is asked four times as often as the Source, and tells revocations where the
	// Source cannot be reached. Nil: there is none.
	Cache  RevocationCache
	Poll   time.Duration // of the Source, at most a second; DefaultRevocationPoll
	Logger *slog.Logger  // nil: discard
}

// Revocations knows which sessions end before their access tokens do. Each node
// has all of them in memory, so that asking costs nothing. The rows that a Source
// returns are written by whoever ends a session, in the transaction that does,
// before Revoke is called. It is safe for concurrent use.
type Revocations struct {
	cfg    RevocationsConfig
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu     sync.Mutex
	until  map[string]time.Time
	pruned time.Time
}

// NewRevocations makes a Revocations that knows of none.
func NewRevocations(cfg RevocationsConfig) (*Revocations, error) {
	cfg.Poll = cmp.Or(cfg.Poll, DefaultRevocationPoll)
	if cfg.Poll < 0 || cfg.Poll > time.Second {
		return nil, errors.New("auth: RevocationsConfig.Poll must be at most a second")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Revocations{cfg: cfg, until: map[string]time.Time{}}, nil
}

// Start reads what the Source holds and then follows it until Close. It fails if
// the Source does. It is called once; without a Source it does nothing.
func (r *Revocations) Start(ctx context.Context) error {
	if r.cfg.Source == nil {
		return nil
	}
	last, err := r.readFrom(ctx, r.cfg.Source, 0)
	if err != nil {
		return err
	}
	var run context.Context
	run, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	r.done.Go(func() { r.follow(run, r.cfg.Source, r.cfg.Poll, last) })
	if r.cfg.Cache != nil {
		r.done.Go(func() { r.follow(run, r.cfg.Cache, r.cfg.Poll/4, 0) })
	}
	return nil
}

// Close ends what Start began.
func (r *Revocations) Close() {
	if r.cancel != nil {
		r.cancel()
	}
	r.done.Wait()
}

// Revoke makes the session's tokens be refused until then, at once here and
// after Publish on all nodes.
func (r *Revocations) Revoke(session string, until time.Time) {
	r.add(session, until)
	if r.cfg.Cache != nil {
		r.done.Go(func() { r.remember(Revocation{Session: session, Until: until}) })
	}
	if r.cfg.Publish == nil {
		return
	}
	message, err := json.Marshal(revocationMessage{Session: session, Until: until.Unix()})
	if err == nil {
		err = r.cfg.Publish(message)
	}
	if err != nil {
		r.cfg.Logger.Warn("a revocation was not published: other nodes learn it from the database", "error", err)
	}
}

// remember tells the cache. That it cannot is no loss: the database knows.
func (r *Revocations) remember(v Revocation) {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	if err := r.cfg.Cache.Remember(ctx, v); err != nil {
		r.cfg.Logger.Debug("a revocation is not in the cache", "error", err)
	}
}

// Revoked reports whether the session's tokens are refused.
func (r *Revocations) Revoked(session string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	until, ok := r.until[session]
	return ok && time.Now().Before(until)
}

type revocationMessage struct {
	Session string `json:"session"`
	Until   int64  `json:"until"` // Unix seconds
}

// Receive takes what another node published. What is not a revocation is
// ignored.
func (r *Revocations) Receive(message []byte) {
	var m revocationMessage
	if len(message) > maxRevocationWire || json.Unmarshal(message, &m) != nil {
		return
	}
	r.add(m.Session, time.Unix(m.Until, 0))
}

// add notes the revocation and says so once.
func (r *Revocations) add(session string, until time.Time) {
	now := time.Now()
	// Clocks of nodes differ, and none may fill the memory for ever.
	until = until.Add(clockSkew)
	if latest := now.Add(maxRevocation); until.After(latest) {
		until = latest
	}
	if session == "" || len(session) > maxSessionBytes || !now.Before(until) {
		return
	}
	r.mu.Lock()
	known, again := r.until[session]
	if !again || known.Before(until) {
		r.until[session] = until
	}
	r.pruneLocked(now)
	r.mu.Unlock()
	if !again && r.cfg.OnRevoke != nil {
		r.cfg.OnRevoke(session)
	}
}

func (r *Revocations) pruneLocked(now time.Time) {
	if now.Sub(r.pruned) < time.Minute {
		return
	}
	r.pruned = now
	for session, until := range r.until {
		if !now.Before(until) {
			delete(r.until, session)
		}
	}
}

// follow reads again, each time, what came in the last minute or two: a row's
// sequence may be behind others that were there before.
func (r *Revocations) follow(ctx context.Context, source RevocationSource, poll time.Duration, last int64) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	from, since := int64(0), time.Now()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		call, cancel := context.WithTimeout(ctx, storeTimeout)
		newest, err := r.readFrom(call, source, from)
		cancel()
		if err != nil {
			if ctx.Err() == nil && !failing {
				r.cfg.Logger.Warn("revocations cannot be read; going on with the bus and what else there is", "cache", source == r.cfg.Cache, "error", err)
			}
			failing = true
			continue
		}
		failing = false
		if now := time.Now(); now.Sub(since) >= revocationOverlap {
			from, last, since = last, newest, now
		}
	}
}

// readFrom notes all revocations after a sequence and returns the last one's.
func (r *Revocations) readFrom(ctx context.Context, source RevocationSource, after int64) (int64, error) {
	for {
		page, err := source.Revocations(ctx, after, revocationPage)
		if err != nil {
			return after, err
		}
		for _, v := range page {
			after = max(after, v.Sequence)
			r.add(v.Session, v.Until)
		}
		if len(page) < revocationPage {
			return after, nil
		}
	}
}
