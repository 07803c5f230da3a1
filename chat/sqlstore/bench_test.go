package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/chat/rediscache/rediscachetest"
	"github.com/rondo-chat/rondo/chat/sqlstore"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// BenchmarkHistory: what 50 messages cost, the newest and those in the middle, and what sending one does, in a conversation of 1,000 to
// 10,000,000 messages; beside the bare query of the database and the bare read of Redis. All are asked in turns, whatever else
// the machine does, and shown are the medians, in microseconds. The conversation grows from size to size: ask for sizes with -bench.
func BenchmarkHistory(b *testing.B) {
	for name, open := range map[string]func(testing.TB) (string, *sql.DB){"sqlite": rawSQLite, "postgres": rawPostgres, "mariadb": rawMariaDB} {
		b.Run(name, func(b *testing.B) {
			h := newLong(b, name, open)
			for _, n := range []int{1_000, 10_000, 100_000, 1_000_000, 10_000_000} {
				b.Run(fmt.Sprint(n), func(b *testing.B) {
					h.grow(b, n)
					h.measure(b)
				})
			}
		})
	}
}

const longRoom protocol.RoomID = "c_long"

const pageSize = 50

// long is one long conversation.
type long struct {
	engine string
	store  *sqlstore.Store
	raw    *sql.DB
	redis  *testenv.RedisServer
	by     map[string]*conversations.Conversations // record, memory, redis
	caches []conversations.Cache
	n      int
	sent   int
}

func rawSQLite(t testing.TB) (string, *sql.DB) {
	path := filepath.Join(t.TempDir(), "long.db")
	db, err := sql.Open("sqlite", path)
	return "sqlite:" + path, opened(t, db, err)
}

func rawPostgres(t testing.TB) (string, *sql.DB) {
	text := testenv.Postgres(t)
	db, err := sql.Open("pgx", text)
	return text, opened(t, db, err)
}

func rawMariaDB(t testing.TB) (string, *sql.DB) {
	text := testenv.MariaDB(t)
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("mysql", u.User.String()+"@tcp("+u.Host+")"+u.Path)
	return text, opened(t, db, err)
}

