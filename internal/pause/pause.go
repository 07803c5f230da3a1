// Package pause waits in a way that can be ended.
package pause

import (
	"context"
	"time"
)

// For waits for d, or until ctx ends, and returns ctx's error; with no time to wait
// it only asks for that.
func For(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
