package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/internal/pause"
	"github.com/rondo-chat/rondo/protocol"
)

// Config says what to do. Zero fields have the defaults given.
type Config struct {
	URL      string // of the server's WebSocket, ws: or wss:
	Scenario string // one of Scenarios
	Users    int    // how many clients; 100
	// Rate is how many begin each second: connections while they are opened, and
	// then what the scenario counts, of all users together; 200.
	Rate     float64
	Connect  float64       // connections opened each second; Rate
	Duration time.Duration // after all are connected; 10 s
	Bytes    int           // of a relayed or said text; 500
	Seed     uint64        // what poisson and day draw from; 1
	Room     protocol.RoomID
	PID      int    // of the server, on this machine: its CPU and memory are watched
	Metrics  string // URL of its metrics page: its allocations are counted
	// Spread lets clients of a server on this machine come from many addresses of
	// 127.0.0.0/8, for a server has limits for each address.
	Spread   bool
	Loopback bool      // calls may go over the loopback interface
	Progress io.Writer // a line each second; nil: none
}

func (c *Config) setDefaults() error {
	if c.URL == "" {
		return errors.New("bench: URL is missing")
	}
	if c.Users == 0 {
		c.Users = 100
	}
	if c.Rate == 0 {
		c.Rate = 200
	}
	if c.Connect == 0 {
		c.Connect = c.Rate
	}
	if c.Duration == 0 {
		c.Duration = 10 * time.Second
	}
	if c.Bytes == 0 {
		c.Bytes = 500
	}
	if c.Seed == 0 {
		c.Seed = 1
	}
	if c.Users < 1 || c.Rate <= 0 || c.Connect <= 0 || c.Duration < 0 || c.Bytes < 32 || c.Bytes > protocol.MaxChatBytes {
		return fmt.Errorf("bench: users, rate and duration must be positive, bytes 32 to %d", protocol.MaxChatBytes)
	}
	return nil
}

// Report is what came of it.
type Report struct {
	Scenario string               `json:"scenario"`
	Users    int                  `json:"users"`
	Seconds  float64              `json:"seconds"`
	Counts   map[string]int64     `json:"counts"`
	Failures map[string]int64     `json:"failures,omitempty"` // why those of the count "failed" did
	Times    map[string]Quantiles `json:"times"`
	Server   *Cost                `json:"server,omitempty"`
}

// Cost is what the server spent while the scenario ran, and for how many operations.
type Cost struct {
	CPU       float64 `json:"cpu_share"` // of one core
	CPUPerOp  float64 `json:"cpu_us_per_op,omitempty"`
	Allocs    float64 `json:"allocs_per_op,omitempty"`
	RSS       int64   `json:"rss_bytes"`
	PerUser   int64   `json:"rss_bytes_per_user,omitempty"` // what connecting the users added, each
	Operation string  `json:"operation,omitempty"`
}

// Scenarios are what a bench can do, and what it is.
func Scenarios() map[string]string {
	list := map[string]string{}
	for name, s := range scenarios() {
		list[name] = s.what
	}
	return list
}

type scenario struct {
	what      string
	operation string // which count the server's cost is divided by
	comes     bool   // users come as the scenario says, not before it
	run       func(b *bench, ctx context.Context) error
}

func scenarios() map[string]scenario {
	return map[string]scenario{
		"idle":    {what: "users connect and do nothing", run: (*bench).idle},
		"ask":     {what: "two users at a time ask for a partner, leave, and ask again", operation: "pairs", run: (*bench).ask},
		"burst":   {what: "all users ask at once", operation: "pairs", run: (*bench).burst},
		"poisson": {what: "users ask independently of one another, with interests, and a third skip", operation: "asks", run: (*bench).poisson},
		"relay":   {what: "pairs send each other signals", operation: "signals", run: (*bench).relay},
		"fanout":  {what: "all users have one topic open (--room) and write in turn", operation: "deliveries", run: (*bench).fanout},
		"calls":   {what: "pairs make real calls with media", operation: "calls", run: (*bench).calls},
		"day":     {what: "users live a day (--day): come and go, meet, signal, chat, skip, sit in rooms, lose their network", operation: "operations", comes: true, run: (*bench).day},
	}
}

