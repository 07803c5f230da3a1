package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/e2e/chaos/history"
	"github.com/rondo-chat/rondo/e2e/lab"
)

// plan says what a run is made of.
type plan struct {
	seed   uint64
	nodes  int
	users  int
	store  func(t testing.TB) store // nil: one Redis
	clocks bool                     // each node and the Redis, which is one, has a clock that can be set
	skew   []time.Duration          // by how much the nodes' clocks are wrong all the time
	split  bool                     // each node is on a machine of its own, and Redis on this one
	faults []fault                  // made in a drawn order, again and again
	run    time.Duration            // with faults
	calm   time.Duration            // after the last one: everything heals, and is seen to
	expect history.Expect
	gap    [2]int // milliseconds between two faults; zero: 800 to 2500

	node  lab.Options // of all nodes: what it has beyond start's
	rough int         // how many times as often users have accidents; 0: once
}

// promises are what holds today.
func promises() history.Expect {
	return history.Expect{
		ResumeElsewhere: true, BusSurvives: true, ChatSurvives: true,
		Grace: grace, Recover: 5 * time.Second, Settle: 3 * time.Second, Undo: grace + 20*time.Second,
		Wait: 6 * time.Second, Answer: 8 * time.Second, Back: 5 * time.Second, Ghost: 2 * time.Second, Slack: time.Second,
	}
}

// grace is how long sessions outlive their sockets in these runs.
const grace = 10 * time.Second

// world is a service with its users.
type world struct {
	t     testing.TB
	plan  plan
	rng   *rand.Rand // of the faults
	store store
	split *lab.Split    // of the machines that the nodes are on; nil: all on this one
	opts  []lab.Options // of the nodes
	clock []*lab.Clock  // of the nodes, then of Redis; nil: the machine's
	began time.Time

	calm     atomic.Bool
	faulty   atomic.Bool  // a planned fault is being made
	shy      atomic.Bool  // who waits goes dark
	refusals atomic.Int64 // clients that were not let in
	stuck    atomic.Int64 // "already" said to who was idle

	mu     sync.Mutex
	nodes  []*lab.Node // nil while dead
	logs   []*history.Log
	faults []history.Fault
	wires  []*wire  // of the users
	ends   []string // clients that ended by themselves
	wrong  []string // what the newest run was found to have done wrong
}

func (w *world) now() time.Duration { return time.Since(w.began) }

func (w *world) keep(l *history.Log) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.logs = append(w.logs, l)
}

// ended takes in that a client gave up: the server sent it away for good.
func (w *world) ended(name string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends = append(w.ends, fmt.Sprintf("%s: %v", name, err))
}

// pick returns a chooser of nodes that keeps to one as long as it is alive.
func (w *world) pick(i int) func() string {
	var mu sync.Mutex
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		w.mu.Lock()
		defer w.mu.Unlock()
		for w.nodes[i%len(w.nodes)] == nil {
			i++
		}
		return w.nodes[i%len(w.nodes)].HTTP
	}
}

// node returns the i-th node, nil while it is dead.
func (w *world) node(i int) *lab.Node {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.nodes[i]
}

func (w *world) setNode(i int, n *lab.Node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes[i] = n
}

// result is what a run came to.
type result struct {
	history.Run
	sum   history.Summary
	found []history.Violation
}

