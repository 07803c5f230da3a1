//go:build !linux

package bench

import (
	"errors"
	"time"
)

// CPU is what a process of this machine has used; on Linux only.
func CPU(int) (time.Duration, error) {
	return 0, errors.New("bench: the CPU time of a process is known on Linux only")
}
