// Package rediscache is a translate.Cache in Redis. What nobody asks for again goes after TTL, also if
// the message that it is of is deleted.
package rediscache

import (
	"context"
	"encoding/json"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/chat/translate"
	"github.com/rondo-chat/rondo/internal/rediscall"
)

const (
	// TTL is how long a translation is kept.
	TTL = 24 * time.Hour
	// timeout is what a reader waits for Redis at most before the provider is asked.
	timeout = 300 * time.Millisecond
)

// Cache is a translate.Cache.
type Cache struct{ cfg rediscall.Config }

var _ translate.Cache = (*Cache)(nil)

// New makes a Cache. It does not connect. A Timeout of zero is 300 ms.
func New(cfg rediscall.Config) (*Cache, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = timeout
	}
	if err := cfg.Validate("translate/rediscache"); err != nil {
		return nil, err
	}
	return &Cache{cfg: cfg}, nil
}

func (c *Cache) key(key string) string { return c.cfg.Prefix + "translation:" + key }

// Get implements translate.Cache. The keys lie in all slots of a Cluster, hence a pipeline.
func (c *Cache) Get(ctx context.Context, keys []string) (map[string]translate.Translation, error) {
	ctx, cancel := c.cfg.Deadline(ctx)
	defer cancel()
	found := map[string]translate.Translation{}
	got := make([]*redis.StringCmd, len(keys))
	_, err := c.cfg.Client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, k := range keys {
			got[i] = p.Get(ctx, c.key(k))
		}
		return nil
	})
	for i, cmd := range got {
		var t translate.Translation
		if b, err := cmd.Bytes(); err == nil && json.Unmarshal(b, &t) == nil {
			found[keys[i]] = t
		}
	}
	return found, rediscall.Error(err)
}

// Put implements translate.Cache.
func (c *Cache) Put(ctx context.Context, list map[string]translate.Translation) error {
	ctx, cancel := c.cfg.Deadline(ctx)
	defer cancel()
	_, err := c.cfg.Client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for k, t := range list {
			b, err := json.Marshal(t)
			if err != nil {
				return err
			}
			p.Set(ctx, c.key(k), b, TTL)
		}
		return nil
	})
	return rediscall.Error(err)
}
