package sqlstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/rondo-chat/rondo/accounts/sqlstore"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/internal/testenv"
)

// rowsEach is how many rows each table has in these tests.
const rowsEach = 23

func engineURL(t testing.TB, engine database.Engine) string {
	t.Helper()
	switch engine {
	case database.Postgres:
		return testenv.Postgres(t)
	case database.MySQL:
		return testenv.MariaDB(t)
	}
	return "sqlite:" + filepath.Join(t.TempDir(), "a.db")
}

// withExtra is the migrations and, after them, one with a table that no code knows.
func withExtra() fs.FS {
	files := fstest.MapFS{}
	for engine, data := range map[database.Engine]string{database.SQLite: "BLOB", database.Postgres: "BYTEA", database.MySQL: "LONGBLOB"} {
		files["migrations/"+string(engine)+"/90001_extra.sql"] = &fstest.MapFile{Data: []byte(`-- +goose Up
CREATE TABLE extra (
  id VARCHAR(36) NOT NULL,
  user_id VARCHAR(36) NOT NULL,
  note TEXT,
  number BIGINT,
  flag BOOLEAN,
  data ` + data + `,
  PRIMARY KEY (id),
  FOREIGN KEY (user_id) REFERENCES users (id)
);
-- +goose Down
DROP TABLE extra;
`)}
	}
	return union{files, sqlstore.Migrations()}
}

// union is two folders in one.
type union [2]fs.FS

func (u union) Open(name string) (fs.File, error) {
	if f, err := u[0].Open(name); err == nil {
		if info, err := f.Stat(); err == nil && !info.IsDir() {
			return f, nil
		}
		f.Close()
	}
	return u[1].Open(name)
}

func (u union) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := fs.ReadDir(u[1], name)
	if more, moreErr := fs.ReadDir(u[0], name); moreErr == nil && strings.Count(name, "/") == 1 {
		list = append(list, more...)
	}
	return list, err
}

