package main

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/internal/redisbreaker"
	"github.com/rondo-chat/rondo/internal/redishook"
	"github.com/rondo-chat/rondo/internal/redismaster"
)

// redisTimeout bounds every call to Redis: a server that does not answer must
// cost a clear error, not a hanging user.
const redisTimeout = 2 * time.Second

// redisIdle is how long a connection may lie unused: longer ones may have died
// without a word (a firewall that forgot them), and each would cost a call.
const redisIdle = 5 * time.Minute

// openRedis connects to the URL. redis:// and rediss:// name one server,
// redis+cluster:// a cluster (further nodes as ?addr=host:port&addr=…),
// redis+sentinel:// sentinels (?master_name=…); a further "s" in the first word,
// as in rediss+cluster://, means TLS.
func (n *node) openRedis(ctx context.Context, url string) (redis.UniversalClient, *redisbreaker.Breaker, error) {
	client, err := newRedis(url)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: redis: %w", errUsage, err)
	}
	redis.SetLogger(redisLog{n.log})
	breaker, err := redisbreaker.Attach(client, redisbreaker.Config{Logger: n.log, Registerer: n.metrics.Registerer()})
	if err != nil {
		return nil, nil, err
	}
	if single, ok := client.(*redis.Client); ok && isSentinel(url) {
		redismaster.Attach(single)
	}
	redishook.Attach(client, n.metrics.Registerer())
	n.onClose(func() {
		breaker.Close()
		_ = client.Close()
	})
	if err := awaitRedis(ctx, client); err != nil {
		return nil, nil, fmt.Errorf("redis: no answer: %w", err)
	}
	return client, breaker, nil
}

// redisStart is how long a node that starts waits for Redis, which may start
// beside it.
const redisStart = 10 * time.Second

// awaitRedis waits until Redis answers. An answer that says no for good, such as
// a wrong password, is an error at once.
func awaitRedis(ctx context.Context, client redis.UniversalClient) error {
	ctx, cancel := context.WithTimeout(ctx, redisStart)
	defer cancel()
	var cause error
	for {
		err := client.Ping(ctx).Err()
		var said redis.Error
		if err == nil || errors.As(err, &said) && !redis.IsLoadingError(err) {
			return err
		}
		if cause == nil || ctx.Err() == nil && !errors.Is(err, redisbreaker.ErrOpen) {
			cause = err
		}
		select {
		case <-ctx.Done():
			return cause
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func isSentinel(url string) bool {
	scheme, _, _ := strings.Cut(url, "://")
	return strings.HasSuffix(scheme, "+sentinel")
}

// newRedis makes a client with the settings that all kinds share.
//
// A call whose connection broke is tried again (MaxRetries, by default 3 times;
// a Cluster client follows MaxRedirects), and so is one that the server could
// not take: LOADING, and READONLY of a master that was demoted, whose connection
// is dropped so that the next try asks Sentinel again. The first try may have
// done its work all the same, so every script must stand to run twice: matching
// by epochs and match ids, chat by the sender's ids, rooms by revisions, sessions
// by owner and generation; the bus numbers what it sends and drops repeats. A
// call that ran into its deadline is not tried again.
//
// A connection that cannot be made is not tried again: the breaker knows when.
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
		o.ContextTimeoutEnabled, o.DialerRetries, o.ConnMaxIdleTime = true, 1, redisIdle
		return redis.NewClusterClient(o), nil
	case kind == "sentinel":
		o, err := redis.ParseFailoverURL(base + "://" + rest)
		if err != nil {
			return nil, err
		}
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = redisTimeout, redisTimeout, redisTimeout, redisTimeout
		o.ContextTimeoutEnabled, o.DialerRetries, o.ConnMaxIdleTime = true, 1, redisIdle
		return redis.NewFailoverClient(o), nil
	case kind == "":
		o, err := redis.ParseURL(url)
		if err != nil {
			return nil, err
		}
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = redisTimeout, redisTimeout, redisTimeout, redisTimeout
		o.ContextTimeoutEnabled, o.DialerRetries, o.ConnMaxIdleTime = true, 1, redisIdle
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
