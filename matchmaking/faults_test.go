package matchmaking_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/matchmaking"
	"github.com/rondo-chat/rondo/matchmaking/queuetest"
	"github.com/rondo-chat/rondo/protocol"
)

// faulty is a queue whose calls fail as told: before they reach it, or after.
type faulty struct {
	matchmaking.Queue
	before, after func(call string) bool
}

var errFault = errors.New("no answer")

func fault[T any](q *faulty, call string, f func() (T, error)) (T, error) {
	var zero T
	if q.before != nil && q.before(call) {
		return zero, errFault
	}
	v, err := f()
	if q.after != nil && q.after(call) {
		return zero, errFault
	}
	return v, err
}

func (q *faulty) Enter(ctx context.Context, t matchmaking.Ticket, s matchmaking.Search) (matchmaking.Result, error) {
	return fault(q, "enter", func() (matchmaking.Result, error) { return q.Queue.Enter(ctx, t, s) })
}

func (q *faulty) Ack(ctx context.Context, c matchmaking.Claim) (matchmaking.Verdict, error) {
	return fault(q, "ack", func() (matchmaking.Verdict, error) { return q.Queue.Ack(ctx, c) })
}

func (q *faulty) Nack(ctx context.Context, c matchmaking.Claim) (matchmaking.Verdict, error) {
	return fault(q, "nack", func() (matchmaking.Verdict, error) { return q.Queue.Nack(ctx, c) })
}

func (q *faulty) Leave(ctx context.Context, pool string, r matchmaking.Ref) (*matchmaking.Pair, error) {
	return fault(q, "leave", func() (*matchmaking.Pair, error) { return q.Queue.Leave(ctx, pool, r) })
}

func (q *faulty) Missing(ctx context.Context, pool string, list []matchmaking.Ref) ([]int, error) {
	return fault(q, "missing", func() ([]int, error) { return q.Queue.Missing(ctx, pool, list) })
}

func (q *faulty) Renew(ctx context.Context, pool string, node protocol.NodeID, ttl time.Duration) error {
	_, err := fault(q, "renew", func() (int, error) { return 0, q.Queue.Renew(ctx, pool, node, ttl) })
	return err
}

func (q *faulty) Sweep(ctx context.Context, pool string, limit int) (matchmaking.Swept, error) {
	return fault(q, "sweep", func() (matchmaking.Swept, error) { return q.Queue.Sweep(ctx, pool, limit) })
}

// switches are faults that a test turns on and off.
type switches struct {
	mu sync.Mutex
	on map[string]bool
}

func (s *switches) set(call string, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.on == nil {
		s.on = map[string]bool{}
	}
	s.on[call] = on
}

func (s *switches) is(call string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.on[call] || s.on["all"]
}

// faultyTown starts matchers over one queue in memory; calls fail where the
// switches of their node say so.
func faultyTown(t *testing.T, n int) (w *queuetest.Town, before, after []*switches) {
	memory := matchmaking.NewMemoryQueue()
	for range n {
		before, after = append(before, &switches{}), append(after, &switches{})
	}
	w = queuetest.NewTown(t, n, matchmaking.Config{Relations: matchmaking.NewMemoryRelations()}, func(i int, c *matchmaking.Config) {
		c.Queue = &faulty{memory, before[i].is, after[i].is}
	})
	return w, before, after
}

// waited fails the test unless f's wait is within a second of want: its place was kept.
func waited(t *testing.T, p *queuetest.Person, want time.Duration) {
	t.Helper()
	all := p.Found()
	if got := all[len(all)-1].Waited; got < want || got > want+time.Second {
		t.Errorf("%s waited %v, want %v", p.Session, got, want)
	}
}

func TestSilentOnesAreNotMatched(t *testing.T) {
	everywhere(t, func(t *testing.T, _ *queuetest.Town, here, there *queuetest.Node) {
		ghost, ann, bo := here.Person("ghost"), there.Person("ann"), here.Person("bo")
		ghost.MustFind(profile{})
		ghost.Silence(true)
		testenv.Elapse(time.Second)
		ann.MustFind(profile{})
		testenv.Elapse(time.Second)
		alone(t, ann, ghost)
		bo.MustFind(profile{Languages: []string{"en"}, Strict: true}) // does not fit: is in the way of nobody
		testenv.Elapse(1500 * time.Millisecond)
		// The ghost is gone from the queue, ann is back in her place and was given bo, who fits at once.
		met(t, ann, bo)
		testenv.Elapse(20 * time.Second)
		alone(t, ghost)
		if n := ghost.Probes(); n < 3 || n > 6 {
			t.Errorf("asked %d times in 20 s", n)
		}
		ghost.Silence(false)
		testenv.Elapse(6 * time.Second)
		cy := there.Person("cy")
		cy.MustFind(profile{})
		met(t, cy, ghost)
		waited(t, ghost, 29*time.Second)
	})
}

