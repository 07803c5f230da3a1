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

const createMaria = "CREATE DATABASE %s CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"

// mariaTuning makes the server small and its commits safe from a crash of the
// server, not of the machine.
func mariaTuning() []string {
	return []string{
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
			}, mariaTuning()...)
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
		}, mariaTuning()...)
		if out, err := exec.Command(install, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("mariadb-install-db: %w: %s", err, out)
		}
		create := exec.Command(server, append([]string{"--no-defaults", "--user=root", "--datadir=" + data, "--bootstrap"}, mariaTuning()...)...)
		create.Stdin = stdin(fmt.Sprintf(createMaria, "rondo") + ";\n")
		if out, err := create.CombinedOutput(); err != nil {
			return fmt.Errorf("mariadbd --bootstrap: %w: %s", err, out)
		}
		return nil
	}), "data")
}

func stdin(text string) io.Reader { return strings.NewReader(text) }
