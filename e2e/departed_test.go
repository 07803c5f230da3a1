package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// TestDeletedIsGone: somebody has met, blocked, been blocked, written, and leaves for
// good. Neither Redis nor the bytes of the database show who that was.
func TestDeletedIsGone(t *testing.T) {
	t.Parallel() // it mostly waits
	file := filepath.Join(t.TempDir(), "rondo.db")
	shared := testenv.Redis(t)
	s := newService(t, "sqlite:"+file)
	s.opts.Redis = shared.URL
	n := s.node(t)
	ann := browser(t, n, 1, "zaphodine")
	identity, _ := ann.join(s).body["user"].(map[string]any)["id"].(string)
	login := ann.login()
	login["bearer"] = true
	tokens := browser(t, n, 4, "zaphodine").wants(http.StatusOK, "POST", "/auth/login", login)
	traces := []string{identity, ann.email, ann.username, "Quintessa"}

	there := n.Dial(t, 1, client.Options{Bearer: func(context.Context) (string, error) { return tokens.body["access_token"].(string), nil }})
	if u, err := there.Rename(t.Context(), "Quintessa"); err != nil || string(u.ID) != identity {
		t.Fatalf("over the WebSocket %+v, over REST %s; %v", u, identity, err)
	}
	bo, cy := n.Dial(t, 2, client.Options{Name: "Bo"}), n.Dial(t, 3, client.Options{Name: "Cy"})
	meet := func(other *client.Client) (client.Found, client.Found) {
		find(t, there, protocol.Find{})
		find(t, other, protocol.Find{})
		return next[client.Found](t, there), next[client.Found](t, other)
	}
	found, _ := meet(bo)
	if err := there.Block(t.Context(), found.Room, found.Peer.ID); err != nil {
		t.Fatal(err)
	}
	_, found = meet(cy)
	if err := cy.Block(t.Context(), found.Room, found.Peer.ID); err != nil {
		t.Fatal(err)
	}
	room, err := bo.Create(t.Context(), protocol.RoomCreate{Name: "Lounge"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := there.Join(t.Context(), room.Room, ""); err != nil {
		t.Fatal(err)
	}
	for i, c := range []*client.Client{there, bo} {
		if _, err := c.Chat(t.Context(), room.Room, fmt.Sprintf("words of member %d", i+1)); err != nil {
			t.Fatal(err)
		}
	}
	for _, trace := range []string{identity, "Quintessa"} {
		if !strings.Contains(everything(t, shared.Addr), trace) {
			t.Fatalf("not even now is %s in Redis: this test looks at the wrong place", trace)
		}
	}

	ann.wants(http.StatusNoContent, "DELETE", "/me", fields{"password": ann.password})
	awaitMail(t, s, ann.email, "deleted", 1)
	testenv.Eventually(t, 2*wait, func() bool { return departed(t, file) }, "who was deleted is forgotten")
	all := everything(t, shared.Addr)
	for _, trace := range traces {
		if at := strings.Index(all, trace); at >= 0 {
			t.Errorf("Redis holds %s: …%s…", trace, all[max(0, at-200):min(len(all), at+200)])
		}
	}
	if h, err := bo.History(t.Context(), room.Room, protocol.ChatQuery{}); err != nil || len(h.Messages) != 1 || h.Messages[0].Text != "words of member 2" {
		t.Errorf("what is left of the chat: %+v, %v", h, err)
	}
	n.Stop(t, wait)
	for _, name := range []string{file, file + "-wal"} {
		b, err := os.ReadFile(name)
		if err != nil && name == file {
			t.Fatal(err)
		}
		for _, trace := range traces {
			if strings.Contains(string(b), trace) {
				t.Errorf("%s holds %s", filepath.Base(name), trace)
			}
		}
	}
}

// departed reports whether the database has nobody any more who is to be forgotten.
func departed(t *testing.T, file string) bool {
	t.Helper()
	db, err := database.Open(t.Context(), database.Config{URL: "sqlite:" + file})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	n := -1
	err = db.Read(t.Context(), "test", func(q database.Queryer) error { return q.QueryRow("SELECT COUNT(*) FROM departures").Scan(&n) })
	if err != nil {
		t.Fatal(err)
	}
	return n == 0
}

// everything is all that a Redis server holds, as one text, but for calls that
// ended: their records are there for two more minutes, so that nobody enters them again.
func everything(t *testing.T, addr string) string {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: addr})
	defer c.Close()
	ctx := t.Context()
	keys, err := c.Keys(ctx, "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, key := range keys {
		kind, err := c.Type(ctx, key).Result()
		if err != nil {
			t.Fatal(err)
		}
		var value any
		switch kind {
		case "string":
			value, err = c.Get(ctx, key).Result()
		case "hash":
			value, err = c.HGetAll(ctx, key).Result()
		case "zset":
			value, err = c.ZRange(ctx, key, 0, -1).Result()
		case "set":
			value, err = c.SMembers(ctx, key).Result()
		case "list":
			value, err = c.LRange(ctx, key, 0, -1).Result()
		case "none": // over in the meantime
		default:
			t.Fatalf("%s is a %s: read it here", key, kind)
		}
		if err != nil && err != redis.Nil {
			t.Fatalf("%s: %v", key, err)
		}
		text := fmt.Sprint(value)
		if strings.Contains(key, "room:") && strings.Contains(text, `"ended":true`) {
			if left := c.PTTL(ctx, key).Val(); left <= 0 || left > 3*time.Minute {
				t.Errorf("the record of an ended call is kept for %v", left)
			}
			continue
		}
		fmt.Fprintln(&all, key, text)
	}
	return all.String()
}
