package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/chat/conversations"
	chatsql "github.com/rondo-chat/rondo/chat/sqlstore"
	"github.com/rondo-chat/rondo/events"
	"github.com/rondo-chat/rondo/events/eventstest"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// everybody is who conversations are with, in a test that is about their events.
type everybody struct{}

func (everybody) Person(_ context.Context, who string) (conversations.Person, error) {
	return conversations.Person{ID: protocol.UserID(who), Name: who}, nil
}
func (everybody) Blocked(context.Context, protocol.UserID, protocol.UserID) (bool, error) {
	return false, nil
}
func (everybody) Publish(protocol.ConvEvent) error { return nil }

func openChat(t *testing.T, url string) *chatsql.Store {
	t.Helper()
	db, err := database.Open(t.Context(), database.Config{URL: url, Timeout: 30 * time.Second, SlowQuery: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	store := chatsql.New(db)
	if err := store.Migrate(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	return store
}

// talking are conversations that run in a database.
func talking(t *testing.T, store conversations.Store, sinks ...string) *conversations.Conversations {
	t.Helper()
	no := ratelimit.Rate{PerSecond: -1}
	c, err := conversations.New(conversations.Config{
		Store: store, People: everybody{}, Publisher: everybody{}, Node: "n_1", Key: bytes.Repeat([]byte("k"), 32), Sinks: sinks,
		Limits: conversations.Limits{Send: no, Change: no, Create: no},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return c
}

func ana() conversations.Caller {
	return conversations.Caller{Principal: auth.Principal{Identity: "u_ana", Session: "s", Roles: []auth.Role{auth.RoleUser}}, Name: "Ana"}
}

// sinkFile writes an events-file.
func sinkFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "events.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func testSigner(t *testing.T) *auth.Signer {
	t.Helper()
	s, err := auth.NewSigner(bytes.Repeat([]byte("s"), 32))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestEventsOfSQLite: what is said in conversations in SQLite reaches a receiver that fails half the time, while
// the node that serves it is replaced: all of it, in order, signed; a group's stays inside.
func TestEventsOfSQLite(t *testing.T) {
	got, calls := &eventstest.Got{}, atomic.Int64{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1)%2 == 0 {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err == nil {
			got.Take(r.Header.Get, body)
		}
	}))
	defer server.Close()
	file := sinkFile(t, fmt.Sprintf("sinks:\n- {name: hook, kind: webhook, url: %q, allow: 127.0.0.1, types: [message], secret-files: [%s]}\n",
		server.URL, writeSecret(t)))
	list, err := readSinks(file)
	if err != nil {
		t.Fatal(err)
	}
	store := openChat(t, "sqlite:"+filepath.Join(t.TempDir(), "c.db"))
	c := talking(t, store, "hook")
	first := dispatch(t, store, "n_1", list)
	topics := chatter(t, c, 3, 10)
	testenv.Eventually(t, 30*time.Second, func() bool { return got.Len() >= 10 }, "events come")
	first.Close()
	second := dispatch(t, store, "n_2", list)
	for _, room := range topics {
		say(t, c, room, 10)
	}
	testenv.Eventually(t, 60*time.Second, func() bool { return got.Distinct() >= 60 }, "all events come")
	second.Close()
	got.CheckRooms(t, topics, 20)
}

func writeSecret(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(events.FormatSecret(eventstest.Secret())+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func dispatch(t *testing.T, store conversations.Store, node protocol.NodeID, list []sinkConfig) *events.Dispatcher {
	t.Helper()
	var subs []events.Subscription
	for i := range list {
		sub, err := list[i].subscription(testSigner(t))
		if err != nil {
			t.Fatal(err)
		}
		subs = append(subs, sub)
	}
	d, err := events.New(events.Config{
		Log: &outbox{store, node}, Sinks: subs, Lease: 3 * time.Second, Poll: 20 * time.Millisecond, MinPause: 5 * time.Millisecond, MaxPause: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	d.Start()
	t.Cleanup(d.Close)
	return d
}

// chatter makes topics with messages, and a group with as many.
func chatter(t *testing.T, c *conversations.Conversations, topics, messages int) []protocol.RoomID {
	t.Helper()
	var rooms []protocol.RoomID
	for i := range topics + 1 {
		create := protocol.ConvCreate{Kind: protocol.ConvTopic, Name: fmt.Sprint("topic ", i), About: "about"}
		if i == topics {
			create = protocol.ConvCreate{Kind: protocol.ConvGroup, Name: "a group"}
		}
		entry, err := c.Create(t.Context(), ana(), create)
		if err != nil {
			t.Fatal(err)
		}
		say(t, c, entry.ID, messages)
		if i < topics {
			rooms = append(rooms, entry.ID)
		}
	}
	return rooms
}

func say(t *testing.T, c *conversations.Conversations, room protocol.RoomID, n int) {
	t.Helper()
	for i := range n {
		_, err := c.Send(t.Context(), ana(), room, protocol.ConvSend{CID: auth.Random(16), Text: fmt.Sprint("text ", i)})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestOutboxFence: a node whose lease ran out, and was taken by another, notes nothing any more; who gave
// it back has no part in it.
func TestOutboxFence(t *testing.T) {
	store := openChat(t, "sqlite:"+filepath.Join(t.TempDir(), "c.db"))
	a, b := &outbox{store, "n_a"}, &outbox{store, "n_b"}
	lease := func(o *outbox, d time.Duration, want bool) {
		t.Helper()
		if mine, err := o.Lease(t.Context(), "s", time.Now().Add(d)); err != nil || mine != want {
			t.Fatalf("%s: %v, %v", o.node, mine, err)
		}
	}
	lease(a, time.Hour, true)
	lease(b, time.Hour, false)
	if err := a.Advance(t.Context(), "s", time.Now().Add(time.Hour), events.Cursor{Pos: 7, Tries: 2, Next: 9, Error: "e"}); err != nil {
		t.Fatal(err)
	}
	lease(a, 0, true) // gives it back
	lease(b, time.Hour, true)
	letter := events.Letter{Sink: "s", Row: events.Row{Room: "c_1", Seq: 1, Pos: 8, Payload: []byte("{}")}, Reason: "r", At: 1}
	if err := a.Advance(t.Context(), "s", time.Now().Add(time.Hour), events.Cursor{Pos: 8}, letter); !errors.Is(err, events.ErrLost) {
		t.Fatalf("without the lease: %v", err)
	}
	c, err := b.Cursor(t.Context(), "s")
	if want := (events.Cursor{Pos: 7, Tries: 2, Next: 9, Error: "e"}); err != nil || c != want {
		t.Fatalf("%+v, %v", c, err)
	}
	if letters, err := b.Letters(t.Context(), "s", 10); err != nil || len(letters) != 0 {
		t.Fatalf("%v, %v", letters, err)
	}
	if err := b.Advance(t.Context(), "s", time.Now().Add(time.Hour), events.Cursor{Pos: 8}, letter); err != nil {
		t.Fatal(err)
	}
	if letters, err := b.Letters(t.Context(), "s", 10); err != nil || len(letters) != 1 || letters[0].Row.Pos != 8 {
		t.Fatalf("%+v, %v", letters, err)
	}
}

// TestEventsCommand: the operator sees how far a sink is, its dead letters and its secret, and replays.
func TestEventsCommand(t *testing.T) {
	var refuse atomic.Bool
	refuse.Store(true)
	taken := atomic.Int64{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if refuse.Load() {
			w.WriteHeader(http.StatusGone)
			return
		}
		taken.Add(1)
	}))
	defer server.Close()
	data, file := refusedEvents(t, server.URL)
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := eventsCommand(t.Context(), append(args, "--data", data, "--events-file", file), nil, &out, io.Discard)
		return out.String(), err
	}
	if out, err := run("letters", "hook"); err != nil || strings.Count(out, "refused: status 410") < 3 {
		t.Errorf("letters: %v\n%s", err, out)
	}
	if out, err := run("list"); err != nil || !strings.Contains(out, "webhook") {
		t.Errorf("list: %v\n%s", err, out)
	}
	if out, err := run("replay", "hook"); err == nil || !strings.Contains(out, "0 taken") {
		t.Errorf("replay of what is still refused: %v\n%s", err, out)
	}
	refuse.Store(false)
	if out, err := run("replay", "hook"); err != nil || strings.Contains(out, "0 taken") || taken.Load() < 3 {
		t.Errorf("replay: %v\n%s", err, out)
	}
	if out, err := run("letters", "hook"); err != nil || strings.Contains(out, "410") {
		t.Errorf("letters after the replay: %v\n%s", err, out)
	}
	out, err := run("secret", "hook")
	if _, bad := events.ParseSecret(out); err != nil || bad != nil {
		t.Errorf("secret: %v, %q", err, out)
	}
	for _, args := range [][]string{{"nonsense"}, {"letters"}, {"letters", "other"}} {
		if _, err := run(args...); !errors.Is(err, errUsage) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// refusedEvents is a service's data folder with dead letters, and its events-file.
func refusedEvents(t *testing.T, url string) (data, file string) {
	t.Helper()
	data = t.TempDir()
	file = sinkFile(t, fmt.Sprintf("sinks:\n- {name: hook, kind: webhook, url: %q, allow: [127.0.0.1/32], private: true}\n", url))
	if _, _, err := auth.LoadOrCreateSecret(filepath.Join(data, "secret")); err != nil {
		t.Fatal(err)
	}
	store := openChat(t, "sqlite:"+filepath.Join(data, "rondo.db"))
	list, err := readSinks(file)
	if err != nil {
		t.Fatal(err)
	}
	c := talking(t, store, "hook")
	d := dispatch(t, store, "n_1", list)
	chatter(t, c, 0, 2)
	box := &outbox{store, "n_1"}
	testenv.Eventually(t, 30*time.Second, func() bool {
		letters, err := box.Letters(t.Context(), "hook", 10)
		return err == nil && len(letters) >= 3
	}, "dead letters")
	d.Close()
	return data, file
}

// TestSinkSettings: mistakes in an events-file are named.
func TestSinkSettings(t *testing.T) {
	account := writeConfig(t, "{}")
	for text, want := range map[string]string{
		"sinks: [{name: a, kind: smoke}]":                                                     "smoke",
		"sinks: [{name: a, kind: webhook}]":                                                   "URL",
		"sinks: [{name: a, kind: webhook, url: 'https://x', colour: red}]":                    "colour",
		"sinks: [{name: a, kind: webhook, url: 'https://x', timeout: 1h}]":                    "timeout",
		"sinks: [{name: a, kind: webhook, url: 'https://x', allow: everything}]":              "allow",
		"sinks: [{name: a, kind: webhook, url: 'https://x', ca: /does/not/exist}]":            "ca",
		"sinks: [{name: a, kind: webhook, url: 'https://x', secret-files: [/proc/x]}]":        "secret-files",
		"sinks: [{name: a, kind: mqtt, url: 'https://x'}]":                                    "mqtt",
		"sinks: [{name: a, kind: amqp, url: 'https://x'}]":                                    "amqp",
		"sinks: [{name: a, kind: firebase, url: 'https://x'}]":                                "account-file",
		"sinks: [{name: a, kind: firebase, url: 'https://x', account-file: " + account + "}]": "service account",
		"sinks: [{name: a, kind: webhook, url: 'http://x'}]":                                  "not encrypted",
		"sinks: [{name: a, kind: mqtt, url: 'mqtt://x'}]":                                     "not encrypted",
		"sinks: [{name: a, kind: amqp, url: 'amqp://x'}]":                                     "not encrypted",
		"sinks: 7": "events.yaml",
	} {
		list, err := readSinks(sinkFile(t, text))
		if err == nil && len(list) == 1 {
			_, err = list[0].subscription(testSigner(t))
		}
		if !errors.Is(err, errUsage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, args := range [][]string{{"--accounts=false"}, {"--conversations=false"}} {
		if _, err := loadConfig(append(args, "--events-file", "x"), nil, io.Discard); !errors.Is(err, errUsage) || !strings.Contains(err.Error(), "events-file") {
			t.Errorf("%q: %v", args, err)
		}
	}
	if _, err := loadConfig([]string{"--roles", "turn", "--events-file", "x"}, nil, io.Discard); err != nil {
		t.Errorf("a relay with the file of all: %v", err)
	}
}

// TestSinkSecrets: a file that is not there is made, for its owner only, and read again; without files nodes
// with one secret have one.
func TestSinkSecrets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "hook.secret")
	c := sinkConfig{Name: "hook", SecretFiles: stringList{path, writeSecret(t)}}
	made, err := c.secrets(testSigner(t))
	if err != nil || len(made) != 2 || !bytes.Equal(made[1], eventstest.Secret()) {
		t.Fatalf("%v, %d secrets", err, len(made))
	}
	again, err := c.secrets(testSigner(t))
	if err != nil || !bytes.Equal(made[0], again[0]) {
		t.Errorf("read again: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	own, other := sinkConfig{Name: "hook"}, sinkConfig{Name: "hook2"}
	a, _ := own.secrets(testSigner(t))
	b, _ := own.secrets(testSigner(t))
	o, _ := other.secrets(testSigner(t))
	if !bytes.Equal(a[0], b[0]) || bytes.Equal(a[0], o[0]) {
		t.Error("nodes have other secrets, or sinks the same")
	}
}
