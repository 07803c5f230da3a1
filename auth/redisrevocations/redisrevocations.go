// Package redisrevocations is an auth.RevocationCache in Redis: one sorted set of all
// nodes, by the time of Redis' clock at which a session was revoked. What is older
// than any access token goes.
package redisrevocations

import (
	"context"
	_ "embed" // the script
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/rediscall"
)

//go:embed remember.lua
var rememberLua string

// keep is longer than any access token lasts.
const keep = time.Hour

// Cache is an auth.RevocationCache.
type Cache struct {
	cfg      rediscall.Config
	remember *redis.Script
}

var _ auth.RevocationCache = (*Cache)(nil)

// New makes a Cache. It does not connect.
func New(cfg rediscall.Config) (*Cache, error) {
	if err := cfg.Validate("auth/redisrevocations"); err != nil {
		return nil, err
	}
	return &Cache{cfg: cfg, remember: redis.NewScript(rememberLua)}, nil
}

func (c *Cache) key() string { return c.cfg.Prefix + "revoked" }

// Remember implements auth.RevocationCache.
func (c *Cache) Remember(ctx context.Context, r auth.Revocation) error {
	ctx, cancel := c.cfg.Deadline(ctx)
	defer cancel()
	member := strconv.FormatInt(r.Until.Unix(), 10) + " " + r.Session
	return rediscall.Error(c.remember.Run(ctx, c.cfg.Client, []string{c.key()}, member, keep.Milliseconds()).Err())
}

// Revocations implements auth.RevocationSource.
func (c *Cache) Revocations(ctx context.Context, after int64, limit int) ([]auth.Revocation, error) {
	ctx, cancel := c.cfg.Deadline(ctx)
	defer cancel()
	found, err := c.cfg.Client.ZRangeByScoreWithScores(ctx, c.key(), &redis.ZRangeBy{
		Min: "(" + strconv.FormatInt(after, 10), Max: "+inf", Count: int64(limit)}).Result()
	if err := rediscall.Error(err); err != nil {
		return nil, err
	}
	list := make([]auth.Revocation, 0, len(found))
	for _, z := range found {
		member, _ := z.Member.(string)
		until, session, ok := strings.Cut(member, " ")
		seconds, err := strconv.ParseInt(until, 10, 64)
		if !ok || err != nil {
			return nil, fmt.Errorf("auth/redisrevocations: %q is no revocation", member)
		}
		list = append(list, auth.Revocation{Sequence: int64(z.Score), Session: session, Until: time.Unix(seconds, 0)})
	}
	return list, nil
}
