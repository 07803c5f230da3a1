package signaling

import (
	"context"
	"sync"
	"time"
)

// lazyContext is a context with a deadline that costs a timer only for who asks
// for Done: most handlers never wait for anything.
type lazyContext struct {
	parent   context.Context
	deadline time.Time

	mu     sync.Mutex
	ended  bool
	ctx    context.Context // once somebody asked
	cancel context.CancelFunc
}

func newLazyContext(parent context.Context, d time.Duration) *lazyContext {
	return &lazyContext{parent: parent, deadline: time.Now().Add(d)}
}

func (c *lazyContext) real() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx == nil {
		c.ctx, c.cancel = context.WithDeadline(c.parent, c.deadline)
		if c.ended {
			c.cancel()
		}
	}
	return c.ctx
}

// end cancels the context: its handler has returned.
func (c *lazyContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.cancel != nil {
		c.cancel()
	}
}

func (c *lazyContext) Deadline() (time.Time, bool) { return c.deadline, true }
func (c *lazyContext) Done() <-chan struct{}       { return c.real().Done() }
func (c *lazyContext) Err() error                  { return c.real().Err() }
func (c *lazyContext) Value(key any) any           { return c.real().Value(key) }
