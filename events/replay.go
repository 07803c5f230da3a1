package events

import (
	"context"
	"errors"
	"fmt"
)

// Replay hands the dead letters of a sink to it once more, the oldest first, and forgets
// those that it takes; it stops at the first that it does not. They come out of order,
// which their Pos tells. It returns how many were taken.
func Replay(ctx context.Context, letters Letters, s Subscription) (int, error) {
	taken := 0
	for {
		list, err := letters.Letters(ctx, s.Name, 100)
		if err != nil || len(list) == 0 {
			return taken, err
		}
		for _, l := range list {
			e, _, err := newEvent(l.Row)
			if err != nil {
				return taken, fmt.Errorf("%s:%d: %w", l.Row.Room, l.Row.Seq, err)
			}
			e.Late = true
			n, err := s.Sink.Deliver(ctx, []Event{e})
			if n == 0 {
				return taken, fmt.Errorf("%s: %w", e.ID, errors.Join(err, ctx.Err()))
			}
			if err := letters.Forget(ctx, l); err != nil {
				return taken, err
			}
			taken++
		}
	}
}
