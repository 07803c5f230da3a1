package main

import (
	"context"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/accounts/sqlstore"
	"github.com/rondo-chat/rondo/chat/conversations"
	chatsql "github.com/rondo-chat/rondo/chat/sqlstore"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

func openCopy(t *testing.T, url string) (*database.DB, *sqlstore.Store) {
	t.Helper()
	db, err := database.Open(t.Context(), database.Config{URL: url, Timeout: time.Minute, SlowQuery: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db, sqlstore.New(db).With(chatsql.Migrations())
}

// TestCopiesHaveConversations: over all engines and a backup, each table is there and the same, and what was
// found by search is found.
func TestCopiesHaveConversations(t *testing.T) {
	sqlite := func() string { return "sqlite:" + filepath.Join(t.TempDir(), "a.db") }
	db, from := openCopy(t, sqlite())
	if err := from.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	talk(t, db)
	want := spoken(t, db)
	for _, url := range []string{testenv.Postgres(t), testenv.MariaDB(t), sqlite()} {
		next, to := openCopy(t, url)
		checks, err := from.Move(t.Context(), to, nil)
		if err != nil {
			t.Fatal(err)
		}
		checkCopied(t, checks)
		if got := spoken(t, next); !reflect.DeepEqual(got, want) {
			t.Errorf("%s has\n%+v\nnot\n%+v", next.Engine(), got, want)
		}
		from = to
	}
	file := filepath.Join(t.TempDir(), "backup")
	if _, err := from.Backup(t.Context(), file, sqlstore.Header{}, nil); err != nil {
		t.Fatal(err)
	}
	b, err := sqlstore.OpenBackup(file)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	restored, to := openCopy(t, sqlite())
	checks, err := to.Restore(t.Context(), b, nil)
	if err != nil {
		t.Fatal(err)
	}
	checkCopied(t, checks)
	if got := spoken(t, restored); !reflect.DeepEqual(got, want) {
		t.Errorf("the backup has\n%+v\nnot\n%+v", got, want)
	}
}

// checkCopied fails unless the tables of conversations are among those that were compared, the same and full.
func checkCopied(t *testing.T, checks []sqlstore.Check) {
	t.Helper()
	full := 0
	for _, c := range checks {
		if !c.Same() {
			t.Errorf("%+v", c)
		}
		if len(c.Table) > 5 && c.Table[:5] == "chat_" && c.Copy.Rows > 0 {
			full++
		}
	}
	if full != 14 {
		t.Errorf("%d tables of conversations have rows: %+v", full, checks)
	}
}

// talk puts something into every table of conversations.
func talk(t *testing.T, db *database.DB) {
	t.Helper()
	store := chatsql.New(db)
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := conversations.Row{Conversation: protocol.Conversation{ID: "c_1", Kind: protocol.ConvTopic, Name: "Zoë 👍🏽", Tags: []string{"a b"}}, Terms: []string{"topic"}}
	m := conversations.Message{Room: "c_1", Terms: []string{"hällo", "東京"},
		ConvMessage: protocol.ConvMessage{Seq: 1, Rev: 1, From: "u_1", CID: "cid ", Text: "Hällo 東京 ", At: 5}}
	letter := conversations.Letter{Sink: "s", Event: conversations.Event{Room: "c_1", Seq: 1, Pos: 1, Payload: []byte{0, 255}}}
	now := time.UnixMilli(1_760_000_000_000)
	err := store.Write(t.Context(), "test", func(tx conversations.Tx) error {
		for _, f := range []func() error{
			func() error { return tx.InsertConversation(c) },
			func() error { return tx.InsertMessage(m) },
			func() error {
				return tx.PutMember(conversations.Member{Room: "c_1", ConvPerson: protocol.ConvPerson{ID: "u_1", Role: protocol.ConvOwner}})
			},
			func() error { return tx.AddRevision("c_1", 1, 1, protocol.ConvRevision{Text: " old "}) },
			func() error { return tx.React("c_1", 1, "u_1", "👍🏽", true, 5) },
			func() error { return tx.PutFile(conversations.File{ConvFile: protocol.ConvFile{ID: "f"}}) },
			func() error { return tx.PutSubscription(conversations.Subscription{ID: "d", User: "u_1"}) },
			func() error { return tx.Enqueue(letter.Event) },
			func() error { _, err := tx.Sequence(5); return err },
			func() error { return tx.PutCursor("s", conversations.Cursor{Pos: 1}) },
			func() error { return tx.PutLetter(letter) },
			func() error { _, err := tx.Lease("job", "n1", now, now); return err },
		} {
			if err := f(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// spoken is what searches find, and what an index of text is not needed for.
func spoken(t *testing.T, db *database.DB) (found []any) {
	t.Helper()
	err := chatsql.New(db).Read(context.WithoutCancel(t.Context()), "test", func(r conversations.Reader) error {
		found = nil
		for _, s := range []conversations.Search{{Terms: []string{"hällo"}, Searcher: "u_1", Limit: 5}, {Terms: []string{"東"}, Prefix: true, Room: "c_1", Limit: 5}} {
			list, err := r.Search(s)
			if err != nil {
				return err
			}
			if len(list) != 1 {
				t.Errorf("%+v finds %+v", s, list)
			}
			found = append(found, list)
		}
		topics, err := r.Topics(conversations.Directory{Terms: []string{"topic"}, Tag: "a b", Limit: 5})
		if err != nil {
			return err
		}
		if len(topics) != 1 {
			t.Errorf("topics: %+v", topics)
		}
		reactions, err := r.Reactions("c_1", 1)
		found = append(found, topics, reactions)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