// bench is one run.
type bench struct {
	cfg   Config
	users []*user
	full  Vitals // of the server, when all users were connected
	begun Vitals // when what is measured began

	times  map[string]*Times // static after newBench
	counts map[string]*atomic.Int64

	mu       sync.Mutex
	failures map[string]int64
}

// fail counts something that did not come about; what is "" where the scenario does but one thing.
func (b *bench) fail(what string, err error) {
	b.counts["failed"].Add(1)
	why := string(protocol.CodeOf(err))
	if _, ok := errors.AsType[*protocol.Error](err); !ok {
		why = err.Error()
	}
	if what != "" {
		why = what + ": " + why
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.failures[why]; known || len(b.failures) < maxReasons {
		b.failures[why]++
	}
}

// maxReasons is how many different reasons a report tells.
const maxReasons = 20

// names of counts and times: what is not here nobody counts.
var (
	countNames = [...]string{"connected", "refused", "asks", "pairs", "skips", "given up", "signals", "messages", "deliveries", "rooms", "lost", "calls", "left",
		"operations", "too late", "failed"}
	timeNames = [...]string{"connect", "match", "next", "cancel", "signal", "relay", "send", "chat", "delivery", "room", "resume", "leave", "call"}
)

func newBench(cfg Config) *bench {
	b := &bench{cfg: cfg, times: map[string]*Times{}, counts: map[string]*atomic.Int64{}, failures: map[string]int64{}}
	for _, n := range countNames {
		b.counts[n] = &atomic.Int64{}
	}
	for _, n := range timeNames {
		b.times[n] = &Times{}
	}
	return b
}

// Run connects the users, runs the scenario and says what came of it. It ends early, with what
// there is, when ctx ends.
func Run(ctx context.Context, cfg Config) (Report, error) {
	if err := cfg.setDefaults(); err != nil {
		return Report{}, err
	}
	s, ok := scenarios()[cfg.Scenario]
	if !ok {
		return Report{}, fmt.Errorf("bench: no scenario %q", cfg.Scenario)
	}
	b := newBench(cfg)
	defer b.close()
	progress, stop := context.WithCancel(ctx)
	var telling sync.WaitGroup
	telling.Go(func() { b.progress(progress) })
	defer telling.Wait()
	defer stop()
	empty, err := look(ctx, cfg.PID, cfg.Metrics)
	if err != nil {
		return Report{}, err
	}
	if !s.comes {
		err = b.connect(ctx)
	}
	if err != nil {
		return Report{}, err
	}
	if err := b.settle(ctx); err != nil {
		return Report{}, err
	}
	if b.full, err = look(ctx, cfg.PID, cfg.Metrics); err != nil {
		return Report{}, err
	}
	b.begun = b.full
	runErr := s.run(b, ctx)
	end, err := look(context.WithoutCancel(ctx), cfg.PID, cfg.Metrics)
	return b.report(s, empty, end), errors.Join(runErr, err)
}

// begin is called by scenarios that prepare something first, when that is done.
func (b *bench) begin(ctx context.Context) (err error) {
	if err = b.settle(ctx); err == nil {
		b.begun, err = look(ctx, b.cfg.PID, b.cfg.Metrics)
	}
	return err
}

// settle waits until a server that is watched is done with the arrivals.
func (b *bench) settle(ctx context.Context) error {
	if b.cfg.PID == 0 {
		return nil
	}
	return pause.For(ctx, 2*time.Second)
}

func (b *bench) report(s scenario, empty, end Vitals) Report {
	took := end.At.Sub(b.begun.At)
	r := Report{Scenario: b.cfg.Scenario, Users: cmp.Or(len(b.users), b.cfg.Users), Seconds: took.Seconds(), Counts: map[string]int64{}, Times: map[string]Quantiles{}}
	b.mu.Lock()
	r.Failures = maps.Clone(b.failures)
	b.mu.Unlock()
	for name, n := range b.counts {
		if n.Load() > 0 {
			r.Counts[name] = n.Load()
		}
	}
	for name, t := range b.times {
		if q := t.Quantiles(); q.Count > 0 {
			r.Times[name] = q
		}
	}
	if b.cfg.PID == 0 {
		return r
	}
	r.Server = &Cost{CPU: (end.CPU - b.begun.CPU).Seconds() / took.Seconds(), RSS: end.RSS, Operation: s.operation}
	if n := int64(len(b.users)); n > 0 {
		r.Server.PerUser = (b.full.RSS - empty.RSS) / n
	}
	if n := r.Counts[s.operation]; n > 0 {
		r.Server.CPUPerOp = float64((end.CPU - b.begun.CPU).Microseconds()) / float64(n)
		r.Server.Allocs = (end.Mallocs - b.begun.Mallocs) / float64(n)
	}
	return r
}

// progress writes a line each second.
func (b *bench) progress(ctx context.Context) {
	if b.cfg.Progress == nil {
		return
	}
	began := time.Now()
	for pause.For(ctx, time.Second) == nil {
		fmt.Fprintf(b.cfg.Progress, "%4.0f s ", time.Since(began).Seconds())
		for _, name := range countNames {
			if n := b.counts[name].Load(); n > 0 {
				fmt.Fprintf(b.cfg.Progress, "  %d %s", n, name)
			}
		}
		fmt.Fprintln(b.cfg.Progress)
	}
}

// user is one client, whose events one goroutine reads.
type user struct {
	*client.Client
	n  int
	on atomic.Pointer[func(client.Event)] // who hears the events now
}

func (u *user) hear(f func(client.Event)) { u.on.Store(&f) }

// connect opens all users at the rate.
func (b *bench) connect(ctx context.Context) error {
	b.users = make([]*user, b.cfg.Users)
	var all sync.WaitGroup
	err := pace(ctx, b.cfg.Connect, b.cfg.Users, func(i int, due time.Time) {
		all.Go(func() {
			c, err := client.Dial(ctx, b.cfg.URL, client.Options{Name: fmt.Sprintf("bench %d", i), NetDial: b.from(i)})
			if err != nil {
				b.counts["refused"].Add(1)
				return
			}
			b.times["connect"].Add(time.Since(due))
			b.counts["connected"].Add(1)
			u := &user{Client: c, n: i}
			b.users[i] = u
			go u.read()
		})
	})
	all.Wait()
	kept := b.users[:0]
	for _, u := range b.users {
		if u != nil {
			kept = append(kept, u)
		}
	}
	b.users = kept
	if err == nil && len(kept) == 0 {
		err = errors.New("bench: no user could connect")
	}
	return err
}

// read hands the events on until the client ends.
func (u *user) read() {
	for e := range u.Events() {
		if f := u.on.Load(); f != nil {
			(*f)(e)
		}
	}
}

// from dials from an address of the i-th user's own.
func (b *bench) from(i int) func(context.Context, string, string) (net.Conn, error) {
	if !b.cfg.Spread {
		return nil
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, byte(1+i/62_500), byte(i/250%250), byte(i%250+1))}}
	return d.DialContext
}

func (b *bench) close() {
	var all sync.WaitGroup
	for part := range 32 {
		all.Go(func() {
			for i := part; i < len(b.users); i += 32 {
				if b.users[i] != nil {
					b.users[i].Close()
				}
			}
		})
	}
	all.Wait()
}

// pace calls f n times, the i-th time at the instant when it is due; n < 0: until ctx ends. f must not block.
func pace(ctx context.Context, rate float64, n int, f func(i int, due time.Time)) error {
	began := time.Now()
	for i := 0; i < n || n < 0; i++ {
		due := began.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		if d := time.Until(due); d > 0 {
			if err := pause.For(ctx, d); err != nil {
				return err
			}
		} else if ctx.Err() != nil {
			return ctx.Err()
		}
		f(i, due)
	}
	return nil
}

// within runs f at the rate for the Duration, and waits for what it began.
func (b *bench) within(ctx context.Context, rate float64, f func(i int, due time.Time)) error {
	return pace(ctx, rate, max(1, int(rate*b.cfg.Duration.Seconds())), f)
}
