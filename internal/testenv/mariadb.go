package testenv

import (
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// MariaDB returns the URL of an empty MariaDB database, on a server that the
// tests of this process share. It is gone when the test ends.
func MariaDB(t testing.TB) string {
	t.Helper()
	return sharedSQL(t, mariaKind(t), mariaTemplate, createMaria, "DROP DATABASE IF EXISTS %s")
}

// MariaDBServer starts a MariaDB server for this test alone, which may be
// killed, stalled and restarted.
func MariaDBServer(t testing.TB) *SQLServer {
	t.Helper()
	kind := mariaKind(t)
	return startSQL(t, kind, ownCopy(t, kind.name, mariaTemplate(t)))
}

// MariaDBPrimary starts a MariaDB server that may have replicas.
func MariaDBPrimary(t testing.TB) *SQLServer {
	t.Helper()
	kind := mariaReplicating(t, "--log-bin=bin", "--sync-binlog=0", "--binlog-format=ROW")
	return startSQL(t, kind, ownCopy(t, kind.name, mariaTemplate(t)))
}

// MariaDBReplica starts a server that replicates from primary by GTID, from the
// first thing that was ever done there.
func MariaDBReplica(t testing.TB, primary *SQLServer) *SQLServer {
	t.Helper()
	kind := mariaReplicating(t, "--skip-log-bin", "--read-only", "--relay-log=relay", "--relay-log-recovery", "--slave-net-timeout=5")
	s := startSQL(t, kind, ownCopy(t, kind.name, mariaTemplate(t)))
	s.SQL(fmt.Sprintf("CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=%d, MASTER_USER='root', MASTER_CONNECT_RETRY=1, "+
		"MASTER_USE_GTID=slave_pos; START SLAVE", primary.port))
	return s
}

// mariaReplicating is mariaKind with a part in replication. The port serves as
// the server's id, which must be its own.
func mariaReplicating(t testing.TB, flags ...string) sqlKind {
	t.Helper()
	kind := mariaKind(t)
	serve := kind.serve
	kind.serve = func(dir string, port int) *exec.Cmd {
		cmd := serve(dir, port)
		cmd.Args = append(cmd.Args, "--server-id="+strconv.Itoa(port))
		cmd.Args = append(cmd.Args, flags...)
		return cmd
	}
	return kind
}

const createMaria = "CREATE DATABASE %s CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"

// mariaTuning makes the server small and its commits safe from a crash of the
// server, not of the machine. Its temporary files lie with its data: a server
// that starts removes what it finds in their folder, another server's too.
func mariaTuning(data string) []string {
	return []string{
		"--tmpdir=" + data,
		"--innodb-log-file-size=8M", "--innodb-buffer-pool-size=24M", "--innodb-flush-log-at-trx-commit=2",
		"--skip-innodb-doublewrite", "--performance-schema=OFF",
	}
}

func mariaKind(t testing.TB) sqlKind {
	t.Helper()
	server, client := Need(t, "mariadbd"), Need(t, "mariadb")
	return sqlKind{
		name: "mariadb",
		url:  "mysql://root@127.0.0.1:%d/%s",
		serve: func(dir string, port int) *exec.Cmd {
			args := append([]string{
				"--no-defaults", "--user=root", "--datadir=" + dir, "--port=" + strconv.Itoa(port), "--bind-address=127.0.0.1",
				"--socket=" + filepath.Join(dir, "sock"), "--max-connections=200", "--skip-log-bin", "--skip-name-resolve",
			}, mariaTuning(dir)...)
			return exec.Command(server, args...)
		},
		client: func(dir string, _ int, script string) *exec.Cmd {
			return exec.Command(client, "--no-defaults", "--socket="+filepath.Join(dir, "sock"), "--user=root",
				"--connect-timeout=5", "--batch", "--skip-column-names", "rondo", "-e", script)
		},
	}
}

// mariaTemplate makes the data folder that servers get copies of.
func mariaTemplate(t testing.TB) string {
	t.Helper()
	install, server := Need(t, "mariadb-install-db"), Need(t, "mariadbd")
	return filepath.Join(perProcess(t, "mariadb-template", func(dir string, _ reaper) error {
		data := filepath.Join(dir, "data")
		args := append([]string{
			"--no-defaults", "--user=root", "--datadir=" + data, "--auth-root-authentication-method=normal", "--skip-test-db",
		}, mariaTuning(dir)...)
		if out, err := exec.Command(install, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("mariadb-install-db: %w: %s", err, out)
		}
		create := exec.Command(server, append([]string{"--no-defaults", "--user=root", "--datadir=" + data, "--bootstrap"}, mariaTuning(dir)...)...)
		create.Stdin = stdin(fmt.Sprintf(createMaria, "rondo") + ";\n")
		if out, err := create.CombinedOutput(); err != nil {
			return fmt.Errorf("mariadbd --bootstrap: %w: %s", err, out)
		}
		return nil
	}), "data")
}

func stdin(text string) io.Reader { return strings.NewReader(text) }
