package bench

import (
	"time"

	"golang.org/x/sys/unix"
)

// CPU is what a process of this machine has used since it began, to the nanosecond: its
// CPU-time clock (clock_getcpuclockid(3)), which counts threads that have ended as well.
func CPU(pid int) (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &t); err != nil {
		return 0, err
	}
	return time.Duration(t.Nano()), nil
}
