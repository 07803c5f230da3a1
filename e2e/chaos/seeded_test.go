package chaos

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/e2e/chaos/history"
	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/seeded"
)

// seed is a bug in the server, the plan that provokes it, and the promises that it
// breaks: at least one of them must be found broken.
type seed struct {
	bug   seeded.Bug
	odds  int // it strikes once in so many times
	plan  string
	rules []history.Rule
	quick bool // part of every test run
}

func seeds() []seed {
	return []seed{
		{bug: seeded.PushUnkept, odds: 1, plan: "rough", rules: []history.Rule{history.RuleSignal, history.RuleAlone, history.RuleOutside}},
		{bug: seeded.PushTwice, odds: 20, plan: "rough", rules: []history.Rule{history.RuleDouble, history.RuleAgain}, quick: true},
		{bug: seeded.ReplaySkipped, odds: 1, plan: "rough", rules: []history.Rule{history.RuleSignal, history.RuleAlone, history.RuleOutside}},
		{bug: seeded.RequestAgain, odds: 2, plan: "resets", rules: []history.Rule{history.RuleDouble, history.RuleTwoRooms, history.RuleUnasked}},
		{bug: seeded.ReplyLost, odds: 30, plan: "rough", rules: []history.Rule{history.RuleAnswer}},
		{bug: seeded.TokenRefused, odds: 2, plan: "rough", rules: []history.Rule{history.RuleSession}},
		{bug: seeded.SignalLost, odds: 5, plan: "rough", rules: []history.Rule{history.RuleSignal}, quick: true},
		{bug: seeded.SignalLate, odds: 10, plan: "rough", rules: []history.Rule{history.RuleOrder}},
		{bug: seeded.PublishLost, odds: 3, plan: "rough", rules: []history.Rule{history.RuleAlone, history.RuleChat}},
		{bug: seeded.CastAstray, odds: 10, plan: "rough", rules: []history.Rule{history.RuleOutside}},
		{bug: seeded.LeaveUntold, odds: 3, plan: "rough", rules: []history.Rule{history.RuleAlone}},
		{bug: seeded.HalfTold, odds: 3, plan: "rough", rules: []history.Rule{history.RuleHalf}, quick: true},
		{bug: seeded.BothOffer, odds: 3, plan: "rough", rules: []history.Rule{history.RuleSides}},
		{bug: seeded.GhostStays, odds: 1, plan: "sparse", rules: []history.Rule{history.RuleGhost}},
		{bug: seeded.NextStays, odds: 1, plan: "rough", rules: []history.Rule{history.RuleAlone, history.RuleOutside, history.RuleTwoRooms}},
		{bug: seeded.ChatUntold, odds: 2, plan: "rough", rules: []history.Rule{history.RuleChat}},
		{bug: seeded.SeatLeftBehind, odds: 1, plan: "moving", rules: []history.Rule{history.RuleSignal, history.RuleAlone}},
		{bug: seeded.UndoMissing, odds: 1, plan: "shy", rules: []history.Rule{history.RuleWait, history.RuleAnswer}},
		{bug: seeded.LeaseShort, odds: 1, plan: "long", rules: []history.Rule{history.RuleTorn}},
		{bug: seeded.DeadUnburied, odds: 1, plan: "dead", rules: []history.Rule{history.RuleAlone}},
		{bug: seeded.HistoryShort, odds: 3, plan: "rough", rules: []history.Rule{history.RuleHistory}},
		{bug: seeded.ChatAgain, odds: 5, plan: "rough", rules: []history.Rule{history.RuleDouble, history.RuleFork}},
	}
}

// seedPlan returns a plan in which some bugs show soon. Its promises are tight:
// nodes notice and give up early.
func seedPlan(name string) plan {
	ex := promises()
	ex.Grace, ex.Undo, ex.Settle, ex.Recover = 3*time.Second, 5*time.Second, 2*time.Second, 2*time.Second
	p := plan{seed: 1, nodes: 2, users: 30, run: 8 * time.Second, calm: 6 * time.Second, rough: 6, expect: ex,
		node: lab.Options{Args: []string{"--grace", "3s", "--ping", "1s"}}}
	switch name {
	case "rough": // links break and people vanish all the time
	case "sparse": // and most of the time somebody waits
		p.users, p.rough, p.run, p.calm = 3, 12, 16*time.Second, 3*time.Second
		p.expect.Ghost = 250 * time.Millisecond
	case "resets": // and all links at once, again and again
		p.faults, p.gap, p.calm, p.rough = []fault{cutAll()}, [2]int{200, 400}, 2*time.Second, 1
	case "moving": // and people go from node to node
		p.faults, p.gap, p.rough, p.calm = []fault{moveAll()}, [2]int{800, 1600}, 1, 8*time.Second
	case "shy": // and who waits is silent when the next one comes
		p.faults, p.users, p.rough, p.run, p.calm = []fault{shyness()}, 9, 1, 18*time.Second, 9*time.Second
		p.gap, p.expect.Wait = [2]int{10, 20}, 3*time.Second
		p.expect.Ghost = 10 * time.Second // who is put back after a silent one is not asked whether it is there itself
	case "long": // nobody is taken for dead within the first lease of who would bury
		p.rough, p.run, p.users = 1, 24*time.Second, 50
	case "asleep": // and a node sleeps beyond its lease
		p.faults, p.rough, p.calm = []fault{sleepLong()}, 1, 10*time.Second
	case "dead": // and a node dies with its users
		p.faults, p.users, p.rough, p.calm = []fault{killWithUsers()}, 60, 1, 9*time.Second
	}
	return p
}

