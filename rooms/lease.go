package rooms

import (
	"context"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/internal/seeded"
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

// lapsed reports whether the lease has run out since it was renewed last.
func (l *lease) lapsed(ttl time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.asked.IsZero() && time.Since(l.asked) >= ttl
}

// renew renews the lease. The first time it sees to the seats of a former process
// first: nobody else would, as this one keeps the name alive. Where sessions may
// go on at other nodes or here (Holds is set), check takes out who does not.
func (r *Registry) renew(ctx context.Context) error {
	asked := time.Now()
	err := r.renewOnce(ctx)
	r.lease.tried(asked, err)
	return err
}

func (r *Registry) renewOnce(ctx context.Context) error {
	asked := time.Now()
	lapsed := r.lease.lapsed(r.cfg.Lease)
	if r.lease.first() && r.cfg.Holds == nil {
		if err := r.reap(ctx, r.cfg.Node); err != nil {
			return err
		}
	}
	lease := r.cfg.Lease
	if seeded.LeaseShort.Hit() {
		lease = time.Millisecond
	}
	call, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	first := r.gen == ""
	got, err := r.cfg.Store.Renew(call, r.cfg.Node, lease)
	if err != nil {
		return err
	}
	r.seats.Store(int64(got.Seats))
	same := got.Gen == r.gen
	r.gen = got.Gen
	switch {
	case first:
	case lapsed && same && !got.Known:
		r.recall.clear() // this node was taken for dead, and all it had taken over or removed
	case !same || !got.Known || got.Seats < len(r.recall.seats()):
		if err := r.relist(ctx); err != nil {
			return err
		}
		r.recall.suspectAll()
		r.hurry()
	}
	if lapsed {
		r.reclaimAgain = asked.Add(r.cfg.Lease) // who was burying us may not have heard
		return r.reclaim(ctx)
	}
	if !r.reclaimAgain.IsZero() && asked.After(r.reclaimAgain) {
		r.reclaimAgain = time.Time{}
		return r.reclaim(ctx)
	}
	return nil
}