// TestWhoWidensIsAskedForLife: a search is entered anew when it widens, and then finds who
// waits; who has lost its connection meanwhile must not.
func TestWhoWidensIsAskedForLife(t *testing.T) {
	everywhere(t, func(t *testing.T, _ *queuetest.Town, here, there *queuetest.Node) {
		ghost, bo := here.Person("ghost"), there.Person("bo")
		ghost.MustFind(profile{Tags: []string{"a"}, Languages: []string{"en"}})
		testenv.Elapse(time.Second)
		ghost.Silence(true)
		bo.MustFind(profile{Tags: []string{"b"}, Languages: []string{"en"}})
		testenv.Elapse(30 * time.Second)
		alone(t, ghost, bo)
		ghost.Silence(false)
		testenv.Elapse(10 * time.Second)
		met(t, ghost, bo)
	})
}

// Everybody in front is a ghost: the searcher passes them all, one after
// another, and keeps its place.
func TestManyGhosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := town(t, 2, nil)
		for i := range 5 {
			g := w.Nodes[i%2].Person(fmt.Sprint("ghost", i))
			g.MustFind(profile{Languages: []string{fmt.Sprint("l", i)}, Strict: true})
			g.Silence(true)
		}
		real := w.Nodes[1].Person("real")
		real.MustFind(profile{Languages: []string{"en"}, Strict: true})
		ann := w.Nodes[0].Person("ann")
		ann.MustFind(profile{})
		testenv.Elapse(11 * time.Second)
		met(t, ann, real)
		waited(t, ann, 10*time.Second)
	})
}

func TestCancel(t *testing.T) {
	everywhere(t, func(t *testing.T, _ *queuetest.Town, here, there *queuetest.Node) {
		ann, bo, cy := here.Person("ann"), there.Person("bo"), there.Person("cy")
		if ann.Cancel() {
			t.Error("cancelled nothing")
		}
		ann.MustFind(profile{})
		if !ann.Cancel() || ann.Cancel() {
			t.Error("cancel")
		}
		bo.MustFind(profile{})
		testenv.Elapse(time.Minute)
		alone(t, ann, bo)
		if _, ok := here.Status(ann.Session); ok {
			t.Error("still searching")
		}
		cy.MustFind(profile{})
		met(t, cy, bo)
		if cy.Cancel() {
			t.Error("cancelled a match")
		}
	})
}

// A cancel while the match is being made: the other one is back in its place at once.
func TestCancelWhileProposed(t *testing.T) {
	for _, who := range []string{"the one who waited", "the one who searched"} {
		t.Run(who, func(t *testing.T) {
			everywhere(t, func(t *testing.T, _ *queuetest.Town, here, there *queuetest.Node) {
				ann, bo, cy := here.Person("ann"), there.Person("bo"), here.Person("cy")
				ann.MustFind(profile{})
				ann.Silence(true) // the probe takes its time
				testenv.Elapse(5 * time.Second)
				bo.MustFind(profile{})
				testenv.Elapse(time.Second)
				stays := bo
				if who == "the one who searched" {
					if !bo.Cancel() {
						t.Error("not cancelled")
					}
					ann.Silence(false)
					stays = ann
				} else if !ann.Cancel() {
					t.Error("not cancelled")
				}
				testenv.Elapse(100 * time.Millisecond)
				cy.MustFind(profile{})
				testenv.Elapse(10 * time.Second)
				if who == "the one who searched" { // the probe still runs out, and finds nobody left to match
					testenv.Elapse(time.Second)
				}
				met(t, cy, stays)
			})
		})
	}
}

