package sqlstore_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/chat/conversations/searchtest"
	"github.com/rondo-chat/rondo/chat/conversations/storetest"
	"github.com/rondo-chat/rondo/chat/sqlstore"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func onEngines(t *testing.T, f func(t *testing.T, open func(testing.TB) *sqlstore.Store)) {
	testenv.Databases(t, func(t *testing.T, url func(testing.TB) string) {
		t.Parallel() // they mostly wait
		f(t, func(t testing.TB) *sqlstore.Store { return openURL(t, url(t)) })
	})
}

func openURL(t testing.TB, url string) *sqlstore.Store {
	t.Helper()
	db, err := database.Open(t.Context(), database.Config{URL: url, Timeout: 30 * time.Second, SlowQuery: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s := sqlstore.New(db)
	if err := s.Migrate(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	onEngines(t, func(t *testing.T, open func(testing.TB) *sqlstore.Store) {
		storetest.Run(t, func(t testing.TB) conversations.Store { return open(t) })
	})
}

// TestMigrateTwice: nodes that start at once, and again.
func TestMigrateTwice(t *testing.T) {
	onEngines(t, func(t *testing.T, open func(testing.TB) *sqlstore.Store) {
		if err := open(t).Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestSearchCorpus(t *testing.T) {
	onEngines(t, func(t *testing.T, open func(testing.TB) *sqlstore.Store) { searchtest.Run(t, open(t)) })
}

// TestNoDeadlock: writers who draw first wait for one another and are never tried again, be they of one conversation or of several,
// and neither are those who mark and tell meanwhile.
func TestNoDeadlock(t *testing.T) {
	onEngines(t, func(t *testing.T, open func(testing.TB) *sqlstore.Store) {
		s, ctx := open(t), context.WithoutCancel(t.Context())
		write := func(name string, f func(conversations.Tx) error) {
			if err := s.Write(ctx, name, f); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		const writers, each, rooms = 16, 15, 3
		for i := range rooms {
			room := protocol.RoomID(fmt.Sprint("c_", i))
			write("make", func(tx conversations.Tx) error {
				return tx.InsertConversation(conversations.Row{Conversation: protocol.Conversation{ID: room, Kind: protocol.ConvGroup}})
			})
		}
		var tries atomic.Int64
		var wait sync.WaitGroup
		for w := range writers {
			wait.Go(func() {
				for i := range each {
					room, user := protocol.RoomID(fmt.Sprint("c_", (w+i)%rooms)), protocol.UserID(fmt.Sprint("u_", w))
					var seq uint64
					write("send", func(tx conversations.Tx) error {
						tries.Add(1)
						var err error
						seq, err = send(tx, room, user)
						return err
					})
					write("mark", func(tx conversations.Tx) error {
						tries.Add(1)
						_, err := tx.Mark(room, user, seq, seq)
						return err
					})
					write("told", func(tx conversations.Tx) error {
						tries.Add(1)
						return tx.Told([]conversations.Event{{Room: room, Seq: seq}})
					})
				}
			})
		}
		wait.Wait()
		if n := tries.Load(); n != 3*writers*each {
			t.Errorf("%d tries of %d transactions", n, 3*writers*each)
		}
	})
}

// send does what a message does.
func send(tx conversations.Tx, room protocol.RoomID, user protocol.UserID) (uint64, error) {
	row, err := tx.Draw(room, 1)
	if err != nil {
		return 0, err
	}
	row.Active, row.Terms = int64(row.Seq), nil
	m := conversations.Message{Room: room, Terms: []string{"one", fmt.Sprint(row.Seq)},
		ConvMessage: protocol.ConvMessage{Seq: row.Seq, Rev: row.Seq, From: user, CID: fmt.Sprint(row.Seq), At: int64(row.Seq)}}
	person := protocol.ConvPerson{ID: user, Role: protocol.ConvMember, Rev: row.Seq}
	return row.Seq, errors.Join(tx.InsertMessage(m), tx.PutMember(conversations.Member{Room: room, ConvPerson: person}),
		tx.UpdateConversation(row), tx.Enqueue(conversations.Event{Room: room, Seq: row.Seq, At: int64(row.Seq)}))
}

// TestRemovedIsGone: after RemoveConversation no table but the outbox says anything of it.
func TestRemovedIsGone(t *testing.T) {
	onEngines(t, func(t *testing.T, open func(testing.TB) *sqlstore.Store) {
		s := open(t)
		file := conversations.File{ConvFile: protocol.ConvFile{ID: "f"}, Room: "c_gone", Seq: 1}
		err := s.Write(t.Context(), "test", func(tx conversations.Tx) error {
			row := conversations.Row{Conversation: protocol.Conversation{ID: "c_gone", Kind: protocol.ConvTopic}, Terms: []string{"a"}}
			if err := tx.InsertConversation(row); err != nil {
				return err
			}
			seq, err := send(tx, "c_gone", "u_1")
			return errors.Join(err, tx.AddRevision("c_gone", seq, 1, protocol.ConvRevision{}), tx.React("c_gone", seq, "u_1", "x", true, 1), tx.PutFile(file))
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := tablesWith(t, s, "c_gone"); len(got) != 9 {
			t.Fatalf("before: %v", got)
		}
		if err := s.Write(t.Context(), "test", func(tx conversations.Tx) error { return tx.RemoveConversation("c_gone") }); err != nil {
			t.Fatal(err)
		}
		if got := tablesWith(t, s, "c_gone"); !slices.Equal(got, []string{"chat_outbox"}) {
			t.Errorf("after: %v", got)
		}
	})
}

// tablesWith lists the tables that have rows of a conversation.
func tablesWith(t *testing.T, s *sqlstore.Store, room string) []string {
	t.Helper()
	var found []string
	err := s.DB().Read(t.Context(), "test", func(q database.Queryer) error {
		found = nil
		for _, table := range sqlstore.Tables() {
			var n int
			column := "room_id"
			if table == "chat_conversations" {
				column = "id"
			}
			if err := q.QueryRow("SELECT COUNT(*) FROM "+table+" WHERE "+column+" = ?", room).Scan(&n); err != nil {
				return err
			}
			if n > 0 {
				found = append(found, table)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestSQLiteIndex: the full-text index of SQLite is what its table says, and keeps no word that was deleted.
func TestSQLiteIndex(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	s := openURL(t, "sqlite:"+path)
	secret := conversations.Message{Room: "c_1", Terms: []string{"secretword"}, ConvMessage: protocol.ConvMessage{Seq: 1, From: "u_1", CID: "1"}}
	other := conversations.Message{Room: "c_1", Terms: []string{"other"}, ConvMessage: protocol.ConvMessage{Seq: 2, From: "u_1", CID: "2"}}
	for _, f := range []func(conversations.Tx) error{
		func(tx conversations.Tx) error { return tx.InsertMessage(secret) },
		func(tx conversations.Tx) error { return tx.InsertMessage(other) },
		func(tx conversations.Tx) error {
			secret.Deleted = 1
			return tx.UpdateMessage(secret)
		},
	} {
		if err := s.Write(t.Context(), "test", f); err != nil {
			t.Fatal(err)
		}
	}
	statement(t, s, "INSERT INTO chat_terms_fts (chat_terms_fts) VALUES ('integrity-check')")
	if err := s.DB().Close(); err != nil { // the log goes into the file
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if gone := hex.EncodeToString([]byte("secretword")); strings.Contains(string(data), gone) || !strings.Contains(string(data), hex.EncodeToString([]byte("other"))) {
		t.Error("the deleted word is in the file, or the other is not")
	}
}
