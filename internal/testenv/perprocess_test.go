package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestPerProcess(t *testing.T) {
	var built atomic.Int32
	var group sync.WaitGroup
	dirs := make([]string, 8)
	for i := range dirs {
		group.Go(func() {
			dirs[i] = perProcess(t, "testenv-test", func(string, reaper) error {
				built.Add(1)
				return nil
			})
		})
	}
	group.Wait()
	for _, d := range dirs {
		if d != dirs[0] || built.Load() > 1 { // 0 when the test runs again in one process
			t.Fatalf("%v, built %d times", dirs, built.Load())
		}
	}
}

// TestReaper: when the pipe is closed, which a killed process does too, what it
// guards is killed and the folder removed.
func TestReaper(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "reaped")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	keep, err := newReaper(dir)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "60")
	if err := keep.startShared(cmd, dir); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Close(int(keep)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("still runs")
	}
	Eventually(t, 20*time.Second, func() bool { return !exists(dir) }, "the folder is still there")
}
