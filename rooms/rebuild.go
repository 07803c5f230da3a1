package rooms

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/protocol"
)

const (
	rebuildAtOnce = 16  // rooms looked at at the same time
	relistBatch   = 256 // seats listed in one call
)

// Learn takes in a room as another node left it, so that this one can put it back.
func (r *Registry) Learn(room Room) {
	if r.recall.hear(room) {
		r.hurry()
	}
}

// hurry makes rebuild run now.
func (r *Registry) hurry() {
	select {
	case r.lost <- struct{}{}:
	default:
	}
}

// rebuild looks at rooms of which the store may have lost something, and puts
// them back.
func (r *Registry) rebuild(ctx context.Context) error {
	if err := r.lease.wait(ctx, r.cfg.Lease/2); err != nil {
		return err
	}
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		failed error
		lost   int
	)
	ids, all := r.recall.toCheck()
	for batch := range slices.Chunk(ids, rebuildAtOnce) {
		for _, id := range batch {
			wg.Go(func() {
				back, err := r.putBack(ctx, id)
				mu.Lock()
				defer mu.Unlock()
				if back {
					lost++
				}
				if err != nil {
					failed = err
				}
			})
		}
		wg.Wait()
		if failed != nil {
			break
		}
	}
	if lost > 0 {
		r.cfg.Logger.Warn("rooms: the store had lost rooms; they are put back", "rooms", lost)
	}
	switch {
	case failed != nil:
		r.recall.suspectAll()
	case lost > 0 && !all:
		r.recall.suspectAll()
		r.hurry()
	}
	return failed
}

// putBack looks at one room.
func (r *Registry) putBack(ctx context.Context, id protocol.RoomID) (back bool, err error) {
	_, back, err = r.apply(ctx, id, auth.Random(5), look)
	if protocol.CodeOf(err) == protocol.CodeNotFound {
		err = nil
	}
	return back, err
}

// look is the step that changes nothing, for what write does besides.
func look(*Record, time.Time) (outcome, error) { return unchanged, nil }

// relist lists this node's seats anew.
func (r *Registry) relist(ctx context.Context) error {
	for seats := range slices.Chunk(r.recall.seats(), relistBatch) {
		if err := r.cfg.Store.Relist(ctx, r.cfg.Node, seats, r.cfg.Lease); err != nil {
			return err
		}
	}
	return nil
}

// expect makes known to the store on which nodes the record's members are, so that
// those that died are found.
func (r *Registry) expect(ctx context.Context, rec *Record) error {
	nodes := map[protocol.NodeID][]Seat{}
	for seat, node := range rec.Seats() {
		nodes[node] = append(nodes[node], seat)
	}
	for node, seats := range nodes {
		if err := r.cfg.Store.Relist(ctx, node, seats, r.cfg.Lease); err != nil {
			return err
		}
	}
	return nil
}
