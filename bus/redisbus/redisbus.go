// Package redisbus is a bus over Redis publish/subscribe: one Redis, Sentinel or
// Redis Cluster.
//
// Each node subscribes to two channels, its own and that of all, whatever the
// number of users. What is published waits in a queue of the node and goes out
// in pipelines of up to 256. Every message carries the sender's number, by which
// a receiver drops what a retry sent twice or what overtook another.
//
// A subscription can be alive and deliver nothing, for instance after a
// fail-over: the bus sends itself a probe and subscribes anew when it does not
// come back. When Redis comes back after any failure, messages flow again
// without help; those of the meantime are lost.
package redisbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/protocol"
)

// Config is what a Bus is made of. Client and Node must be set. The client
// stays the caller's, to be closed after the bus.
type Config struct {
	Client redis.UniversalClient
	Node   protocol.NodeID
	Prefix string // of channel names; "rondo:"

	Probe      time.Duration // between probes of the subscription; 10 s
	ProbeWait  time.Duration // for a probe to come back; 2 s
	Queue      int           // messages that may wait to be sent; 16,384
	QueueBytes int64         // 64 MiB
	MaxAge     time.Duration // of a message at sending: older ones are dropped; 5 s
	Batch      int           // messages a pipeline; 256
	Workers    int           // that run handlers; 4

	Logger     *slog.Logger          // nil: no log
	Registerer prometheus.Registerer // nil: not registered
}

func (c Config) withDefaults() (Config, error) {
	if c.Client == nil || c.Node == "" {
		return c, errors.New("redisbus: Client and Node must be set")
	}
	def(&c.Prefix, "rondo:")
	def(&c.Probe, 10*time.Second)
	def(&c.ProbeWait, 2*time.Second)
	def(&c.Queue, 16384)
	def(&c.QueueBytes, 64<<20)
	def(&c.MaxAge, 5*time.Second)
	def(&c.Batch, 256)
	if c.Probe < 0 || c.ProbeWait < 0 || c.Queue < 0 || c.QueueBytes < 0 || c.MaxAge < 0 || c.Batch < 0 || c.Workers < 0 {
		return c, errors.New("redisbus: a limit is negative")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Bus implements bus.Bus over Redis.
type Bus struct {
	// Static after New.
	cfg   Config
	log   *slog.Logger
	m     *metrics
	in    *bus.Dispatcher
	epoch uint64 // tells this run of the node from others of the same name

	// Safe by themselves.
	queue   chan outgoing
	waiting atomic.Int64 // bytes in queue
	stop    chan struct{}
	ready   chan struct{} // closed at the first complete subscription
	fresh   chan struct{} // a subscription was made: probe it
	echoes  chan uint64   // numbers of probes that came back
	own     atomic.Uint64 // messages that came for this node alone
	busy    atomic.Bool   // the receiver hands a message on
	wg      sync.WaitGroup

	mu      sync.Mutex
	phase   phase
	sub     *redis.PubSub // the present subscription
	subOK   bool          // confirmed
	sendErr error         // of the last pipeline
	silent  bool          // the last probe did not come back
}

type phase uint8

const (
	created phase = iota
	started
	closed
)

var _ bus.Bus = (*Bus)(nil)

// New makes a bus; it does nothing before Start.
func New(cfg Config) (*Bus, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &Bus{
		cfg: cfg, log: cfg.Logger, epoch: newEpoch(),
		in:    bus.NewDispatcher(cfg.Workers, 0, cfg.Logger),
		queue: make(chan outgoing, cfg.Queue),
		stop:  make(chan struct{}), ready: make(chan struct{}),
		fresh: make(chan struct{}, 1), echoes: make(chan uint64, 16),
	}
	b.m = newMetrics(b)
	return b, b.m.register(cfg.Registerer)
}

// Node implements bus.Bus.
func (b *Bus) Node() protocol.NodeID { return b.cfg.Node }

// Handle implements bus.Bus.
func (b *Bus) Handle(k bus.Kind, h bus.Handler) { b.in.Handle(k, h) }

// Start implements bus.Bus: it waits until Redis has confirmed the subscriptions.
func (b *Bus) Start(ctx context.Context) error {
	b.mu.Lock()
	if b.phase != created {
		b.mu.Unlock()
		return bus.ErrStopped
	}
	b.phase = started
	b.mu.Unlock()
	if err := b.in.Start(); err != nil {
		return err
	}
	b.wg.Go(b.publish)
	b.wg.Go(b.receive)
	b.wg.Go(b.probe)
	select {
	case <-b.ready:
		return nil
	case <-b.stop:
		return bus.ErrStopped
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("redisbus: no subscription: %w", ctx.Err()), b.Close())
	}
}

// Close implements bus.Bus. What waits to be sent is sent first, for at most
// two seconds.
func (b *Bus) Close() error {
	b.mu.Lock()
	was := b.phase
	b.phase = closed
	sub := b.sub
	b.mu.Unlock()
	if was == closed {
		return nil
	}
	close(b.stop)
	if sub != nil {
		_ = sub.Close() // fails only when closed
	}
	b.in.Close()
	b.wg.Wait()
	return nil
}

func (b *Bus) stopped() bool {
	select {
	case <-b.stop:
		return true
	default:
		return false
	}
}

// Healthy implements bus.Bus.
func (b *Bus) Healthy() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.phase != started:
		return bus.ErrStopped
	case !b.subOK:
		return errors.New("redisbus: not subscribed")
	case b.sendErr != nil:
		return fmt.Errorf("redisbus: cannot send: %w", b.sendErr)
	case b.silent:
		return errors.New("redisbus: the subscription is silent")
	}
	return nil
}

func (b *Bus) ownChannel() string { return b.cfg.Prefix + "n:" + string(b.cfg.Node) }
func (b *Bus) allChannel() string { return b.cfg.Prefix + "all" }

func (b *Bus) channel(to protocol.NodeID) string {
	if to == "" {
		return b.allChannel()
	}
	return b.cfg.Prefix + "n:" + string(to)
}

// pause waits for d and reports whether the bus still runs.
func (b *Bus) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-b.stop:
		return false
	}
}

// backoff is a pause that doubles from 20 ms to a second.
type backoff time.Duration

func (o *backoff) next() time.Duration {
	*o = backoff(min(max(2*time.Duration(*o), 20*time.Millisecond), time.Second))
	return time.Duration(*o)
}
