// Package rediscache is a conversations.Cache in Redis: one server, Sentinel or
// Cluster. The three keys of a conversation share a slot, so that each call is one step:
//
//	conv:{<id>}:page      HASH  as of which change, and who may fill it
//	conv:{<id>}:order     ZSET  the messages' numbers
//	conv:{<id>}:messages  HASH  the messages
//
// What was lost is not there, and what came back from the past (a restart, a replica that
// took over) is known by the server's replication id and not used. Each key has a time to live.
package rediscache

import (
	"context"
	"crypto/rand"
	_ "embed" // the scripts
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/internal/rediscall"
	"github.com/rondo-chat/rondo/protocol"
)

//go:embed get.lua
var getLua string

//go:embed fill.lua
var fillLua string

//go:embed apply.lua
var applyLua string

const (
	// TTL is how long a page lasts after it was filled or changed: what may be seen of an old one
	// if a node dies, or cannot reach Redis, just when it has written.
	TTL = time.Minute
	// leaseTTL is longer than a read of the database takes.
	leaseTTL = 10 * time.Second
	// timeout is what a reader waits for Redis at most before it asks the database.
	timeout = 300 * time.Millisecond
	// maxSeq is the largest number that a script can count with.
	maxSeq = 1 << 53
)

// Cache is a conversations.Cache.
type Cache struct {
	cfg              rediscall.Config
	get, fill, apply *redis.Script
}

var _ conversations.Cache = (*Cache)(nil)

// New makes a Cache. It does not connect. A Timeout of zero is 300 ms.
func New(cfg rediscall.Config) (*Cache, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = timeout
	}
	if err := cfg.Validate("chat/rediscache"); err != nil {
		return nil, err
	}
	return &Cache{cfg: cfg, get: redis.NewScript(getLua), fill: redis.NewScript(fillLua), apply: redis.NewScript(applyLua)}, nil
}

func (c *Cache) keys(room protocol.RoomID) []string {
	base := c.cfg.Prefix + "conv:{" + string(room) + "}:"
	return []string{base + "page", base + "order", base + "messages"}
}

// Get implements conversations.Cache.
func (c *Cache) Get(ctx context.Context, room protocol.RoomID, limit int) (n conversations.Newest, found bool, lease string, err error) {
	ctx, cancel := c.cfg.Deadline(ctx)
	defer cancel()
	answer, err := c.get.Run(ctx, c.cfg.Client, c.keys(room), max(limit, 1), rand.Text(), leaseTTL.Milliseconds()).StringSlice()
	switch {
	case err != nil:
		return n, false, "", rediscall.Error(err)
	case len(answer) == 1:
		return n, false, answer[0], nil
	}
	n, err = parse(answer)
	return n, err == nil, "", err
}

func parse(answer []string) (n conversations.Newest, err error) {
	if len(answer) < 3 {
		return n, errors.New("chat/rediscache: get.lua gave an unexpected answer")
	}
	if n.Seq, err = strconv.ParseUint(answer[0], 10, 64); err != nil {
		return n, fmt.Errorf("chat/rediscache: a cached page is damaged: %w", err)
	}
	n.Whole, n.Missing = answer[1] == "1", answer[2] == "1"
	n.Messages = make([]protocol.ConvMessage, len(answer)-3)
	for i, text := range answer[3:] {
		if err := json.Unmarshal([]byte(text), &n.Messages[i]); err != nil {
			return n, fmt.Errorf("chat/rediscache: a cached message is damaged: %w", err)
		}
	}
	return n, nil
}

// Fill implements conversations.Cache.
func (c *Cache) Fill(ctx context.Context, room protocol.RoomID, lease string, n conversations.Newest) error {
	if n.Seq > maxSeq {
		return nil
	}
	n = n.Bounded()
	args := []any{lease, n.Seq, n.Whole, n.Missing, TTL.Milliseconds()}
	for i := range n.Messages {
		body, err := json.Marshal(&n.Messages[i])
		if err != nil {
			return fmt.Errorf("chat/rediscache: %w", err)
		}
		args = append(args, n.Messages[i].Seq, body)
	}
	ctx, cancel := c.cfg.Deadline(ctx)
	defer cancel()
	return rediscall.Error(c.fill.Run(ctx, c.cfg.Client, c.keys(room), args...).Err())
}

// Apply implements conversations.Cache.
func (c *Cache) Apply(ctx context.Context, e protocol.ConvEvent) error {
	kind, seq, body := "drop", uint64(0), []byte(nil)
	switch {
	case e.After != 0:
	case e.Message != nil:
		kind, seq = "message", e.Message.Seq
		var err error
		if body, err = json.Marshal(e.Message); err != nil {
			return fmt.Errorf("chat/rediscache: %w", err)
		}
	case e.Conversation != nil && (e.Conversation.Deleted || e.Conversation.Oldest > 0): // what is left may be whole now, or less
	case e.Conversation != nil, e.Person != nil:
		kind = "other"
	}
	return c.change(ctx, e.Room, e.Seq, kind, seq, body)
}

// Drop implements conversations.Cache.
func (c *Cache) Drop(ctx context.Context, room protocol.RoomID, seq uint64) error {
	return c.change(ctx, room, seq, "drop", 0, nil)
}

func (c *Cache) change(ctx context.Context, room protocol.RoomID, seq uint64, kind string, message uint64, body []byte) error {
	ctx, cancel := c.cfg.Deadline(ctx)
	defer cancel()
	return rediscall.Error(c.apply.Run(ctx, c.cfg.Client, c.keys(room), min(seq, maxSeq), kind, message, body,
		conversations.CachePage, conversations.MaxPageBytes, TTL.Milliseconds()).Err())
}
