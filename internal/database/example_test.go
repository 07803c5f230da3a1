package database_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing/fstest"
	"time"

	"github.com/rondo-chat/rondo/internal/database"
)

// A store embeds its migrations (//go:embed migrations; folders sqlite, postgres,
// mysql) and speaks one SQL to all engines.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	db, err := database.Open(ctx, database.Config{URL: "sqlite:" + filepath.Join(dir, "rondo.db")})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	migrations := fstest.MapFS{"migrations/sqlite/00001_users.sql": {Data: []byte(`-- +goose Up
CREATE TABLE users (id TEXT PRIMARY KEY, email TEXT NOT NULL, created BIGINT NOT NULL);
CREATE UNIQUE INDEX users_email ON users (email);
`)}}
	if err := db.Migrate(ctx, "accounts", migrations); err != nil {
		fmt.Println(err)
		return
	}

	register := func(id, email string) error {
		return db.Write(ctx, "user_insert", func(tx *database.Tx) error {
			_, err := tx.Exec("INSERT INTO users (id, email, created) VALUES (?, ?, ?)", id, email, database.Micros(time.Now()))
			return err
		})
	}
	fmt.Println(register("u1", "a@example.org"))
	err = register("u2", "a@example.org")
	if conflict, ok := errors.AsType[*database.Error](err); ok && conflict.Kind == database.KindConflict {
		fmt.Println("taken:", conflict.Constraint)
	}
	var email string
	err = db.Read(ctx, "user_get", func(q database.Queryer) error {
		return q.QueryRow("SELECT email FROM users WHERE id = ?", "u1").Scan(&email)
	})
	fmt.Println(email, err)
	err = db.Read(ctx, "user_get", func(q database.Queryer) error {
		return q.QueryRow("SELECT email FROM users WHERE id = ?", "u2").Scan(&email)
	})
	fmt.Println(errors.Is(err, database.ErrNotFound))
	// Output:
	// <nil>
	// taken: users_email
	// a@example.org <nil>
	// true
}
