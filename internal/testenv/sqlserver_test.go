package testenv

import (
	"strings"
	"testing"
	"time"
)

func TestSQLServers(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *SQLServer{"postgres": PostgresServer, "mariadb": MariaDBServer} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			s.SQL("CREATE TABLE a (n INT)")
			s.SQL("INSERT INTO a VALUES (7)")
			s.Kill()
			s.Restart()
			if got := s.SQL("SELECT n FROM a"); got != "7" {
				t.Fatalf("after Kill and Restart: %q", got)
			}
			s.Stall()
			done := make(chan error, 1)
			cmd := s.kind.client(s.dir, s.port, "SELECT 1")
			go func() { done <- cmd.Run() }()
			select {
			case <-done:
				t.Fatal("answers while stalled")
			case <-time.After(300 * time.Millisecond):
			}
			s.Continue()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestSharedSQL(t *testing.T) {
	for name, start := range map[string]func(testing.TB) string{"postgres": Postgres, "mariadb": MariaDB} {
		t.Run(name, func(t *testing.T) {
			a, b := start(t), start(t)
			at := func(url string) string { return url[:strings.LastIndex(url, "/")] }
			if a == b || at(a) != at(b) {
				t.Fatalf("%s and %s: want two databases of one server", a, b)
			}
		})
	}
}

func TestReplicas(t *testing.T) {
	for name, c := range map[string]struct {
		primary      func(testing.TB) *SQLServer
		replica      func(testing.TB, *SQLServer) *SQLServer
		tables, role string // queries: is there a table a? is this a replica?
		yes          string
	}{
		"PostgreSQL": {PostgresServer, PostgresReplica, "SELECT count(*) FROM pg_tables WHERE tablename = 'a'", "SELECT pg_is_in_recovery()", "t"},
		"MariaDB":    {MariaDBPrimary, MariaDBReplica, "SELECT count(*) FROM information_schema.tables WHERE table_name = 'a'", "SELECT @@read_only", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			primary := c.primary(t)
			replica := c.replica(t, primary)
			has := func(n string) {
				t.Helper()
				Eventually(t, 20*time.Second, func() bool {
					return replica.SQL(c.tables) == "1" && replica.SQL("SELECT max(n) FROM a") == n
				}, "the row %s is not on the replica", n)
			}
			primary.SQL("CREATE TABLE a (n INT)")
			primary.SQL("INSERT INTO a VALUES (7)")
			has("7")
			if replica.SQL(c.role) != c.yes || primary.SQL(c.role) == c.yes {
				t.Fatal("no replica")
			}
			replica.Kill()
			primary.SQL("INSERT INTO a VALUES (8)")
			replica.Restart()
			has("8")
			primary.Kill()
			primary.Restart()
			primary.SQL("INSERT INTO a VALUES (9)")
			has("9")
		})
	}
}
