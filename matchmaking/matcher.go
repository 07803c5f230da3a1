package matchmaking

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rondo-chat/rondo/protocol"
)

// Config is what a Matcher is made of. Node, Queue, Relations, Notifier, Hooks
// and Pools are needed; the zero value of the others is the default named.
type Config struct {
	Node      protocol.NodeID
	Queue     Queue
	Relations Relations
	Notifier  Notifier
	Hooks     Hooks
	Pools     []PoolConfig // the first is the default pool

	Timeout    time.Duration // of each call of Queue and Relations, and of Hooks.Open; 2 s
	Probe      time.Duration // how long a silent session is asked for a sign of life; 2 s
	Hold       time.Duration // deadline of a proposal; more than Probe; 3 s
	Reconcile  time.Duration // how often own searches are compared with the queue, and leases renewed; 2 s
	Sweep      time.Duration // how often the queue is swept; 1 s
	Parts      int           // into how many parts a large pool is split at most, to MaxParts; 1: never
	PartRate   float64       // matches a second that one part makes before the pool is split further; 2,000
	Look       int           // how many tickets of a term are looked at, at least; 32
	Logger     *slog.Logger  // nil: nothing is logged
	Registerer prometheus.Registerer
}

func (c Config) withDefaults() (Config, error) {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&c.Timeout, 2*time.Second)
	def(&c.Probe, 2*time.Second)
	def(&c.Hold, 3*time.Second)
	def(&c.Reconcile, 2*time.Second)
	def(&c.Sweep, time.Second)
	if c.Look == 0 {
		c.Look = 32
	}
	if c.Parts == 0 {
		c.Parts = 1
	}
	if c.PartRate == 0 {
		c.PartRate = 2000
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case c.Node == "" || c.Queue == nil || c.Relations == nil || c.Notifier == nil || c.Hooks == nil:
		return c, errors.New("matchmaking: Node, Queue, Relations, Notifier and Hooks are needed")
	case len(c.Pools) == 0:
		return c, errors.New("matchmaking: at least one pool is needed")
	case c.Timeout < 0 || c.Probe < 0 || c.Hold <= c.Probe || c.Reconcile < 0 || c.Reconcile > NodeTTL/2 || c.Sweep < 0:
		return c, errors.New("matchmaking: times must be positive, Hold more than Probe, Reconcile at most half of NodeTTL")
	case c.Parts < 1 || c.Parts > MaxParts || !(c.PartRate > 0):
		return c, fmt.Errorf("matchmaking: Parts must be 1 to %d, PartRate positive", MaxParts)
	case c.Look < 1 || c.Look > MaxLook-MaxExclude:
		return c, fmt.Errorf("matchmaking: Look must be 1 to %d", MaxLook-MaxExclude)
	}
	return c, nil
}

// Matcher owns the searches of one node's sessions. All methods may be called
// from many goroutines; those for one session one after another.
type Matcher struct {
	cfg     Config // static after construction, as all fields of this block
	pools   map[string]*pool
	order   []*pool
	metrics *metrics
	crew    *crew
	epoch   atomic.Uint64 // the last one given

	life    context.Context // ends with Close; background work hangs on it
	end     context.CancelFunc
	work    sync.WaitGroup
	started atomic.Bool

	mu       sync.Mutex
	closed   bool
	searches map[protocol.SessionID]*search
	agenda   agenda
	wake     chan struct{} // buffered: the agenda's first time came nearer
	leaves   []leave       // that the queue could not take, to be made again
	answered memory        // matches that were live when their searcher asked
}

// New makes a Matcher. Start makes it run.
func New(cfg Config) (*Matcher, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	m := &Matcher{
		cfg: cfg, pools: map[string]*pool{}, searches: map[protocol.SessionID]*search{},
		wake: make(chan struct{}, 1), crew: newCrew(32),
	}
	for _, pc := range cfg.Pools {
		pc, err := pc.withDefaults()
		if err != nil {
			return nil, err
		}
		if m.pools[pc.Name] != nil {
			return nil, fmt.Errorf("pool %q: twice", pc.Name)
		}
		p := newPool(pc, cfg.Parts)
		m.pools[pc.Name] = p
		m.order = append(m.order, p)
	}
	if m.metrics, err = newMetrics(cfg.Registerer, m.order); err != nil {
		return nil, err
	}
	m.life, m.end = context.WithCancel(context.Background())
	return m, nil
}

// Start renews the node's leases and begins to keep time. ctx bounds only Start
// itself. Without the queue it fails.
func (m *Matcher) Start(ctx context.Context) error {
	if m.started.Swap(true) {
		return errors.New("matchmaking: started twice")
	}
	for _, p := range m.order {
		if err := m.renew(ctx, p.parts[0], NodeTTL); err != nil {
			return fmt.Errorf("matchmaking: the queue does not answer: %w", err)
		}
	}
	m.work.Go(m.keepTime)
	for _, p := range m.order {
		for _, q := range p.parts {
			m.work.Go(func() { m.keepHouse(q) })
		}
	}
	return nil
}

// Close takes all own tickets out of the queue, within ctx, and stops. Searches
// that it ends are told (Hooks.Stopped).
func (m *Matcher) Close(ctx context.Context) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	m.mu.Unlock()
	err := m.retire(ctx)
	m.end()
	m.crew.close()
	m.work.Wait()
	return err
}

// Pools returns the pools as clients see them, in the configured order.
func (m *Matcher) Pools() []protocol.Pool {
	var list []protocol.Pool
	for _, p := range m.order {
		list = append(list, p.public())
	}
	return list
}

// Parted notes that the two were together just now, so that they meet others first.
func (m *Matcher) Parted(a, b protocol.UserID) {
	if a == b {
		return
	}
	ctx, cancel := context.WithTimeout(m.life, m.cfg.Timeout)
	defer cancel()
	start := time.Now()
	err := m.cfg.Relations.Part(ctx, a, b)
	m.metrics.called("part", start, err)
	if err != nil {
		m.cfg.Logger.Warn("recent partners not noted", "err", err)
	}
}

// Block makes that the two never meet again. Error: unavailable.
func (m *Matcher) Block(ctx context.Context, user, other protocol.UserID) error {
	if user == other {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()
	start := time.Now()
	err := m.cfg.Relations.Block(ctx, user, other)
	m.metrics.called("block", start, err)
	if err != nil {
		m.cfg.Logger.Warn("block not noted", "err", err)
		return unavailable()
	}
	return nil
}

// ForgetUser removes a user who is gone for good from everybody's relations. It
// may take seconds.
func (m *Matcher) ForgetUser(ctx context.Context, user protocol.UserID) error {
	start := time.Now()
	err := m.cfg.Relations.Forget(ctx, user)
	m.metrics.called("forget", start, err)
	return err
}

// unavailable is the answer while the queue is out of reach.
func unavailable() *protocol.Error {
	return &protocol.Error{Code: protocol.CodeUnavailable, Msg: "matching is not available right now", Retry: time.Second}
}

// nextEpoch returns an epoch greater than all before it, also than those of
// another process that had the session before, as far as clocks agree.
func (m *Matcher) nextEpoch() uint64 {
	for {
		last := m.epoch.Load()
		next := max(last+1, uint64(time.Now().UnixMicro()))
		if m.epoch.CompareAndSwap(last, next) {
			return next
		}
	}
}