func TestForgetAndSuspend(t *testing.T) {
	everywhere(t, func(t *testing.T, _ *queuetest.Town, here, there *queuetest.Node) {
		ann, bo, cy := here.Person("ann"), there.Person("bo"), here.Person("cy")
		ann.MustFind(profile{Tags: []string{"a"}, Languages: []string{"en"}})
		testenv.Elapse(2 * time.Second)
		here.Suspend(ann.Session)
		here.Suspend(ann.Session)
		testenv.Elapse(2 * time.Second)
		bo.MustFind(profile{})
		testenv.Elapse(2 * time.Second)
		alone(t, ann, bo)
		if w, ok := here.Status(ann.Session); !ok || w.WaitedMS != 6000 {
			t.Errorf("%+v, %v", w, ok)
		}
		if _, err := here.Find(t.Context(), matchmaking.Asker{Session: ann.Session, User: ann.User}, profile{}); protocol.CodeOf(err) != protocol.CodeAlready {
			t.Errorf("%v", err)
		}
		there.Forget(bo.Session)
		here.Resume(t.Context(), ann.Session)
		here.Resume(t.Context(), ann.Session)
		testenv.Elapse(time.Second)
		alone(t, ann)
		cy.MustFind(profile{Tags: []string{"c"}, Languages: []string{"en"}}) // ann has widened meanwhile
		met(t, cy, ann)
		waited(t, ann, 7*time.Second)
		here.Resume(t.Context(), "nobody")
		here.Forget("nobody")
	})
}

// A place survives the suspension: who came later is behind.
func TestSuspendKeepsThePlace(t *testing.T) {
	everywhere(t, func(t *testing.T, _ *queuetest.Town, here, there *queuetest.Node) {
		ann, bo := here.Person("ann"), there.Person("bo")
		ann.MustFind(profile{Languages: []string{"aa"}, Strict: true})
		testenv.Elapse(time.Second)
		bo.MustFind(profile{Languages: []string{"bb"}, Strict: true})
		here.Suspend(ann.Session)
		testenv.Elapse(time.Second)
		here.Resume(t.Context(), ann.Session)
		synctest.Wait()
		cy := here.Person("cy")
		cy.MustFind(profile{})
		met(t, cy, ann)
	})
}

func TestSuspendWhileProposed(t *testing.T) {
	for _, side := range []int{0, 1} {
		everywhere(t, func(t *testing.T, _ *queuetest.Town, here, there *queuetest.Node) {
			ann, bo := here.Person("ann"), there.Person("bo")
			both := []*queuetest.Person{ann, bo}
			ann.MustFind(profile{})
			ann.Silence(true)
			bo.MustFind(profile{})
			testenv.Elapse(500 * time.Millisecond)
			both[side].Node.Suspend(both[side].Session)
			ann.Silence(false)
			testenv.Elapse(10 * time.Second)
			alone(t, ann, bo)
			both[side].Node.Resume(t.Context(), both[side].Session)
			testenv.Elapse(5 * time.Second)
			met(t, ann, bo)
			waited(t, bo, 10*time.Second)
		})
	}
}

// Any one message may be lost: the two meet all the same, a little later.
func TestLostMessages(t *testing.T) {
	for lost := range 6 {
		synctest.Test(t, func(t *testing.T) {
			w := town(t, 2, nil)
			n := 0
			w.Lose(func() bool { n++; return n == lost+1 })
			ann, bo := w.Nodes[0].Person("ann"), w.Nodes[1].Person("bo")
			ann.MustFind(profile{})
			bo.MustFind(profile{})
			testenv.Elapse(15 * time.Second)
			met(t, ann, bo)
			w.Whole()
		})
	}
}

// All messages are lost: who is on one node still meets, and a match across
// nodes is made by questions alone.
func TestNoMessagesAtAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := town(t, 2, nil)
		w.Lose(func() bool { return true })
		ann, bo := w.Nodes[0].Person("ann"), w.Nodes[1].Person("bo")
		ann.MustFind(profile{})
		bo.MustFind(profile{})
		testenv.Elapse(30 * time.Second)
		w.Lose(nil)
		testenv.Elapse(10 * time.Second)
		met(t, ann, bo)
	})
}

