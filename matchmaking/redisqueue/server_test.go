package redisqueue_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/internal/rediscall"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/matchmaking"
	"github.com/rondo-chat/rondo/matchmaking/queuetest"
	"github.com/rondo-chat/rondo/matchmaking/redisqueue"
	"github.com/rondo-chat/rondo/protocol"
)

const base = "test:match:{video}:"

func ticket(name string, terms ...matchmaking.Term) (matchmaking.Ticket, matchmaking.Search) {
	t := matchmaking.Ticket{Pool: "video", Offers: terms}
	t.Session, t.Epoch, t.User, t.Node, t.Data = protocol.SessionID(name), 1, protocol.UserID("u-"+name), "n1", "{}"
	return t, matchmaking.Search{Match: protocol.RoomID("m-" + name), Seeks: terms, Exclude: []protocol.UserID{t.User}, Look: 32, Hold: time.Minute}
}

func enter(t testing.TB, q matchmaking.Queue, name string, terms ...matchmaking.Term) matchmaking.Result {
	t.Helper()
	tk, s := ticket(name, terms...)
	r, err := q.Enter(t.Context(), tk, s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Scripts are loaded again where Redis forgot them.
func TestScriptsComeBack(t *testing.T) {
	c := dial(t, testenv.Redis(t).Addr)
	q, _ := drivers(t, c)
	enter(t, q, "a", "x")
	if err := c.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if r := enter(t, q, "b", "x"); r.Outcome != matchmaking.Proposed {
		t.Errorf("%+v", r)
	}
}

// What does not belong in the index is passed over and removed.
func TestStraysAreRemoved(t *testing.T) {
	c := dial(t, testenv.Redis(t).Addr)
	q, _ := drivers(t, c)
	ctx := t.Context()
	for _, name := range []string{"torn", "held", "a"} {
		tk, s := ticket(name, "x")
		s.Seeks = nil
		if _, err := q.Enter(ctx, tk, s); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.HSet(ctx, base+"tickets", "torn", "what is this", "held", "#nothing").Err(); err != nil {
		t.Fatal(err)
	}
	c.ZAdd(ctx, base+"index", redis.Z{Member: "x\x000000000000000001\x00nobody\x00nobody"})
	r := enter(t, q, "b", "x")
	if r.Outcome != matchmaking.Proposed || r.Pair.Entrants[0].Session != "a" || r.Strays != 3 {
		t.Fatalf("%+v", r)
	}
	// Their owners enter them again.
	missing, err := q.Missing(ctx, "video", []matchmaking.Ref{{Session: "torn", Epoch: 1}, {Session: "held", Epoch: 1}})
	if err != nil || len(missing) != 2 {
		t.Errorf("%v, %v", missing, err)
	}
	for _, name := range []string{"torn", "held"} {
		if r := enter(t, q, name, matchmaking.Term(name)); r.Outcome != matchmaking.Listed {
			t.Errorf("%+v", r)
		}
	}
	if err := q.Renew(ctx, "video", "n1", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Sweep(ctx, "video", 100); err != nil {
		t.Fatal(err)
	}
	if n := c.ZCard(ctx, base+"index").Val(); n != 0 {
		t.Errorf("%d entries are left: %q", n, c.ZRange(ctx, base+"index", 0, -1).Val())
	}
}

// Nothing grows for ever: decided matches go, waits are cut, and all keys end
// with the last node.
func TestNothingIsLeftBehind(t *testing.T) {
	c := dial(t, testenv.Redis(t).Addr)
	q, r := drivers(t, c)
	ctx := t.Context()
	const n = 400
	for i := range n {
		enter(t, q, fmt.Sprint("a", i), "x")
		p := enter(t, q, fmt.Sprint("b", i), "x").Pair
		if v, err := q.Ack(ctx, matchmaking.Claim{Pool: "video", Match: p.Match, Ref: p.Entrants[0].Ref}); v != matchmaking.Live || err != nil {
			t.Fatal(v, err)
		}
	}
	if l := c.LLen(ctx, base+"waits").Val(); l > 2*matchmaking.WaitsKept || l < matchmaking.WaitsKept {
		t.Errorf("%d waits", l)
	}
	for _, m := range c.ZRange(ctx, base+"due", 0, -1).Val() {
		c.ZAdd(ctx, base+"due", redis.Z{Member: m}) // as if it were long ago
	}
	total := 0
	for {
		s, err := q.Sweep(ctx, "video", 100)
		if err != nil {
			t.Fatal(err)
		}
		total += s.Forgotten
		if !s.More(100) {
			break
		}
	}
	if total != n || c.HLen(ctx, base+"matches").Val() != 0 || c.ZCard(ctx, base+"due").Val() != 0 {
		t.Errorf("%d forgotten", total)
	}
	enter(t, q, "c", "x")
	if err := r.Block(ctx, "u1", "u2"); err != nil {
		t.Fatal(err)
	}
	if err := r.Part(ctx, "u1", "u2"); err != nil {
		t.Fatal(err)
	}
	if err := q.Renew(ctx, "video", "n1", time.Minute); err != nil {
		t.Fatal(err)
	}
	for _, key := range c.Keys(ctx, "*").Val() {
		if ttl := c.PTTL(ctx, key).Val(); ttl <= 0 {
			t.Errorf("%s never ends", key)
		}
	}
}

// A step takes as many commands with many waiting who do not fit as with none.
func TestNoStepLooksThroughTheQueue(t *testing.T) {
	c := dial(t, testenv.Redis(t).Addr)
	q, _ := drivers(t, c)
	round := func(name string) string {
		if err := c.ConfigResetStat(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		enter(t, q, name+"1", "x", "y", "z")
		p := enter(t, q, name+"2", "x", "y", "z").Pair
		if _, err := q.Ack(t.Context(), matchmaking.Claim{Pool: "video", Match: p.Match, Ref: p.Entrants[0].Ref}); err != nil {
			t.Fatal(err)
		}
		if _, err := q.Stats(t.Context(), "video"); err != nil {
			t.Fatal(err)
		}
		var calls []string
		for line := range strings.SplitSeq(c.Info(t.Context(), "commandstats").Val(), "\r\n") {
			name, rest, _ := strings.Cut(line, ":calls=")
			n, _, _ := strings.Cut(rest, ",")
			if strings.HasPrefix(name, "cmdstat_") && !strings.Contains(name, "config") && !strings.Contains(name, "info") {
				calls = append(calls, name+" "+n)
			}
		}
		return strings.Join(calls, " ")
	}
	round("warm")
	before := round("a")
	pipe := c.Pipeline()
	for i := range 20_000 {
		pipe.ZAdd(t.Context(), base+"index", redis.Z{Member: fmt.Sprintf("w\x00%016d\x00s%d\x00u%d", i, i, i)},
			redis.Z{Member: fmt.Sprintf("@n1\x00%016d\x00s%d\x00u%d", i, i, i)})
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := round("b"); after != before {
		t.Errorf("with 20,000 waiting: %s\nwith none:           %s", after, before)
	}
}

// A Redis that hangs costs a clear error within the deadline.
func TestHangingRedis(t *testing.T) {
	c := dial(t, testenv.Redis(t).Addr)
	cfg := redisqueue.Config{Config: rediscall.Config{Client: c, Timeout: 200 * time.Millisecond}}
	q, err := redisqueue.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r, err := redisqueue.NewRelations(cfg)
	if err != nil {
		t.Fatal(err)
	}
	enter(t, q, "a", "x")
	if err := c.Do(t.Context(), "CLIENT", "PAUSE", "3000", "ALL").Err(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	tk, s := ticket("b", "x")
	_, err = q.Enter(context.Background(), tk, s)
	_, err2 := r.Exclusions(context.Background(), "u")
	for _, err := range []error{err, err2} {
		if protocol.CodeOf(err) != protocol.CodeUnavailable {
			t.Errorf("%v", err)
		}
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestConfig(t *testing.T) {
	for _, cfg := range []redisqueue.Config{{}, {Config: rediscall.Config{Client: dial(t, "127.0.0.1:1"), Prefix: "{a}"}}} {
		if _, err := redisqueue.New(cfg); err == nil {
			t.Errorf("%+v is accepted", cfg)
		}
		if _, err := redisqueue.NewRelations(cfg); err == nil {
			t.Errorf("%+v is accepted", cfg)
		}
	}
}

// Redis dies and comes back empty: who comes meanwhile is refused, who waited is
// in the queue again shortly after, in the old place.
func TestRedisRestarts(t *testing.T) {
	server := testenv.Redis(t)
	w := queuetest.NewTown(t, 2, matchmaking.Config{Reconcile: 200 * time.Millisecond, Timeout: time.Second}, func(_ int, c *matchmaking.Config) {
		c.Queue, c.Relations = drivers(t, dial(t, server.Addr))
	})
	first, second := w.Nodes[0].Person("first"), w.Nodes[1].Person("second")
	first.MustFind(matchmaking.Profile{Languages: []string{"aa"}, Strict: true})
	second.MustFind(matchmaking.Profile{Languages: []string{"bb"}, Strict: true})
	server.Kill()
	late := w.Nodes[1].Person("late")
	if _, err := late.Find(matchmaking.Profile{}); protocol.CodeOf(err) != protocol.CodeUnavailable {
		t.Errorf("%v", err)
	}
	server.Restart()
	for _, waits := range []*queuetest.Person{first, second} {
		want := waits.Session
		testenv.Eventually(t, 15*time.Second, func() bool {
			n := 0
			for _, node := range w.Nodes {
				n = max(n, node.Stats(t.Context())[0].Waiting)
			}
			return n == map[protocol.SessionID]int{"first": 2, "second": 1}[want]
		}, "the searches are not back in the queue")
		p := w.Nodes[0].Person("with-" + string(want))
		p.MustFind(matchmaking.Profile{})
		testenv.Eventually(t, 10*time.Second, func() bool { return p.Partner() == want && waits.Partner() == p.Session }, "%s did not meet %s but %q", p.Session, want, p.Partner())
	}
	w.Whole()
}
