package redisqueue

import (
	"context"
	"slices"
	"sync"
	"time"
)

// combiner makes one call of many that come at once. Who comes while fewer than
// lanes are under way goes at once and alone; who comes later waits for one to
// return, and then all who wait go together, in the order in which they came. So
// nobody waits for others to come, and the more come the less each costs.
//
// It has no goroutines of its own: the first who waits takes the others along.
type combiner[T any] struct {
	lanes int       // calls under way at once
	most  int       // of one call
	run   func([]T) // makes a call

	mu      sync.Mutex
	under   int // calls under way
	waiting []*rider[T]
}

// rider is somebody who waits.
type rider[T any] struct {
	op T
	// turn tells, once, that the op was run (nil), or that it is this rider's turn
	// to run it together with others.
	turn chan []*rider[T]
}

// do has op run, alone or with others. An error is ctx's: then op may have run
// or not, or may be running still, and is not to be touched.
func (c *combiner[T]) do(ctx context.Context, op T) error {
	c.mu.Lock()
	if c.under < c.lanes {
		c.under++
		c.mu.Unlock()
		c.run([]T{op})
		c.next()
		return nil
	}
	r := &rider[T]{op: op, turn: make(chan []*rider[T], 1)}
	c.waiting = append(c.waiting, r)
	c.mu.Unlock()
	select {
	case ops := <-r.turn:
		c.lead(ops)
		return nil
	case <-ctx.Done():
		c.giveUp(r)
		return ctx.Err()
	}
}

// lead runs the ops of some who waited, and of those who have come meanwhile.
func (c *combiner[T]) lead(riders []*rider[T]) {
	if len(riders) == 0 {
		return
	}
	c.mu.Lock()
	riders = append(riders, c.takeLocked(c.most-len(riders))...)
	c.mu.Unlock()
	ops := make([]T, len(riders))
	for i, r := range riders {
		ops[i] = r.op
	}
	c.run(ops)
	for _, r := range riders[1:] {
		r.turn <- nil
	}
	c.next()
}

// next ends a call: who waits makes the next one.
func (c *combiner[T]) next() {
	c.mu.Lock()
	defer c.mu.Unlock()
	riders := c.takeLocked(c.most)
	if len(riders) == 0 {
		c.under--
		return
	}
	riders[0].turn <- riders // it has room
}

// takeLocked returns the first n who wait.
func (c *combiner[T]) takeLocked(n int) []*rider[T] {
	n = min(n, len(c.waiting))
	riders := slices.Clone(c.waiting[:n])
	c.waiting = slices.Delete(c.waiting, 0, n)
	return riders
}

// giveUp takes out who does not wait any longer. If it is its turn others rely
// on it.
func (c *combiner[T]) giveUp(r *rider[T]) {
	c.mu.Lock()
	i := slices.Index(c.waiting, r)
	if i >= 0 {
		c.waiting = slices.Delete(c.waiting, i, i+1)
	}
	c.mu.Unlock()
	if i >= 0 {
		return
	}
	select {
	case riders := <-r.turn:
		c.lead(riders)
	default: // another one has taken it along
	}
}

// lastOf returns the context of a call: it ends when the last caller gives up.
func lastOf[T any](ops []T, until func(T) time.Time) (context.Context, context.CancelFunc) {
	last := until(ops[0])
	for _, op := range ops[1:] {
		if t := until(op); t.After(last) {
			last = t
		}
	}
	return context.WithDeadline(context.Background(), last)
}
