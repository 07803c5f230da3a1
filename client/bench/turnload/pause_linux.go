package turnload

import (
	"time"

	"golang.org/x/sys/unix"
)

// pause sleeps in the kernel: Go's timers are too coarse for 50 µs.
func pause(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	unix.Nanosleep(&ts, nil)
}
