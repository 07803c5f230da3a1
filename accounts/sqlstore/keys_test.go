package sqlstore_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/accounts/sqlstore"
	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/auth/keystoretest"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/internal/testenv"
)

// TestKeyStore runs the suite on each engine: one server for all of it, whose
// keys each test finds gone.
func TestKeyStore(t *testing.T) {
	for name, url := range map[string]func(testing.TB) string{
		"sqlite":   func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "a.db") },
		"postgres": testenv.Postgres,
		"mariadb":  testenv.MariaDB,
	} {
		t.Run(name, func(t *testing.T) {
			db, err := database.Open(t.Context(), database.Config{URL: url(t), Timeout: 30 * time.Second, SlowQuery: -1})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			store := sqlstore.New(db)
			if err := store.Migrate(context.WithoutCancel(t.Context())); err != nil {
				t.Fatal(err)
			}
			keystoretest.Run(t, func(t testing.TB) auth.KeyStore {
				all, err := store.Keys(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, k := range all {
					if err := store.Remove(t.Context(), k.Kid); err != nil {
						t.Fatal(err)
					}
				}
				return store
			})
		})
	}
}
