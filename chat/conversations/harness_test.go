package conversations_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/chat/sqlstore"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is Conversations over SQLite, with a clock of its own, and all others that it needs.
type house struct {
	*conversations.Conversations
	t     testing.TB
	store *sqlstore.Store
	reg   *prometheus.Registry
	cfg   conversations.Config
	clock atomic.Int64 // milliseconds

	mu      sync.Mutex
	told    []protocol.ConvEvent // published
	deaf    bool                 // publishing fails
	people  map[string]conversations.Person
	blocked map[string]bool // "a b"
	words   string          // what the moderator refuses
	deleted []string        // stored files
}

const noRate = -1

func unlimited() conversations.Limits {
	no := ratelimit.Rate{PerSecond: noRate}
	return conversations.Limits{Send: no, Change: no, Create: no, Join: no, Manage: no, Guess: no, GuessRoom: no, Search: no, Attach: no}
}

// open makes a house without rates; change may say otherwise.
func open(t testing.TB, change func(*conversations.Config)) *house {
	t.Helper()
	db, err := database.Open(t.Context(), database.Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "c.db"), Timeout: 30 * time.Second, SlowQuery: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	h := &house{t: t, store: sqlstore.New(db), people: map[string]conversations.Person{}, blocked: map[string]bool{}}
	if err := h.store.Migrate(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	h.clock.Store(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC).UnixMilli())
	cache, err := conversations.NewMemoryCache(conversations.MemoryCacheConfig{})
	if err != nil {
		t.Fatal(err)
	}
	h.cfg = conversations.Config{Store: h.store, People: h, Publisher: h, Moderator: h, Files: blobs{h}, Cache: cache, Node: "n1",
		Key: []byte(strings.Repeat("k", 32)), Limits: unlimited(), Now: h.now, Limiter: ratelimit.NewMemoryAt(10_000, h.now)}
	if change != nil {
		change(&h.cfg)
	}
	h.Conversations = h.node("n1")
	return h
}

// node is another node over the same store.
func (h *house) node(name protocol.NodeID) *conversations.Conversations {
	h.t.Helper()
	cfg := h.cfg
	cfg.Node, h.reg = name, prometheus.NewPedanticRegistry()
	cfg.Registerer = h.reg
	c, err := conversations.New(cfg)
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

func (h *house) now() time.Time          { return time.UnixMilli(h.clock.Load()) }
func (h *house) advance(d time.Duration) { h.clock.Add(d.Milliseconds()) }

func (h *house) Person(_ context.Context, who string) (conversations.Person, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p, ok := h.people[who]; ok {
		return p, nil
	}
	return conversations.Person{}, protocol.Errorf(protocol.CodeNotFound, "nobody")
}

func (h *house) Blocked(_ context.Context, a, b protocol.UserID) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.blocked[string(a)+" "+string(b)] || h.blocked[string(b)+" "+string(a)], nil
}

func (h *house) Publish(e protocol.ConvEvent) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.deaf {
		return errors.New("deaf")
	}
	h.told = append(h.told, e)
	return nil
}

func (h *house) Check(_ context.Context, _ conversations.Caller, _ protocol.RoomID, text string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.words != "" && strings.Contains(text, h.words) {
		return protocol.Errorf(protocol.CodeForbidden, "not such words")
	}
	return nil
}

// blobs is where the house's uploads would be.
type blobs struct{ h *house }

func (b blobs) Delete(_ context.Context, stored string) error {
	h := b.h
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deleted = append(h.deleted, stored)
	return nil
}

// set changes what the house says under its lock.
func (h *house) set(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

func (h *house) events(room protocol.RoomID) []protocol.ConvEvent {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []protocol.ConvEvent
	for _, e := range h.told {
		if e.Room == room {
			list = append(list, e)
		}
	}
	return list
}

// user is a user whom People knows.
func (h *house) user(name string, roles ...auth.Role) conversations.Caller {
	id := protocol.UserID("u_" + name)
	h.set(func() {
		p := conversations.Person{ID: id, Name: name}
		h.people[name], h.people[string(id)] = p, p
	})
	return conversations.Caller{Principal: auth.Principal{Identity: id, Session: "s", Roles: append([]auth.Role{auth.RoleUser}, roles...)}, Name: name}
}

func (h *house) guest(name string) conversations.Caller {
	id := protocol.UserID("g_" + name)
	h.set(func() { h.people[string(id)] = conversations.Person{ID: id, Name: name, Guest: true} })
	return conversations.Caller{Principal: auth.Principal{Identity: id, Guest: true}, Name: name}
}

func (h *house) create(who conversations.Caller, q protocol.ConvCreate) protocol.RoomID {
	h.t.Helper()
	if q.Name == "" && q.Kind != protocol.ConvDirect {
		q.Name = "Room"
	}
	e, err := h.Create(h.t.Context(), who, q)
	if err != nil {
		h.t.Fatal(err)
	}
	return e.ID
}

// group makes a group of these, the first one the owner, the second one a moderator.
func (h *house) group(all ...conversations.Caller) protocol.RoomID {
	h.t.Helper()
	room := h.create(all[0], protocol.ConvCreate{Kind: protocol.ConvGroup})
	for i, who := range all[1:] {
		h.must(second(h.Invite(h.t.Context(), all[0], room, string(who.Identity))))
		h.must(second(h.Join(h.t.Context(), who, room, "")))
		if i == 0 {
			h.must(second(h.SetRole(h.t.Context(), all[0], room, who.Identity, protocol.ConvModerator)))
		}
	}
	return room
}

func (h *house) send(who conversations.Caller, room protocol.RoomID, cid, text string) protocol.ConvMessage {
	h.t.Helper()
	sent, err := h.Send(h.t.Context(), who, room, protocol.ConvSend{CID: cid, Text: text})
	if err != nil {
		h.t.Fatal(err)
	}
	return sent.Message
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func second[T any](_ T, err error) error { return err }

func wantCode(t testing.TB, err error, want protocol.Code) {
	t.Helper()
	if _, ok := errors.AsType[*protocol.Error](err); err != nil && !ok {
		t.Fatalf("not an error to show: %v", err)
	}
	if got := protocol.CodeOf(err); got != want {
		t.Fatalf("error %v, want %q", err, want)
	}
}

// texts are what the messages say.
func texts(list []protocol.ConvMessage) []string {
	var out []string
	for _, m := range list {
		out = append(out, m.Text)
	}
	return out
}

func wantTexts(t testing.TB, list []protocol.ConvMessage, want ...string) {
	t.Helper()
	if got := texts(list); !slices.Equal(got, want) {
		t.Fatalf("messages %q, want %q", got, want)
	}
}

// gapless fails unless the events of the room are 1, 2, 3 …
func (h *house) gapless(room protocol.RoomID) {
	h.t.Helper()
	for i, e := range h.events(room) {
		if e.Seq != uint64(i+1) {
			h.t.Fatalf("event %d has the number %d", i+1, e.Seq)
		}
	}
}
