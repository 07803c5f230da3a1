package redisqueue_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/internal/rediscall"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/matchmaking/queuetest"
	"github.com/rondo-chat/rondo/matchmaking/redisqueue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func dial(t testing.TB, addrs ...string) redis.UniversalClient {
	t.Helper()
	c := redis.NewUniversalClient(&redis.UniversalOptions{Addrs: addrs, ContextTimeoutEnabled: true,
		DialTimeout: time.Minute, ReadTimeout: time.Minute, WriteTimeout: time.Minute, PoolTimeout: time.Minute})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func drivers(t testing.TB, c redis.UniversalClient) (*redisqueue.Queue, *redisqueue.Relations) {
	t.Helper()
	cfg := redisqueue.Config{Config: rediscall.Config{Client: c, Prefix: "test:", Timeout: time.Minute}}
	q, err := redisqueue.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r, err := redisqueue.NewRelations(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return q, r
}

func conform(t *testing.T, c redis.UniversalClient) {
	q, r := drivers(t, c)
	queuetest.Run(t, func(*testing.T) queuetest.Driver {
		return queuetest.Driver{Queue: q, Relations: r, Audit: func(t testing.TB, pool string) { audit(t, c, pool) }}
	})
}

func TestRedisConforms(t *testing.T) { conform(t, dial(t, testenv.Redis(t).Addr)) }

func TestClusterConforms(t *testing.T) { conform(t, dial(t, testenv.RedisCluster(t).Addrs...)) }

// audit fails the test if index, tickets, matches and deadlines of the pool do
// not agree.
func audit(t testing.TB, c redis.UniversalClient, pool string) {
	t.Helper()
	ctx := context.Background()
	base := "test:match:{" + pool + "}:"
	tickets, err := c.HGetAll(ctx, base+"tickets").Result()
	if err != nil {
		t.Fatal(err)
	}
	matches := c.HGetAll(ctx, base+"matches").Val()
	want := map[string]bool{}
	for session, ticket := range tickets {
		if match, held := strings.CutPrefix(ticket, "#"); held {
			if !strings.HasPrefix(matches[match], "P") || !strings.Contains(matches[match], "\x01"+session+"\x01") {
				t.Errorf("%s is held by no undecided match", session)
			}
			continue
		}
		f := strings.Split(ticket, "\n")
		for _, term := range append([]string{"@" + f[3]}, f[5:]...) {
			want[term+"\x00"+f[1]+"\x00"+session+"\x00"+f[2]] = true
		}
		if c.ZScore(ctx, base+"nodes", f[3]).Err() != nil {
			t.Errorf("%s is of a node without a lease", session)
		}
	}
	for _, entry := range c.ZRange(ctx, base+"index", 0, -1).Val() {
		if !want[entry] {
			t.Errorf("stray entry %q", entry)
		}
		delete(want, entry)
	}
	for entry := range want {
		t.Errorf("no entry %q", entry)
	}
	due := c.ZRange(ctx, base+"due", 0, -1).Val()
	for _, match := range due {
		if matches[match] == "" {
			t.Errorf("%s is due and not known", match)
		}
	}
	if len(due) != len(matches) {
		t.Errorf("%d matches due, %d known", len(due), len(matches))
	}
}
