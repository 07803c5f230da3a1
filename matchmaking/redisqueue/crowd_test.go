package redisqueue_test

import (
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