// A node dies: its waiting people are taken out, and who was proposed to one of
// them goes back to its place.
func TestNodeDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, before, _ := faultyTown(t, 2)
		ghost, ann, bo := w.Nodes[1].Person("ghost"), w.Nodes[0].Person("ann"), w.Nodes[0].Person("bo")
		ghost.MustFind(profile{})
		testenv.Elapse(time.Second)
		before[1].set("all", true)
		w.Cut(w.Nodes[1])
		ann.MustFind(profile{}) // is given the ghost
		testenv.Elapse(8 * time.Second)
		alone(t, ann)
		bo.MustFind(profile{})
		met(t, bo, ann)
		waited(t, ann, 8*time.Second)
		cy, di := w.Nodes[0].Person("cy"), w.Nodes[0].Person("di")
		cy.MustFind(profile{})
		di.MustFind(profile{})
		met(t, cy, di)
	})
}

// The queue is out of reach: who searches stays, who comes is told, and when it
// is back all goes on.
func TestQueueOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, before, _ := faultyTown(t, 2)
		ann, bo, cy := w.Nodes[0].Person("ann"), w.Nodes[1].Person("bo"), w.Nodes[1].Person("cy")
		ann.MustFind(profile{Tags: []string{"a"}, Languages: []string{"en"}})
		bo.MustFind(profile{Tags: []string{"b"}, Languages: []string{"en"}})
		testenv.Elapse(time.Second)
		before[0].set("all", true)
		before[1].set("all", true)
		_, err := cy.Find(profile{})
		if e, ok := err.(*protocol.Error); !ok || e.Code != protocol.CodeUnavailable || e.Retry <= 0 {
			t.Errorf("%v", err)
		}
		testenv.Elapse(20 * time.Second)
		alone(t, ann, bo)
		if len(ann.Stopped())+len(bo.Stopped()) > 0 {
			t.Error("searches were stopped")
		}
		if w, ok := w.Nodes[0].Status(ann.Session); !ok || w.Reach != protocol.ReachAnyone {
			t.Errorf("%+v", w)
		}
		before[0].set("all", false)
		before[1].set("all", false)
		testenv.Elapse(5 * time.Second)
		met(t, ann, bo)
		cy.MustFind(profile{})
		testenv.Elapse(time.Minute)
		alone(t, cy)
	})
}

// The queue forgets everything: all are back in it shortly, in their places.
func TestQueueForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		forgetful := &swapped{Queue: matchmaking.NewMemoryQueue()}
		w := queuetest.NewTown(t, 2, matchmaking.Config{Queue: forgetful, Relations: matchmaking.NewMemoryRelations()}, nil)
		ann, bo := w.Nodes[0].Person("ann"), w.Nodes[1].Person("bo")
		ann.MustFind(profile{Languages: []string{"aa"}, Strict: true})
		testenv.Elapse(time.Second)
		bo.MustFind(profile{Languages: []string{"bb"}, Strict: true})
		testenv.Elapse(10 * time.Second)
		forgetful.swap(matchmaking.NewMemoryQueue())
		testenv.Elapse(5 * time.Second)
		cy := w.Nodes[1].Person("cy")
		cy.MustFind(profile{})
		met(t, cy, ann)
		waited(t, ann, 16*time.Second)
	})
}

// swapped is a queue that can be exchanged, as at a fail-over.
type swapped struct {
	mu sync.Mutex
	matchmaking.Queue
}

func (s *swapped) swap(q matchmaking.Queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Queue = q
}

func (s *swapped) now() matchmaking.Queue {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Queue
}

func (s *swapped) Enter(ctx context.Context, t matchmaking.Ticket, q matchmaking.Search) (matchmaking.Result, error) {
	return s.now().Enter(ctx, t, q)
}

func (s *swapped) Ack(ctx context.Context, c matchmaking.Claim) (matchmaking.Verdict, error) {
	return s.now().Ack(ctx, c)
}

func (s *swapped) Nack(ctx context.Context, c matchmaking.Claim) (matchmaking.Verdict, error) {
	return s.now().Nack(ctx, c)
}

func (s *swapped) Leave(ctx context.Context, pool string, r matchmaking.Ref) (*matchmaking.Pair, error) {
	return s.now().Leave(ctx, pool, r)
}

func (s *swapped) Missing(ctx context.Context, pool string, l []matchmaking.Ref) ([]int, error) {
	return s.now().Missing(ctx, pool, l)
}

func (s *swapped) Renew(ctx context.Context, pool string, n protocol.NodeID, ttl time.Duration) error {
	return s.now().Renew(ctx, pool, n, ttl)
}

