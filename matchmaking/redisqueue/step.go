package redisqueue

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/internal/rediscall"
)

// Of what comes at once, so much goes to Redis in one call, and so many calls are
// under way: two cost more and were no faster. A call of a hundred steps holds
// Redis up for about a millisecond.
const (
	maxSteps  = 100
	stepLanes = 1
)

// step is a call of Enter or Ack on its way.
type step struct {
	args  []any
	until time.Time // when its caller gives up
	reply any
	err   error
}

// steps makes calls of Enter and Ack, those of one pool together.
type steps struct {
	client redis.UniversalClient
	many   *redis.Script
	enter  *redis.Script // the same as many for one call, which it costs less
	ack    *redis.Script // likewise
	bounds []any         // the scripts' first arguments

	mu    sync.Mutex
	pools map[string]*poolSteps // those with calls under way
}

type poolSteps struct {
	combiner[*step]
	users int // guarded by steps.mu
}

// do makes a call and returns its answer; ctx has a deadline.
func (s *steps) do(ctx context.Context, pool string, keys func(pool string) []string, args []any) (any, error) {
	p := s.join(pool, keys)
	defer s.leave(pool, p)
	st := &step{args: args}
	st.until, _ = ctx.Deadline()
	if err := p.do(ctx, st); err != nil {
		return nil, rediscall.Error(err)
	}
	return st.reply, rediscall.Error(st.err)
}

func (s *steps) join(pool string, keys func(pool string) []string) *poolSteps {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pools[pool]
	if p == nil {
		all := keys(pool)
		p = &poolSteps{}
		p.lanes, p.most, p.run = stepLanes, maxSteps, func(list []*step) { s.run(all, list) }
		s.pools[pool] = p
	}
	p.users++
	return p
}

func (s *steps) leave(pool string, p *poolSteps) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.users--; p.users == 0 {
		delete(s.pools, pool)
	}
}

// run makes some calls together, until the last caller gives up. What goes wrong
// in the script may be the fault of one of them, which is not to spoil the
// others: then each is made alone.
func (s *steps) run(keys []string, list []*step) {
	ctx, cancel := lastOf(list, func(st *step) time.Time { return st.until })
	defer cancel()
	err := s.call(ctx, keys, list)
	if len(list) > 1 && isScriptError(err) {
		for i := range list {
			_ = s.call(ctx, keys, list[i:i+1])
		}
	}
}

func (s *steps) call(ctx context.Context, keys []string, list []*step) error {
	n := len(s.bounds)
	for _, st := range list {
		n += len(st.args)
	}
	args := append(make([]any, 0, n), s.bounds...)
	for _, st := range list {
		args = append(args, st.args...)
	}
	var replies []any
	var err error
	switch {
	case len(list) > 1:
		replies, err = s.many.Run(ctx, s.client, keys, args...).Slice()
	case list[0].args[0] == "ack":
		replies = make([]any, 1)
		replies[0], err = s.ack.Run(ctx, s.client, keys, args...).Result()
	default:
		replies = make([]any, 1)
		replies[0], err = s.enter.Run(ctx, s.client, keys, args...).Result()
	}
	if err == nil && len(replies) != len(list) {
		err = errReply
	}
	for i, st := range list {
		st.err = err
		if err == nil {
			st.reply = replies[i]
		}
	}
	return err
}

// isScriptError reports whether a script went wrong, as opposed to the server or
// the way to it.
func isScriptError(err error) bool {
	_, ok := errors.AsType[redis.Error](err)
	return ok && strings.HasPrefix(err.Error(), "ERR ") && strings.Contains(err.Error(), "user_script")
}
