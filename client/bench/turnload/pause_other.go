//go:build !linux

package turnload

import "time"

func pause(d time.Duration) { <-time.After(d) }
