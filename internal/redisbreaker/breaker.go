// Package redisbreaker is the circuit breaker between the program and Redis.
// When a server has not answered several calls in a row, its circuit opens:
// further calls fail at once with ErrOpen instead of waiting out their deadline,
// and a PING every 250 to 500 ms finds out when the server is back. The first one
// that is answered closes the circuit.
//
// Each server of a Cluster has a circuit of its own, so that a dead master takes
// only its slots along; behind Sentinel there is one, for whoever is the master.
// Only what speaks of reachability counts: every answer, an error too, says that
// the server is there, and a call that its caller gave up says nothing.
//
// It is hooked into a go-redis client once; packages that use the client need
// not know. Subscriptions do not pass through it.
package redisbreaker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// ErrOpen is the error of calls that are refused while a circuit is open.
var ErrOpen = errors.New("redis: circuit open")

// Config configures a Breaker. Zero fields have the defaults given.
type Config struct {
	Failures     int                   // calls in a row that must fail; 3
	Patience     time.Duration         // a call that ended at its caller's deadline before this says nothing; 500 ms
	Pause        time.Duration         // shortest pause between two probes, the longest is twice that; 250 ms
	ProbeTimeout time.Duration         // for one probe; 1 s
	Logger       *slog.Logger          // nil: discard
	Registerer   prometheus.Registerer // nil: not registered
}

func (c *Config) setDefaults() {
	if c.Failures <= 0 {
		c.Failures = 3
	}
	if c.Patience <= 0 {
		c.Patience = 500 * time.Millisecond
	}
	if c.Pause <= 0 {
		c.Pause = 250 * time.Millisecond
	}
	if c.ProbeTimeout <= 0 {
		c.ProbeTimeout = time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

// Breaker holds the circuits of a client. It is safe for concurrent use.
type Breaker struct {
	cfg    Config
	client redis.UniversalClient
	m      *metrics

	life context.Context // ends with Close; probes hang on it
	end  context.CancelFunc
	work sync.WaitGroup

	mu       sync.Mutex
	circuits []*circuit // of the servers known so far
	closed   bool
}

// Attach puts a breaker into a client of one server, of Sentinel or of a Cluster.
// It must be called before the client is used, because it learns of the servers
// of a Cluster when the client does; and before other hooks are added, because
// it shows failed dials as connections that fail (see dial).
func Attach(client redis.UniversalClient, cfg Config) (*Breaker, error) {
	cfg.setDefaults()
	b := &Breaker{cfg: cfg, client: client}
	b.life, b.end = context.WithCancel(context.Background())
	b.m = newMetrics(b, cfg.Registerer)
	switch c := client.(type) {
	case *redis.Client:
		c.AddHook(b.add(c))
	case *redis.ClusterClient:
		c.OnNewNode(func(node *redis.Client) { node.AddHook(b.add(node)) })
	default:
		b.end()
		return nil, fmt.Errorf("redisbreaker: cannot break a %T", client)
	}
	return b, nil
}

// add makes the circuit of a server, in place of an earlier one of that address:
// a Cluster client may drop a server and find it again.
func (b *Breaker) add(client *redis.Client) *circuit {
	c := &circuit{breaker: b, client: client, addr: client.Options().Addr}
	if c.addr == "FailoverClient" { // what go-redis writes there with Sentinel
		c.addr = "master"
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.circuits = slices.DeleteFunc(b.circuits, func(old *circuit) bool { return old.addr == c.addr })
	b.circuits = append(b.circuits, c)
	return c
}

func (b *Breaker) forget(c *circuit) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.circuits = slices.DeleteFunc(b.circuits, func(old *circuit) bool { return old == c })
}

func (b *Breaker) known() []*circuit {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.circuits)
}

// open is the number of open circuits.
func (b *Breaker) open() (n int) {
	for _, c := range b.known() {
		if c.isOpen.Load() {
			n++
		}
	}
	return n
}

// Ready returns nil as soon as one server answers: a Cluster that lost a master
// still serves most people. Else it says why not.
func (b *Breaker) Ready(ctx context.Context) error {
	var errs []error
	for _, c := range b.known() {
		if err := c.ready(ctx); err == nil {
			return nil
		} else if errors.Is(err, redis.ErrClosed) {
			b.forget(c) // no longer a part of the Cluster
		} else {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		return b.client.Ping(ctx).Err()
	}
	return errors.Join(errs...)
}

// Close ends the probes and waits for them. Circuits that are open stay open.
func (b *Breaker) Close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.end()
	b.work.Wait()
}

// background runs f unless the breaker is closed.
func (b *Breaker) background(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.work.Go(f)
	}
}
