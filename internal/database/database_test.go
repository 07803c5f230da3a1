package database_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"testing/fstest"

	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/internal/database"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, cfg database.Config) *database.DB {
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

func TestThin(t *testing.T) {
	db := open(t, database.Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "a b#%.db")})
	files := fstest.MapFS{"migrations/sqlite/00001_a.sql": {Data: []byte("-- +goose Up\nCREATE TABLE a (id TEXT PRIMARY KEY, n BIGINT NOT NULL);\nCREATE UNIQUE INDEX a_n ON a (n);\n")}}
	if err := db.Migrate(t.Context(), "a", files); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	write := func(id string, n int) error {
		return db.Write(ctx, "x", func(tx *database.Tx) error {
			_, err := tx.Exec("INSERT INTO a (id, n) VALUES (?, ?)", id, n)
			return err
		})
	}
	if err := write("one", 1); err != nil {
		t.Fatal(err)
	}
	if err := write("two", 1); !errors.Is(err, database.ErrConflict) {
		t.Fatal(err)
	} else {
		t.Log(err)
	}
}
