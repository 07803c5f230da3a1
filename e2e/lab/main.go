package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Main runs the tests of a package that uses the lab: it waits until no other such
// package runs on this machine, because they need its cores, and builds cmd/rondo,
// with the race detector when the tests have it.
func Main(m *testing.M) int {
	unlock, err := lock()
	if err == nil {
		defer unlock()
		sweep()
		defer os.RemoveAll(dir(os.Getpid()))
		err = build()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		return 1
	}
	return m.Run()
}

const dirPrefix = "rondo-e2e-"

// dir is the folder of a test process.
func dir(pid int) string { return filepath.Join(os.TempDir(), dirPrefix+strconv.Itoa(pid)) }

func lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(os.TempDir(), "rondo-e2e.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// sweep removes what killed test processes left.
func sweep() {
	old, _ := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*")) // the pattern is right
	for _, path := range old {
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(path), dirPrefix))
		if err == nil && syscall.Kill(pid, 0) == syscall.ESRCH {
			os.RemoveAll(path)
		}
	}
}

func build() error {
	_, err := buildAs("rondo")
	return err
}

// buildAs builds the server with build tags and returns its path.
func buildAs(name string, tags ...string) (string, error) {
	path := filepath.Join(dir(os.Getpid()), name)
	args := []string{"build", "-tags", strings.Join(tags, ","), "-o", path}
	if raceEnabled {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "github.com/rondo-chat/rondo/cmd/rondo")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}

// Build builds the server with build tags, beside the one without, and returns its
// path. It goes with the test process.
func Build(t testing.TB, tags ...string) string {
	t.Helper()
	path, err := buildAs("rondo-"+strings.Join(tags, "-"), tags...)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Binary returns the path of the built server; TestMain must have called Main.
func Binary(t testing.TB) string {
	t.Helper()
	path := filepath.Join(dir(os.Getpid()), "rondo")
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("lab.Main did not run: %v", err)
	}
	return path
}
