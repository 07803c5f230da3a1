package table

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/client/bench/wire"
	"github.com/rondo-chat/rondo/internal/pause"
)

// redisConn speaks as much of Redis' protocol (RESP2) as ZADD and PING need.
type redisConn struct {
	net.Conn
	r *bufio.Reader
}

func dialRedis(ctx context.Context, addr string) (*redisConn, error) {
	c, err := wire.From(-1).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &redisConn{Conn: c, r: bufio.NewReader(c)}, nil
}

func command(words ...string) []byte {
	out := fmt.Appendf(nil, "*%d\r\n", len(words))
	for _, w := range words {
		out = fmt.Appendf(out, "$%d\r\n%s\r\n", len(w), w)
	}
	return out
}

// do sends a command whose answer is one line.
func (c *redisConn) do(cmd []byte) error {
	if _, err := c.Write(cmd); err != nil {
		return err
	}
	line, err := c.r.ReadSlice('\n')
	if err == nil && line[0] == '-' {
		err = errors.New("redis: " + string(line[1:]))
	}
	return err
}

// zadd runs n ZADDs on 50 connections, one command in flight on each, as redis-benchmark does, and
// returns the microseconds of Redis' CPU for each.
func zadd(ctx context.Context, redis *process, n int) (float64, error) {
	return repeat(ctx, redis, n, func(i int) []byte {
		return command("ZADD", "rondo-bench", strconv.Itoa(i), fmt.Sprintf("member-%06d", i%10_000))
	})
}

// repeat runs n commands.
func repeat(ctx context.Context, redis *process, n int, cmd func(i int) []byte) (float64, error) {
	const conns = 50
	var all []*redisConn
	defer func() {
		for _, c := range all {
			c.Close()
		}
	}()
	for range conns {
		c, err := dialRedis(ctx, redis.addr)
		if err != nil {
			return 0, err
		}
		all = append(all, c)
	}
	used, err := redis.during(func() error {
		var done sync.WaitGroup
		errs := make([]error, conns)
		for i, c := range all {
			done.Go(func() {
				for j := i; j < n && errs[i] == nil; j += conns {
					errs[i] = c.do(cmd(j))
				}
			})
		}
		done.Wait()
		return firstOf(errs)
	})
	return float64(used.Nanoseconds()) / 1000 / float64(n), err
}

// ping is the median time of a PING, in milliseconds.
func ping(ctx context.Context, redis *process, n int) (float64, error) {
	c, err := dialRedis(ctx, redis.addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	var took []float64
	for range n {
		began := time.Now()
		if err := c.do(command("PING")); err != nil {
			return 0, err
		}
		took = append(took, float64(time.Since(began).Nanoseconds())/1e6)
		if err := pause.For(ctx, time.Millisecond); err != nil {
			return 0, err
		}
	}
	slices.Sort(took)
	return quantile(took, 0.5), nil
}