func (s *swapped) Sweep(ctx context.Context, pool string, limit int) (matchmaking.Swept, error) {
	return s.now().Sweep(ctx, pool, limit)
}

func (s *swapped) Stats(ctx context.Context, pool string) (matchmaking.Stats, error) {
	return s.now().Stats(ctx, pool)
}

// A ticket that the queue brought back (as a fail-over to an old copy does) is a
// ghost: its owner refuses, whatever the queue says.
func TestTicketBroughtBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := matchmaking.NewMemoryQueue()
		spy := &spyQueue{Queue: memory}
		w := queuetest.NewTown(t, 2, matchmaking.Config{Queue: spy, Relations: matchmaking.NewMemoryRelations()}, nil)
		ann, bo, cy := w.Nodes[0].Person("ann"), w.Nodes[1].Person("bo"), w.Nodes[1].Person("cy")
		ann.MustFind(profile{})
		bo.MustFind(profile{})
		met(t, ann, bo)
		t1, s1 := spy.ticket(ann.Session)
		s1.Seeks = nil
		if r, err := memory.Enter(t.Context(), t1, s1); err != nil || r.Outcome != matchmaking.Listed {
			t.Fatalf("%+v, %v", r, err)
		}
		cy.MustFind(profile{})
		testenv.Elapse(time.Second)
		alone(t, cy)
		if n := len(ann.Found()); n != 1 {
			t.Errorf("ann has %d matches", n)
		}
		di := w.Nodes[0].Person("di")
		di.MustFind(profile{})
		met(t, di, cy)
		waited(t, cy, time.Second)
	})
}

// spyQueue keeps the last ticket of each session.
type spyQueue struct {
	matchmaking.Queue
	mu   sync.Mutex
	last map[protocol.SessionID]matchmaking.Ticket
	how  map[protocol.SessionID]matchmaking.Search
}

func (q *spyQueue) Enter(ctx context.Context, t matchmaking.Ticket, s matchmaking.Search) (matchmaking.Result, error) {
	q.mu.Lock()
	if q.last == nil {
		q.last, q.how = map[protocol.SessionID]matchmaking.Ticket{}, map[protocol.SessionID]matchmaking.Search{}
	}
	q.last[t.Session], q.how[t.Session] = t, s
	q.mu.Unlock()
	return q.Queue.Enter(ctx, t, s)
}

func (q *spyQueue) ticket(s protocol.SessionID) (matchmaking.Ticket, matchmaking.Search) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.last[s], q.how[s]
}

// Every answer of the queue may be lost once, on either side.
func TestLostAnswers(t *testing.T) {
	for _, call := range []string{"enter", "ack", "nack", "leave", "missing", "renew", "sweep"} {
		for node := range 2 {
			t.Run(fmt.Sprint(call, node), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w, _, after := faultyTown(t, 2)
					ann, bo := w.Nodes[0].Person("ann"), w.Nodes[1].Person("bo")
					people := []*queuetest.Person{ann, bo}
					people[1-node].MustFind(profile{Tags: []string{"a"}, Languages: []string{"en"}})
					if call != "enter" { // which would refuse the second search
						after[node].set(call, true)
					}
					people[node].MustFind(profile{Tags: []string{"b"}, Languages: []string{"en"}})
					after[node].set(call, true)
					testenv.Elapse(7 * time.Second) // both widen at 5 s
					after[node].set(call, false)
					testenv.Elapse(15 * time.Second)
					met(t, ann, bo)
					w.Whole()
				})
			})
		}
	}
}

// A find that failed leaves nothing behind, even if the queue took it.
func TestFailedFindLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _, after := faultyTown(t, 2)
		ann, bo := w.Nodes[0].Person("ann"), w.Nodes[1].Person("bo")
		after[0].set("enter", true)
		if _, err := ann.Find(profile{}); protocol.CodeOf(err) != protocol.CodeUnavailable {
			t.Fatal(err)
		}
		after[0].set("enter", false)
		synctest.Wait()
		if w := bo.MustFind(profile{}); w.Waiting != 1 {
			t.Errorf("%+v", w)
		}
		testenv.Elapse(time.Minute)
		alone(t, ann, bo)
	})
}

