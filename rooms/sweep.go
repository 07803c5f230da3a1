package rooms

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/pause"
	"github.com/rondo-chat/rondo/internal/seeded"
	"github.com/rondo-chat/rondo/protocol"
)

const (
	seatPage = 256 // seats looked at in one go
	duePage  = 64  // rooms that are over, in one go
)

// Start takes out what a former process of the same node name left behind,
// renews this node's lease from now on, and sweeps. It returns once that was
// done, or with the reason why not: the store does not answer, or ctx ended. The
// Registry goes on trying all the same, and its calls wait for it. Close ends
// what Start began; both are called once.
func (r *Registry) Start(ctx context.Context) error {
	r.begin()
	return r.lease.wait(ctx, r.cfg.Lease/2)
}

func (r *Registry) begin() {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	r.done.Go(func() { r.every(ctx, r.cfg.Lease/4, r.lease.poke, "renew", r.renew) })
	r.done.Go(func() { r.every(ctx, r.cfg.Sweep, nil, "sweep", r.sweep) })
	r.done.Go(func() { r.every(ctx, r.cfg.Lease/4, r.lost, "rebuild", r.rebuild) })
	r.done.Go(func() { r.every(ctx, r.cfg.KeepEvery, nil, "keep", r.keep) })
	if r.cfg.Holds != nil {
		var suspects map[Seat]bool
		r.done.Go(func() {
			r.every(ctx, r.cfg.CheckEvery, nil, "check", func(ctx context.Context) error {
				return r.check(ctx, &suspects)
			})
		})
	}
}

// Close stops renewing and sweeping and waits until no callback runs. The lease
// runs out by itself: seats that are left stay for as long, for their sessions
// may be on the way to another node.
func (r *Registry) Close() {
	if r.cancel != nil {
		r.cancel()
	}
	r.done.Wait()
}

// every calls f now, at the interval and when poked. It logs when f starts or
// stops to fail, not each time.
func (r *Registry) every(ctx context.Context, interval time.Duration, poke <-chan struct{}, what string, f func(context.Context) error) {
	t := time.NewTicker(interval)
	defer t.Stop()
	failing := false
	for {
		err := f(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			r.cfg.Logger.Warn("rooms: cannot "+what, "error", err)
		case err == nil && failing:
			r.cfg.Logger.Info("rooms: can " + what + " again")
		}
		failing = err != nil
		r.metrics.ran(what, err)
		select {
		case <-ctx.Done():
			return
		case <-poke:
		case <-t.C:
		}
	}
}

// sweep buries the dead nodes and removes rooms that are over.
func (r *Registry) sweep(ctx context.Context) error {
	dead, err := r.cfg.Store.Dead(ctx)
	if err != nil {
		return err
	}
	if r.quiet(time.Now()) {
		dead = nil
	}
	maps.DeleteFunc(r.burials, func(node protocol.NodeID, _ time.Time) bool { return !slices.Contains(dead, node) })
	for _, node := range dead {
		if node == r.cfg.Node || seeded.DeadUnburied.Hit() {
			continue // late, not dead; renew sees to it
		}
		if err := r.bury(ctx, node); err != nil {
			return err
		}
	}
	for {
		over, err := r.cfg.Store.Due(ctx, time.Now(), duePage)
		if err != nil {
			return err
		}
		for _, id := range over {
			if err := r.expire(ctx, id); err != nil {
				return err
			}
		}
		if len(over) < duePage {
			return nil
		}
	}
}

// quiet reports whether nobody is to be taken for dead: after a time without
// answers all leases are over, and those who live need one to renew theirs.
func (r *Registry) quiet(now time.Time) bool {
	if now.Sub(r.reached) > r.cfg.Lease/2 {
		r.calm = now.Add(r.cfg.Lease)
	}
	r.reached = now
	return now.Before(r.calm)
}