func opened(t testing.TB, db *sql.DB, err error) *sql.DB {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func newLong(b *testing.B, engine string, open func(testing.TB) (string, *sql.DB)) *long {
	b.Helper()
	text, raw := open(b)
	h := &long{engine: engine, raw: raw, store: openURL(b, text), redis: testenv.Redis(b), by: map[string]*conversations.Conversations{}}
	memory, err := conversations.NewMemoryCache(conversations.MemoryCacheConfig{})
	if err != nil {
		b.Fatal(err)
	}
	for name, cache := range map[string]conversations.Cache{"record": nil, "memory": memory, "redis": rediscachetest.Open(b, h.redis, "b:")} {
		h.by[name], err = conversations.New(conversations.Config{Store: h.store, People: nobody{}, Publisher: nobody{}, Cache: cache, Node: "n",
			Key: make([]byte, 32), Limits: conversations.Limits{Send: ratelimit.Rate{PerSecond: -1}}})
		if err != nil {
			b.Fatal(err)
		}
		if cache != nil {
			h.caches = append(h.caches, cache)
		}
	}
	err = h.store.Write(b.Context(), "bench", func(tx conversations.Tx) error {
		row := conversations.Row{Conversation: protocol.Conversation{ID: longRoom, Kind: protocol.ConvGroup, Name: "Long", Writers: protocol.WriteMembers, Members: 1}}
		if err := tx.InsertConversation(row); err != nil {
			return err
		}
		return tx.PutMember(conversations.Member{Room: longRoom, ConvPerson: protocol.ConvPerson{ID: "u_1", Name: "Ann", Role: protocol.ConvOwner}})
	})
	if err != nil {
		b.Fatal(err)
	}
	return h
}

// nobody is People and Publisher.
type nobody struct{}

func (nobody) Person(context.Context, string) (conversations.Person, error) {
	return conversations.Person{}, protocol.Errorf(protocol.CodeNotFound, "nobody")
}
func (nobody) Blocked(context.Context, protocol.UserID, protocol.UserID) (bool, error) {
	return false, nil
}
func (nobody) Publish(protocol.ConvEvent) error { return nil }

func ann() conversations.Caller {
	return conversations.Caller{Principal: auth.Principal{Identity: "u_1", Session: "s", Roles: []auth.Role{auth.RoleUser}}, Name: "Ann"}
}

// grow brings the conversation to n messages of 100 letters by 100 authors.
func (h *long) grow(b *testing.B, n int) {
	b.Helper()
	began, from := time.Now(), h.n
	numbers := map[string]string{
		"sqlite":   "(WITH RECURSIVE s(i) AS (SELECT %[1]d UNION ALL SELECT i + 1 FROM s WHERE i < %[2]d) SELECT i, substr('00000000' || i, -8) AS cid FROM s) AS s",
		"postgres": "(SELECT i, lpad(i::text, 8, '0') AS cid FROM generate_series(%[1]d, %[2]d) AS g(i)) AS s",
		"mariadb":  "(SELECT seq AS i, lpad(seq, 8, '0') AS cid FROM seq_%[1]d_to_%[2]d) AS s",
	}[h.engine]
	author := map[string]string{"sqlite": "'u_' || (i % 100)", "postgres": "'u_' || (i % 100)", "mariadb": "concat('u_', i % 100)"}[h.engine]
	if h.engine == "sqlite" {
		h.exec(b, "PRAGMA synchronous = OFF")
	}
	for h.n < n {
		to := min(n, h.n+100_000)
		h.exec(b, "INSERT INTO chat_messages (room_id, seq, rev, author, name, cid, content, reply_to, thread, replies, mentions, files, reactions, is_pinned, inserted_at, updated_at, deleted_at) "+
			"SELECT 'c_long', i, i, "+author+", 'Somebody', cid, '"+strings.Repeat("message ", 12)+"', 0, 0, 0, '[]', '[]', '[]', FALSE, i, 0, 0 FROM "+
			fmt.Sprintf(numbers, h.n+1, to))
		h.n = to
	}
	if h.engine == "postgres" {
		h.exec(b, "ANALYZE chat_messages")
	}
	h.exec(b, fmt.Sprintf("UPDATE chat_conversations SET seq = %d WHERE id = 'c_long'", h.n))
	for _, c := range h.caches {
		if err := c.Drop(b.Context(), longRoom, uint64(h.n)); err != nil {
			b.Fatal(err)
		}
	}
	if h.n > from {
		b.Logf("%d messages more in %v", h.n-from, time.Since(began).Round(time.Millisecond))
	}
}

func (h *long) exec(b *testing.B, text string) {
	b.Helper()
	if _, err := h.raw.ExecContext(b.Context(), text); err != nil {
		b.Fatal(err)
	}
}

func (h *long) measure(b *testing.B) {
	ctx := b.Context()
	middle := uint64(h.n / 2)
	newest := h.history(b, "redis", 0)
	if n := len(newest.Messages); n != pageSize || newest.Messages[n-1].Seq != uint64(h.n) || !newest.Older {
		b.Fatalf("%d messages of %d", n, h.n)
	}
	rawRedis := rediscachetest.Raw(b, h.redis, "b:", longRoom, newest.Messages)
	ways := []struct {
		name string
		f    func()
	}{
		{"raw-sql", func() { h.query(b, uint64(h.n)+1) }},
		{"record", func() { h.history(b, "record", 0) }},
		{"memory", func() { h.history(b, "memory", 0) }},
		{"redis", func() { h.history(b, "redis", 0) }},
		{"raw-redis", func() {
			if err := rawRedis(); err != nil {
				b.Fatal(err)
			}
		}},
		{"middle-raw", func() { h.query(b, middle) }},
		{"middle", func() { h.history(b, "record", middle) }},
	}
	took := make([][]time.Duration, len(ways))
	for b.Loop() {
		for i, way := range ways {
			began := time.Now()
			way.f()
			took[i] = append(took[i], time.Since(began))
		}
	}
	for i, way := range ways {
		b.ReportMetric(median(took[i]), "µs/"+way.name)
	}
	var sends []time.Duration
	for range 50 {
		h.sent++
		began := time.Now()
		if _, err := h.by["record"].Send(ctx, ann(), longRoom, protocol.ConvSend{CID: fmt.Sprint("s", h.sent), Text: "hello"}); err != nil {
			b.Fatal(err)
		}
		sends = append(sends, time.Since(began))
	}
	b.ReportMetric(median(sends), "µs/send")
	h.exec(b, fmt.Sprintf("DELETE FROM chat_messages WHERE room_id = 'c_long' AND seq > %d", h.n))
	h.exec(b, fmt.Sprintf("UPDATE chat_conversations SET seq = %d WHERE id = 'c_long'", h.n))
	h.exec(b, "DELETE FROM chat_outbox WHERE room_id = 'c_long'")
}

func median(list []time.Duration) float64 {
	slices.Sort(list)
	return float64(list[len(list)/2].Nanoseconds()) / 1000
}

func (h *long) history(b *testing.B, by string, before uint64) protocol.ConvHistory {
	page, err := h.by[by].History(b.Context(), ann(), longRoom, protocol.ConvHistoryQuery{Before: before, Limit: pageSize})
	if err != nil {
		b.Fatal(err)
	}
	return page
}

// query is the bare question: the same columns, read as they are.
func (h *long) query(b *testing.B, before uint64) {
	text := "SELECT room_id, seq, rev, author, name, cid, content, reply_to, thread, replies, mentions, files, reactions, is_pinned, inserted_at, updated_at, deleted_at " +
		"FROM chat_messages WHERE room_id = ? AND seq < ? ORDER BY room_id DESC, seq DESC LIMIT ?"
	if h.engine == "postgres" {
		text = strings.NewReplacer("room_id = ?", "room_id = $1", "seq < ?", "seq < $2", "LIMIT ?", "LIMIT $3").Replace(text)
	}
	args := []any{string(longRoom), int64(before), pageSize}
	if h.engine == "mariadb" { // as the store asks, for an equality makes it read all that is newer
		text, args = strings.Replace(text, "room_id = ?", "room_id >= ? AND room_id <= ?", 1), slices.Insert(args, 1, args[0])
	}
	rows, err := h.raw.QueryContext(b.Context(), text, args...)
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close()
	values := make([]sql.RawBytes, 17)
	into := make([]any, len(values))
	for i := range values {
		into[i] = &values[i]
	}
	n := 0
	for ; rows.Next(); n++ {
		if err := rows.Scan(into...); err != nil {
			b.Fatal(err)
		}
	}
	if n != pageSize || rows.Err() != nil {
		b.Fatal(n, rows.Err())
	}
}
