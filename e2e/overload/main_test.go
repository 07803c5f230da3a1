//go:build linux && !race

package overload

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rondo-chat/rondo/e2e/lab"
)

const (
	// attackEnv makes this binary an attacking process.
	attackEnv = "RONDO_OVERLOAD_ATTACK"
	// lastEnv says that the process has the lowest priority.
	lastEnv = "RONDO_OVERLOAD_LAST"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(attackEnv); text != "" {
		if os.Getenv(lastEnv) == "" {
			fmt.Fprintln(os.Stderr, "overload:", beLast())
			os.Exit(1)
		}
		if err := runAttack(context.Background(), text, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	debug.SetGCPercent(1000) // collecting garbage must not look like a slow server
	os.Exit(lab.Main(m))
}

// beLast begins this program anew on a thread of the lowest priority, which all
// threads then inherit. It returns if that fails. SCHED_IDLE would be lower still,
// but on a busy machine the attack would never be over.
func beLast() error {
	runtime.LockOSThread()
	if err := unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 19); err != nil {
		return fmt.Errorf("the lowest priority: %w", err)
	}
	return syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), lastEnv+"=1", "GOMAXPROCS=1"))
}