// pages calls f with the node's seats, page by page.
func (r *Registry) pages(ctx context.Context, node protocol.NodeID, f func([]Seat) error) error {
	cursor := ""
	for {
		seats, next, err := r.cfg.Store.Seats(ctx, node, cursor, seatPage)
		if err != nil {
			return err
		}
		if len(seats) > 0 {
			if err := f(seats); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		cursor = next
	}
}

// bury makes the members of a dead node away, and takes those out that were for
// the grace time; when none is left, it takes the node off the list. Several nodes
// may do it at once: each member is marked and taken out by one.
func (r *Registry) bury(ctx context.Context, node protocol.NodeID) error {
	if time.Now().Before(r.burials[node]) {
		return nil
	}
	var next time.Time
	err := r.pages(ctx, node, func(seats []Seat) error {
		// It may have come back while this worked.
		if dead, err := r.cfg.Store.Dead(ctx); err != nil || !slices.Contains(dead, node) {
			return err
		}
		var done []Seat
		for _, s := range seats {
			at, err := r.buryRoom(ctx, s.Room, node)
			switch {
			case err != nil:
				return err
			case at.IsZero():
				done = append(done, s)
			case next.IsZero() || at.Before(next):
				next = at
			}
		}
		return r.cfg.Store.Forget(ctx, node, done)
	})
	if err != nil {
		return err
	}
	r.burials[node] = next
	return nil
}

// buryRoom does one room of bury. It returns when to look again, zero for never.
func (r *Registry) buryRoom(ctx context.Context, id protocol.RoomID, node protocol.NodeID) (next time.Time, err error) {
	var stranded, gone []Member
	room, err := r.surely(ctx, id, func(rec *Record, now time.Time) (outcome, error) {
		stranded, gone, next = nil, nil, time.Time{}
		for i := range rec.Room.Members {
			m := &rec.Room.Members[i]
			switch {
			case m.Node != node:
				continue
			case rec.Room.Ended || !m.Lost.IsZero() && now.Sub(m.Lost) >= r.cfg.Grace:
				gone = append(gone, *m)
				continue
			case m.Lost.IsZero():
				stranded = append(stranded, *m)
				m.Away, m.Lost = true, now.Truncate(time.Millisecond).UTC()
			}
			if at := m.Lost.Add(r.cfg.Grace); next.IsZero() || at.Before(next) {
				next = at
			}
		}
		if gone == nil && stranded == nil {
			return unchanged, nil
		}
		if gone != nil {
			r.unseat(rec, now, func(m Member) bool { return slices.Contains(gone, m) })
		}
		return changed, nil
	}, func() bool { return gone != nil || stranded != nil })
	switch {
	case protocol.CodeOf(err) == protocol.CodeNotFound:
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, err
	}
	if stranded != nil {
		r.cfg.Stranded(room, stranded)
	}
	if gone != nil {
		r.metrics.left("lost", room, len(gone))
		r.cfg.Removed(room, gone, ReasonLost)
	}
	return next, nil
}

// reclaim clears the marks that other nodes set on seats of this one while its
// lease had run out.
func (r *Registry) reclaim(ctx context.Context) error {
	return r.pages(ctx, r.cfg.Node, func(seats []Seat) error {
		for _, id := range roomsOf(seats) {
			var mine []Member
			room, err := r.surely(ctx, id, func(rec *Record, _ time.Time) (outcome, error) {
				mine = nil
				for i := range rec.Room.Members {
					if m := &rec.Room.Members[i]; m.Node == r.cfg.Node && !m.Lost.IsZero() {
						m.Lost = time.Time{}
						mine = append(mine, *m)
					}
				}
				if mine == nil {
					return unchanged, nil
				}
				return changed, nil
			}, func() bool { return mine != nil })
			switch {
			case protocol.CodeOf(err) == protocol.CodeNotFound:
			case err != nil:
				return err
			case mine != nil:
				r.cfg.Regained(room, mine)
			}
		}
		return nil
	})
}

// reap takes all members of the node out of their rooms, then the node off the
// list. Several nodes may do it at once: each member is taken out by one.
func (r *Registry) reap(ctx context.Context, node protocol.NodeID) error {
	err := r.pages(ctx, node, func(seats []Seat) error {
		for _, s := range seats {
			if err := r.evict(ctx, s.Room, func(m Member) bool { return m.Node == node }); err != nil {
				return err
			}
		}
		return r.cfg.Store.Forget(ctx, node, seats)
	})
	if err != nil {
		return err
	}
	return r.cfg.Store.Forget(ctx, node, nil)
}

// surely applies the step as write does. Where the store fails after it was asked
// to write, it asks until it knows what became of that, for else nobody would hear
// of a change that took place. wrote says whether the step changed something.
func (r *Registry) surely(ctx context.Context, id protocol.RoomID, f step, wrote func() bool) (Room, error) {
	op := auth.Random(5)
	room, err := r.write(ctx, id, op, f)
	for wrote() && protocol.CodeOf(err) == protocol.CodeUnavailable {
		if pause.For(ctx, r.cfg.Sweep) != nil {
			return Room{}, ctx.Err()
		}
		room, err = r.write(ctx, id, op, f)
	}
	return room, err
}

// evict takes the members for whom lost holds out of the room and reports them.
func (r *Registry) evict(ctx context.Context, id protocol.RoomID, lost func(Member) bool) error {
	var gone []Member
	room, err := r.surely(ctx, id, func(rec *Record, now time.Time) (outcome, error) {
		gone = nil
		for _, m := range rec.Room.Members {
			if lost(m) {
				gone = append(gone, m)
			}
		}
		if gone == nil {
			return unchanged, nil
		}
		r.unseat(rec, now, lost)
		return changed, nil
	}, func() bool { return gone != nil })
	switch {
	case protocol.CodeOf(err) == protocol.CodeNotFound:
		return nil
	case err != nil:
		return err
	case gone != nil:
		r.metrics.left("lost", room, len(gone))
		r.cfg.Removed(room, gone, ReasonLost)
	}
	return nil
}

// expire removes the room if it is empty and its time has passed. Like evict it
// asks until it knows: the store names the room to nobody else, and not again.
func (r *Registry) expire(ctx context.Context, id protocol.RoomID) error {
	var asked *Record // what the store was asked to remove, and perhaps did
	for {
		gone, err := r.expireOnce(ctx, id, &asked)
		switch {
		case err == nil && gone:
			r.metrics.ended(Named, string(ReasonExpired))
			r.cfg.Removed(asked.Room, nil, ReasonExpired)
			return nil
		case err == nil:
			return nil
		case protocol.CodeOf(err) != protocol.CodeUnavailable:
			return err
		case pause.For(ctx, r.cfg.Sweep) != nil:
			return ctx.Err()
		}
	}
}

// expireOnce reports whether the room is gone by this or an earlier request,
// which asked holds.
func (r *Registry) expireOnce(ctx context.Context, id protocol.RoomID, asked **Record) (gone bool, err error) {
	rec, err := r.cfg.Store.Load(ctx, id)
	switch {
	case err != nil:
		return false, err
	case rec == nil:
		return *asked != nil, nil
	case !rec.over(time.Now()):
		return false, nil
	}
	*asked = rec
	return r.cfg.Store.Swap(ctx, rec, nil)
}

// keep prolongs the rooms in which this node has seats.
func (r *Registry) keep(ctx context.Context) error {
	return r.pages(ctx, r.cfg.Node, func(seats []Seat) error {
		ids := roomsOf(seats)
		if err := r.cfg.Store.Keep(ctx, ids); err != nil {
			return err
		}
		r.cfg.Kept(ids)
		return nil
	})
}

func roomsOf(seats []Seat) []protocol.RoomID {
	seen := make(map[protocol.RoomID]bool, len(seats))
	ids := make([]protocol.RoomID, 0, len(seats))
	for _, s := range seats {
		if !seen[s.Room] {
			seen[s.Room] = true
			ids = append(ids, s.Room)
		}
	}
	return ids
}

// check takes out seats of this node that no session of it holds: what a call
// left behind whose outcome nobody learned. A seat is one of them when two
// checks in a row find it so, which no call in progress outlasts.
func (r *Registry) check(ctx context.Context, suspects *map[Seat]bool) error {
	now := map[Seat]bool{}
	err := r.pages(ctx, r.cfg.Node, func(seats []Seat) error {
		for _, s := range seats {
			if !r.cfg.Holds(s) {
				now[s] = true
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for s := range now {
		if !(*suspects)[s] {
			continue
		}
		delete(now, s)
		lost := func(m Member) bool { return m.ID == s.Member && m.Node == r.cfg.Node && m.Session == s.Session }
		if err := r.evict(ctx, s.Room, lost); err != nil {
			return err
		}
		if err := r.cfg.Store.Forget(ctx, r.cfg.Node, []Seat{s}); err != nil {
			return err
		}
	}
	*suspects = now
	return nil
}
