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

func TestPostgresReplica(t *testing.T) {
	primary := PostgresServer(t)
	replica := PostgresReplica(t, primary)
	primary.SQL("CREATE TABLE a (n INT)")
	primary.SQL("INSERT INTO a VALUES (7)")
	Eventually(t, 20*time.Second, func() bool {
		return replica.SQL("SELECT count(*) FROM pg_tables WHERE tablename = 'a'") == "1" && replica.SQL("SELECT n FROM a") == "7"
	}, "the row is not on the replica")
	if replica.SQL("SELECT pg_is_in_recovery()") != "t" {
		t.Fatal("no replica")
	}
}
