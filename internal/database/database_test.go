package database_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// engines are where each case runs; url gives an empty database.
func engines() map[database.Engine]func(testing.TB) string {
	return map[database.Engine]func(testing.TB) string{
		database.SQLite:   func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "a b#%.db") },
		database.Postgres: testenv.Postgres,
		database.MySQL:    testenv.MariaDB,
	}
}

// onEngines runs a case on each engine.
func onEngines(t *testing.T, f func(t *testing.T, url string)) {
	for engine, url := range engines() {
		t.Run(string(engine), func(t *testing.T) { f(t, url(t)) })
	}
}

func open(t testing.TB, cfg database.Config) *database.DB {
	t.Helper()
	db, err := database.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}

// files are the migrations of the tests' tables.
func files() fstest.MapFS {
	set := fstest.MapFS{}
	add := func(name, sqlite, postgres, mysql string) {
		for engine, text := range map[string]string{"sqlite": sqlite, "postgres": postgres, "mysql": mysql} {
			set["migrations/"+engine+"/"+name+".sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + text)}
		}
	}
	const users = `CREATE TABLE users (id %[1]s PRIMARY KEY, email %[2]s, name %[2]s NOT NULL, seen BIGINT, active BOOLEAN NOT NULL DEFAULT TRUE, hash %[3]s,
		CHECK (seen > 0));
		CREATE UNIQUE INDEX users_email ON users (email);
		CREATE UNIQUE INDEX users_name_seen ON users (name, seen);`
	const devices = `CREATE TABLE devices (id %[1]s PRIMARY KEY, user_id %[1]s NOT NULL, FOREIGN KEY (user_id) REFERENCES users (id));`
	const id, text = "VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin", "VARCHAR(40) COLLATE utf8mb4_bin"
	add("00001_users", fmt.Sprintf(users, "TEXT", "TEXT", "BLOB"), fmt.Sprintf(users, "TEXT", "TEXT", "BYTEA"), fmt.Sprintf(users, id, text, "VARBINARY(64)"))
	add("00002_devices", fmt.Sprintf(devices, "TEXT"), fmt.Sprintf(devices, "TEXT"), fmt.Sprintf(devices, id))
	const counter = "CREATE TABLE counter (id INTEGER PRIMARY KEY, n BIGINT NOT NULL);"
	add("00003_counter", counter, counter, counter)
	return set
}

func migrated(t testing.TB, cfg database.Config) *database.DB {
	t.Helper()
	db := open(t, cfg)
	if err := db.Migrate(t.Context(), "test", files()); err != nil {
		t.Fatal(err)
	}
	return db
}

const insertUser = "INSERT INTO users (id, email, name, seen) VALUES (?, ?, ?, ?)"

// writeOne runs one statement in a transaction of its own.
func writeOne(t testing.TB, db *database.DB, query string, args ...any) (n int64, err error) {
	t.Helper()
	err = db.Write(t.Context(), "test", func(tx *database.Tx) (err error) {
		n, err = tx.Exec(query, args...)
		return err
	})
	return n, err
}

func mustWriteOne(t testing.TB, db *database.DB, query string, args ...any) {
	t.Helper()
	if _, err := writeOne(t, db, query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func value[T any](t testing.TB, db *database.DB, query string, args ...any) (v T, err error) {
	t.Helper()
	err = db.Read(t.Context(), "test", func(q database.Queryer) error { return q.QueryRow(query, args...).Scan(&v) })
	return v, err
}

func mustValue[T any](t testing.TB, db *database.DB, query string, args ...any) T {
	t.Helper()
	v, err := value[T](t, db, query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

func TestErrors(t *testing.T) {
	cases := []struct {
		name       string
		query      string
		args       []any
		want       error
		constraint string
	}{
		{"email", insertUser, []any{"u2", "a@x", "b", 2}, database.ErrConflict, "users_email"},
		{"two columns", insertUser, []any{"u2", "b@x", "a", 1}, database.ErrConflict, "users_name_seen"},
		{"primary key", insertUser, []any{"u1", "b@x", "b", 2}, database.ErrConflict, "primary"},
		{"a key like a message", insertUser, []any{"u1", "x' for key 'y", "b", 2}, database.ErrConflict, "primary"},
		{"no parent", "INSERT INTO devices (id, user_id) VALUES (?, ?)", []any{"d", "nobody"}, database.ErrForeignKey, ""},
		{"children", "DELETE FROM users WHERE id = ?", []any{"u1"}, database.ErrForeignKey, ""},
		{"null", insertUser, []any{"u2", "b@x", nil, 2}, database.ErrInvalid, ""},
		{"check", insertUser, []any{"u2", "b@x", "b", -1}, database.ErrInvalid, ""},
		{"not UTF-8", insertUser, []any{"u2", "b\xff@x", "b", 2}, database.ErrInvalid, ""},
		{"NUL", insertUser, []any{"u2", "b\x00@x", "b", 2}, database.ErrInvalid, ""},
	}
	onEngines(t, func(t *testing.T, url string) {
		db := migrated(t, database.Config{URL: url})
		mustWriteOne(t, db, insertUser, "u1", "a@x", "a", 1)
		mustWriteOne(t, db, "INSERT INTO devices (id, user_id) VALUES (?, ?)", "d1", "u1")
		for _, c := range cases {
			_, err := writeOne(t, db, c.query, c.args...)
			if !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", c.name, err, c.want)
				continue
			}
			e, ok := errors.AsType[*database.Error](err)
			if !ok || e.Constraint != c.constraint {
				t.Errorf("%s: constraint %q, want %q", c.name, e.Constraint, c.constraint)
			}
			if protocol.CodeOf(err) != protocol.CodeInternal {
				t.Errorf("%s: shows %s to clients", c.name, protocol.CodeOf(err))
			}
		}
		if _, err := value[string](t, db, "SELECT name FROM users WHERE id = ?", "nobody"); !errors.Is(err, database.ErrNotFound) {
			t.Errorf("no row: %v", err)
		}
	})
}

// TestNoValuesInErrors: whatever fails, the text of the error holds no parameter.
func TestNoValuesInErrors(t *testing.T) {
	onEngines(t, func(t *testing.T, url string) {
		var log bytes.Buffer
		db := migrated(t, database.Config{URL: url, SlowQuery: time.Nanosecond, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		mustWriteOne(t, db, insertUser, "s3cret", "s3cret@x", "s3cret", 1)
		for _, query := range []string{
			insertUser, "INSERT INTO users (id, email, name, nosuch) VALUES (?, ?, ?, ?)", "no SQL ? ? ? ?",
			"INSERT INTO users (id, email, seen, name) VALUES (?, ?, ?, ?)",
		} {
			_, err := writeOne(t, db, query, "s3cret", "s3cret@x", "s3cret", 1)
			if err == nil {
				t.Errorf("%s: no error", query)
			} else if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%s: %v", query, err)
			}
		}
		if _, err := value[int](t, db, "SELECT name FROM users"); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("scan: %v", err)
		}
		if !strings.Contains(log.String(), "INSERT INTO users") || strings.Contains(log.String(), "s3cret") {
			t.Errorf("the log of slow statements has a parameter, or no statement: %s", log.String())
		}
	})
}

func TestTypes(t *testing.T) {
	onEngines(t, func(t *testing.T, url string) {
		db := migrated(t, database.Config{URL: url})
		type name string
		at := time.Date(2026, 11, 21, 10, 0, 0, 123456789, time.UTC)
		hash := []byte{0, 255, '\'', '"', '\\', '?', 0}
		const insert = "INSERT INTO users (id, email, name, seen, active, hash) VALUES (?, ?, ?, ?, ?, ?)"
		odd := `'"\?$1;--/*` + "`\n\u202e😀"
		mustWriteOne(t, db, insert, "u1", nil, name(odd), database.Micros(at), false, hash)
		mustWriteOne(t, db, insert, "u2", nil, "other", 2, true, []byte(nil))
		err := db.Read(t.Context(), "test", func(q database.Queryer) error {
			var (
				email  *string
				text   name
				seen   int64
				active bool
				bytes  []byte
			)
			const query = "SELECT email, name, seen, active, hash FROM users WHERE id = ?"
			if err := q.QueryRow(query, "u1").Scan(&email, &text, &seen, &active, &bytes); err != nil {
				return err
			}
			if email != nil || string(text) != odd || active || !slices.Equal(bytes, hash) || !database.Time(seen).Equal(at.Truncate(time.Microsecond)) {
				t.Errorf("read %v %q %v %v %v", email, text, database.Time(seen), active, bytes)
			}
			if err := q.QueryRow(query, "u2").Scan(&email, &text, &seen, &active, &bytes); err != nil {
				return err
			}
			if !active || bytes != nil {
				t.Errorf("read %v %v, want true and nothing", active, bytes)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, query := range []string{
			"SELECT COUNT(*) FROM users WHERE name = ?", "SELECT COUNT(*) FROM users WHERE name IN (" + database.Marks(1) + ")",
		} {
			if n := mustValue[int](t, db, query, "OTHER"); n != 0 {
				t.Errorf("%s: OTHER is other", query)
			}
		}
		if n := mustValue[int](t, db, "SELECT COUNT(*) FROM users WHERE name IN ("+database.Marks(0)+")"); n != 0 {
			t.Errorf("an empty list found %d", n)
		}
		if _, err := writeOne(t, db, insert, "u3", nil, "x", at, true, nil); err == nil {
			t.Error("a time.Time was taken")
		}
	})
}

func TestStatements(t *testing.T) {
	onEngines(t, func(t *testing.T, url string) {
		db := migrated(t, database.Config{URL: url})
		columns := []string{"id", "email", "name", "seen"}
		insertNew := func(args ...any) (inserted bool, err error) {
			err = db.Write(t.Context(), "test", func(tx *database.Tx) (err error) {
				if inserted, err = tx.InsertNew("users", columns, args...); err != nil {
					return err
				}
				_, err = tx.Exec("UPDATE users SET active = ? WHERE id = ?", true, "u1") // the transaction goes on
				return err
			})
			return inserted, err
		}
		if ok, err := insertNew("u1", "a@x", "a", 1); !ok || err != nil {
			t.Errorf("insert: %v, %v", ok, err)
		}
		if ok, err := insertNew("u1", "b@x", "b", 2); ok || err != nil {
			t.Errorf("same id: %v, %v", ok, err)
		}
		if ok, err := insertNew("u2", "a@x", "b", 2); ok || err != nil {
			t.Errorf("same email: %v, %v", ok, err)
		}
		if _, err := insertNew("u2", "b@x", nil, 2); !errors.Is(err, database.ErrInvalid) {
			t.Errorf("null: %v", err)
		}
		for i, email := range []string{"n@x", "o@x"} {
			err := db.Write(t.Context(), "test", func(tx *database.Tx) error {
				return tx.Upsert("users", []string{"id"}, columns, "u3", email, "c", i+1)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if got := mustValue[string](t, db, "SELECT email FROM users WHERE id = ?", "u3"); got != "o@x" {
			t.Errorf("after Upsert: %s", got)
		}
		if n, err := writeOne(t, db, "UPDATE users SET name = ? WHERE id = ?", "a", "u1"); n != 1 || err != nil {
			t.Errorf("an UPDATE to the same value counts %d, %v", n, err)
		}
		if got := mustValue[string](t, db, "SELECT 'a?''?' || \"name\" /* ? */ FROM users WHERE id = ? -- ?", "u1"); got != "a?'?a" {
			t.Errorf("quotes: %q", got)
		}
		if got := mustValue[string](t, db, "SELECT id FROM users ORDER BY id LIMIT ? OFFSET ?", 1, 1); got != "u3" {
			t.Errorf("LIMIT: %q", got)
		}
		for _, args := range [][]any{{}, {1, 2}} {
			if _, err := value[int](t, db, "SELECT 1 FROM users WHERE id = ?", args...); err == nil {
				t.Errorf("%d arguments for one placeholder were taken", len(args))
			}
		}
	})
}

// TestTransactionRules: the same on all engines, where they would differ.
func TestTransactionRules(t *testing.T) {
	onEngines(t, func(t *testing.T, url string) {
		db := migrated(t, database.Config{URL: url})
		mustWriteOne(t, db, insertUser, "u1", "a@x", "a", 1)
		err := db.Write(t.Context(), "test", func(tx *database.Tx) error {
			if _, err := tx.Exec(insertUser, "u2", "b@x", "b", 1); err != nil {
				return err
			}
			_, _ = tx.Exec(insertUser, "u3", "a@x", "c", 1)
			if _, err := tx.Exec(insertUser, "u4", "d@x", "d", 1); !errors.Is(err, database.ErrConflict) {
				t.Errorf("a statement after a failed one: %v", err)
			}
			return nil
		})
		if !errors.Is(err, database.ErrConflict) {
			t.Errorf("a failed statement was passed over: %v", err)
		}
		boom := errors.New("boom")
		err = db.Write(t.Context(), "test", func(tx *database.Tx) error {
			_, err := tx.Exec(insertUser, "u5", "e@x", "e", 1)
			return errors.Join(boom, err)
		})
		if !errors.Is(err, boom) {
			t.Errorf("got %v", err)
		}
		func() {
			defer func() {
				if recover() != "panic" {
					t.Error("the panic is gone")
				}
			}()
			_ = db.Write(t.Context(), "test", func(tx *database.Tx) error {
				_, _ = tx.Exec(insertUser, "u6", "f@x", "f", 1)
				panic("panic")
			})
		}()
		if n := mustValue[int](t, db, "SELECT COUNT(*) FROM users"); n != 1 {
			t.Errorf("%d users, want 1", n)
		}
		err = db.Read(t.Context(), "test", func(q database.Queryer) error {
			rows, err := q.Query("SELECT id FROM users")
			if err != nil {
				return err
			}
			defer rows.Close()
			return q.QueryRow("SELECT 1").Scan(new(int))
		})
		if err == nil {
			t.Error("a statement ran while rows were open")
		}
		err = db.Read(t.Context(), "test", func(q database.Queryer) error {
			_, err := q.(*database.Tx).Exec(insertUser, "u7", "g@x", "g", 1)
			return err
		})
		if err == nil {
			t.Error("a write in Read")
		}
		mustWriteOne(t, db, insertUser, "u8", "h@x", "h", 1) // all of that left the pools usable
	})
}

// TestCancel: a caller that goes away leaves a write whole, and the pool usable.
func TestCancel(t *testing.T) {
	onEngines(t, func(t *testing.T, url string) {
		db := migrated(t, database.Config{URL: url})
		ctx, cancel := context.WithCancel(t.Context())
		err := db.Write(ctx, "test", func(tx *database.Tx) error {
			cancel()
			_, err := tx.Exec(insertUser, "u1", "a@x", "a", 1)
			return err
		})
		if err != nil {
			t.Fatalf("cancelled in the middle: %v", err)
		}
		err = db.Write(ctx, "test", func(tx *database.Tx) error {
			_, err := tx.Exec(insertUser, "u2", "b@x", "b", 1)
			return err
		})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled before: %v", err)
		}
		if n := mustValue[int](t, db, "SELECT COUNT(*) FROM users"); n != 1 {
			t.Fatalf("%d users, want 1", n)
		}
	})
}

// TestSnapshot: all statements of a Read see the same state.
func TestSnapshot(t *testing.T) {
	onEngines(t, func(t *testing.T, url string) {
		db := migrated(t, database.Config{URL: url})
		err := db.Read(t.Context(), "test", func(q database.Queryer) error {
			var before, after int
			if err := q.QueryRow("SELECT COUNT(*) FROM users").Scan(&before); err != nil {
				return err
			}
			mustWriteOne(t, db, insertUser, "u1", "a@x", "a", 1)
			if err := q.QueryRow("SELECT COUNT(*) FROM users").Scan(&after); err != nil {
				return err
			}
			if before != 0 || after != 0 {
				t.Errorf("saw %d, then %d", before, after)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := mustValue[int](t, db, "SELECT COUNT(*) FROM users"); n != 1 {
			t.Errorf("a later Read sees %d", n)
		}
	})
}

// TestCounter: 200 writers that read, add one and write lose nothing, also
// without FOR UPDATE.
func TestCounter(t *testing.T) {
	onEngines(t, func(t *testing.T, url string) {
		db := migrated(t, database.Config{URL: url, Timeout: 60 * time.Second})
		mustWriteOne(t, db, "INSERT INTO counter (id, n) VALUES (1, 0)")
		cases := map[string]struct {
			write func(context.Context, string, func(*database.Tx) error) error
			lock  string
		}{
			"serializable":            {db.Write, ""},
			"serializable and locked": {db.Write, db.Engine().ForUpdate()},
			"committed and locked":    {db.WriteCommitted, db.Engine().ForUpdate()},
		}
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				mustWriteOne(t, db, "UPDATE counter SET n = 0")
				const writers = 200
				var group sync.WaitGroup
				var tries atomic.Int64
				for range writers {
					group.Go(func() {
						err := c.write(t.Context(), "count", func(tx *database.Tx) error {
							tries.Add(1)
							var n int64
							if err := tx.QueryRow("SELECT n FROM counter WHERE id = ?"+c.lock, 1).Scan(&n); err != nil {
								return err
							}
							_, err := tx.Exec("UPDATE counter SET n = ? WHERE id = ?", n+1, 1)
							return err
						})
						if err != nil {
							t.Error(err)
						}
					})
				}
				start := time.Now()
				group.Wait()
				t.Logf("%d tries, %v", tries.Load(), time.Since(start).Round(time.Millisecond))
				if n := mustValue[int64](t, db, "SELECT n FROM counter WHERE id = 1"); n != writers {
					t.Errorf("counted %d, want %d", n, writers)
				}
			})
		}
	})
}
