package redisqueue_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/matchmaking"
	"github.com/rondo-chat/rondo/matchmaking/queuetest"
)

// town starts two matchers over one client each, as two processes have. They are
// patient: a busy machine is not what is tested.
func town(t *testing.T, client func() redis.UniversalClient) *queuetest.Town {
	return queuetest.NewTown(t, 2, matchmaking.Config{Timeout: time.Minute}, func(_ int, c *matchmaking.Config) { c.Queue, c.Relations = drivers(t, client()) })
}

func TestCrowdOverRedis(t *testing.T) {
	addr := testenv.Redis(t).Addr
	town(t, func() redis.UniversalClient { return dial(t, addr) }).Crowd(1000, time.Minute)
}

func TestCrowdOverCluster(t *testing.T) {
	addrs := testenv.RedisCluster(t).Addrs
	town(t, func() redis.UniversalClient { return dial(t, addrs...) }).Crowd(1000, time.Minute)
}

// A storm over Redis, in which messages between the nodes are lost.
func TestStormOverRedis(t *testing.T) {
	addr := testenv.Redis(t).Addr
	w := town(t, func() redis.UniversalClient { return dial(t, addr) })
	var n atomic.Int64
	w.Lose(func() bool { return n.Add(1)%11 == 0 })
	people := w.Storm(1, 60, 40, 100*time.Millisecond)
	w.Lose(nil)
	w.Calm(people, time.Minute)
	audit(t, dial(t, addr), "video")
}
