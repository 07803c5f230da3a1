package table

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// nodes measures signals between users of two nodes, beside one PUBLISH of Redis for each.
func (g *group) nodes(ctx context.Context) error {
	if g.cfg.Redis == "" {
		g.lacks("", "no redis-server")
		return nil
	}
	redis, err := g.redis(ctx)
	if err != nil {
		return err
	}
	dir, err := g.folder()
	if err != nil {
		return err
	}
	var both [2]*server
	for i := range both { // the first one makes the secret
		if both[i], err = g.rondo(ctx, "--redis", "redis://"+redis.addr+"/0", "--secret-file", filepath.Join(dir, "secret")); err != nil {
			return err
		}
	}
	pairs, err := g.apart(ctx, both, g.size(150, 15))
	if err != nil {
		return err
	}
	ours := &side{pairs: pairs}
	sh := g.shapes()[0]
	return g.rounds(ctx, func(int) error {
		plain, err := publish(ctx, redis, g.size(20_000, 2000))
		if err != nil {
			return err
		}
		var used [2]time.Duration // of the nodes
		inRedis, err := redis.during(func() (err error) {
			used[0], err = both[0].during(func() (err error) {
				used[1], err = both[1].during(func() error { return exchange(ours.pairs, sh) })
				return err
			})
			return err
		})
		if err != nil {
			return err
		}
		n := float64(sh.messages(ours))
		g.add("a signal between nodes: CPU of Redis, beside PUBLISH", float64(inRedis.Nanoseconds())/1000/n, plain)
		g.add("a signal between nodes: CPU of both nodes", float64((used[0]+used[1]).Nanoseconds())/1000/n, 0)
		return g.breathe(ctx)
	})
}

// apart are n pairs whose users are at different nodes. Each pair shares an interest that nobody else has.
func (g *group) apart(ctx context.Context, nodes [2]*server, n int) ([][2]*speaker, error) {
	all, err := g.crowd(ctx, 2*n, func(i int) (*speaker, error) { return guest(ctx, nodes[i%2], i) })
	if err != nil {
		return nil, err
	}
	err = together(all, func(i int, s *speaker) error {
		if err := s.request(protocol.TypeMatchFind, "", fmt.Sprintf(`{"pool":"text","tags":["pair %d"],"strict":true}`, i/2)); err != nil {
			return err
		}
		return s.told()
	})
	return inPairs(all), err
}

// publish runs n PUBLISHes of 500 bytes with one subscriber, as zadd does, and returns the microseconds of Redis' CPU for each.
func publish(ctx context.Context, redis *process, n int) (float64, error) {
	sub, err := dialRedis(ctx, redis.addr)
	if err != nil {
		return 0, err
	}
	defer sub.Close()
	if err := sub.do(command("SUBSCRIBE", "rondo-bench")); err != nil {
		return 0, err
	}
	go func() { _, _ = io.Copy(io.Discard, sub.r) }() // until it is closed
	text := strings.Repeat("x", 500)
	return repeat(ctx, redis, n, func(int) []byte { return command("PUBLISH", "rondo-bench", text) })
}
