package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	ebbEvery = 5 * time.Second
	ebbQuiet = 8 << 20  // bytes allocated in that time, up to which it was quiet
	ebbAfter = 64 << 20 // bytes allocated before, from which on there is something to give back
)

// ebb says when memory goes back to the system: once it is quiet after much was
// allocated. Else a server keeps for minutes what a storm of arrivals took, several
// times what those who came hold, for the runtime collects garbage when more is
// allocated, and gives back slowly.
type ebb struct {
	last   uint64 // allocated when it was looked at last
	behind uint64 // allocated since memory was given back, as of then
}

// due takes in how much was allocated in all, and how much of it is in use. A collection
// is not due before there was as much to do for it as there is in use: then the runtime
// would soon have made one.
func (e *ebb) due(allocated, live uint64) bool {
	since := allocated - e.last
	e.last = allocated
	e.behind += since
	if since > ebbQuiet || e.behind < max(ebbAfter, live) {
		return false
	}
	e.behind = 0
	return true
}

// giveBack gives memory back until ctx ends.
func giveBack(ctx context.Context) {
	tick := time.NewTicker(ebbEvery)
	defer tick.Stop()
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	for e := (&ebb{}); ; {
		metrics.Read(sample)
		if e.due(sample[0].Value.Uint64(), sample[1].Value.Uint64()) {
			debug.FreeOSMemory()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
