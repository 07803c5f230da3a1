package events

import (
	"context"
	"errors"
	"log/slog"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// maxReason is how much of an error is stored, in bytes.
const maxReason = 200

// runner serves one sink. Only its goroutine touches it.
type runner struct {
	cfg     *Config
	sub     Subscription
	kinds   *kinds
	metrics *metrics
	log     *slog.Logger
	wake    chan struct{} // of one

	until   time.Time // the end of the lease; zero: this node does not have it
	cursor  Cursor
	dirty   bool     // cursor or letters are not stored yet
	letters []Letter // to be stored with the cursor
	refused int      // how often the event after cursor was refused
	limit   int      // events handed over next time: one after a failure, then more and more
}

// run serves until stopped; what is being handed over then has until aborted.
func (r *runner) run(stopped, aborted context.Context) {
	r.limit = r.sub.Batch
	for stopped.Err() == nil {
		pause := r.turn(aborted)
		if pause <= 0 {
			continue
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-r.wake:
		case <-stopped.Done():
		}
		timer.Stop()
	}
	r.leave()
}

// leave stores what is left and gives the lease back.
func (r *runner) leave() {
	if r.until.IsZero() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	if r.dirty {
		r.store(ctx)
	}
	if !r.until.IsZero() {
		_, _ = r.cfg.Log.Lease(ctx, r.sub.Name, time.Now()) // without it: it runs out
		r.lose()
	}
}

// turn does the next thing and returns how long to wait then.
func (r *runner) turn(ctx context.Context) time.Duration {
	if !r.hold(ctx) {
		return jitter(r.cfg.Lease / 3)
	}
	if r.dirty && !r.store(ctx) {
		return jitter(r.cfg.MinPause)
	}
	// No pause is longer than MaxPause: what says so was written by another clock.
	if wait := time.Until(time.UnixMilli(r.cursor.Next)); wait > 0 && wait <= r.cfg.MaxPause {
		return min(wait, r.cfg.Lease/6)
	}
	rows, err := r.read(ctx)
	if err != nil {
		r.log.Warn("events: the outbox cannot be read", "err", err)
		return jitter(r.cfg.MinPause)
	}
	if len(rows) == 0 {
		r.metrics.lag.WithLabelValues(r.sub.Name).Set(0)
		return min(r.cfg.Poll, r.cfg.Lease/6)
	}
	r.metrics.lag.WithLabelValues(r.sub.Name).Set(max(0, time.Since(time.UnixMilli(rows[0].At)).Seconds()))
	if err := r.hand(ctx, rows); err != nil {
		r.log.Warn("events: the outbox cannot be read", "err", err)
		return jitter(r.cfg.MinPause)
	}
	if !r.store(ctx) {
		return jitter(r.cfg.MinPause)
	}
	return 0
}

// hold has the lease for long enough to hand something over: half of it, before the
// third that is for the note of how that ended.
func (r *runner) hold(ctx context.Context) bool {
	left := time.Until(r.until)
	if !r.until.IsZero() && left > r.cfg.Lease*5/6 {
		return true
	}
	until := time.Now().Add(r.cfg.Lease)
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Lease/3)
	defer cancel()
	had := left > 0
	ok, err := r.cfg.Log.Lease(ctx, r.sub.Name, until)
	if err != nil || !ok {
		if err != nil {
			r.log.Warn("events: no lease", "err", err)
		}
		r.lose()
		return false
	}
	if !had {
		c, err := r.cfg.Log.Cursor(ctx, r.sub.Name)
		if err != nil {
			r.log.Warn("events: the cursor cannot be read", "err", err)
			r.lose()
			return false
		}
		r.cursor, r.dirty, r.letters, r.refused = c, false, nil, 0
		if c.Tries > 0 {
			r.limit = 1
		}
		r.metrics.serving.WithLabelValues(r.sub.Name).Set(1)
	}
	r.until = until
	return true
}

// lose takes note that another node has the lease, or may have it.
func (r *runner) lose() {
	r.until = time.Time{}
	r.metrics.lag.WithLabelValues(r.sub.Name).Set(0)
	r.metrics.serving.WithLabelValues(r.sub.Name).Set(0)
}

func (r *runner) read(ctx context.Context) ([]Row, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Lease/6)
	defer cancel()
	return r.cfg.Log.Events(ctx, r.cursor.Pos, r.sub.Batch)
}

// hand gives the rows that the sink wants to it, as far as it takes them, and moves the
// cursor. Its error is of the Log.
func (r *runner) hand(ctx context.Context, rows []Row) error {
	list, last, err := r.choose(ctx, rows)
	if err != nil {
		return err
	}
	r.dirty = true
	if len(list) == 0 {
		r.moved(last)
		return nil
	}
	whole := len(list) <= r.limit
	handed := list[:min(len(list), r.limit)]
	ctx, cancel := context.WithDeadline(ctx, r.until.Add(-r.cfg.Lease/3))
	defer cancel()
	n, err := r.sub.Sink.Deliver(ctx, handed)
	n = max(0, min(n, len(handed)))
	r.metrics.delivered.WithLabelValues(r.sub.Name).Add(float64(n))
	switch {
	case n == len(handed) && whole:
		r.moved(last)
	case n > 0:
		r.moved(handed[n-1].Pos)
	}
	if n < len(handed) && err != nil {
		r.failed(rows, handed[n], err)
		return nil
	}
	if n > 0 {
		r.limit = min(2*r.limit, r.sub.Batch)
	}
	return nil
}

