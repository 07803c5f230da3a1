// Package redisstore is the chat.Store over Redis: one server, Sentinel or
// Cluster. Both keys of a room share a slot, so that offset, message and retry
// check are one step:
//
//	chat:{<room>}:room  HASH  the counter, and the offset of each client id kept
//	chat:{<room>}:log   ZSET  the messages kept, by offset
//
// It keeps the newest messages of living rooms, each key with a time to live. It
// is no record: Redis may lose them, and the nodes put them back. A generation is
// a replication id: Redis draws a new one when it starts, and when a replica
// takes over.
package redisstore

import (
	"context"
	_ "embed" // the scripts
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/chat"
	"github.com/rondo-chat/rondo/internal/rediscall"
	"github.com/rondo-chat/rondo/protocol"
)

//go:embed append.lua
var appendLua string

//go:embed restore.lua
var restoreLua string

//go:embed page.lua
var pageLua string

//go:embed drop.lua
var dropLua string

//go:embed forget.lua
var forgetLua string

// maxBound is the largest offset that a script can count with.
const maxBound = 1 << 53

// Config configures a Store.
type Config struct {
	rediscall.Config
	Keep chat.Retention
}

// Store is a chat.Store.
type Store struct {
	cfg                                 Config
	append, restore, page, drop, forget *redis.Script
}

var _ chat.Store = (*Store)(nil)

// New makes a Store. It does not connect.
func New(cfg Config) (*Store, error) {
	if err := cfg.Validate("chat/redisstore"); err != nil {
		return nil, err
	}
	keep, err := cfg.Keep.WithDefaults()
	if err != nil {
		return nil, err
	}
	cfg.Keep = keep
	return &Store{cfg: cfg, append: redis.NewScript(appendLua), restore: redis.NewScript(restoreLua),
		page: redis.NewScript(pageLua), drop: redis.NewScript(dropLua), forget: redis.NewScript(forgetLua)}, nil
}

func (s *Store) keys(room protocol.RoomID) []string {
	base := s.cfg.Prefix + "chat:{" + string(room) + "}:"
	return []string{base + "room", base + "log"}
}

// Append implements chat.Store.
func (s *Store) Append(ctx context.Context, m chat.Message, known chat.Mark) (chat.Appended, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return chat.Appended{}, fmt.Errorf("chat/redisstore: %w", err)
	}
	ctx, cancel := s.cfg.Deadline(ctx)
	defer cancel()
	k := s.cfg.Keep
	answer, err := s.append.Run(ctx, s.cfg.Client, s.keys(m.Room), origin(&m), m.At, m.Weight(), body,
		k.Messages, k.Bytes, k.TTL.Milliseconds(), min(known.Last, maxBound), known.Gen, known.Epoch, draw()).Slice()
	if err != nil {
		return chat.Appended{}, rediscall.Error(err)
	}
	return parseAppend(answer)
}

func origin(m *chat.Message) string { return string(m.From) + "/" + m.CID }

func parseAppend(answer []any) (chat.Appended, error) {
	bad := errors.New("chat/redisstore: append.lua gave an unexpected answer")
	if len(answer) == 0 {
		return chat.Appended{}, bad
	}
	switch what, _ := answer[0].(int64); {
	case len(answer) == 1 && what == 2:
		return chat.Appended{Behind: true}, nil
	case len(answer) == 1 && what == 3:
		return chat.Appended{}, chat.ErrGone()
	case len(answer) == 2 && what == 1:
		m, err := parseEntry(word(answer[1]))
		return chat.Appended{Message: m, Dup: true}, err
	case len(answer) == 4 && what == 0:
		m, err := parseEntry(word(answer[1]))
		return chat.Appended{Message: m, Mark: chat.Mark{Last: m.Off, Gen: word(answer[2]), Epoch: word(answer[3])}}, err
	}
	return chat.Appended{}, bad
}

// word returns a string, or "" for what is none.
func word(a any) string {
	s, _ := a.(string)
	return s
}

// draw draws the name of an epoch.
func draw() string { return strconv.FormatUint(rand.Uint64(), 36) }

// Restore implements chat.Store.
func (s *Store) Restore(ctx context.Context, room protocol.RoomID, lost []chat.Message, known chat.Mark) (chat.Mark, error) {
	k := s.cfg.Keep
	args := []any{min(known.Last, maxBound), chat.Leap, k.Messages, k.Bytes, k.TTL.Milliseconds(), draw()}
	for _, m := range lost {
		body, err := json.Marshal(m)
		if err != nil {
			return chat.Mark{}, fmt.Errorf("chat/redisstore: %w", err)
		}
		args = append(args, min(m.Off, maxBound), m.At, m.Weight(), origin(&m), body)
	}
	ctx, cancel := s.cfg.Deadline(ctx)
	defer cancel()
	answer, err := s.restore.Run(ctx, s.cfg.Client, s.keys(room), args...).Slice()
	if err != nil {
		return chat.Mark{}, rediscall.Error(err)
	}
	if len(answer) == 0 {
		return chat.Mark{}, chat.ErrGone()
	}
	if len(answer) == 3 {
		if last, ok := answer[0].(int64); ok && last >= 0 {
			return chat.Mark{Last: uint64(last), Gen: word(answer[1]), Epoch: word(answer[2])}, nil
		}
	}
	return chat.Mark{}, errors.New("chat/redisstore: restore.lua gave an unexpected answer")
}

