package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rondo-chat/rondo/protocol"
)

// closing is how long Close waits for what is being handed over.
const closing = 3 * time.Second

// Config says who gets events. Zero fields have the defaults given.
type Config struct {
	Log   Log
	Sinks []Subscription

	Lease    time.Duration // how long a node serves a sink without a word; 30 s
	Poll     time.Duration // how often the outbox is looked at without Wake; 500 ms
	MinPause time.Duration // after a failure; then twice that …; 1 s
	MaxPause time.Duration // up to this; 1 min
	Tries    int           // of an event that is refused, before it is a dead letter; 5

	Logger     *slog.Logger          // discards by default
	Registerer prometheus.Registerer // nil: no metrics
}

func (c *Config) validate() error {
	if c.Log == nil {
		return errors.New("events: Config.Log is missing")
	}
	if c.Lease < 0 || c.Poll < 0 || c.MinPause < 0 || c.MaxPause < 0 || c.Tries < 0 {
		return errors.New("events: Config.Lease, Poll, MinPause, MaxPause or Tries is negative")
	}
	names := map[string]bool{}
	for i := range c.Sinks {
		if err := c.Sinks[i].validate(); err != nil {
			return err
		}
		if names[c.Sinks[i].Name] {
			return fmt.Errorf("events: there are two sinks with the name %s", c.Sinks[i].Name)
		}
		names[c.Sinks[i].Name] = true
	}
	defaultTo(&c.Lease, 30*time.Second)
	defaultTo(&c.Poll, 500*time.Millisecond)
	defaultTo(&c.MinPause, time.Second)
	defaultTo(&c.MaxPause, time.Minute)
	defaultTo(&c.Tries, 5)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

func defaultTo[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// Dispatcher hands the outbox to the sinks. Each node has one.
type Dispatcher struct {
	cfg     Config
	runners []*runner
	mirrors []*mirror
	running sync.WaitGroup
	stopped context.Context
	stop    context.CancelFunc
	aborted context.Context
	abort   context.CancelFunc
}

// New returns a Dispatcher that is not started.
func New(cfg Config) (*Dispatcher, error) {
	cfg.Sinks = append([]Subscription(nil), cfg.Sinks...)
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	d := &Dispatcher{cfg: cfg}
	d.stopped, d.stop = context.WithCancel(context.Background())
	d.aborted, d.abort = context.WithCancel(context.Background())
	m := newMetrics(cfg.Registerer, cfg.Sinks)
	for _, s := range cfg.Sinks {
		r := &runner{cfg: &d.cfg, sub: s, metrics: m, log: cfg.Logger.With("sink", s.Name), wake: make(chan struct{}, 1)}
		r.kinds = &kinds{log: cfg.Log, private: s.Private}
		d.runners = append(d.runners, r)
		if s.Presence {
			d.mirrors = append(d.mirrors, newMirror(s, &kinds{log: cfg.Log, private: s.Private}, m))
		}
	}
	return d, nil
}

// Names returns the names of the sinks: those whose cursors the outbox has to wait for.
func (d *Dispatcher) Names() []string {
	var names []string
	for _, s := range d.cfg.Sinks {
		names = append(names, s.Name)
	}
	return names
}

// Start begins to hand events over.
func (d *Dispatcher) Start() {
	for _, r := range d.runners {
		d.running.Go(func() { r.run(d.stopped, d.aborted) })
	}
	for _, m := range d.mirrors {
		d.running.Go(func() { m.run(d.stopped) })
	}
}

// Wake says that there may be new events. It never blocks.
func (d *Dispatcher) Wake() {
	for _, r := range d.runners {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// Present shows who is in a room to the sinks that mirror presence: soon, the latest
// wins, and what a sink does not take is forgotten. It never blocks. Nodes that have the same
// to say may all call it.
func (d *Dispatcher) Present(room protocol.RoomID, p protocol.ConvPresence) {
	for _, m := range d.mirrors {
		m.put(room, p)
	}
}

// Close ends the Dispatcher, gives its leases back, closes the sinks, and waits for all of
// it: some seconds at most.
func (d *Dispatcher) Close() {
	d.stop()
	late := time.AfterFunc(closing, d.abort)
	defer late.Stop()
	d.running.Wait()
	d.abort()
	for _, s := range d.cfg.Sinks {
		s.Sink.Close()
	}
}