// The room cannot be made for a while: nobody is told before it is.
func TestOpenFails(t *testing.T) {
	for _, c := range []struct {
		outage time.Duration
		meet   bool
	}{{4 * time.Second, true}, {10 * time.Second, true}, {2 * time.Minute, false}} {
		everywhereWith(t, func(c *matchmaking.Config, broken *switches) { c.Hooks = noRooms{c.Hooks, broken} },
			func(t *testing.T, w *queuetest.Town, here, there *queuetest.Node, broken *switches) {
				broken.set("all", true)
				ann, bo := here.Person("ann"), there.Person("bo")
				ann.MustFind(profile{})
				bo.MustFind(profile{})
				testenv.Elapse(c.outage)
				alone(t, ann, bo)
				broken.set("all", false)
				testenv.Elapse(5 * time.Second)
				if c.meet {
					met(t, ann, bo)
					return
				}
				alone(t, ann, bo)
				for _, p := range []*queuetest.Person{ann, bo} {
					if s := p.Stopped(); len(s) != 1 || s[0].Code != protocol.CodeUnavailable {
						t.Errorf("%s: %v", p.Session, s)
					}
				}
				ann.MustFind(profile{})
				bo.MustFind(profile{})
				met(t, ann, bo)
			})
	}
}

type noRooms struct {
	matchmaking.Hooks
	broken *switches
}

func (h noRooms) Open(ctx context.Context, m matchmaking.Match) error {
	if h.broken.is("open") {
		return errFault
	}
	return h.Hooks.Open(ctx, m)
}

func (h noRooms) Absent(m matchmaking.Match, you int) { h.Hooks.(matchmaking.Absentee).Absent(m, you) }

func everywhereWith(t *testing.T, change func(*matchmaking.Config, *switches), test func(*testing.T, *queuetest.Town, *queuetest.Node, *queuetest.Node, *switches)) {
	for n := range 2 {
		synctest.Test(t, func(t *testing.T) {
			s := &switches{}
			w := town(t, n+1, func(_ int, c *matchmaking.Config) { change(c, s) })
			test(t, w, w.Nodes[0], w.Nodes[n], s)
			w.Whole()
		})
	}
}

func TestCloseTakesTicketsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := town(t, 2, nil)
		ann, bo, cy := w.Nodes[0].Person("ann"), w.Nodes[1].Person("bo"), w.Nodes[0].Person("cy")
		ann.MustFind(profile{Languages: []string{"aa"}, Strict: true})
		cy.MustFind(profile{Languages: []string{"bb"}, Strict: true})
		if err := w.Nodes[0].Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, p := range []*queuetest.Person{ann, cy} {
			if s := p.Stopped(); len(s) != 1 || s[0].Code != protocol.CodeUnavailable {
				t.Errorf("%v", s)
			}
		}
		if _, err := ann.Find(profile{}); protocol.CodeOf(err) != protocol.CodeUnavailable {
			t.Errorf("%v", err)
		}
		if w := bo.MustFind(profile{}); w.Waiting != 1 {
			t.Errorf("%+v", w)
		}
		testenv.Elapse(time.Minute)
		alone(t, ann, bo)
	})
}

// A node closes while its people are proposed: the others go back to their places.
func TestCloseWhileProposed(t *testing.T) {
	for side := range 2 {
		synctest.Test(t, func(t *testing.T) {
			w := town(t, 2, nil)
			ann, bo, cy := w.Nodes[0].Person("ann"), w.Nodes[1].Person("bo"), w.Nodes[1-side].Person("cy")
			ann.MustFind(profile{})
			ann.Silence(true)
			bo.MustFind(profile{})
			testenv.Elapse(time.Second)
			ann.Silence(false)
			if err := w.Nodes[side].Close(t.Context()); err != nil {
				t.Error(err)
			}
			testenv.Elapse(10 * time.Second)
			alone(t, ann, bo)
			cy.MustFind(profile{})
			met(t, cy, []*queuetest.Person{bo, ann}[side])
		})
	}
}

