// Package redishook measures what the program asks of Redis: how long commands
// take, which of them fail and why, and the state of the connection pool. It is
// hooked into a go-redis client once; packages that use the client need not know.
package redishook

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/internal/redisbreaker"
)

// Hook is a redis.Hook. Label values are enumerated: a command counts under its
// class, an error under its kind.
type Hook struct {
	seconds *prometheus.HistogramVec
	errors  *prometheus.CounterVec
	dials   *prometheus.CounterVec
}

var _ redis.Hook = (*Hook)(nil)

// Attach measures the client and registers its collectors (reg nil: does
// nothing). It is called once for a registry and a client.
func Attach(client redis.UniversalClient, reg prometheus.Registerer) *Hook {
	h := newHook()
	h.zero()
	if reg != nil {
		reg.MustRegister(h.seconds, h.errors, h.dials, newPool(client.PoolStats))
		client.AddHook(h)
	}
	return h
}

func newHook() *Hook {
	return &Hook{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "rondo_redis_seconds",
			Help:    "Time from asking Redis to its answer, waiting for a connection and retries included. class: script, publish, read, write, pipeline or other.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"class"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rondo_redis_errors_total",
			Help: "Commands that failed. kind: timeout, canceled, pool (no free connection), network, unready (loading, read-only, no cluster), moved, script (not loaded: is tried again) or server.",
		}, []string{"class", "kind"}),
		dials: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rondo_redis_dials_total",
			Help: "Connections opened to Redis. result: ok or error.",
		}, []string{"result"}),
	}
}

// zero makes the usual series, so that graphs and alerts see them at 0 before
// the first event.
func (h *Hook) zero() {
	for _, class := range []string{"script", "publish", "read", "write", "pipeline"} {
		h.seconds.WithLabelValues(class)
		for _, kind := range []string{"timeout", "network", "server"} {
			h.errors.WithLabelValues(class, kind)
		}
	}
	h.dials.WithLabelValues("ok")
	h.dials.WithLabelValues("error")
}

// DialHook implements redis.Hook.
func (h *Hook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		result := "ok"
		if err != nil {
			result = "error"
		}
		h.dials.WithLabelValues(result).Inc()
		return conn, err
	}
}

// ProcessHook implements redis.Hook.
func (h *Hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if isSetup(cmd.Name()) {
			return next(ctx, cmd)
		}
		start := time.Now()
		err := next(ctx, cmd)
		h.observe(classOf(cmd.Name()), time.Since(start), err)
		return err
	}
}

// ProcessPipelineHook implements redis.Hook.
func (h *Hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		start := time.Now()
		err := next(ctx, cmds)
		h.observe("pipeline", time.Since(start), err)
		return err
	}
}

func (h *Hook) observe(class string, took time.Duration, err error) {
	if errors.Is(err, redisbreaker.ErrOpen) {
		return // nothing was asked; the breaker counts these
	}
	h.seconds.WithLabelValues(class).Observe(took.Seconds())
	if kind := kindOf(err); kind != "" {
		h.errors.WithLabelValues(class, kind).Inc()
	}
}

// isSetup reports whether go-redis sends the command by itself on a fresh
// connection. Some of these an older server refuses, and nothing is wrong then.
func isSetup(name string) bool {
	return strings.EqualFold(name, "client") || strings.EqualFold(name, "hello")
}

// classOf returns the class of a command.
func classOf(name string) string {
	switch strings.ToLower(name) {
	case "eval", "evalsha", "eval_ro", "evalsha_ro", "fcall":
		return "script"
	case "publish", "spublish":
		return "publish"
	case "get", "mget", "hget", "hmget", "hgetall", "exists", "pttl", "lrange", "llen", "smembers", "scard",
		"zrange", "zrangebyscore", "zrangebylex", "zscore", "zmscore", "zcard", "zcount", "zlexcount", "zscan", "sscan", "hscan", "scan", "ping":
		return "read"
	case "set", "del", "unlink", "expire", "pexpire", "incr", "incrby", "hset", "hdel", "sadd", "srem", "zadd", "zrem",
		"rpush", "lpush", "ltrim", "zremrangebyscore", "zremrangebylex", "zremrangebyrank":
		return "write"
	}
	return "other"
}

// kindOf returns why a command failed, or "" if it did not: that a key is not
// there is an answer.
func kindOf(err error) string {
	var (
		netErr    net.Error
		serverErr redis.Error
	)
	switch {
	case err == nil, errors.Is(err, redis.Nil):
		return ""
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrPoolExhausted):
		return "pool"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return "timeout"
	case errors.As(err, &serverErr):
		return serverKind(serverErr.Error())
	}
	return "network"
}

func serverKind(msg string) string {
	word, _, _ := strings.Cut(msg, " ")
	switch word {
	case "LOADING", "READONLY", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "BUSY":
		return "unready"
	case "MOVED", "ASK":
		return "moved"
	case "NOSCRIPT":
		return "script"
	}
	return "server"
}
