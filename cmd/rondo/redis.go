package main

import (
	"context"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisTimeout bounds every call to Redis: a server that does not answer must
// cost a clear error, not a hanging user.
const redisTimeout = 2 * time.Second

// openRedis connects to the URL. redis:// and rediss:// name one server,
// redis+cluster:// a cluster (further nodes as ?addr=host:port&addr=…),
// redis+sentinel:// sentinels (?master_name=…); a further "s" in the first word,
// as in rediss+cluster://, means TLS.
func openRedis(ctx context.Context, url string) (redis.UniversalClient, error) {
	client, err := newRedis(url)
	if err != nil {
		return nil, fmt.Errorf("%w: redis: %w", errUsage, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := client.Ping(ctx).Err(); err != nil {
		_ = client.Close()
		return nil, fmt.Errorf("redis: no answer: %w", err)
	}
	return client, nil
}

func newRedis(url string) (redis.UniversalClient, error) {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return nil, fmt.Errorf("%q is not a URL such as redis://localhost:6379/0", url)
	}
	base, kind, _ := strings.Cut(scheme, "+")
	switch {
	case kind == "cluster" || kind == "" && strings.Contains(rest, "addr="):
		o, err := redis.ParseClusterURL(base + "://" + rest)
		if err != nil {
			return nil, err
		}
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = redisTimeout, redisTimeout, redisTimeout, redisTimeout
		o.ContextTimeoutEnabled = true
		return redis.NewClusterClient(o), nil
	case kind == "sentinel":
		o, err := redis.ParseFailoverURL(base + "://" + rest)
		if err != nil {
			return nil, err
		}
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = redisTimeout, redisTimeout, redisTimeout, redisTimeout
		o.ContextTimeoutEnabled = true
		return redis.NewFailoverClient(o), nil
	case kind == "":
		o, err := redis.ParseURL(url)
		if err != nil {
			return nil, err
		}
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = redisTimeout, redisTimeout, redisTimeout, redisTimeout
		o.ContextTimeoutEnabled = true
		return redis.NewClient(o), nil
	}
	return nil, fmt.Errorf("unknown kind %q: use redis://, redis+cluster:// or redis+sentinel://", scheme)
}

// checkSharedSecret refuses to start a node whose secret differs from that of
// the nodes before it: their sessions, guests and TURN credentials would be
// worthless to each other. Redis holds only a fingerprint.
func checkSharedSecret(ctx context.Context, client redis.UniversalClient, prefix, fingerprint string) error {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	key := prefix + "secret-fingerprint"
	if err := client.SetNX(ctx, key, fingerprint, 0).Err(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	there, err := client.Get(ctx, key).Result()
	if err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	if subtle.ConstantTimeCompare([]byte(there), []byte(fingerprint)) != 1 {
		return fmt.Errorf("the nodes that share this Redis use another secret: give every node the same secret-file "+
			"(after a planned change of the secret, delete the Redis key %s)", key)
	}
	return nil
}

// redisLog sends what go-redis has to say to the program's log. It repeats
// itself at every failed dial, so it is kept for debugging: failures are counted
// in rondo_redis_ metrics and logged by who suffers from them.
type redisLog struct{ log *slog.Logger }

// Printf implements go-redis's logger.
func (l redisLog) Printf(ctx context.Context, format string, v ...any) {
	l.log.DebugContext(ctx, "redis: "+fmt.Sprintf(format, v...))
}