func TestPushes(t *testing.T) {
	everywhere(t, func(t *testing.T, _ *queuetest.Town, here, there *queuetest.Node) {
		ann := here.Person("ann")
		start := time.Now()
		ann.MustFind(profile{Tags: []string{"a"}, Languages: []string{"en"}, Strict: false})
		testenv.Elapse(20 * time.Second)
		told := ann.Waiting()
		if len(told) != 2 || told[0].Reach != protocol.ReachLanguage || told[1].Reach != protocol.ReachAnyone || told[1].Next != nil ||
			told[0].At.Sub(start) != 5*time.Second || told[1].At.Sub(start) != 15*time.Second || told[0].WaitedMS != 5000 {
			t.Errorf("%+v", told)
		}
		for i := range 30 { // who come and go
			p := there.Person(fmt.Sprint("p", i))
			p.MustFind(profile{Languages: []string{fmt.Sprint("l", i)}, Strict: true})
			p.Cancel()
			p.MustFind(profile{Tags: []string{fmt.Sprint("t", i)}, Strict: true})
			testenv.Elapse(200 * time.Millisecond)
		}
		testenv.Elapse(5 * time.Second)
		told = ann.Waiting()
		for i := 1; i < len(told); i++ {
			if told[i].At.Sub(told[i-1].At) < time.Second {
				t.Errorf("told at %v and %v", told[i-1].At, told[i].At)
			}
		}
		if last := told[len(told)-1]; last.Waiting.Waiting != 31 || len(told) < 6 {
			t.Errorf("%d pushes, the last %+v", len(told), last)
		}
	})
}

func TestEstimate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := town(t, 2, nil)
		stats := func() protocol.PoolStats {
			testenv.Elapse(2 * time.Second)
			return w.Nodes[1].Stats(t.Context())[0]
		}
		for i := range 5 {
			if s := stats(); s.EstimateMS != nil || s.Name != "video" || s.Waiting != 0 {
				t.Errorf("after %d: %+v", i, s)
			}
			a, b := w.Nodes[0].Person(fmt.Sprint("a", i)), w.Nodes[1].Person(fmt.Sprint("b", i))
			a.MustFind(profile{})
			testenv.Elapse(time.Duration(i+1) * time.Second)
			b.MustFind(profile{})
			met(t, a, b)
		}
		if s := stats(); s.EstimateMS == nil || *s.EstimateMS != 3000 {
			t.Errorf("%+v", s)
		}
		c := w.Nodes[0].Person("c")
		if w := c.MustFind(profile{}); w.EstimateMS == nil || *w.EstimateMS != 3000 {
			t.Errorf("%+v", w)
		}
		if s := stats(); s.Waiting != 1 {
			t.Errorf("%+v", s)
		}
		testenv.Elapse(matchmaking.WaitsWindow)
		if s := stats(); s.EstimateMS != nil {
			t.Errorf("%+v", *s.EstimateMS)
		}
	})
}

// Chaos: three nodes, lost messages, lost calls and lost answers, people who
// come, go, lose their sockets and fall silent. The town's book must stay right,
// and when all is quiet everybody who still searches finds somebody.
func TestChaos(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { chaos(t, seed, 1) })
		})
		if seed >= 2 {
			continue
		}
		t.Run(fmt.Sprint("parts/", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { chaos(t, seed, 4) })
		})
	}
}

func chaos(t *testing.T, seed uint64, parts int) {
	rng := rand.New(rand.NewPCG(seed, 3)) // guarded by mu
	var mu sync.Mutex
	stormy := true
	chance := func(p float64) bool {
		mu.Lock()
		defer mu.Unlock()
		return stormy && rng.Float64() < p
	}
	memory := matchmaking.NewMemoryQueue()
	w := queuetest.NewTown(t, 3, matchmaking.Config{Relations: matchmaking.NewMemoryRelations(), Parts: parts, PartRate: .5}, func(_ int, c *matchmaking.Config) {
		c.Queue = &faulty{memory, func(call string) bool { return call != "renew" && chance(.03) }, func(call string) bool { return call != "renew" && chance(.03) }}
	})
	w.Lose(func() bool { return chance(.1) })
	people := w.Storm(seed, 60, 40, 3*time.Second)
	mu.Lock()
	stormy = false
	mu.Unlock()
	if split := w.Nodes[0].Spread("video") > 1; split != (parts > 1) {
		t.Errorf("split: %t", split)
	}
	left := w.Calm(people, time.Minute)
	tickets := 0
	for i := range parts {
		name := "video"
		if i > 0 {
			name += fmt.Sprint(".", i)
		}
		st, err := memory.Stats(t.Context(), name)
		if err != nil {
			t.Error(err)
		}
		tickets += st.Waiting
		memory.Audit(t, name)
	}
	if tickets != left {
		t.Errorf("%d tickets for %d people", tickets, left)
	}
}
