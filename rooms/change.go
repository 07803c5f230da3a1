package rooms

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/protocol"
)

// maxTries bounds how often a change is tried against others at the same room.
// Each lost try means that somebody else's change went through, and a room can
// take few: seats and guesses are counted.
const maxTries = 100

// outcome is what a step did to a record.
type outcome int

const (
	unchanged outcome = iota
	noted             // changed in what is not part of the Room
	changed
)

// step changes a record, of which it owns a copy. It may be called several
// times, each time with the record as it is then.
type step func(rec *Record, now time.Time) (outcome, error)

// change applies the step to a room that is there and not ended.
func (r *Registry) change(ctx context.Context, id protocol.RoomID, f step) (Room, error) {
	return r.changeAny(ctx, id, func(rec *Record, now time.Time) (outcome, error) {
		if rec.Room.Ended {
			return unchanged, errNotFound()
		}
		return f(rec, now)
	})
}

// changeAny applies the step to a room, ended or not.
func (r *Registry) changeAny(ctx context.Context, id protocol.RoomID, f step) (Room, error) {
	if !validID(id) {
		return Room{}, errNotFound()
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	if err := r.lease.wait(ctx, r.cfg.Lease/2); err != nil {
		return Room{}, err
	}
	return r.write(ctx, id, auth.Random(5), f)
}

// write applies the step to the record, atomically: it loads the record, puts
// back what the store has lost of it, lets the step change a copy, and swaps that
// in if nobody was faster. The change is named op: if the record says that op took
// place already, it did not fail, only the answer was lost.
func (r *Registry) write(ctx context.Context, id protocol.RoomID, op string, f step) (Room, error) {
	room, _, err := r.apply(ctx, id, op, f)
	return room, err
}

// apply does what write says, and reports whether it put the room back.
func (r *Registry) apply(ctx context.Context, id protocol.RoomID, op string, f step) (room Room, back bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	failed, moved := false, false
	for range maxTries {
		old, err := r.cfg.Store.Load(ctx, id)
		if err != nil {
			return Room{}, false, err
		}
		if old != nil && slices.Contains(old.Ops, op) {
			r.recall.learn(old, false)
			return old.shown(), false, nil
		}
		now := time.Now()
		m := r.mend(old, id, moved)
		if m.rec == nil || m.rec.over(now) {
			return Room{}, false, errNotFound()
		}
		what, result := f(m.rec, now)
		if what == unchanged && !m.leapt && !m.edited {
			r.recall.learn(m.rec, m.waits)
			return m.rec.shown(), false, result
		}
		switch ok, err := r.swap(ctx, old, m, op, what); {
		case ok:
			return m.rec.shown(), m.leapt, result
		case errors.Is(err, ErrMoved):
			moved = true
		case err != nil && failed:
			return Room{}, false, err
		case err != nil:
			failed = true // look whether it took place
		default:
			r.metrics.retries.Inc()
		}
	}
	return Room{}, false, unavailable("the room is too busy")
}

// mend is recall.mend for a node that has its lease: one that does not knows
// nothing that counts.
func (r *Registry) mend(stored *Record, id protocol.RoomID, moved bool) mended {
	if fresh, _ := r.lease.state(r.cfg.Lease); fresh {
		return r.recall.mend(stored, id, moved)
	}
	m := mended{rec: stored.Clone()}
	if moved && stored != nil {
		m.leap(stored.Rev, stored)
	}
	return m
}

// swap stores the record, after what is to be listed with it if it was put back.
func (r *Registry) swap(ctx context.Context, old *Record, m mended, op string, what outcome) (bool, error) {
	if m.leapt || m.edited {
		what = changed
	}
	m.rec.stamp(op, what)
	if m.leapt {
		if err := r.expect(ctx, m.rec); err != nil {
			return false, err
		}
	}
	ok, err := r.cfg.Store.Swap(ctx, old, m.rec)
	if !ok {
		return false, err
	}
	r.recall.learn(m.rec, m.waits)
	if m.leapt {
		r.metrics.restores.Inc()
	}
	if m.gone != nil {
		r.cfg.Removed(m.rec.shown(), m.gone, ReasonLost)
	}
	return true, nil
}

// stamp numbers the change and notes its name.
func (rec *Record) stamp(op string, what outcome) {
	rec.Rev++
	if what == changed {
		rec.Room.Version++
	}
	rec.Ops = append(rec.Ops, op)
	rec.Ops = rec.Ops[max(0, len(rec.Ops)-keptOps):]
}

// make stores the record of a new room, or returns the room that has its id.
func (r *Registry) make(ctx context.Context, rec *Record) (room Room, made bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	if err := r.lease.wait(ctx, r.cfg.Lease/2); err != nil {
		return Room{}, false, err
	}
	if r.recall.has(rec.Room.ID) { // perhaps it ended, and the store has lost that
		room, err := r.write(ctx, rec.Room.ID, auth.Random(5), look)
		if protocol.CodeOf(err) != protocol.CodeNotFound {
			return room, false, err
		}
	}
	op := auth.Random(5)
	rec.Ops = []string{op}
	made, swapErr := r.cfg.Store.Swap(ctx, nil, rec)
	if made {
		r.metrics.opened(rec.Room)
		r.recall.learn(rec, false)
		return rec.shown(), true, nil
	}
	stored, err := r.cfg.Store.Load(ctx, rec.Room.ID) // also tells whether a failed Swap took place
	switch {
	case err != nil:
		return Room{}, false, err
	case stored == nil && swapErr != nil:
		return Room{}, false, swapErr
	case stored == nil: // it ended and was forgotten in this moment
		rec.Room.Ended, rec.Room.Members = true, nil
		return rec.Room, false, nil
	}
	made = slices.Contains(stored.Ops, op)
	if made {
		r.metrics.opened(rec.Room)
	}
	r.recall.learn(stored, false)
	return stored.shown(), made, nil
}

// seat gives m the next member id and adds it.
func (rec *Record) seat(m Member, node protocol.NodeID) Member {
	m.ID = protocol.MemberID(strconv.FormatUint(rec.Next, 10))
	m.Node, m.Away = node, false
	if m.Since.IsZero() {
		m.Since = time.Now()
	}
	m.Since = m.Since.Truncate(time.Millisecond).UTC()
	rec.Next++
	rec.Room.Members = append(rec.Room.Members, m)
	return m
}

// move brings the member at i to the node.
func (rec *Record) move(i int, node protocol.NodeID, seat *Member) outcome {
	m := &rec.Room.Members[i]
	moved := m.Node != node || !m.Lost.IsZero()
	m.Node, m.Lost = node, time.Time{}
	*seat = *m
	if moved {
		return changed
	}
	return unchanged
}

// unseat takes out the members for whom gone holds, and sets the room's end
// where that follows.
func (r *Registry) unseat(rec *Record, now time.Time, gone func(Member) bool) {
	rec.Room.Members = slices.DeleteFunc(rec.Room.Members, gone)
	switch {
	case rec.Room.Kind == Matched && !rec.Room.Ended:
		rec.Room.Ended = true
		rec.Until = now.Add(r.cfg.Remember)
	case rec.Room.Kind == Named && len(rec.Room.Members) == 0:
		// Whole milliseconds: a store's list of what is due may hold no finer ones.
		rec.Until = now.Add(r.cfg.Linger).Truncate(time.Millisecond)
	}
}

// unlock checks the passcode. A wrong one is counted in the record; after too
// many of them in the room no passcode is looked at for a while, not even the
// right one. No passcode at all is refused without being counted.
func (r *Registry) unlock(rec *Record, passcode string, now time.Time) (outcome, error) {
	if rec.Passcode == nil {
		return unchanged, nil
	}
	if passcode == "" {
		return unchanged, protocol.Errorf(protocol.CodePasscode, "the room has a passcode")
	}
	guesses := rec.Guesses
	if ok, retry := guesses.Take(now, 1, r.cfg.Guesses); !ok {
		return unchanged, &protocol.Error{Code: protocol.CodeRateLimited, Msg: "too many wrong passcodes for this room", Retry: retry}
	}
	if len(passcode) <= protocol.MaxPasscodeBytes && hmac.Equal(rec.Passcode, r.passcodeMAC(rec.Room.ID, passcode)) {
		return unchanged, nil
	}
	rec.Guesses = guesses
	return noted, protocol.Errorf(protocol.CodePasscode, "the passcode is wrong")
}

// passcodeMAC binds the passcode to its room, so that equal passcodes of two
// rooms do not look alike.
func (r *Registry) passcodeMAC(id protocol.RoomID, passcode string) []byte {
	h := hmac.New(sha256.New, r.cfg.Key)
	h.Write([]byte(id))
	h.Write([]byte{0})
	h.Write([]byte(passcode))
	return h.Sum(nil)
}