// start makes a service.
func start(t testing.TB, p plan) *world {
	t.Helper()
	w := &world{t: t, plan: p, rng: rand.New(rand.NewPCG(p.seed, 1))}
	if p.gap[1] == 0 {
		p.gap = [2]int{800, 2500}
		w.plan.gap = p.gap
	}
	if p.store == nil {
		p.store = single
	}
	t.Cleanup(w.tellAgain)
	if p.split {
		w.split = lab.NewSplit(t, p.nodes)
		p.store = apart(w.split)
	}
	if p.clocks {
		for range p.nodes + 1 {
			w.clock = append(w.clock, lab.NewClock(t))
		}
		for i, by := range p.skew {
			if err := w.clock[i].Jump(by); err != nil {
				t.Fatal(err)
			}
		}
		p.store, p.node.Binary = timed(w.clock[p.nodes]), lab.BuildClock(t)
	}
	w.store = p.store(t)
	secret := filepath.Join(t.TempDir(), "secret")
	for i := range p.nodes {
		o := p.node
		o.Redis, o.Secret = w.store.url(i), secret
		if w.clock != nil {
			o.Env = append(slices.Clip(o.Env), w.clock[i].Env())
		}
		if w.split != nil {
			o.Netns, o.IP = w.split.Nodes[i].Netns, w.split.Nodes[i].IP
		}
		o.Args = append([]string{"--turn=false", "--grace", grace.String(), "--ping", "4s"}, o.Args...)
		w.opts = append(w.opts, o)
		w.nodes = append(w.nodes, lab.Start(t, w.opts[i]))
	}
	return w
}

// play runs the plan and judges it.
func play(t testing.TB, p plan) *result {
	t.Helper()
	t.Logf("seed %d, %d nodes, %d users", p.seed, p.nodes, p.users)
	return start(t, p).play(p)
}

// play is one run on a service that may have had others.
func (w *world) play(p plan) *result {
	w.t.Helper()
	w.began, w.logs, w.faults, w.wires, w.ends = time.Now(), nil, nil, nil, nil
	w.plan.seed, w.plan.run = p.seed, p.run
	w.calm.Store(false)
	ctx, stop := context.WithCancel(w.t.Context())
	defer stop()
	var users sync.WaitGroup
	for i := range p.users {
		u := &user{w: w, person: fmt.Sprintf("u%d", i), rng: rand.New(rand.NewPCG(p.seed, uint64(i)+2)), loyal: i%5 == 0}
		u.wire = &wire{from: lab.DialFrom(i), pick: w.pick(i)}
		if w.split != nil {
			u.wire.from = w.split.DialFrom(i)
		}
		w.mu.Lock()
		w.wires = append(w.wires, u.wire)
		w.mu.Unlock()
		users.Go(func() {
			pause(ctx, time.Duration(u.rng.IntN(2000))*time.Millisecond)
			u.run(ctx)
		})
	}
	users.Go(func() { w.watch(ctx) })
	w.makeFaults(ctx)
	w.calm.Store(true)
	pause(ctx, p.calm)
	stop()
	users.Wait()
	return w.judge()
}

// judge checks what was written down.
func (w *world) judge() *result {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := &result{Run: history.Run{Logs: w.logs, Faults: w.faults, Expect: w.plan.expect}}
	r.sum, r.found = r.Summary()
	w.wrong = slices.Clone(w.ends)
	for _, v := range r.found {
		w.wrong = append(w.wrong, v.String())
	}
	w.t.Logf("%s\n%d clients not let in, %d told \"already\"", r.sum, w.refusals.Load(), w.stuck.Load())
	for _, f := range w.faults {
		w.t.Logf("%v to %v: %s", f.From.Round(time.Millisecond), f.To.Round(time.Millisecond), f.Name)
	}
	for _, e := range w.ends {
		w.t.Errorf("a client was sent away: %s", e)
	}
	for i, v := range r.found {
		if i == 20 {
			w.t.Errorf("… and %d more", len(r.found)-i)
			break
		}
		w.t.Errorf("%v", v)
	}
	if w.t.Failed() {
		w.save(r)
	}
	return r
}

// tellAgain repeats what was wrong below what the nodes printed: of a long output often
// only the end is kept.
func (w *world) tellAgain() {
	for i, text := range w.wrong {
		if i == 10 {
			w.t.Logf("… and %d more", len(w.wrong)-i)
			return
		}
		w.t.Logf("seed %d, wrong: %s", w.plan.seed, text)
	}
}

// save keeps the logs of a run that failed.
func (w *world) save(r *result) {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("rondo-chaos-%d.json", w.plan.seed))
	b, err := json.Marshal(r.Run)
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	w.t.Logf("logs of seed %d: %s (%v)", w.plan.seed, path, err)
}