// bare opens a store without tables.
func bare(t testing.TB, engine database.Engine, files fs.FS) *sqlstore.Store {
	t.Helper()
	db, err := database.Open(t.Context(), database.Config{URL: engineURL(t, engine), Timeout: time.Minute, SlowQuery: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return sqlstore.NewWith(db, files)
}

// filled opens a store whose tables have rows.
func filled(t testing.TB, engine database.Engine, files fs.FS) *sqlstore.Store {
	t.Helper()
	s := bare(t, engine, files)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	tables, err := s.Covered()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Fill(t.Context(), tables, 0, rowsEach); err != nil {
		t.Fatal(err)
	}
	return s
}

// rowsOf counts the rows of all covered tables that are there.
func rowsOf(t testing.TB, s *sqlstore.Store) map[string]int {
	t.Helper()
	tables, err := s.Covered()
	if err != nil {
		t.Fatal(err)
	}
	there := catalogue(t, s)
	counts := map[string]int{}
	err = s.DB().Read(t.Context(), "count", func(q database.Queryer) error {
		for _, name := range tables {
			var n int
			if !slices.Contains(there, name) {
				continue
			}
			if err := q.QueryRow("SELECT COUNT(*) FROM " + name).Scan(&n); err != nil {
				return err
			}
			if n > 0 {
				counts[name] = n
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

// catalogue asks the database for its tables, without goose's.
func catalogue(t testing.TB, s *sqlstore.Store) []string {
	t.Helper()
	query := "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
	switch s.DB().Engine() {
	case database.SQLite:
		query = "SELECT name FROM sqlite_master WHERE type = 'table'"
	case database.MySQL:
		query = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
	}
	var names []string
	err := s.DB().Read(t.Context(), "catalogue", func(q database.Queryer) error {
		names = nil
		rows, err := q.Query(query)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			if !strings.HasPrefix(name, "goose_") && !strings.HasPrefix(name, "sqlite_") {
				names = append(names, name)
			}
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

// TestEveryTableIsCopied: what the migrations make, on each engine, is what copies know. If this fails for a
// new table, its migration is written in a way that tablesAt does not read.
func TestEveryTableIsCopied(t *testing.T) {
	for _, engine := range []database.Engine{database.SQLite, database.Postgres, database.MySQL} {
		t.Run(string(engine), func(t *testing.T) {
			s := filled(t, engine, sqlstore.Migrations()) // fails on a type that copies do not know
			covered, err := s.Covered()
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range sqlstore.Ephemeral() {
				if !slices.Contains(covered, name) {
					t.Errorf("the ephemeral table %s does not exist", name)
				}
			}
			slices.Sort(covered)
			if there := catalogue(t, s); !slices.Equal(covered, there) {
				t.Errorf("copied: %v\nthere:  %v", covered, there)
			}
		})
	}
}

// same fails unless all tables, or all but the ephemeral ones, were copied and are equal.
func same(t *testing.T, s *sqlstore.Store, checks []sqlstore.Check, all bool) {
	t.Helper()
	want, err := s.Covered()
	if err != nil {
		t.Fatal(err)
	}
	if !all {
		want = slices.DeleteFunc(want, func(name string) bool { return slices.Contains(sqlstore.Ephemeral(), name) })
	}
	var got []string
	for _, c := range checks {
		got = append(got, c.Table)
		if !c.Same() || c.Copy.Rows != rowsEach || len(c.Copy.Sum) != 64 {
			t.Errorf("%+v", c)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("copied %v, want %v", got, want)
	}
}

// TestMove: between engines and back, with a table that no code knows and that refers to another.
func TestMove(t *testing.T) {
	for _, way := range [][2]database.Engine{
		{database.SQLite, database.Postgres}, {database.SQLite, database.MySQL}, {database.Postgres, database.SQLite}, {database.MySQL, database.Postgres},
	} {
		t.Run(fmt.Sprintf("%s to %s", way[0], way[1]), func(t *testing.T) {
			from, to := filled(t, way[0], withExtra()), bare(t, way[1], withExtra())
			checks, err := from.Move(t.Context(), to, nil)
			if err != nil {
				t.Fatal(err)
			}
			same(t, from, checks, true)
			if a, b := rowsOf(t, from), rowsOf(t, to); !reflect.DeepEqual(a, b) || a["extra"] != rowsEach {
				t.Errorf("%v\n%v", a, b)
			}
			back := bare(t, way[0], withExtra())
			again, err := to.Move(t.Context(), back, nil)
			if err != nil || !reflect.DeepEqual(checks, again) {
				t.Errorf("and back: %v\n%+v\n%+v", err, checks, again)
			}
			if _, err := from.Move(t.Context(), to, nil); !errors.Is(err, sqlstore.ErrOccupied) {
				t.Errorf("a second time: %v", err)
			}
		})
	}
}

// TestMoveTenThousand: in batches, in a moment.
func TestMoveTenThousand(t *testing.T) {
	from, to := bare(t, database.SQLite, sqlstore.Migrations()), bare(t, database.Postgres, sqlstore.Migrations())
	if err := from.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := from.Fill(t.Context(), []string{"users"}, 0, 10_000); err != nil {
		t.Fatal(err)
	}
	var heard int64
	start := time.Now()
	checks, err := from.Move(t.Context(), to, func(table string, rows int64) {
		if table != "users" || rows <= heard {
			t.Errorf("progress: %d rows of %s after %d", rows, table, heard)
		}
		heard = rows
	})
	if err != nil || heard != 10_000 || checks[0].Copy.Rows != 10_000 || !checks[0].Same() {
		t.Fatalf("%v, %d, %+v", err, heard, checks)
	}
	t.Logf("took %v", time.Since(start))
}

// TestMoveIsAllOrNothing: whatever happens on the way, there is nothing in the target, the source is what it
// was, and a second move works.
func TestMoveIsAllOrNothing(t *testing.T) {
	for _, engine := range []database.Engine{database.SQLite, database.Postgres, database.MySQL} {
		t.Run(string(engine), func(t *testing.T) {
			from, to := filled(t, database.SQLite, sqlstore.Migrations()), bare(t, engine, sqlstore.Migrations())
			before := rowsOf(t, from)

			ctx, cancel := context.WithCancel(t.Context())
			_, err := from.Move(ctx, to, func(table string, _ int64) {
				if table == "audit_log" {
					cancel()
				}
			})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("cancelled: %v", err)
			}
			if rows := rowsOf(t, to); len(rows) > 0 {
				t.Fatalf("cancelled: %v", rows)
			}

			once := false
			_, err = from.Move(t.Context(), to, func(table string, _ int64) {
				if table == "audit_log" && !once {
					once = true
					if err := from.Fill(context.WithoutCancel(ctx), []string{"users"}, rowsEach, rowsEach+1); err != nil {
						t.Error(err)
					}
				}
			})
			if !errors.Is(err, sqlstore.ErrChanged) || !strings.Contains(err.Error(), "users") {
				t.Fatalf("written to: %v", err)
			}
			if rows := rowsOf(t, to); len(rows) > 0 {
				t.Fatalf("written to: %v", rows)
			}

			if _, err := from.Move(t.Context(), to, nil); err != nil {
				t.Fatal(err)
			}
			before["users"]++
			if rows := rowsOf(t, from); !reflect.DeepEqual(rows, before) {
				t.Errorf("the source: %v, was %v", rows, before)
			}
		})
	}
}

// TestMoveReadsBack: a target that keeps something else than it is given.
func TestMoveReadsBack(t *testing.T) {
	from, to := filled(t, database.SQLite, sqlstore.Migrations()), bare(t, database.SQLite, sqlstore.Migrations())
	if err := to.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := to.DB().Write(t.Context(), "test", func(tx *database.Tx) error {
		_, err := tx.Exec("CREATE TRIGGER bend AFTER INSERT ON totp WHEN NEW.last_step > 0 BEGIN UPDATE totp SET last_step = 0 WHERE user_id = NEW.user_id; END")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	checks, err := from.Move(t.Context(), to, nil)
	if !errors.Is(err, sqlstore.ErrDiffers) || !strings.HasSuffix(err.Error(), ": totp") {
		t.Fatal(err)
	}
	for _, c := range checks {
		if c.Same() != (c.Table != "totp") || c.Copy.Rows != rowsEach {
			t.Errorf("%+v", c)
		}
	}
	if rows := rowsOf(t, to); len(rows) > 0 {
		t.Errorf("left there: %v", rows)
	}
}

// TestCopiesOfAnotherVersion: an older database is copied as it is and then brought up to date; a newer one, or
// one without tables, is not copied.
func TestCopiesOfAnotherVersion(t *testing.T) {
	old, to := filled(t, database.SQLite, sqlstore.Migrations()), bare(t, database.Postgres, withExtra())
	file := filepath.Join(t.TempDir(), "backup")
	if _, err := old.Backup(t.Context(), file, sqlstore.Header{}, nil); err != nil {
		t.Fatal(err)
	}
	asNew := sqlstore.NewWith(old.DB(), withExtra())
	checks, err := asNew.Move(t.Context(), to, nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, old, checks, true)
	if there := catalogue(t, to); !slices.Contains(there, "extra") {
		t.Errorf("not up to date: %v", there)
	}
	if there := catalogue(t, old); slices.Contains(there, "extra") {
		t.Errorf("the source was changed: %v", there)
	}

	b, err := sqlstore.OpenBackup(file)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	later := bare(t, database.SQLite, withExtra())
	if checks, err = later.Restore(t.Context(), b, nil); err != nil {
		t.Fatal(err)
	}
	same(t, old, checks, false)
	if there := catalogue(t, later); !slices.Contains(there, "extra") {
		t.Errorf("not up to date: %v", there)
	}

	asOld := sqlstore.NewWith(to.DB(), sqlstore.Migrations())
	if _, err := asOld.Move(t.Context(), bare(t, database.SQLite, sqlstore.Migrations()), nil); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("a newer database: %v", err)
	}
	if _, err := bare(t, database.SQLite, withExtra()).Move(t.Context(), later, nil); err == nil || !strings.Contains(err.Error(), "no accounts") {
		t.Errorf("no tables: %v", err)
	}
}

// TestBackup: from each engine to another; nothing but the ephemeral tables is missing.
func TestBackup(t *testing.T) {
	for _, way := range [][2]database.Engine{
		{database.SQLite, database.Postgres}, {database.Postgres, database.MySQL}, {database.MySQL, database.SQLite},
	} {
		t.Run(fmt.Sprintf("%s to %s", way[0], way[1]), func(t *testing.T) {
			from, to := filled(t, way[0], withExtra()), bare(t, way[1], withExtra())
			dir := t.TempDir()
			file := filepath.Join(dir, "backup")
			made := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
			saved, err := from.Backup(t.Context(), file, sqlstore.Header{Made: made, Program: "1.2", Secret: "fp"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			same(t, from, saved, false)
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v", info, err)
			}
			if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
				t.Errorf("left there: %v, %v", files, err)
			}
			if _, err := from.Backup(t.Context(), file, sqlstore.Header{}, nil); !errors.Is(err, os.ErrExist) {
				t.Errorf("over a file: %v", err)
			}
			b, err := sqlstore.OpenBackup(file)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			if h := b.Header; !h.Made.Equal(made) || h.Program != "1.2" || h.Secret != "fp" || h.Schema != 90001 {
				t.Errorf("%+v", h)
			}
			ctx, cancel := context.WithCancel(t.Context())
			_, err = to.Restore(ctx, b, func(table string, _ int64) {
				if table == "audit_log" {
					cancel()
				}
			})
			if rows := rowsOf(t, to); !errors.Is(err, context.Canceled) || len(rows) > 0 {
				t.Errorf("cancelled: %v, %v", err, rows)
			}
			restored, err := to.Restore(t.Context(), b, nil)
			if err != nil || !reflect.DeepEqual(saved, restored) {
				t.Errorf("%v\n%+v\n%+v", err, saved, restored)
			}
			if _, err := to.Restore(t.Context(), b, nil); !errors.Is(err, sqlstore.ErrOccupied) {
				t.Errorf("a second time: %v", err)
			}
		})
	}
}

// TestBackupIsOneSnapshot: what is written while it runs is in no table of it, or it would be in some.
func TestBackupIsOneSnapshot(t *testing.T) {
	for _, engine := range []database.Engine{database.SQLite, database.Postgres, database.MySQL} {
		t.Run(string(engine), func(t *testing.T) {
			s := bare(t, engine, sqlstore.Migrations())
			if err := s.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			both := []string{"users", "totp"}
			if err := s.Fill(t.Context(), both, 0, 450); err != nil {
				t.Fatal(err)
			}
			written := 450
			checks, err := s.Backup(t.Context(), filepath.Join(t.TempDir(), "backup"), sqlstore.Header{}, func(string, int64) {
				if err := s.Fill(t.Context(), both, written, written+1); err != nil {
					t.Error(err)
				}
				written++
			})
			if err != nil || written == 450 {
				t.Fatal(err, written)
			}
			for _, c := range checks {
				if slices.Contains(both, c.Table) != (c.Copy.Rows == 450) {
					t.Errorf("%+v", c)
				}
			}
		})
	}
}

// TestDamagedBackup: whatever byte is another or missing, it is noticed before anything is done.
func TestDamagedBackup(t *testing.T) {
	s := bare(t, database.SQLite, sqlstore.Migrations())
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	tables, _ := s.Covered()
	if err := s.Fill(t.Context(), tables, 1, 4); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole")
	if _, err := s.Backup(t.Context(), whole, sqlstore.Header{}, nil); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(name string, bad []byte) {
		t.Helper()
		path := filepath.Join(dir, "bad")
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if b, err := sqlstore.OpenBackup(path); err == nil {
			b.Close()
			t.Errorf("%s: taken", name)
		} else if text := err.Error(); !strings.Contains(text, "backup") || len(text) > 300 {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := 0; i < len(data); i += 1 + len(data)/400 {
		refused(fmt.Sprintf("cut at %d of %d", i, len(data)), data[:i])
		flipped := bytes.Clone(data)
		flipped[i] ^= 1
		refused(fmt.Sprintf("byte %d of %d", i, len(data)), flipped)
	}
	refused("one byte short", data[:len(data)-1])
	refused("more after the end", append(bytes.Clone(data), '\n'))
	refused("twice", append(bytes.Clone(data), data...))
	refused("something else", []byte("PK\x03\x04"))
	refused("other JSON", []byte("{}\n"))
	refused("the future", bytes.Replace(data, []byte(`"rondo_backup":1`), []byte(`"rondo_backup":2`), 1))
	if b, err := sqlstore.OpenBackup(whole); err != nil {
		t.Error(err)
	} else {
		b.Close()
	}
}
