// Package redisstore is the rooms.Store over Redis: one server, Sentinel or
// Cluster. Each script and each command touches one key, so that rooms, nodes
// and their lists may lie on different servers.
//
// Keys, all under the prefix and all with a time to live:
//
//	room:{<room>}    HASH  v = revision, d = record as JSON, g = generation
//	seats:{<node>}   SET   "<room>/<member>/<session>" for each seat of the node
//	nodes            ZSET  node by end of its lease
//	rooms:due        ZSET  empty named room by its last instant
//
// A seat is listed before its room's record is written and taken off the list
// after, so that a node that dies in between leaves an entry too many, never one
// too few. A generation is a replication id: Redis draws a new one when it starts,
// and when a replica takes over. Leases follow the Redis server's clock; ends of rooms that of the
// node that set them.
package redisstore

import (
	"context"
	_ "embed" // the scripts
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/internal/rediscall"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/rooms"
)

//go:embed swap.lua
var swapLua string

//go:embed renew.lua
var renewLua string

//go:embed relist.lua
var relistLua string

//go:embed dead.lua
var deadLua string

//go:embed forget.lua
var forgetLua string

//go:embed due.lua
var dueLua string

const (
	// DefaultTTL is how long what nobody renews stays.
	DefaultTTL = 6 * time.Hour
	// dueSlack is for how long after its end an empty room stays readable, so
	// that a sweep finds it and can tell of its end.
	dueSlack = time.Hour
	// slow is how long a write may take before its seats are listed once more:
	// in that time this node may have been given up and its list cleared.
	slow = time.Second
)

// Config configures a Store.
type Config struct {
	rediscall.Config
	TTL time.Duration // of rooms and lists that nobody renews, at least 2 h; DefaultTTL
}

// Store is a rooms.Store.
type Store struct {
	cfg                                     Config
	swap, renew, relist, dead, forget, over *redis.Script
}

var _ rooms.Store = (*Store)(nil)

// New makes a Store. It does not connect.
func New(cfg Config) (*Store, error) {
	if err := cfg.Validate("rooms/redisstore"); err != nil {
		return nil, err
	}
	if cfg.TTL == 0 {
		cfg.TTL = DefaultTTL
	}
	if cfg.TTL < 2*time.Hour {
		return nil, fmt.Errorf("rooms/redisstore: Config.TTL is %v, must be at least 2h", cfg.TTL)
	}
	return &Store{
		cfg:    cfg,
		swap:   redis.NewScript(swapLua),
		renew:  redis.NewScript(renewLua),
		relist: redis.NewScript(relistLua),
		dead:   redis.NewScript(deadLua),
		forget: redis.NewScript(forgetLua),
		over:   redis.NewScript(dueLua),
	}, nil
}

func (s *Store) roomKey(id protocol.RoomID) string { return s.cfg.Prefix + "room:{" + string(id) + "}" }

func (s *Store) seatsKey(node protocol.NodeID) string {
	return s.cfg.Prefix + "seats:{" + string(node) + "}"
}

func (s *Store) nodesKey() string { return s.cfg.Prefix + "nodes" }
func (s *Store) dueKey() string   { return s.cfg.Prefix + "rooms:due" }

// Load implements rooms.Store.
func (s *Store) Load(ctx context.Context, id protocol.RoomID) (*rooms.Record, error) {
	ctx, cancel := s.cfg.Deadline(ctx)
	defer cancel()
	b, err := s.cfg.Client.HGet(ctx, s.roomKey(id), "d").Bytes()
	if err != nil {
		return nil, rediscall.Error(err) // nil for a key that is not there
	}
	rec := new(rooms.Record)
	if err := json.Unmarshal(b, rec); err != nil {
		return nil, fmt.Errorf("rooms/redisstore: record of room %s: %w", id, err)
	}
	return rec, nil
}

// Swap implements rooms.Store.
func (s *Store) Swap(ctx context.Context, old, new *rooms.Record) (bool, error) {
	ctx, cancel := s.cfg.Deadline(ctx)
	defer cancel()
	start := time.Now()
	if err := s.list(ctx, old, new); err != nil {
		return false, rediscall.Error(err)
	}
	ok, err := s.write(ctx, old, new)
	if err != nil || !ok {
		return false, err
	}
	if time.Since(start) > slow {
		if err := s.list(ctx, old, new); err != nil {
			return false, rediscall.Error(err)
		}
	}
	s.unlist(ctx, old, new)
	return true, nil
}

