package database

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rondo-chat/rondo/protocol"
)

func newSQLite(t *testing.T) (*DB, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := Open(t.Context(), Config{URL: "sqlite:" + path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	err = db.Migrate(t.Context(), "test", fstest.MapFS{"sqlite/00001_a.sql": {Data: []byte("-- +goose Up\nCREATE TABLE a (id INTEGER PRIMARY KEY, t TEXT);\n")}})
	if err != nil {
		t.Fatal(err)
	}
	return db, path
}

// TestPragmas: both kinds of connections are set up as durability needs it.
func TestPragmas(t *testing.T) {
	db, path := newSQLite(t)
	for _, c := range []struct {
		pool         *pool
		pragma, want string
	}{
		{db.write, "journal_mode", "wal"}, {db.read, "journal_mode", "wal"},
		{db.write, "synchronous", "2"},
		{db.write, "foreign_keys", "1"}, {db.write, "secure_delete", "1"},
		{db.write, "busy_timeout", "5000"}, {db.read, "busy_timeout", "5000"},
		{db.write, "query_only", "0"}, {db.read, "query_only", "1"},
	} {
		var got string
		if err := c.pool.QueryRow("PRAGMA " + c.pragma).Scan(&got); err != nil || got != c.want {
			t.Errorf("%s %s: %q, %v; want %s", c.pool.role, c.pragma, got, err, c.want)
		}
	}
	if n := db.write.Stats().MaxOpenConnections; n != 1 {
		t.Errorf("%d writers", n)
	}
	for _, suffix := range []string{"", "-wal", "-shm", "-migrate"} {
		info, err := os.Stat(path + suffix)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", suffix, info.Mode(), err)
		}
	}
}

// TestDiskFull: a full disk is a clear error for the one who writes, costs nothing
// that is there, and heals.
func TestDiskFull(t *testing.T) {
	db, _ := newSQLite(t)
	insert := func(id int, text string) error {
		return db.Write(t.Context(), "test", func(tx *Tx) error {
			_, err := tx.Exec("INSERT INTO a (id, t) VALUES (?, ?)", id, text)
			return err
		})
	}
	if err := insert(1, "there"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.write.Exec("PRAGMA max_page_count = 10"); err != nil {
		t.Fatal(err)
	}
	err := insert(2, strings.Repeat("x", 1<<20))
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != KindUnavailable || e.Code != "13" || e.Uncertain {
		t.Errorf("got %v", err)
	}
	if protocol.CodeOf(err) != protocol.CodeUnavailable {
		t.Errorf("shows %v", protocol.CodeOf(err))
	}
	if _, err := db.write.Exec("PRAGMA max_page_count = 100000"); err != nil {
		t.Fatal(err)
	}
	if err := insert(3, strings.Repeat("x", 1<<20)); err != nil {
		t.Errorf("with room again: %v", err)
	}
	var n int
	var check string
	err = db.Read(t.Context(), "test", func(q Queryer) error {
		return errors.Join(q.QueryRow("SELECT COUNT(*) FROM a").Scan(&n), q.QueryRow("PRAGMA integrity_check").Scan(&check))
	})
	if err != nil || n != 2 || check != "ok" {
		t.Errorf("%d rows, %s, %v", n, check, err)
	}
}

// TestFailedCommit: what COMMIT itself refuses (here a foreign key that is
// checked then) leaves no open transaction on the connection.
func TestFailedCommit(t *testing.T) {
	db, _ := newSQLite(t)
	err := db.Migrate(t.Context(), "deferred", fstest.MapFS{"sqlite/00001_b.sql": {
		Data: []byte("-- +goose Up\nCREATE TABLE b (a INTEGER REFERENCES a (id) DEFERRABLE INITIALLY DEFERRED);\n"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err := db.Write(t.Context(), "test", func(tx *Tx) error {
			_, err := tx.Exec("INSERT INTO b (a) VALUES (7)")
			return err
		})
		if !errors.Is(err, ErrForeignKey) {
			t.Errorf("got %v", err)
		}
	}
	err = db.Write(t.Context(), "test", func(tx *Tx) error {
		if _, err := tx.Exec("INSERT INTO a (id) VALUES (7)"); err != nil {
			return err
		}
		_, err := tx.Exec("INSERT INTO b (a) VALUES (7)")
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
