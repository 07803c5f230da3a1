package testenv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// perProcess returns the folder of that name which all tests of this process
// share. The first caller makes it with build; the others wait for that. When the process is
// gone, however it ended, a shell that waits for nothing else kills what build
// started (keep.guard) and removes the folder.
//
// The folder is found by its name, and no goroutine belongs to it: a package
// that checks for leaks at its end can use it.
func perProcess(t testing.TB, name string, build func(dir string, keep reaper) error) string {
	t.Helper()
	dir := filepath.Join(os.TempDir(), "rondo-"+name+"-"+processID(t))
	built, failed := filepath.Join(dir, "built"), filepath.Join(dir, "failed")
	err := os.Mkdir(dir, 0o755)
	if err == nil {
		if err := firstBuild(dir, build); err != nil {
			_ = os.WriteFile(failed, []byte(err.Error()), 0o600)
			t.Fatalf("%s: %v", name, err)
		}
		if err := os.WriteFile(built, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	if !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	ended := poll(time.Minute, func() bool { return exists(built) || exists(failed) })
	if !ended || exists(failed) {
		text, _ := os.ReadFile(failed)
		t.Fatalf("%s: another test could not make it: %s", name, text)
	}
	return dir
}

func firstBuild(dir string, build func(string, reaper) error) error {
	keep, err := newReaper(dir)
	if err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // whatever the umask
		return err
	}
	return build(dir, keep)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// processID names this process, and no later one with the same number.
func processID(t testing.TB) string {
	t.Helper()
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		Missing(t, "shared servers need /proc: %v", err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the second field may hold spaces
	fields := strings.Fields(rest)
	return strconv.Itoa(os.Getpid()) + "-" + fields[19] // field 22, starttime
}

// reaper is the writing end of a pipe to the shell that cleans up. It is a bare
// descriptor so that no finalizer closes it.
type reaper int

// reap keeps the process ids that it reads; at the end of its input it kills
// them and removes the folder, again while dying processes still write to it.
const reap = `trap "" INT TERM HUP QUIT
pids=
while read -r pid; do pids="$pids $pid"; done
for pid in $pids; do kill -9 "$pid" 2>/dev/null; done
for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	rm -rf "$1" 2>/dev/null
	[ -e "$1" ] || exit 0
	sleep 0.1
done`

func newReaper(dir string) (reaper, error) {
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC); err != nil {
		return 0, err
	}
	in := os.NewFile(uintptr(ends[0]), "reaper")
	defer in.Close()
	cmd := exec.Command("/bin/sh", "-c", reap, "reaper", dir)
	cmd.Stdin = in
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // not reached by Ctrl-C
	return reaper(ends[1]), cmd.Start()
}

// guard has the process killed when this one is gone.
func (r reaper) guard(pid int) error {
	_, err := syscall.Write(int(r), fmt.Appendln(nil, pid))
	return err
}

// startShared starts a server that lives as long as the process. Its output goes to
// the file log in dir.
func (r reaper) startShared(cmd *exec.Cmd, dir string) error {
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		return err
	}
	return r.guard(cmd.Process.Pid)
}
