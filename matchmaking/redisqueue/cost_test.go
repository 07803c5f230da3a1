package redisqueue_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/matchmaking"
)

// trips counts how often a client sends something and waits for the answer.
type trips struct{ n atomic.Int64 }

func (*trips) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (c *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if name := cmd.Name(); strings.HasPrefix(name, "eval") && strings.Contains(fmt.Sprint(cmd.Args()...), "match:{") {
			c.n.Add(1)
		}
		return next(ctx, cmd)
	}
}

func (c *trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if cmds[0].Name() == "zrevrange" {
			c.n.Add(1)
		}
		return next(ctx, cmds)
	}
}

// A match whose two come alone takes six round trips: whom each must not meet, and
// entering; then for the one who waited whom it must not meet, once more, and yes.
// Where a thousand ask at once it is a fraction of one.
func TestRoundTripsPerMatch(t *testing.T) {
	addr := testenv.Redis(t).Addr
	var c trips
	p := newPairs(t, func() redis.UniversalClient {
		client := dial(t, addr)
		client.AddHook(&c)
		return client
	})
	p.run(1, 1) // loads scripts
	const pairs = 500
	for _, lone := range []bool{true, false} {
		before := c.n.Load()
		if lone {
			for range 20 {
				p.run(1, 1)
			}
			// Beside it two nodes renew, sweep and count once in a second or two.
			if n := c.n.Load() - before; n < 6*20 || n > 6*20+20 {
				t.Errorf("%d round trips for 20 lone pairs", n)
			}
			continue
		}
		p.run(pairs, 2*pairs)
		n := c.n.Load() - before
		t.Logf("%d round trips for a crowd of %d pairs", n, pairs)
		if n > pairs {
			t.Errorf("%d round trips for a crowd of %d pairs", n, pairs)
		}
	}
}

// What a match costs Redis in commands: alone, and where fifty pairs come together.
func TestCommandsPerMatch(t *testing.T) {
	c := dial(t, testenv.Redis(t).Addr)
	q, _ := drivers(t, c)
	count := func(f func()) (n int) {
		if err := c.ConfigResetStat(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		f()
		for line := range strings.SplitSeq(c.Info(t.Context(), "commandstats").Val(), "\r\n") {
			name, rest, ok := strings.Cut(line, ":calls=")
			if !ok || strings.Contains(name, "config") || strings.Contains(name, "info") {
				continue
			}
			var calls int
			if _, err := fmt.Sscanf(rest, "%d,", &calls); err != nil {
				t.Fatal(err)
			}
			n += calls
		}
		return n
	}
	one := func(i int64) {
		if err := match(t.Context(), q, "video", i); err != nil {
			t.Fatal(err)
		}
	}
	one(0)
	// Of these twelve look terms up, and three are the scripts themselves.
	n := count(func() { one(1) })
	t.Logf("%d commands for a lone match", n)
	if n > 34 {
		t.Errorf("%d commands for a lone match", n)
	}
	const people = 100
	tickets, searches, claims := make([]matchmaking.Ticket, people), make([]matchmaking.Search, people), make([]*matchmaking.Claim, people)
	for i := range people {
		tickets[i], searches[i] = ticket(fmt.Sprint("p", i), "x", "y")
	}
	acks := make([]*matchmaking.Claim, 0, people/2)
	n = count(func() {
		rs, _, errs := q.Together("video", tickets, searches, claims)
		for i, r := range rs {
			if errs[i] != nil {
				t.Fatal(errs[i])
			}
			if r.Outcome == matchmaking.Proposed {
				acks = append(acks, &matchmaking.Claim{Pool: "video", Match: r.Pair.Match, Ref: r.Pair.Entrants[0].Ref})
			}
		}
		q.Together("video", make([]matchmaking.Ticket, len(acks)), make([]matchmaking.Search, len(acks)), acks)
	})
	t.Logf("%d commands for %d matches together", n, len(acks))
	if len(acks) != people/2 || n > 22 {
		t.Errorf("%d commands for %d matches together", n, len(acks))
	}
}
