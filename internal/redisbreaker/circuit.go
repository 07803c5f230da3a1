package redisbreaker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// circuit is the redis.Hook of one server.
type circuit struct {
	breaker *Breaker // static after construction, as all fields of this block
	client  *redis.Client
	addr    string // as configured; "master" behind Sentinel

	isOpen   atomic.Bool
	failures atomic.Int64 // calls in a row that failed

	mu    sync.Mutex
	since time.Time // when the circuit opened or closed last
	cause error     // the failure that opened it
}

var _ redis.Hook = (*circuit)(nil)

// probeKey marks the context of a probe, which may pass an open circuit.
type probeKey struct{}

func probing(ctx context.Context) bool { return ctx.Value(probeKey{}) != nil }

// ProcessHook implements redis.Hook.
func (c *circuit) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if isSetup(cmd) || probing(ctx) {
			return next(ctx, cmd)
		}
		if err := c.refuse(); err != nil {
			return err
		}
		start := time.Now()
		err := next(ctx, cmd)
		c.note(start, err)
		return err
	}
}

// ProcessPipelineHook implements redis.Hook.
func (c *circuit) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if len(cmds) == 0 || isSetup(cmds[0]) || probing(ctx) {
			return next(ctx, cmds)
		}
		if err := c.refuse(); err != nil {
			for _, cmd := range cmds { // go-redis leaves that to who does not call next
				cmd.SetErr(err)
			}
			return err
		}
		start := time.Now()
		err := next(ctx, cmds)
		c.note(start, err)
		return err
	}
}

// DialHook implements redis.Hook. A dial that fails becomes a connection that
// fails: go-redis counts failed dials, and after as many as its pool is large it
// tries only once a second, whatever is asked of it. To find out when to try
// again is the breaker's work.
func (c *circuit) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if err != nil {
			return brokenConn{fmt.Errorf("redis: no connection: %s", err.Error())}, nil
		}
		return conn, nil
	}
}

// isSetup reports whether go-redis sends the command by itself on a fresh
// connection, be it for a call, whose end counts, or for a subscription.
func isSetup(cmd redis.Cmder) bool {
	switch strings.ToLower(cmd.Name()) {
	case "hello", "auth", "client", "select", "readonly":
		return true
	}
	return false
}

func (c *circuit) refuse() error {
	if !c.isOpen.Load() {
		return nil
	}
	c.breaker.m.refused.Inc()
	return ErrOpen
}

// note counts how a call that began at start ended.
func (c *circuit) note(start time.Time, err error) {
	switch verdict(err, time.Since(start) >= c.breaker.cfg.Patience) {
	case answered:
		if c.failures.Load() != 0 {
			c.failures.Store(0)
		}
	case unreachable:
		if c.failed(start, err) {
			c.breaker.m.opened.Inc()
			c.breaker.cfg.Logger.Warn("redis: circuit open, calls are refused", "server", c.addr, "error", err)
			c.breaker.background(c.probe)
		}
	}
}

// failed counts a failure and reports whether it opened the circuit. A call that
// began before the circuit closed failed because of what is over.
func (c *circuit) failed(start time.Time, cause error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isOpen.Load() || start.Before(c.since) || c.failures.Add(1) < int64(c.breaker.cfg.Failures) {
		return false
	}
	c.since, c.cause = time.Now(), cause
	c.isOpen.Store(true)
	return true
}

// result is what the end of a call says about the server.
type result int

const (
	nothing result = iota
	answered
	unreachable
)

// verdict judges a call's error; patient: the call had time enough.
func verdict(err error, patient bool) result {
	var (
		said    redis.Error
		timeout net.Error
	)
	switch {
	case err == nil, errors.As(err, &said):
		return answered // redis.Nil, MOVED, NOSCRIPT and LOADING are answers, too
	case errors.Is(err, context.Canceled), errors.Is(err, redis.ErrClosed), errors.Is(err, redis.ErrCrossSlot),
		errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrPoolExhausted):
		return nothing // who holds the connections finds out
	case !patient && (errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()):
		return nothing
	}
	return unreachable
}

// probe asks until the server answers, and closes the circuit.
func (c *circuit) probe() {
	b := c.breaker
	for {
		pause := time.NewTimer(b.cfg.Pause + rand.N(b.cfg.Pause))
		select {
		case <-b.life.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
		err := c.ping(b.life)
		switch {
		case err == nil:
			c.mend()
			return
		case errors.Is(err, redis.ErrClosed):
			b.forget(c) // the Cluster goes on without this server
			return
		}
		// A replica may have taken the dead master's place; a client that is not
		// told MOVED looks only once a minute.
		if cluster, ok := b.client.(*redis.ClusterClient); ok {
			cluster.ReloadState(b.life)
		}
	}
}

// ping asks the server, and takes any answer.
func (c *circuit) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, probeKey{}, true), c.breaker.cfg.ProbeTimeout)
	defer cancel()
	err := c.client.Ping(ctx).Err()
	if verdict(err, true) == answered {
		return nil
	}
	return err
}

// mend closes the circuit.
func (c *circuit) mend() {
	c.mu.Lock()
	opened := c.since
	c.since, c.cause = time.Now(), nil
	c.failures.Store(0)
	c.isOpen.Store(false)
	c.mu.Unlock()
	c.breaker.cfg.Logger.Info("redis: circuit closed, the server answers", "server", c.addr, "after", time.Since(opened).Round(time.Millisecond))
}

// ready asks the server unless the circuit is open, and says what is wrong.
func (c *circuit) ready(ctx context.Context) error {
	c.mu.Lock()
	since, cause := c.since, c.cause
	c.mu.Unlock()
	if c.isOpen.Load() {
		return fmt.Errorf("%w for %v: %s: %w", ErrOpen, time.Since(since).Round(time.Millisecond), c.addr, cause)
	}
	return c.client.Ping(ctx).Err()
}

// brokenConn is a connection on which everything fails. One that its caller did
// not wait for gets into the pool, which looks at the socket before it gives a
// connection out, and throws this one away.
type brokenConn struct{ err error }

var _ syscall.Conn = brokenConn{}

func (c brokenConn) SyscallConn() (syscall.RawConn, error) { return nil, c.err }

func (c brokenConn) Read([]byte) (int, error)       { return 0, c.err }
func (c brokenConn) Write([]byte) (int, error)      { return 0, c.err }
func (brokenConn) Close() error                     { return nil }
func (brokenConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (brokenConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (brokenConn) SetDeadline(time.Time) error      { return nil }
func (brokenConn) SetReadDeadline(time.Time) error  { return nil }
func (brokenConn) SetWriteDeadline(time.Time) error { return nil }