func (s *Store) write(ctx context.Context, old, new *rooms.Record) (bool, error) {
	var (
		id       protocol.RoomID
		was, rev uint64
		text     []byte
		err      error
	)
	if old != nil {
		id, was = old.Room.ID, old.Rev
	}
	if new != nil {
		id, rev = new.Room.ID, new.Rev
		if text, err = json.Marshal(new); err != nil {
			return false, fmt.Errorf("rooms/redisstore: %w", err)
		}
	}
	same := old != nil && new != nil && old.Epoch == new.Epoch
	n, err := s.swap.Run(ctx, s.cfg.Client, []string{s.roomKey(id)}, was, rev, text, s.ttl(new).Milliseconds(), same).Int()
	if err == nil && n == 2 {
		return false, rooms.ErrMoved
	}
	return n == 1, rediscall.Error(err)
}

// ttl returns how long the record is to stay.
func (s *Store) ttl(r *rooms.Record) time.Duration {
	switch {
	case r == nil || r.Until.IsZero():
		return s.cfg.TTL
	case r.Room.Ended:
		return max(time.Until(r.Until), time.Millisecond)
	}
	return max(time.Until(r.Until), 0) + dueSlack
}

// list enters what new has and old has not into the lists.
func (s *Store) list(ctx context.Context, old, new *rooms.Record) error {
	had := old.Seats()
	p := s.cfg.Client.Pipeline()
	for seat, node := range new.Seats() {
		if had[seat] != node {
			key := s.seatsKey(node)
			p.SAdd(ctx, key, entry(seat))
			p.PExpire(ctx, key, s.cfg.TTL)
		}
	}
	if new != nil && !new.Until.IsZero() && !new.Room.Ended && (old == nil || !old.Until.Equal(new.Until)) {
		p.ZAdd(ctx, s.dueKey(), redis.Z{Score: float64(new.Until.UnixMilli()), Member: string(new.Room.ID)})
		p.PExpire(ctx, s.dueKey(), max(s.cfg.TTL, 2*time.Until(new.Until)))
	}
	if p.Len() == 0 {
		return nil
	}
	_, err := p.Exec(ctx)
	return err
}

// unlist takes what old had and new has not off the nodes' lists. Should that
// fail, an entry is left that means nothing and that the node clears later.
func (s *Store) unlist(ctx context.Context, old, new *rooms.Record) {
	has := new.Seats()
	p := s.cfg.Client.Pipeline()
	for seat, node := range old.Seats() {
		if has[seat] != node {
			p.SRem(ctx, s.seatsKey(node), entry(seat))
		}
	}
	if p.Len() > 0 {
		_, _ = p.Exec(ctx) // see above
	}
}

func entry(s rooms.Seat) string {
	return string(s.Room) + "/" + string(s.Member) + "/" + string(s.Session)
}

func parseEntry(e string) (rooms.Seat, bool) {
	parts := strings.SplitN(e, "/", 3)
	if len(parts) != 3 {
		return rooms.Seat{}, false
	}
	return rooms.Seat{Room: protocol.RoomID(parts[0]), Member: protocol.MemberID(parts[1]), Session: protocol.SessionID(parts[2])}, true
}

// Renew implements rooms.Store.
func (s *Store) Renew(ctx context.Context, node protocol.NodeID, ttl time.Duration) (rooms.Renewed, error) {
	ctx, cancel := s.cfg.Deadline(ctx)
	defer cancel()
	answer, err := s.renew.Run(ctx, s.cfg.Client, []string{s.nodesKey()}, string(node), ttl.Milliseconds(), max(s.cfg.TTL, 2*ttl).Milliseconds()).StringSlice()
	if err := rediscall.Error(err); err != nil {
		return rooms.Renewed{}, err
	}
	if len(answer) != 2 {
		return rooms.Renewed{}, errors.New("rooms/redisstore: renew.lua gave an unexpected answer")
	}
	p := s.cfg.Client.Pipeline()
	seats := p.SCard(ctx, s.seatsKey(node))
	p.PExpire(ctx, s.seatsKey(node), s.cfg.TTL)
	if _, err := p.Exec(ctx); err != nil {
		return rooms.Renewed{}, rediscall.Error(err)
	}
	return rooms.Renewed{Seats: int(seats.Val()), Known: answer[0] == "known", Gen: answer[1]}, nil
}

