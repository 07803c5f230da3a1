// Package redisstore is the signaling.Store over Redis: one server, Sentinel or
// Cluster. Each script touches one key, so that sessions spread over the servers
// of a cluster; calls about many sessions are one pipeline.
//
// Keys, all under the prefix and all with a time to live:
//
//	sess:{<session>}  HASH    n = node, g = generation, k = spoken, r = revision, d = base and c = rest, JSON
//	sessnode:<node>   STRING  "1" while the node's lease runs
package redisstore

import (
	"context"
	_ "embed" // the scripts
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/internal/rediscall"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/signaling"
)

//go:embed save.lua
var saveLua string

//go:embed take.lua
var takeLua string

//go:embed remove.lua
var removeLua string

//go:embed renew.lua
var renewLua string

// Config configures a Store.
type Config struct {
	rediscall.Config
}

// Store is a signaling.Store.
type Store struct {
	cfg                       Config
	save, take, remove, renew *redis.Script
}

var _ signaling.Store = (*Store)(nil)

// New makes a Store. It does not connect.
func New(cfg Config) (*Store, error) {
	if err := cfg.Validate("signaling/redisstore"); err != nil {
		return nil, err
	}
	return &Store{
		cfg:    cfg,
		save:   redis.NewScript(saveLua),
		take:   redis.NewScript(takeLua),
		remove: redis.NewScript(removeLua),
		renew:  redis.NewScript(renewLua),
	}, nil
}

func (s *Store) key(id protocol.SessionID) string { return s.cfg.Prefix + "sess:{" + string(id) + "}" }

func (s *Store) nodeKey(n protocol.NodeID) string { return s.cfg.Prefix + "sessnode:" + string(n) }

// many runs a script for each key in one pipeline, and returns what each gave.
// Servers that do not know the script get it with a second pipeline.
func (s *Store) many(ctx context.Context, script *redis.Script, n int, more func(redis.Pipeliner), at func(int) (key string, args []any)) ([]int, error) {
	results, err := s.pipeline(ctx, n, more, func(p redis.Pipeliner, key string, args []any) *redis.Cmd {
		return script.EvalSha(ctx, p, []string{key}, args...)
	}, at)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		results, err = s.pipeline(ctx, n, more, func(p redis.Pipeliner, key string, args []any) *redis.Cmd {
			return script.Eval(ctx, p, []string{key}, args...)
		}, at)
	}
	return results, rediscall.Error(err)
}

func (s *Store) pipeline(ctx context.Context, n int, more func(redis.Pipeliner),
	call func(redis.Pipeliner, string, []any) *redis.Cmd, at func(int) (string, []any)) ([]int, error) {
	p := s.cfg.Client.Pipeline()
	if more != nil {
		more(p)
	}
	cmds := make([]*redis.Cmd, n)
	for i := range n {
		key, args := at(i)
		cmds[i] = call(p, key, args)
	}
	if p.Len() == 0 {
		return nil, nil
	}
	if _, err := p.Exec(ctx); err != nil {
		return nil, failure(err, cmds)
	}
	results := make([]int, n)
	for i, cmd := range cmds {
		results[i], _ = cmd.Int() // its error would have been Exec's
	}
	return results, nil
}

// failure prefers the error that says that a script is not known: on a cluster
// one server may know it and another not.
func failure(err error, cmds []*redis.Cmd) error {
	for _, cmd := range cmds {
		if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
			return cmd.Err()
		}
	}
	return err
}

// Save implements signaling.Store.
func (s *Store) Save(ctx context.Context, ttl time.Duration, records []*signaling.Record) ([]bool, error) {
	ctx, cancel := s.cfg.Deadline(ctx)
	defer cancel()
	base, rest := make([][]byte, len(records)), make([][]byte, len(records))
	for i, r := range records {
		var err error
		if base[i], err = json.Marshal(r.Base); err == nil && r.Rest != nil {
			rest[i], err = json.Marshal(r.Rest)
		}
		if err != nil {
			return nil, fmt.Errorf("signaling/redisstore: %w", err)
		}
	}
	results, err := s.many(ctx, s.save, len(records), nil, func(i int) (string, []any) {
		r := records[i]
		return s.key(r.ID), []any{string(r.Node), r.Gen, r.Spoken, r.Rev, base[i], rest[i], ttl.Milliseconds(), r.Moves}
	})
	if err != nil {
		return nil, err
	}
	saved := make([]bool, len(records))
	for i, n := range results {
		saved[i] = n == 1
	}
	return saved, nil
}

