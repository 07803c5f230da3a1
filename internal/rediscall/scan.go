package rediscall

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	scanPage = 1000
	// scanTimeout bounds a whole scan: a million keys take some seconds.
	scanTimeout = 2 * time.Minute
)

// Scan calls f with all keys that match the pattern behind the prefix, some at a
// time; a key that is there all the while comes at least once. In a Cluster all
// masters are asked, and f runs several times at once. It ends at the first error.
func Scan(ctx context.Context, cfg Config, pattern string, f func(ctx context.Context, keys []string) error) error {
	ctx, cancel := context.WithTimeout(ctx, scanTimeout)
	defer cancel()
	one := func(ctx context.Context, c redis.UniversalClient) error {
		for cursor := uint64(0); ; {
			call, cancel := cfg.Deadline(ctx)
			keys, next, err := c.Scan(call, cursor, cfg.Prefix+pattern, scanPage).Result()
			if err == nil && len(keys) > 0 {
				err = f(call, keys)
			}
			cancel()
			if err != nil || next == 0 {
				return err
			}
			cursor = next
		}
	}
	if cluster, ok := cfg.Client.(*redis.ClusterClient); ok {
		return Error(cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error { return one(ctx, c) }))
	}
	return Error(one(ctx, cfg.Client))
}
