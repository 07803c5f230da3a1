// Package testenv gives tests the real things they run against: Redis servers
// and clusters of their own, on free ports, in temporary folders, gone when the
// test ends and also when the test process is killed.
//
// A component that is not installed skips the test with its reason; with CI=true
// in the environment it fails the test, so that nothing is left out silently.
// The package imports no client of what it starts.
package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Need returns the path of the first of paths that is an executable (looked up
// in PATH and, for what Debian keeps there, in the sbin folders); without paths
// it looks for what itself. Where none is found it skips the test, or fails it
// when CI=true.
func Need(t testing.TB, what string, paths ...string) string {
	t.Helper()
	if len(paths) == 0 {
		paths = []string{what}
	}
	for _, p := range paths {
		if found := lookPath(p); found != "" {
			return found
		}
	}
	Missing(t, "%s is not installed (looked for %s)", what, strings.Join(paths, ", "))
	return ""
}

func lookPath(p string) string {
	if found, err := exec.LookPath(p); err == nil {
		return found
	}
	if strings.Contains(p, "/") {
		return ""
	}
	for _, dir := range []string{"/usr/sbin/", "/sbin/", "/usr/local/sbin/"} {
		if found, err := exec.LookPath(dir + p); err == nil {
			return found
		}
	}
	return ""
}

// Missing ends the test because something it needs is not there: a skip, or a
// failure when CI=true.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("CI=true and "+format, args...)
	}
	t.Skipf(format, args...)
}

// Eventually waits until cond holds, asking again and again, and fails the test
// when it does not within d.
func Eventually(t testing.TB, d time.Duration, cond func() bool, msg string, args ...any) {
	t.Helper()
	if !poll(d, cond) {
		t.Fatalf("not within %v: %s", d, fmt.Sprintf(msg, args...))
	}
}

// poll asks cond with pauses of 1 ms growing to 50 ms, and once more at the end.
func poll(d time.Duration, cond func() bool) bool {
	deadline := time.NewTimer(d)
	defer deadline.Stop()
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if cond() {
			return true
		}
		select {
		case <-deadline.C:
			return cond()
		case <-time.After(pause):
		}
	}
}
