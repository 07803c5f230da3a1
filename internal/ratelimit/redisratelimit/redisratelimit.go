// Package redisratelimit is a ratelimit.Limiter whose buckets all nodes share,
// in Redis. While Redis does not answer, each node limits by itself.
package redisratelimit

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/internal/rediscall"
)

//go:embed take.lua
var takeLua string

const (
	defaultTimeout = 500 * time.Millisecond
	maxDepth       = 30 * 24 * time.Hour
)

// Config configures a Limiter. Zero fields have the defaults given.
type Config struct {
	rediscall.Config                   // Timeout: 500 ms
	Fallback         ratelimit.Limiter // required: while Redis is away
	Logger           *slog.Logger      // nil: discard
}

// Limiter is a ratelimit.Limiter.
type Limiter struct {
	cfg  Config
	take *redis.Script
	away atomic.Bool
}

var _ ratelimit.Limiter = (*Limiter)(nil)

// New makes a Limiter. It does not connect.
func New(cfg Config) (*Limiter, error) {
	cfg.Timeout = cmp.Or(cfg.Timeout, defaultTimeout)
	if err := cfg.Validate("redisratelimit"); err != nil {
		return nil, err
	}
	if cfg.Fallback == nil {
		return nil, errors.New("redisratelimit: Config.Fallback is missing")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Limiter{cfg: cfg, take: redis.NewScript(takeLua)}, nil
}

// Take implements ratelimit.Limiter. When Redis does not answer in time, the
// Fallback decides.
func (l *Limiter) Take(ctx context.Context, key string, n float64, rate ratelimit.Rate) (bool, time.Duration, error) {
	if rate.Unlimited() || n <= 0 {
		return true, 0, nil
	}
	if err := ctx.Err(); err != nil {
		return false, 0, err
	}
	retry, err := l.ask(ctx, key, n, rate)
	if ctx.Err() != nil && err != nil {
		return false, 0, ctx.Err()
	}
	if away := err != nil; l.away.Swap(away) != away {
		l.cfg.Logger.Warn("limits are counted by each node alone while Redis is away", "away", away, "error", err)
	}
	if err != nil {
		return l.cfg.Fallback.Take(ctx, key, n, rate)
	}
	return retry == 0, retry, nil
}

// ask returns 0 if the tokens were taken, else how long until they are there.
func (l *Limiter) ask(ctx context.Context, key string, n float64, rate ratelimit.Rate) (time.Duration, error) {
	ctx, cancel := l.cfg.Deadline(ctx)
	defer cancel()
	depth, cost := micros(max(rate.Burst, 1)/rate.PerSecond), micros(n/rate.PerSecond)
	wait, err := l.take.Run(ctx, l.cfg.Client, []string{l.cfg.Prefix + "limit:" + key}, cost, depth).Int64()
	if err != nil {
		return 0, fmt.Errorf("redis: %w", err)
	}
	return time.Duration(wait) * time.Microsecond, nil
}

// micros is a bounded number of whole microseconds, at least 1.
func micros(seconds float64) int64 {
	return int64(math.Ceil(min(max(seconds, 1e-6), maxDepth.Seconds()+1) * 1e6))
}