// moveAll lets the users of one node go to another one, as a change of DNS and a
// reset would.
func moveAll() fault {
	return fault{"move of all users of a node", func(ctx context.Context, w *world) history.Fault {
		i := w.rng.IntN(len(w.opts))
		n := w.node(i)
		w.setNode(i, nil)
		cutAll().make(ctx, w)
		pause(ctx, time.Second)
		w.setNode(i, n)
		return history.Fault{}
	}}
}

// shyness makes who waits for a partner go dark again and again.
func shyness() fault {
	return fault{"half-open links of who waits", func(ctx context.Context, w *world) history.Fault {
		w.shy.Store(true)
		pause(ctx, w.plan.run-w.now())
		w.shy.Store(false)
		return history.Fault{Stops: true}
	}}
}

// sleepLong stops a node for longer than its lease; its users go elsewhere.
func sleepLong() fault {
	return fault{"SIGSTOP of a node beyond its lease", func(ctx context.Context, w *world) history.Fault {
		i := w.rng.IntN(len(w.opts))
		n := w.node(i)
		w.setNode(i, nil)
		w.signal(n.PID(), syscall.SIGSTOP)
		pause(ctx, 7*time.Second)
		w.signal(n.PID(), syscall.SIGCONT)
		pause(ctx, time.Second)
		w.setNode(i, n)
		return history.Fault{Stops: true}
	}}
}

// killWithUsers kills a node, and its users do not come back in time.
func killWithUsers() fault {
	return fault{"kill -9 of a node with its users", func(ctx context.Context, w *world) history.Fault {
		n := w.node(0)
		w.setNode(0, nil)
		w.mu.Lock()
		wires := w.wires
		w.mu.Unlock()
		for i, wire := range wires {
			if i%len(w.opts) == 0 {
				wire.darken()
			}
		}
		n.Kill()
		pause(ctx, 18*time.Second) // lease and grace time are over
		for _, wire := range wires {
			wire.lighten()
		}
		w.setNode(0, lab.Start(w.t, w.opts[0]))
		return history.Fault{Kills: string(n.Node), Denies: true, Stops: true}
	}}
}

// TestSeeded: the checker finds each of the bugs that internal/seeded puts into the
// server, and nothing in a server that could have them and has none.
// RONDO_SEEDED=1 takes all of them; otherwise it is those that are found soonest.
func TestSeeded(t *testing.T) {
	all := os.Getenv("RONDO_SEEDED") != ""
	binary := lab.Build(t, "chaosbug")
	plans := []string{"rough"}
	if all {
		plans = []string{"rough", "resets", "sparse", "moving", "shy", "long", "asleep", "dead"}
	}
	for _, name := range plans {
		t.Run("none/"+name, func(t *testing.T) {
			t.Parallel()
			p := seedPlan(name)
			p.node.Binary = binary
			play(t, p)
		})
	}
	for _, s := range seeds() {
		if !all && !s.quick {
			continue
		}
		t.Run(string(s.bug), func(t *testing.T) {
			t.Parallel()
			for try := range uint64(3) { // whom a bug hits is drawn
				if s.find(t, binary, try+1) {
					return
				}
			}
			t.Error("not found")
		})
	}
}

// find reports whether a run with the bug shows it.
func (s *seed) find(t *testing.T, binary string, number uint64) bool {
	p := seedPlan(s.plan)
	p.seed, p.node.Binary = number, binary
	p.node.Env = []string{fmt.Sprintf("CHAOSBUG=%s/%d", s.bug, s.odds)}
	quiet := &quiet{TB: t}
	r := play(quiet, p)
	quiet.loud()
	i := slices.IndexFunc(r.found, func(v history.Violation) bool { return slices.Contains(s.rules, v.Rule) })
	if i < 0 {
		return false
	}
	t.Logf("found in run %d after %v: %v; in all %v", number, r.found[i].At.Round(100*time.Millisecond), r.found[i], r.sum.Broken)
	return true
}

// TestNoSeeds: nothing of the bugs is in the server as it is built for people.
func TestNoSeeds(t *testing.T) {
	const trace = "internal/seeded" // of symbols and line tables
	for path, want := range map[string]bool{lab.Binary(t): false, lab.Build(t, "chaosbug"): true} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(trace)) != want {
			t.Errorf("%s holds %q: %t, want %t", path, trace, !want, want)
		}
	}
}

// quiet keeps what a run reports to itself until it is loud.
type quiet struct {
	testing.TB

	mu     sync.Mutex
	isLoud bool
	failed bool // while it was quiet
}

func (q *quiet) loud() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.isLoud = true
}

func (q *quiet) Failed() bool { return false }

func (q *quiet) Error(args ...any) { q.Errorf("%s", strings.TrimSuffix(fmt.Sprintln(args...), "\n")) }

func (q *quiet) Errorf(format string, args ...any) {
	q.TB.Helper()
	q.mu.Lock()
	loud := q.isLoud
	q.failed = q.failed || !loud
	q.mu.Unlock()
	if loud {
		q.TB.Errorf(format, args...)
		return
	}
	q.TB.Logf(format, args...)
}