// Relist implements rooms.Store.
func (s *Store) Relist(ctx context.Context, node protocol.NodeID, seats []rooms.Seat, ttl time.Duration) error {
	ctx, cancel := s.cfg.Deadline(ctx)
	defer cancel()
	if len(seats) > 0 {
		entries := make([]any, len(seats))
		for i, seat := range seats {
			entries[i] = entry(seat)
		}
		p := s.cfg.Client.Pipeline()
		p.SAdd(ctx, s.seatsKey(node), entries...)
		p.PExpire(ctx, s.seatsKey(node), s.cfg.TTL)
		if _, err := p.Exec(ctx); err != nil {
			return rediscall.Error(err)
		}
	}
	return rediscall.Error(s.relist.Run(ctx, s.cfg.Client, []string{s.nodesKey()}, string(node), ttl.Milliseconds(), max(s.cfg.TTL, 2*ttl).Milliseconds()).Err())
}

// Dead implements rooms.Store.
func (s *Store) Dead(ctx context.Context) ([]protocol.NodeID, error) {
	ctx, cancel := s.cfg.Deadline(ctx)
	defer cancel()
	names, err := s.dead.Run(ctx, s.cfg.Client, []string{s.nodesKey()}).StringSlice()
	return typed[protocol.NodeID](names), rediscall.Error(err)
}

func typed[T ~string](names []string) []T {
	ids := make([]T, len(names))
	for i, n := range names {
		ids[i] = T(n)
	}
	return ids
}

// Seats implements rooms.Store.
func (s *Store) Seats(ctx context.Context, node protocol.NodeID, cursor string, limit int) ([]rooms.Seat, string, error) {
	ctx, cancel := s.cfg.Deadline(ctx)
	defer cancel()
	at := uint64(0)
	if cursor != "" {
		var err error
		if at, err = strconv.ParseUint(cursor, 10, 64); err != nil {
			return nil, "", fmt.Errorf("rooms/redisstore: cursor %q: %w", cursor, err)
		}
	}
	entries, at, err := s.cfg.Client.SScan(ctx, s.seatsKey(node), at, "", int64(limit)).Result()
	if err != nil {
		return nil, "", rediscall.Error(err)
	}
	seats := make([]rooms.Seat, 0, len(entries))
	for _, e := range entries {
		if seat, ok := parseEntry(e); ok {
			seats = append(seats, seat)
		}
	}
	if at == 0 {
		return seats, "", nil
	}
	return seats, strconv.FormatUint(at, 10), nil
}

// Forget implements rooms.Store.
func (s *Store) Forget(ctx context.Context, node protocol.NodeID, seats []rooms.Seat) error {
	ctx, cancel := s.cfg.Deadline(ctx)
	defer cancel()
	p := s.cfg.Client.Pipeline()
	if len(seats) > 0 {
		entries := make([]any, len(seats))
		for i, seat := range seats {
			entries[i] = entry(seat)
		}
		p.SRem(ctx, s.seatsKey(node), entries...)
	}
	left := p.SCard(ctx, s.seatsKey(node))
	if _, err := p.Exec(ctx); err != nil || left.Val() > 0 {
		return rediscall.Error(err)
	}
	return rediscall.Error(s.forget.Run(ctx, s.cfg.Client, []string{s.nodesKey()}, string(node)).Err())
}

// Due implements rooms.Store.
func (s *Store) Due(ctx context.Context, now time.Time, limit int) ([]protocol.RoomID, error) {
	ctx, cancel := s.cfg.Deadline(ctx)
	defer cancel()
	names, err := s.over.Run(ctx, s.cfg.Client, []string{s.dueKey()}, now.UnixMilli(), min(limit, 1000)).StringSlice()
	return typed[protocol.RoomID](names), rediscall.Error(err)
}

// Keep implements rooms.Store.
func (s *Store) Keep(ctx context.Context, ids []protocol.RoomID) error {
	if len(ids) == 0 {
		return nil
	}
	ctx, cancel := s.cfg.Deadline(ctx)
	defer cancel()
	p := s.cfg.Client.Pipeline()
	for _, id := range ids {
		p.PExpire(ctx, s.roomKey(id), s.cfg.TTL)
	}
	_, err := p.Exec(ctx)
	return rediscall.Error(err)
}
