package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// Postgres returns the URL of an empty PostgreSQL database, on a server that the
// tests of this process share. It is gone when the test ends.
func Postgres(t testing.TB) string {
	t.Helper()
	return sharedSQL(t, postgresKind(t), postgresTemplate, "CREATE DATABASE %s", "DROP DATABASE IF EXISTS %s WITH (FORCE)")
}

// PostgresServer starts a PostgreSQL server for this test alone, which may be
// killed, stalled and restarted, and have replicas.
func PostgresServer(t testing.TB) *SQLServer {
	t.Helper()
	kind := postgresKind(t)
	return startSQL(t, kind, ownCopy(t, kind.name, postgresTemplate(t)))
}

// PostgresReplica starts a hot standby that streams from primary.
func PostgresReplica(t testing.TB, primary *SQLServer) *SQLServer {
	t.Helper()
	kind := postgresKind(t)
	data := filepath.Join(scratch(t, "replica"), "data")
	p := postgresPrograms(t)
	if err := p.folder(data); err != nil {
		t.Fatal(err)
	}
	cmd := p.command("pg_basebackup", "-h", "127.0.0.1", "-p", strconv.Itoa(primary.port), "-U", "rondo",
		"-D", data, "-R", "-X", "stream", "-c", "fast", "--no-sync")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("pg_basebackup: %v: %s", err, out)
	}
	return startSQL(t, kind, data)
}

func postgresKind(t testing.TB) sqlKind {
	t.Helper()
	p := postgresPrograms(t)
	return sqlKind{
		name: "postgres",
		url:  "postgres://rondo@127.0.0.1:%d/%s?sslmode=disable",
		serve: func(dir string, port int) *exec.Cmd {
			return p.command("postgres", "-D", dir, "-p", strconv.Itoa(port),
				"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="+dir, "-c", "fsync=off",
				"-c", "shared_buffers=16MB", "-c", "max_connections=120", "-c", "wal_retrieve_retry_interval=200ms")
		},
		client: func(dir string, port int, script string) *exec.Cmd {
			cmd := p.command("psql", "-h", dir, "-p", strconv.Itoa(port), "-U", "rondo", "-d", "rondo",
				"-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", script)
			cmd.Env = append(os.Environ(), "PGCONNECT_TIMEOUT=5")
			return cmd
		},
	}
}

// postgresTemplate makes the data folder that servers get copies of.
func postgresTemplate(t testing.TB) string {
	t.Helper()
	p := postgresPrograms(t)
	return filepath.Join(perProcess(t, "postgres-template", func(dir string, _ reaper) error {
		data := filepath.Join(dir, "data")
		if err := p.folder(data); err != nil {
			return err
		}
		out, err := p.command("initdb", "-N", "-A", "trust", "-U", "rondo", "-E", "UTF8", "--locale=C.UTF-8", data).CombinedOutput()
		if err != nil {
			return fmt.Errorf("initdb: %w: %s", err, out)
		}
		create := p.command("postgres", "--single", "-D", data, "-c", "fsync=off", "postgres")
		create.Stdin = stdin("CREATE DATABASE rondo\n")
		if out, err := create.CombinedOutput(); err != nil {
			return fmt.Errorf("postgres --single: %w: %s", err, out)
		}
		return nil
	}), "data")
}

// postgresql is where PostgreSQL's programs are and as whom they run: root may not.
type postgresql struct {
	bin string
	as  *syscall.Credential // nil: as we are
	uid int
	gid int
}

func postgresPrograms(t testing.TB) postgresql {
	t.Helper()
	candidates, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	for i, j := 0, len(candidates)-1; i < j; i, j = i+1, j-1 { // newest first
		candidates[i], candidates[j] = candidates[j], candidates[i]
	}
	p := postgresql{bin: filepath.Dir(Need(t, "PostgreSQL's server", append(candidates, "postgres")...)), uid: os.Getuid(), gid: os.Getgid()}
	if p.uid != 0 {
		return p
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		Missing(t, "PostgreSQL does not run as root, and there is no user postgres: %v", err)
	}
	p.uid, _ = strconv.Atoi(u.Uid)
	p.gid, _ = strconv.Atoi(u.Gid)
	p.as = &syscall.Credential{Uid: uint32(p.uid), Gid: uint32(p.gid)}
	return p
}

// folder makes a folder that belongs to PostgreSQL.
func (p postgresql) folder(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	return os.Chown(dir, p.uid, p.gid)
}

func (p postgresql) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, name), args...)
	cmd.Dir = "/"
	if p.as != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.as}
	}
	return cmd
}