// Load implements signaling.Store.
func (s *Store) Load(ctx context.Context, id protocol.SessionID) (*signaling.Record, bool, error) {
	ctx, cancel := s.cfg.Deadline(ctx)
	defer cancel()
	f, err := s.cfg.Client.HGetAll(ctx, s.key(id)).Result()
	if err != nil || len(f) == 0 {
		return nil, false, rediscall.Error(err)
	}
	r, err := record(id, f["n"], f["g"], f["m"], f["r"], f["d"], f["c"])
	if err != nil {
		return nil, false, err
	}
	r.Spoken = f["k"] == "1"
	alive, err := s.cfg.Client.Exists(ctx, s.nodeKey(r.Node)).Result()
	if err != nil {
		return nil, false, rediscall.Error(err)
	}
	return r, alive == 1, nil
}

func record(id protocol.SessionID, node, gen, moves, rev, base, rest string) (*signaling.Record, error) {
	r := &signaling.Record{}
	var errs [5]error
	errs[0] = json.Unmarshal([]byte(base), &r.Base)
	if rest != "" {
		r.Rest = &signaling.Rest{}
		errs[3] = json.Unmarshal([]byte(rest), r.Rest)
	}
	r.Gen, errs[1] = strconv.ParseUint(gen, 10, 64)
	r.Moves, errs[4] = strconv.ParseUint(moves, 10, 64)
	r.Rev, errs[2] = strconv.ParseUint(rev, 10, 64)
	r.ID, r.Node = id, protocol.NodeID(node)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("signaling/redisstore: record of session %s: %w", id, err)
	}
	return r, nil
}

// Take implements signaling.Store.
func (s *Store) Take(ctx context.Context, ttl time.Duration, id protocol.SessionID, gen uint64, from, to protocol.NodeID) (*signaling.Record, error) {
	ctx, cancel := s.cfg.Deadline(ctx)
	defer cancel()
	f, err := s.take.Run(ctx, s.cfg.Client, []string{s.key(id)}, string(from), gen, string(to), ttl.Milliseconds()).StringSlice()
	if err != nil || len(f) != 5 {
		return nil, rediscall.Error(err)
	}
	return record(id, string(to), f[0], f[1], f[2], f[3], f[4])
}

// Remove implements signaling.Store.
func (s *Store) Remove(ctx context.Context, id protocol.SessionID, node protocol.NodeID, moves uint64) (bool, error) {
	ctx, cancel := s.cfg.Deadline(ctx)
	defer cancel()
	n, err := s.remove.Run(ctx, s.cfg.Client, []string{s.key(id)}, string(node), moves).Int()
	return n == 1, rediscall.Error(err)
}

// Renew implements signaling.Store.
func (s *Store) Renew(ctx context.Context, node protocol.NodeID, lease, ttl time.Duration, own []signaling.Holding) ([]signaling.Hold, error) {
	ctx, cancel := s.cfg.Deadline(ctx)
	defer cancel()
	results, err := s.many(ctx, s.renew, len(own), func(p redis.Pipeliner) {
		p.Set(ctx, s.nodeKey(node), "1", lease)
	}, func(i int) (string, []any) {
		return s.key(own[i].ID), []any{string(node), ttl.Milliseconds(), own[i].Moves, own[i].Rev}
	})
	if err != nil {
		return nil, err
	}
	holds := make([]signaling.Hold, len(own))
	for i, n := range results {
		holds[i] = signaling.Hold(n)
	}
	return holds, nil
}
