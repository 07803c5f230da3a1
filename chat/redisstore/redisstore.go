// Package redisstore is the chat.Store over Redis: one server, Sentinel or
// Cluster. Both keys of a room share a slot, so that offset, message and retry
// check are one step:
//
//	chat:{<room>}:room  HASH  the counter, and the offset of each client id kept
//	chat:{<room>}:list  LIST  the messages kept, oldest first
//
// It keeps the newest messages of living rooms, each key with a time to live. It
// is no record: what Redis loses is lost.
package redisstore

import (
	"context"
	_ "embed" // the scripts
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/chat"
	"github.com/rondo-chat/rondo/internal/rediscall"
	"github.com/rondo-chat/rondo/protocol"
)

//go:embed append.lua
var appendLua string

//go:embed page.lua
var pageLua string

// maxBound is the largest offset that a script can count with.
const maxBound = 1 << 53

// Config configures a Store.
type Config struct {
	rediscall.Config
	Keep chat.Retention
}

// Store is a chat.Store.
type Store struct {
	cfg          Config
	append, page *redis.Script
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
	return &Store{cfg: cfg, append: redis.NewScript(appendLua), page: redis.NewScript(pageLua)}, nil
}

func (s *Store) keys(room protocol.RoomID) []string {
	base := s.cfg.Prefix + "chat:{" + string(room) + "}:"
	return []string{base + "room", base + "list"}
}

// Append implements chat.Store.
func (s *Store) Append(ctx context.Context, m chat.Message) (chat.Message, bool, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return chat.Message{}, false, fmt.Errorf("chat/redisstore: %w", err)
	}
	ctx, cancel := s.cfg.Deadline(ctx)
	defer cancel()
	k := s.cfg.Keep
	answer, err := s.append.Run(ctx, s.cfg.Client, s.keys(m.Room), string(m.From)+"/"+m.CID, m.At, m.Weight(), body,
		k.Messages, k.Bytes, k.TTL.Milliseconds()).Slice()
	if err != nil {
		return chat.Message{}, false, rediscall.Error(err)
	}
	dup, text, err := parseAppend(answer)
	if err != nil {
		return chat.Message{}, false, err
	}
	stored, err := parseEntry(text)
	return stored, dup, err
}

func parseAppend(answer []any) (dup bool, entry string, err error) {
	if len(answer) == 2 {
		n, ok := answer[0].(int64)
		e, isText := answer[1].(string)
		if ok && isText {
			return n == 1, e, nil
		}
	}
	return false, "", errors.New("chat/redisstore: append.lua gave an unexpected answer")
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
	if len(answer) < 2 {
		return chat.Page{}, bad
	}
	last, ok1 := answer[0].(int64)
	more, ok2 := answer[1].(int64)
	if !ok1 || !ok2 || last < 0 {
		return chat.Page{}, bad
	}
	page := chat.Page{Last: uint64(last), More: more == 1, Messages: make([]chat.Message, 0, len(answer)-2)}
	for _, a := range answer[2:] {
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
	return rediscall.Error(s.cfg.Client.Unlink(ctx, s.keys(room)...).Err())
}
