package lab

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/internal/testenv"
)

// Clock is by how much the wall clock of a process is wrong. Its monotonic clock is
// right, as it is when somebody sets the clock of a machine.
type Clock struct{ path string }

// clockVar names the file of a process's Clock: seconds, 8 bytes, little-endian.
const clockVar = "CHAOSCLOCK"

// NewClock returns a clock that is right.
func NewClock(t testing.TB) *Clock {
	t.Helper()
	c := &Clock{filepath.Join(t.TempDir(), "clock")}
	if err := c.Jump(0); err != nil {
		t.Fatal(err)
	}
	return c
}

// Jump sets by how much the clock is wrong. The processes notice within 10 ms.
func (c *Clock) Jump(by time.Duration) error {
	f, err := os.OpenFile(c.path, os.O_CREATE|os.O_WRONLY, 0o600) // never shorter: it may be mapped
	if err != nil {
		return err
	}
	if _, err := f.Write(binary.LittleEndian.AppendUint64(nil, uint64(by/time.Second))); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// Env makes a process of BuildClock, or one with PreloadClock, have this clock.
func (c *Clock) Env() string { return clockVar + "=" + c.path }

// BuildClock builds the server with a wall clock of its own and returns its path. The
// standard library and the main package are changed for this build alone.
func BuildClock(t testing.TB) string {
	t.Helper()
	root := strings.TrimSpace(output(t, "go", "env", "GOROOT"))
	main := strings.TrimSpace(output(t, "go", "list", "-f", "{{.Dir}}", "github.com/rondo-chat/rondo/cmd/rondo"))
	source := filepath.Join(root, "src/time/time.go")
	b, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	const now = "\nfunc Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	if strings.Count(string(b), now) != 1 {
		t.Fatalf("%s of %s has no time.Now as this knows it", source, runtime.Version())
	}
	patched := strings.Replace(string(b), now, now+"\tsec += chaosClock.Load()\n", 1)
	overlay := map[string]string{source: patched, filepath.Join(root, "src/time/chaosclock.go"): clockOfTime, filepath.Join(main, "chaosclock.go"): clockOfMain}
	dir := t.TempDir()
	replace := map[string]string{}
	for path, text := range overlay {
		file := filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[path] = file
	}
	b, err = json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, b, 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "rondo")
	output(t, "go", "build", "-overlay", list, "-o", binary, "github.com/rondo-chat/rondo/cmd/rondo")
	return binary
}

const clockOfTime = `package time

import "sync/atomic"

var chaosClock atomic.Int64

// SetChaosClock makes the wall clock wrong by so many seconds.
func SetChaosClock(seconds int64) { chaosClock.Store(seconds) }
`

const clockOfMain = `package main

import (
	"encoding/binary"
	"os"
	"time"
)

func init() {
	path := os.Getenv("` + clockVar + `")
	if path == "" {
		return
	}
	go func() {
		for range time.Tick(5 * time.Millisecond) {
			if b, err := os.ReadFile(path); err == nil && len(b) == 8 {
				time.SetChaosClock(int64(binary.LittleEndian.Uint64(b)))
			}
		}
	}()
}
`

// PreloadClock returns what the environment of a C program must hold beside
// Clock.Env, so that it has that clock.
func PreloadClock(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	source, library := filepath.Join(dir, "clock.c"), filepath.Join(dir, "clock.so")
	if err := os.WriteFile(source, []byte(clockOfC), 0o600); err != nil {
		t.Fatal(err)
	}
	output(t, testenv.Need(t, "gcc"), "-shared", "-fPIC", "-O1", "-o", library, source)
	return "LD_PRELOAD=" + library
}

const clockOfC = `
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *wrong;

__attribute__((constructor)) static void begin(void) {
	const char *path = getenv("` + clockVar + `");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *p = fd < 0 ? MAP_FAILED : mmap(0, 8, PROT_READ, MAP_SHARED, fd, 0);
	if (p != MAP_FAILED) wrong = p;
	if (fd >= 0) close(fd);
}

int clock_gettime(clockid_t id, struct timespec *ts) {
	int r = syscall(SYS_clock_gettime, id, ts);
	if (r == 0 && wrong && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) ts->tv_sec += *wrong;
	return r;
}

int gettimeofday(struct timeval *tv, void *tz) {
	struct timespec ts;
	(void)tz;
	if (clock_gettime(CLOCK_REALTIME, &ts)) return -1;
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *t) {
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	if (t) *t = ts.tv_sec;
	return ts.tv_sec;
}
`

// output runs a command that must not fail.
func output(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