// choose returns the events that the sink wants, and how far the rows were looked at.
func (r *runner) choose(ctx context.Context, rows []Row) (list []Event, last uint64, err error) {
	for _, row := range rows {
		e, kind, err := newEvent(row)
		switch {
		case err != nil && len(list) > 0: // its turn comes
			return list, last, nil
		case err != nil:
			r.bury(row, err.Error())
			return nil, row.Pos, nil
		}
		if len(r.sub.Types) == 0 || slices.Contains(r.sub.Types, e.Type) {
			shown, err := r.kinds.shown(ctx, row.Room, kind)
			if err != nil {
				return nil, 0, err
			}
			if shown {
				list = append(list, e)
			}
		}
		last = row.Pos
	}
	return list, last, nil
}

// moved sets the cursor to pos: what is there was taken, or given up.
func (r *runner) moved(pos uint64) {
	r.cursor, r.refused = Cursor{Pos: pos}, 0
}

// failed takes note that e, the first after the cursor, was not taken.
func (r *runner) failed(rows []Row, e Event, err error) {
	reason := trim(err.Error())
	r.limit = 1
	kind := temporary
	if _, ok := errors.AsType[*Refused](err); ok {
		kind = refused
		r.refused++
	}
	r.metrics.failures.WithLabelValues(r.sub.Name, string(kind)).Inc()
	if r.refused >= r.cfg.Tries {
		i := slices.IndexFunc(rows, func(row Row) bool { return row.Pos == e.Pos })
		r.bury(rows[i], reason)
		r.moved(e.Pos)
		return
	}
	if r.cursor.Tries == 0 {
		r.log.Warn("events: not taken; it is tried again", "event", e.ID, "reason", reason)
	}
	pause := backoff(r.cfg.MinPause, r.cfg.MaxPause, r.cursor.Tries)
	if later, ok := errors.AsType[*Later](err); ok {
		pause = max(pause, min(later.After, r.cfg.MaxPause))
	}
	r.cursor.Tries++
	r.cursor.Next = time.Now().Add(pause).UnixMilli()
	r.cursor.Error = reason
}

func (r *runner) bury(row Row, reason string) {
	r.log.Error("events: dead letter", "room", row.Room, "seq", row.Seq, "reason", reason)
	r.metrics.letters.WithLabelValues(r.sub.Name).Inc()
	r.letters = append(r.letters, Letter{Sink: r.sub.Name, Row: row, Reason: reason, At: time.Now().UnixMilli()})
}

// store writes the cursor down, and reports whether it is. What is not, is tried again
// before anything else.
func (r *runner) store(ctx context.Context) bool {
	until := time.Now().Add(r.cfg.Lease)
	ctx, cancel := context.WithTimeout(ctx, max(time.Until(r.until), time.Second))
	defer cancel()
	err := r.cfg.Log.Advance(ctx, r.sub.Name, until, r.cursor, r.letters...)
	switch {
	case errors.Is(err, ErrLost):
		r.log.Warn("events: another node has taken over")
		r.lose()
		return false
	case err != nil:
		r.log.Warn("events: the cursor cannot be stored", "err", err)
		return false
	}
	r.until, r.dirty, r.letters = until, false, nil
	return true
}

// trim makes a reason short and storable.
func trim(s string) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "?")
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "")
	}
	return s
}

// backoff doubles from low to high with the number of failures before, less up to a
// quarter at random.
func backoff(low, high time.Duration, before int) time.Duration {
	d := high
	if before < 16 {
		d = min(high, low<<before)
	}
	return jitter(d)
}

func jitter(d time.Duration) time.Duration { return d - time.Duration(mathrand.Int64N(int64(d)/4+1)) }

// maxKinds is how many conversations a sink's filter remembers.
const maxKinds = 10_000

// kinds knows which conversations are public. A conversation's kind never changes.
type kinds struct {
	log     Log
	private bool
	known   map[protocol.RoomID]protocol.ConvKind
}

// shown reports whether a sink may see what happens in the room, whose kind may be known.
func (k *kinds) shown(ctx context.Context, room protocol.RoomID, kind protocol.ConvKind) (bool, error) {
	if k.private {
		return true, nil
	}
	if kind == "" {
		kind = k.known[room]
	}
	if kind == "" {
		var err error
		if kind, err = k.log.Kind(ctx, room); err != nil {
			return false, err
		}
	}
	if k.known == nil || len(k.known) >= maxKinds {
		k.known = map[protocol.RoomID]protocol.ConvKind{}
	}
	if kind != "" {
		k.known[room] = kind
	}
	return kind == protocol.ConvTopic, nil
}
