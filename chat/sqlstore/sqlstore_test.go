package sqlstore_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/chat/conversations/storetest"
	"github.com/rondo-chat/rondo/chat/sqlstore"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func onEngines(t *testing.T, f func(t *testing.T, open func(testing.TB) *sqlstore.Store)) {
	for name, url := range map[string]func(testing.TB) string{
		"sqlite":   func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "a.db") },
		"postgres": testenv.Postgres,
		"mariadb":  testenv.MariaDB,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			f(t, func(t testing.TB) *sqlstore.Store { return openURL(t, url(t)) })
		})
	}
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
