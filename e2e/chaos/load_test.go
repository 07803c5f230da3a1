package chaos

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/internal/testenv"
)

// full is the load of docs/reliability.md; small is part of every test run.
var (
	full  = size{pairs: 250, calls: 5, waiting: 100, groups: 10, members: 5}
	small = size{pairs: 20, calls: 2, waiting: 6, groups: 1, members: 4}
)

// trouble is what happens under the load. It returns when the service is well
// again.
type trouble struct {
	name  string
	flags []string
	do    func(l *load, r broken)
	every bool          // part of every test run
	after time.Duration // how long the people are watched when all is well again
	// complete: nothing may be refused, because the service never stops.
	complete bool
	// local: rooms of one node go on as if nothing were.
	local bool
}

// TestLoad lets people sit in calls and rooms and wait, and checks that none of
// them loses anything while the service is in trouble. RONDO_LOAD=1 takes
// 750 people and all troubles.
func TestLoad(t *testing.T) {
	whole := os.Getenv("RONDO_LOAD") != ""
	s, stall, hold, after := small, 3*time.Second, 2*time.Second, 3*time.Second
	if whole {
		s, stall, hold, after = full, 10*time.Second, 20*time.Second, 12*time.Second // longer than a lease
	}
	for _, tr := range []trouble{
		// The session's grace and the node's lease end while the people are watched.
		{name: "KillNode", flags: []string{"--grace", "8s"}, every: true, complete: true, do: func(l *load, _ broken) { l.killNode(hold) }},
		{name: "RollingRestart", complete: true, do: func(l *load, _ broken) { l.rollNodes() }},
		{name: "RedisStall", every: true, local: true, do: func(l *load, r broken) { r.stall(stall) }},
		{name: "RedisEmpty", local: true, do: func(l *load, r broken) { r.empty() }},
		{name: "RedisFailover", local: true, do: func(l *load, r broken) { r.failOver() }},
	} {
		if !whole && !tr.every {
			continue
		}
		t.Run(tr.name, func(t *testing.T) {
			tr.after = after
			r := broken{T: t}
			if tr.name == "RedisFailover" {
				r.sentinel = testenv.RedisSentinel(t)
				r.url = r.sentinel.URL
			} else {
				r.redis = testenv.Redis(t)
				r.url = r.redis.URL
			}
			tr.run(t, s, r)
		})
	}
}

// broken is the Redis of a run, and what can happen to it. Each returns when it
// is well again.
type broken struct {
	*testing.T
	url      string
	redis    *testenv.RedisServer
	sentinel *testenv.Sentinel
}

// stall stops it for a while, as a slow disk or a long script does.
func (r broken) stall(d time.Duration) {
	r.redis.Stall()
	pause(r.Context(), d)
	r.redis.Continue()
}

// empty kills it; it comes back and knows nothing.
func (r broken) empty() {
	r.redis.Kill()
	pause(r.Context(), time.Second)
	r.redis.Restart()
}

// failOver kills the master; the sentinels make another one.
func (r broken) failOver() { r.sentinel.AwaitFailover(r.sentinel.KillMaster()) }

// run lets the trouble happen and judges.
func (tr *trouble) run(t *testing.T, s size, r broken) {
	l := newLoad(t, s, r.url, tr.flags...)
	pause(t.Context(), 3*time.Second)
	from := l.now()
	tr.do(l, r)
	back := l.now()
	t.Logf("trouble from %v to %v", from.Round(time.Millisecond), back.Round(time.Millisecond))
	l.matchLate()
	pause(t.Context(), tr.after)
	l.quiet()
	gaps := l.watch.end()
	v := judge(l.diaries(), back)
	tr.check(t, v, gaps)
}

// soon is how soon who lost a socket has one again, and who fits somebody meets
// them.
const soon = 5 * time.Second

// mediaGap is how long no packet may come in a call of 10 frames a second.
const mediaGap = 2 * time.Second

func (tr *trouble) check(t *testing.T, v *verdict, gaps []time.Duration) {
	t.Helper()
	stopped := 0
	for _, gap := range gaps {
		if gap > mediaGap {
			stopped++
		}
	}
	ms := func(d []time.Duration) string {
		p50, p99, most := spread(d)
		return fmt.Sprintf("%d: %d / %d / %d ms", len(d), p50.Milliseconds(), p99.Milliseconds(), most.Milliseconds())
	}
	t.Logf("| trouble | held | resumed: p50 / p99 / most | undone | messages acknowledged / lost / doubled | ghosts | media stopped | matched after: p50 / p99 / most |\n| %s | %d | %s | %d | %d / %d / %d | %d | %d | %s |",
		tr.name, v.held, ms(v.resumed), v.undone, v.sent, v.lost, v.doubled, v.ghosts, stopped, ms(v.met))
	t.Logf("deliveries due %d, out of order %d, strays %d, forks %d, refused %d, unanswered %d, slowest answer %v, to a signal in a room of one node %v, longest media gap %v",
		v.due, v.disorder, v.strays, v.forks, v.refused, v.silent, v.slowest.Round(time.Millisecond), v.slowLocal.Round(time.Millisecond), spreadMost(gaps))
	for i, f := range v.found {
		if i == 15 {
			t.Errorf("… and %d more", len(v.found)-i)
			break
		}
		t.Error(f)
	}
	if _, p99, _ := spread(v.resumed); p99 > soon {
		t.Errorf("resumed after %v (p99), want %v", p99, soon)
	}
	if _, _, most := spread(v.met); most > soon {
		t.Errorf("matched after %v, want %v", most, soon)
	}
	if stopped > 0 {
		t.Errorf("media stopped at %d of %d: %v", stopped, len(gaps), gaps)
	}
	if tr.local && v.slowLocal > 3*time.Second {
		t.Errorf("a signal in a room of one node was answered after %v", v.slowLocal)
	}
	if tr.complete && v.refused > 0 {
		t.Errorf("%d requests were refused", v.refused)
	}
}

func spreadMost(d []time.Duration) time.Duration {
	_, _, most := spread(d)
	return most.Round(time.Millisecond)
}

// killNode kills one of the nodes for good, and stays until what dead nodes leave
// has been cleared away.
func (l *load) killNode(hold time.Duration) {
	n := l.node(0)
	l.setNode(0, nil)
	n.Kill()
	l.untilBack(n.Node)
	pause(context.Background(), hold)
}

// rollNodes replaces one node after the other.
func (l *load) rollNodes() {
	l.t.Helper()
	for i := range l.nodes {
		n := l.node(i)
		l.setNode(i, nil)
		n.Stop(l.t, 20*time.Second)
		l.untilBack(n.Node)
		l.startNode(i)
		pause(context.Background(), time.Second)
	}
}
