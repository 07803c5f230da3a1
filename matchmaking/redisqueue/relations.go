package redisqueue

import (
	"cmp"
	"context"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/internal/rediscall"
	"github.com/rondo-chat/rondo/matchmaking"
	"github.com/rondo-chat/rondo/protocol"
)

// Relations is a matchmaking.Relations. A person's relations are two sorted
// sets, by time, under one hash tag:
//
//	people:{<user>}:blocked   who blocked them or was blocked by them
//	people:{<user>}:recent    with whom they were together
//
// What concerns two people is written to both, which may lie on two servers: a
// write that fails between them may be repeated. Times are the node's: a
// clock that is off makes partners recent for so much longer or shorter.
type Relations struct {
	cfg  Config
	asks combiner[*ask]
}

var _ matchmaking.Relations = (*Relations)(nil)

// NewRelations makes Relations. It does not connect.
func NewRelations(cfg Config) (*Relations, error) {
	if err := cfg.Validate("matchmaking/redisqueue"); err != nil {
		return nil, err
	}
	r := &Relations{cfg: cfg}
	r.asks.lanes, r.asks.most, r.asks.run = askLanes, maxAsks, r.answer
	return r, nil
}

func (r *Relations) key(u protocol.UserID, what string) string {
	return r.cfg.Prefix + "people:{" + string(u) + "}:" + what
}

// Block implements matchmaking.Relations.
func (r *Relations) Block(ctx context.Context, user, other protocol.UserID) error {
	return r.note(ctx, "blocked", user, other, matchmaking.BlockKeep, matchmaking.BlockTTL)
}

// Part implements matchmaking.Relations.
func (r *Relations) Part(ctx context.Context, a, b protocol.UserID) error {
	return r.note(ctx, "recent", a, b, matchmaking.RecentKeep, matchmaking.RecentTTL)
}

// note adds each to the other's set, of which the newest keep stay.
func (r *Relations) note(ctx context.Context, what string, a, b protocol.UserID, keep int64, ttl time.Duration) error {
	ctx, cancel := r.cfg.Deadline(ctx)
	defer cancel()
	now := float64(time.Now().UnixMilli())
	_, err := r.cfg.Client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, pair := range [][2]protocol.UserID{{a, b}, {b, a}} {
			key := r.key(pair[0], what)
			p.ZAdd(ctx, key, redis.Z{Score: now, Member: string(pair[1])})
			p.ZRemRangeByRank(ctx, key, 0, -keep-1)
			p.PExpire(ctx, key, ttl)
		}
		return nil
	})
	return rediscall.Error(err)
}

// Of calls of Exclusions that come at once, so many go to Redis together, so many
// times at once.
const (
	maxAsks  = 100
	askLanes = 1
)

// ask is a call of Exclusions on its way.
type ask struct {
	user  protocol.UserID
	until time.Time // when its caller gives up
	found matchmaking.Exclusions
	err   error
}

// Exclusions implements matchmaking.Relations.
func (r *Relations) Exclusions(ctx context.Context, u protocol.UserID) (matchmaking.Exclusions, error) {
	ctx, cancel := r.cfg.Deadline(ctx)
	defer cancel()
	a := &ask{user: u}
	a.until, _ = ctx.Deadline()
	if err := r.asks.do(ctx, a); err != nil {
		return matchmaking.Exclusions{}, rediscall.Error(err)
	}
	return a.found, rediscall.Error(a.err)
}

// answer asks Redis, until the last caller gives up.
func (r *Relations) answer(list []*ask) {
	ctx, cancel := lastOf(list, func(a *ask) time.Time { return a.until })
	defer cancel()
	hard, recent := make([]*redis.StringSliceCmd, len(list)), make([]*redis.StringSliceCmd, len(list))
	oldest := strconv.FormatInt(time.Now().Add(-matchmaking.RecentTTL).UnixMilli(), 10)
	_, _ = r.cfg.Client.Pipelined(ctx, func(p redis.Pipeliner) error { // each has its own error
		for i, a := range list {
			hard[i] = p.ZRevRange(ctx, r.key(a.user, "blocked"), 0, matchmaking.BlockKeep-1)
			recent[i] = p.ZRevRangeByScore(ctx, r.key(a.user, "recent"), &redis.ZRangeBy{Max: "+inf", Min: oldest, Count: matchmaking.RecentKeep})
		}
		return nil
	})
	for i, a := range list {
		a.found, a.err = matchmaking.Exclusions{Hard: users(hard[i].Val()), Recent: users(recent[i].Val())}, cmp.Or(hard[i].Err(), recent[i].Err())
	}
}

// Forget implements matchmaking.Relations. Others may have the user although the
// user's own sets do not say so any more, so all are looked at.
func (r *Relations) Forget(ctx context.Context, u protocol.UserID) error {
	return rediscall.Scan(ctx, r.cfg.Config, "people:*", func(ctx context.Context, keys []string) error {
		_, err := r.cfg.Client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, key := range keys {
				if key == r.key(u, "blocked") || key == r.key(u, "recent") {
					p.Unlink(ctx, key)
				} else {
					p.ZRem(ctx, key, string(u))
				}
			}
			return nil
		})
		return err
	})
}

func users(ids []string) []protocol.UserID {
	var list []protocol.UserID
	for _, id := range ids {
		list = append(list, protocol.UserID(id))
	}
	return list
}
