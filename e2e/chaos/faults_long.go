//go:build long

package chaos

import (
	"context"
	"fmt"
	"time"

	"github.com/rondo-chat/rondo/e2e/chaos/history"
	"github.com/rondo-chat/rondo/e2e/lab"
)

// losePackets drops all packets of a node to and from Redis or its users: no reset, no
// word to anybody.
func losePackets(name string, way lab.Way) fault {
	return fault{name, func(ctx context.Context, w *world) history.Fault {
		i := w.rng.IntN(len(w.opts))
		if err := w.split.Lose(i, way); err != nil {
			w.t.Error(err)
		}
		pause(ctx, w.between(3000, 8000))
		if err := w.split.Pass(i, way); err != nil {
			w.t.Error(err)
		}
		return history.Fault{Loses: way == lab.ToRedis, Stops: way == lab.ToUsers}
	}}
}

// jump sets the clock of a node, or that of Redis, a minute forward or back, and
// right again a few seconds later.
func jump(ofRedis bool, by time.Duration) fault {
	return fault{fmt.Sprintf("a clock jumps by %v, and back", by), func(ctx context.Context, w *world) history.Fault {
		i := w.rng.IntN(len(w.opts))
		if ofRedis {
			i = len(w.opts)
		}
		if err := w.clock[i].Jump(by); err != nil {
			w.t.Error(err)
		}
		pause(ctx, w.between(2000, 6000))
		if err := w.clock[i].Jump(0); err != nil {
			w.t.Error(err)
		}
		return history.Fault{}
	}}
}
