package testenv

import (
	"path/filepath"
	"testing"
)

// Databases runs f for each kind of SQL database, with what gives the URL of an
// empty one, another one each time.
func Databases(t *testing.T, f func(t *testing.T, url func(testing.TB) string)) {
	for name, url := range map[string]func(testing.TB) string{
		"sqlite":   func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "a.db") },
		"postgres": Postgres,
		"mariadb":  MariaDB,
	} {
		t.Run(name, func(t *testing.T) { f(t, url) })
	}
}
