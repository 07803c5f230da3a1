// Package rediscache is an accounts.Cache in Redis. A value lasts TTL; a lease as
// long as reading the database may take.
package rediscache

import (
	"context"
	"crypto/rand"
	_ "embed" // the scripts
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/internal/rediscall"
)

//go:embed get.lua
var getLua string

//go:embed put.lua
var putLua string

const (
	// TTL is how long a value lasts: what may be seen of an old one if Redis is away just
	// when it changes.
	TTL = 10 * time.Second
	// leaseTTL is longer than a read of the database takes.
	leaseTTL = 10 * time.Second
	// timeout is what a handshake waits for Redis at most before it asks the database.
	timeout = 300 * time.Millisecond
)

// Cache is an accounts.Cache.
type Cache struct {
	cfg      rediscall.Config
	get, put *redis.Script
}

var _ accounts.Cache = (*Cache)(nil)

// New makes a Cache. It does not connect. A Timeout of zero is 300 ms.
func New(cfg rediscall.Config) (*Cache, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = timeout
	}
	if err := cfg.Validate("accounts/rediscache"); err != nil {
		return nil, err
	}
	return &Cache{cfg: cfg, get: redis.NewScript(getLua), put: redis.NewScript(putLua)}, nil
}

func (c *Cache) keys(key string) []string { return []string{c.cfg.Prefix + "account:" + key} }

// Get implements accounts.Cache.
func (c *Cache) Get(ctx context.Context, key string) (value string, found bool, lease string) {
	ctx, cancel := c.cfg.Deadline(ctx)
	defer cancel()
	lease = rand.Text()
	text, err := c.get.Run(ctx, c.cfg.Client, c.keys(key), lease, leaseTTL.Milliseconds()).Text()
	if err != nil {
		return "", false, ""
	}
	value, found = strings.CutPrefix(text, "=")
	return value, found, lease
}

// Put implements accounts.Cache.
func (c *Cache) Put(ctx context.Context, key, lease, value string) {
	ctx, cancel := c.cfg.Deadline(ctx)
	defer cancel()
	_ = c.put.Run(ctx, c.cfg.Client, c.keys(key), lease, "="+value, TTL.Milliseconds()).Err() // the next one tries again
}

// Forget implements accounts.Cache.
func (c *Cache) Forget(ctx context.Context, key string) error {
	ctx, cancel := c.cfg.Deadline(ctx)
	defer cancel()
	return rediscall.Error(c.cfg.Client.Del(ctx, c.keys(key)...).Err())
}
