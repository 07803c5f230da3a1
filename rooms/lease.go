package rooms

import (
	"context"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// lease is what this node knows of its own lease in the store. Calls look at
// it; one goroutine, the renewer, renews it.
type lease struct {
	poke chan struct{} // asks the renewer to hurry

	mu      sync.Mutex
	asked   time.Time     // when the last renewal that went through was asked for
	err     error         // of the last attempt
	attempt chan struct{} // closed and replaced at each attempt
}

func newLease() *lease {
	return &lease{poke: make(chan struct{}, 1), attempt: make(chan struct{})}
}

// tried notes an attempt to renew that began at asked.
func (l *lease) tried(asked time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.asked = asked
	}
	l.err = err
	close(l.attempt)
	l.attempt = make(chan struct{})
}

func (l *lease) first() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked.IsZero()
}

// state returns whether a renewal went through within ttl, and a channel that
// closes at the next attempt.
func (l *lease) state(ttl time.Duration) (fresh bool, attempt <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.asked.IsZero() && time.Since(l.asked) < ttl, l.attempt
}

// wait returns nil once a renewal went through within ttl; if one did not, it
// waits for attempts until one did, or returns why one failed.
func (l *lease) wait(ctx context.Context, ttl time.Duration) error {
	for {
		fresh, attempt := l.state(ttl)
		if fresh {
			return nil
		}
		select {
		case l.poke <- struct{}{}:
		default:
		}
		select {
		case <-ctx.Done():
			return unavailable("this node has no lease")
		case <-attempt:
		}
		if err := l.failure(); err != nil {
			return err
		}
	}
}

// failure returns why the last attempt failed, or nil.
func (l *lease) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func unavailable(msg string) error {
	return &protocol.Error{Code: protocol.CodeUnavailable, Msg: msg, Retry: time.Second}
}

// renew renews the lease. The first time it clears away the seats of a former
// process first: nobody else would, as this one keeps the name alive.
func (r *Registry) renew(ctx context.Context) error {
	asked := time.Now()
	err := r.renewOnce(ctx)
	r.lease.tried(asked, err)
	return err
}

func (r *Registry) renewOnce(ctx context.Context) error {
	if r.lease.first() {
		if err := r.reap(ctx, r.cfg.Node); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	seats, err := r.cfg.Store.Renew(ctx, r.cfg.Node, r.cfg.Lease)
	if err == nil {
		r.seats.Store(int64(seats))
	}
	return err
}
