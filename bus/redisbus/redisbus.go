// Package redisbus is a bus over Redis publish/subscribe: one Redis, Sentinel or
// Redis Cluster.
//
// Each node subscribes to two channels, its own and that of all, whatever the
// number of users. What is published for another node is kept until that node
// has acknowledged it (package stream), and goes out in frames of many messages,
// many frames a pipeline. So it does not matter what becomes of Redis, of a
// connection to it or of a subscription, as long as it does not last longer than
// Config.Keep. Messages for all are sent once, and lost if that fails.
//
// A subscription can be alive and deliver nothing, for instance after a
// fail-over: the bus sends itself a probe, now and then and whenever an
// acknowledgement is overdue, and subscribes anew when it does not come back.
// Whoever subscribed anew says so to all, who then send again what it may not
// have heard.
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
	"github.com/rondo-chat/rondo/bus/stream"
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
	Keep       time.Duration // what a node has not acknowledged, without any sign of it; 30 s
	Queue      int           // messages kept for a node, and for all; 65,536
	QueueBytes int64         // of them; 64 MiB
	TotalBytes int64         // for all nodes together; 256 MiB
	MaxAge     time.Duration // of a message for all at sending: older ones are dropped; 5 s
	Batch      int           // frames a pipeline; 256
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
	def(&c.Keep, 30*time.Second)
	def(&c.Queue, 65536)
	def(&c.QueueBytes, 64<<20)
	def(&c.TotalBytes, 256<<20)
	def(&c.MaxAge, 5*time.Second)
	def(&c.Batch, 256)
	if c.Probe < 0 || c.ProbeWait < 0 || c.Queue < 0 || c.QueueBytes < 0 || c.TotalBytes < 0 ||
		c.Keep < 0 || c.MaxAge < 0 || c.Batch < 0 || c.Workers < 0 {
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
	links   *links
	open    atomic.Bool   // Publish may be called
	queue   chan cast     // messages for all, and probes
	waiting atomic.Int64  // bytes in queue
	casts   atomic.Uint64 // number of the last message for all
	wake    chan struct{} // there is something to send
	greet   atomic.Bool   // say hello to all
	closing chan struct{} // closed by Close: send what there is
	flushed chan struct{} // closed when that is done
	stop    chan struct{} // closed then
	ready   chan struct{} // closed at the first complete subscription
	fresh   chan struct{} // send a probe now
	echoes  chan uint64   // numbers of probes that came back
	own     atomic.Uint64 // messages that came for this node alone
	busy    atomic.Bool   // the receiver hands a message on
	wg      sync.WaitGroup

	// Owned by the publisher.
	greetAt   time.Time // not before
	greetWait backoff
	unlogged  stream.Lost
	logAt     time.Time // not before

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

// maxCasts is how many messages for all may wait to be sent.
const maxCasts = 16384

// New makes a bus; it does nothing before Start.
func New(cfg Config) (*Bus, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &Bus{
		cfg: cfg, log: cfg.Logger, epoch: newEpoch(),
		in:    bus.NewDispatcher(cfg.Workers, 0, cfg.Logger),
		queue: make(chan cast, min(cfg.Queue, maxCasts)), wake: make(chan struct{}, 1),
		closing: make(chan struct{}), flushed: make(chan struct{}),
		stop: make(chan struct{}), ready: make(chan struct{}),
		fresh: make(chan struct{}, 1), echoes: make(chan uint64, 16),
	}
	b.links = newLinks(cfg, b.epoch)
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
	b.open.Store(true)
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

// Close implements bus.Bus. What is kept for others is sent first, for at most
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
	b.open.Store(false)
	close(b.closing)
	if was == started {
		<-b.flushed
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

// Pending returns how many bytes wait to be sent or acknowledged, and the age of
// the oldest message that its node has not acknowledged.
func (b *Bus) Pending() (bytes int64, oldest time.Duration) {
	bytes, oldest = b.links.pending(time.Now())
	return bytes + b.waiting.Load(), oldest
}

func (b *Bus) ownChannel() string { return b.cfg.Prefix + "n:" + string(b.cfg.Node) }
func (b *Bus) allChannel() string { return b.cfg.Prefix + "all" }

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

// backoff is a pause that doubles from 20 to 250 ms.
type backoff time.Duration

func (o *backoff) next() time.Duration {
	*o = backoff(min(max(2*time.Duration(*o), 20*time.Millisecond), 250*time.Millisecond))
	return time.Duration(*o)
}
