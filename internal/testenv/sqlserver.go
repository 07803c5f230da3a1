package testenv

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// SQLServer is a database server of one test, with an empty database. What was
// committed is still there after Kill and Restart.
type SQLServer struct {
	URL string // of the database, as internal/database takes it

	t    testing.TB
	kind sqlKind
	dir  string
	port int
	proc *Process
}

// sqlKind is what the servers differ in.
type sqlKind struct {
	name   string
	url    string                                              // with %d for the port and %s for the database
	serve  func(dir string, port int) *exec.Cmd                // runs it in the foreground
	client func(dir string, port int, script string) *exec.Cmd // runs a script as the administrator, plain output
}

// startSQL starts a server on a data folder that is ready, and stops it when the
// test ends.
func startSQL(t testing.TB, kind sqlKind, dir string) *SQLServer {
	t.Helper()
	s := &SQLServer{t: t, kind: kind, dir: dir}
	t.Cleanup(s.Kill)
	var err error
	for range 5 { // another process may take the port between our look and the bind
		if s.port, err = freePort(0); err != nil {
			continue
		}
		if err = s.start(); err == nil {
			s.URL = fmt.Sprintf(kind.url, s.port, "rondo")
			return s
		}
	}
	t.Fatalf("%s: %v", kind.name, err)
	return nil
}

func (s *SQLServer) start() error {
	proc, err := startProcess(s.kind.serve(s.dir, s.port))
	if err != nil {
		return err
	}
	s.proc = proc
	ready := func() bool { return s.kind.client(s.dir, s.port, "SELECT 1").Run() == nil }
	if poll(30*time.Second, func() bool { return proc.Exited() || ready() }) && !proc.Exited() {
		return nil
	}
	proc.Kill()
	return fmt.Errorf("port %d: not ready: %s", s.port, proc.Output())
}

// SQL runs a script as the server's administrator, in the test's database, with
// a client of its own, and returns what it prints: rows as lines.
func (s *SQLServer) SQL(script string) string {
	s.t.Helper()
	out, err := s.kind.client(s.dir, s.port, script).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v: %s", s.kind.name, err, out)
	}
	return strings.TrimSpace(string(out))
}

// Kill ends the server with SIGKILL, as a crash would. It may be called again.
func (s *SQLServer) Kill() {
	if s.proc != nil {
		s.proc.Kill()
	}
}

// Restart starts the server again after Kill, at the same address.
func (s *SQLServer) Restart() {
	s.t.Helper()
	s.Kill()
	var err error
	for range 50 { // children of the old one may still be about to go
		if err = s.start(); err == nil {
			return
		}
	}
	s.t.Fatalf("%s did not come back: %v", s.kind.name, err)
}

// Stall stops the server where it stands (SIGSTOP, its children too): it holds
// its connections and answers nothing, until Continue.
func (s *SQLServer) Stall() { s.signal(syscall.SIGSTOP) }

// Continue ends a Stall.
func (s *SQLServer) Continue() { s.signal(syscall.SIGCONT) }

func (s *SQLServer) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.proc.Signal(sig); err != nil {
		s.t.Fatalf("%s: %v: %v", s.kind.name, sig, err)
	}
	for _, pid := range children(s.proc.PID()) {
		_ = syscall.Kill(pid, sig) // gone meanwhile: fine
	}
}

// children returns the ids of the processes that pid started.
func children(pid int) []int {
	var all []int
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range files {
		text, _ := os.ReadFile(f)
		for id := range strings.FieldsSeq(string(text)) {
			if n, err := strconv.Atoi(id); err == nil {
				all = append(all, n)
			}
		}
	}
	return all
}

// sharedSQL returns the URL of a new database on the server that all tests of
// this process share; it is dropped when the test ends.
func sharedSQL(t testing.TB, kind sqlKind, template func(testing.TB) string, create, drop string) string {
	t.Helper()
	source := template(t)
	dir := perProcess(t, kind.name, func(dir string, keep reaper) error {
		data := filepath.Join(dir, "data")
		if err := copyDir(source, data); err != nil {
			return err
		}
		port, err := freePort(0)
		if err != nil {
			return err
		}
		if err := keep.startShared(kind.serve(data, port), dir); err != nil {
			return err
		}
		if !poll(30*time.Second, func() bool { return kind.client(data, port, "SELECT 1").Run() == nil }) {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			return fmt.Errorf("not ready within 30 s: %s", log)
		}
		return os.WriteFile(filepath.Join(dir, "port"), []byte(strconv.Itoa(port)), 0o600)
	})
	text, err := os.ReadFile(filepath.Join(dir, "port"))
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(string(text))
	if err != nil {
		t.Fatal(err)
	}
	name := "t_" + strings.ToLower(rand.Text())
	data := filepath.Join(dir, "data")
	if out, err := kind.client(data, port, fmt.Sprintf(create, name)).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", kind.name, err, out)
	}
	t.Cleanup(func() {
		if out, err := kind.client(data, port, fmt.Sprintf(drop, name)).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", kind.name, err, out)
		}
	})
	return fmt.Sprintf(kind.url, port, name)
}

// copyDir copies a folder with owners and modes.
func copyDir(from, to string) error {
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		return fmt.Errorf("cp: %w: %s", err, out)
	}
	return nil
}

// ownCopy returns a copy of a template that is the test's own. It is no
// t.TempDir because another user must be able to go there.
func ownCopy(t testing.TB, name, template string) string {
	t.Helper()
	dir := scratch(t, name)
	data := filepath.Join(dir, "data")
	if err := copyDir(template, data); err != nil {
		t.Fatal(err)
	}
	return data
}

// scratch returns a folder that is removed when the test ends, or its process.
func scratch(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rondo-"+name+"-")
	if err != nil {
		t.Fatal(err)
	}
	keep, err := newReaper(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !poll(5*time.Second, func() bool { return os.RemoveAll(dir) == nil }) { // dying children still write
			t.Errorf("%s: cannot be removed", dir)
		}
		_ = syscall.Close(int(keep))
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