// parseEntry reads "<offset>\n<at>\n<weight>\n<member>/<cid>\n<message>".
func parseEntry(entry string) (m chat.Message, err error) {
	parts := strings.SplitN(entry, "\n", 5)
	if len(parts) != 5 {
		return m, errors.New("chat/redisstore: a stored message is damaged")
	}
	if err := json.Unmarshal([]byte(parts[4]), &m); err != nil {
		return m, fmt.Errorf("chat/redisstore: a stored message is damaged: %w", err)
	}
	off, errOff := strconv.ParseUint(parts[0], 10, 64)
	at, errAt := strconv.ParseInt(parts[1], 10, 64)
	if err := errors.Join(errOff, errAt); err != nil {
		return m, fmt.Errorf("chat/redisstore: a stored message is damaged: %w", err)
	}
	m.Off, m.At = off, at
	return m, nil
}

// Page implements chat.Store.
func (s *Store) Page(ctx context.Context, room protocol.RoomID, q chat.Query) (chat.Page, error) {
	direction, bound := "b", q.Before
	if q.Forward {
		direction, bound = "f", q.After
	}
	ctx, cancel := s.cfg.Deadline(ctx)
	defer cancel()
	answer, err := s.page.Run(ctx, s.cfg.Client, s.keys(room), direction, min(bound, maxBound), q.Limit).Slice()
	if err != nil {
		return chat.Page{}, rediscall.Error(err)
	}
	return parsePage(answer)
}

func parsePage(answer []any) (chat.Page, error) {
	bad := errors.New("chat/redisstore: page.lua gave an unexpected answer")
	if len(answer) == 0 {
		return chat.Page{}, chat.ErrGone()
	}
	if len(answer) < 4 {
		return chat.Page{}, bad
	}
	last, ok1 := answer[0].(int64)
	more, ok2 := answer[1].(int64)
	if !ok1 || !ok2 || last < 0 {
		return chat.Page{}, bad
	}
	page := chat.Page{Mark: chat.Mark{Last: uint64(last), Gen: word(answer[2]), Epoch: word(answer[3])},
		More: more == 1, Messages: make([]chat.Message, 0, len(answer)-4)}
	for _, a := range answer[4:] {
		entry, ok := a.(string)
		if !ok {
			return chat.Page{}, bad
		}
		m, err := parseEntry(entry)
		if err != nil {
			return chat.Page{}, err
		}
		page.Messages = append(page.Messages, m)
	}
	return page, nil
}

// Marks implements chat.Store.
func (s *Store) Marks(ctx context.Context, rooms []protocol.RoomID) ([]chat.Mark, error) {
	if len(rooms) == 0 {
		return nil, nil
	}
	ctx, cancel := s.cfg.Deadline(ctx)
	defer cancel()
	p := s.cfg.Client.Pipeline()
	answers := make([]*redis.SliceCmd, len(rooms))
	for i, room := range rooms {
		answers[i] = p.HMGet(ctx, s.keys(room)[0], "last", "gen", "epoch")
	}
	if _, err := p.Exec(ctx); err != nil {
		return nil, rediscall.Error(err)
	}
	marks := make([]chat.Mark, len(rooms))
	for i, a := range answers {
		if last, ok := a.Val()[0].(string); ok {
			n, err := strconv.ParseUint(last, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("chat/redisstore: a stored counter is damaged: %w", err)
			}
			marks[i] = chat.Mark{Last: n, Gen: word(a.Val()[1]), Epoch: word(a.Val()[2])}
		}
	}
	return marks, nil
}

// Touch implements chat.Store.
func (s *Store) Touch(ctx context.Context, rooms []protocol.RoomID) error {
	if len(rooms) == 0 {
		return nil
	}
	ctx, cancel := s.cfg.Deadline(ctx)
	defer cancel()
	p := s.cfg.Client.Pipeline()
	for _, room := range rooms {
		for _, key := range s.keys(room) {
			p.PExpire(ctx, key, s.cfg.Keep.TTL)
		}
	}
	_, err := p.Exec(ctx)
	return rediscall.Error(err)
}

// Drop implements chat.Store.
func (s *Store) Drop(ctx context.Context, room protocol.RoomID) error {
	ctx, cancel := s.cfg.Deadline(ctx)
	defer cancel()
	return rediscall.Error(s.drop.Run(ctx, s.cfg.Client, s.keys(room), chat.GoneFor.Milliseconds()).Err())
}

// Forget implements chat.Store.
func (s *Store) Forget(ctx context.Context, user protocol.UserID) error {
	mark, err := json.Marshal(user)
	if err != nil {
		return fmt.Errorf("chat/redisstore: %w", err)
	}
	return rediscall.Scan(ctx, s.cfg.Config, "chat:*:log", func(ctx context.Context, keys []string) error {
		for _, key := range keys {
			room := strings.TrimSuffix(key, "log") + "room"
			if err := s.forget.Run(ctx, s.cfg.Client, []string{room, key}, `"user":`+string(mark)).Err(); err != nil && !errors.Is(err, redis.Nil) {
				return err
			}
		}
		return nil
	})
}
