package conversations

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

const (
	jobBatch  = 500 // rows of a step
	jobSteps  = 20  // steps of a round
	jobTime   = 30 * time.Second
	minLease  = 15 * time.Second
	flushTime = time.Second
)

// The jobs.
const (
	jobOutbox    = "outbox"    // publish again what nobody marked as told
	jobSequence  = "sequence"  // put events in order, for sinks
	jobTrim      = "trim"      // delete events that were told
	jobRetention = "retention" // delete messages that are older than they are kept
	jobGuests    = "guests"    // end the membership of guests who write nothing
	jobFiles     = "files"     // delete uploads that no message has
	jobReconcile = "reconcile" // look for what differs
	jobFlush     = "flush"     // of each node: mark what it told
)

func jobNames() []string {
	return []string{jobFlush, jobOutbox, jobSequence, jobTrim, jobRetention, jobGuests, jobFiles, jobReconcile}
}

// job is work that one node does from time to time.
type job struct {
	name  string
	every time.Duration
	step  func(context.Context) (more bool, err error)
	held  time.Time // the lease; used by the job's goroutine only
}

// length is how long a lease is.
func (j *job) length() time.Duration { return max(minLease, 3*j.every) }

func (c *Conversations) jobs() []*job {
	list := []*job{
		{name: jobOutbox, every: time.Second, step: c.republish},
		{name: jobTrim, every: time.Minute, step: c.trim},
		{name: jobRetention, every: time.Minute, step: c.turnsOf(true, retentionRooms, c.retain)},
		{name: jobGuests, every: 10 * time.Minute, step: c.expireGuests},
		{name: jobReconcile, every: 30 * time.Second, step: c.turnsOf(false, reconcileRooms, c.reconcile)},
	}
	if len(c.cfg.Sinks) > 0 {
		list = append(list, &job{name: jobSequence, every: 250 * time.Millisecond, step: c.sequence})
	}
	if c.cfg.Files != nil {
		list = append(list, &job{name: jobFiles, every: 10 * time.Minute, step: c.sweep})
	}
	return list
}

// Run does what must be done from time to time until ctx ends: each job on the node that has its lease.
func (c *Conversations) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, j := range c.jobs() {
		wg.Go(func() { c.repeat(ctx, j.every, func() time.Duration { return c.round(ctx, j) }) })
	}
	wg.Go(func() {
		c.repeat(ctx, flushTime, func() time.Duration {
			c.done(ctx, jobFlush, c.flush(ctx))
			return flushTime
		})
	})
	wg.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTime)
	defer cancel()
	c.done(ctx, jobFlush, c.flush(ctx)) // so that nobody publishes again what this node told
}

// repeat calls f until ctx ends, which says how long to pause, about.
func (c *Conversations) repeat(ctx context.Context, first time.Duration, f func() time.Duration) {
	for pause := first; ; pause = f() {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause*3/4 + rand.N(pause/2)):
		}
	}
}

// round is a bounded number of steps, if this node has the lease.
func (c *Conversations) round(ctx context.Context, j *job) time.Duration {
	for range jobSteps {
		ctx, cancel := context.WithTimeout(ctx, jobTime)
		mine, err := c.lease(ctx, j)
		more := false
		if mine {
			more, err = j.step(ctx)
		}
		cancel()
		if mine || err != nil {
			c.done(ctx, j.name, err)
		}
		switch {
		case !mine || err != nil:
			c.metrics.lost(j.name)
			return max(j.every, minLease/3)
		case !more:
			return j.every
		}
	}
	return j.every
}

// lease reports whether the job is this node's. It is renewed when less than half of it is left.
func (c *Conversations) lease(ctx context.Context, j *job) (mine bool, err error) {
	now := c.cfg.Now()
	if j.held.Sub(now) > j.length()/2 {
		return true, nil
	}
	until := now.Add(j.length())
	err = c.write(ctx, "lease", func(tx Tx) (err error) {
		mine, err = tx.Lease("chat."+j.name, c.cfg.Node, now, until)
		return err
	})
	if j.held = (time.Time{}); mine && err == nil {
		j.held = until
	}
	return mine && err == nil, err
}

func (c *Conversations) done(ctx context.Context, name string, err error) {
	if ctx.Err() != nil && err != nil {
		return // it was told to stop
	}
	c.metrics.job(name, err)
	if err != nil {
		c.cfg.Logger.Warn("conversations: a job failed, and is tried again", "job", name, "error", err)
	}
}

func (c *Conversations) sequence(ctx context.Context) (more bool, err error) {
	err = c.write(ctx, "sequence", func(tx Tx) error {
		n, err := tx.Sequence(jobBatch)
		more = n == jobBatch
		return err
	})
	return more, err
}

func (c *Conversations) trim(ctx context.Context) (more bool, err error) {
	before := c.now() - c.cfg.Limits.Outbox.Milliseconds()
	err = c.write(ctx, "trim", func(tx Tx) error {
		n, err := tx.Trim(c.cfg.Sinks, before, jobBatch)
		more = n == jobBatch
		return err
	})
	return more, err
}

// turnsOf makes a step that looks at so many conversations in the order of their ids, and then at the next ones.
func (c *Conversations) turnsOf(keep bool, many int, look func(context.Context, Row) error) func(context.Context) (bool, error) {
	after := protocol.RoomID("")
	return func(ctx context.Context) (bool, error) {
		var rows []Row
		err := c.read(ctx, "turn", func(r Reader) (err error) {
			rows, err = r.Conversations(after, keep, many)
			return err
		})
		if err != nil {
			return false, err
		}
		for _, row := range rows {
			if after = row.ID; err == nil {
				err = look(ctx, row)
			}
		}
		more := len(rows) == many
		if !more {
			after = ""
		}
		return more, err
	}
}

const retentionRooms = 50

// retain deletes messages that are older than the conversation keeps them. That is a change of the conversation: its Oldest.
func (c *Conversations) retain(ctx context.Context, row Row) error {
	for range jobSteps {
		before, old := c.now()-row.Keep*1000, false
		err := c.read(ctx, "retention.look", func(r Reader) error {
			first, err := r.Messages(row.ID, Page{After: 1, Limit: 1})
			old = len(first) > 0 && first[0].At < before
			return err
		})
		if err != nil || !old {
			return err
		}
		err = c.commit(ctx, order{name: "retention", room: row.ID, apply: func(ch *change) error { return ch.retain(c.now()) }})
		if err != nil {
			return ended(err)
		}
	}
	return nil
}

// ended makes no error of a conversation that was removed meanwhile.
func ended(err error) error {
	if protocol.CodeOf(err) == protocol.CodeNotFound {
		return nil
	}
	return err
}

func (ch *change) retain(now int64) error {
	if ch.row.Keep == 0 {
		return errUnchanged
	}
	_, n, err := ch.tx.RemoveMessages(ch.row.ID, ch.row.Seq, now-ch.row.Keep*1000, jobBatch)
	if err != nil {
		return err
	}
	if n == 0 {
		return errUnchanged
	}
	left, err := ch.tx.Messages(ch.row.ID, Page{After: 1, Limit: 1})
	if err != nil {
		return err
	}
	if ch.row.Oldest = ch.row.Seq; len(left) > 0 {
		ch.row.Oldest = left[0].Seq
	}
	return ch.settings()
}

// expireGuests ends the membership of guests who have written nothing for long: they have no account that could.
func (c *Conversations) expireGuests(ctx context.Context) (more bool, err error) {
	before := c.now() - c.cfg.Limits.Idle.Milliseconds()
	var list []Member
	err = c.read(ctx, "guests", func(r Reader) (err error) {
		list, err = r.IdleGuests(before, jobBatch)
		return err
	})
	for _, m := range list {
		if err != nil {
			return false, err
		}
		err = ended(c.commit(ctx, order{name: "guests", room: m.Room, apply: func(ch *change) error {
			m, err := ch.tx.Member(m.Room, m.ID)
			if err != nil {
				return err
			}
			if m.Role != protocol.ConvMember || !m.Guest || max(m.Joined, m.Wrote) >= before {
				return errUnchanged
			}
			m.Role = protocol.ConvLeft
			return ch.person(protocol.ConvMember, &m)
		}}))
	}
	return len(list) == jobBatch, err
}

// sweep deletes uploads that no message has. Before the file its row is made nobody's, so that no message can take it any more.
func (c *Conversations) sweep(ctx context.Context) (more bool, err error) {
	before := c.now() - c.cfg.Limits.Orphan.Milliseconds()
	var list []File
	err = c.write(ctx, "files.claim", func(tx Tx) (err error) {
		if list, err = tx.Orphans(before, jobBatch); err != nil {
			return err
		}
		for _, f := range list {
			f.Owner, f.Seq, f.At = "", 0, min(f.At, before-1)
			if err := tx.PutFile(f); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	gone := list[:0]
	for _, f := range list {
		if failed := c.cfg.Files.Delete(ctx, f.Stored); failed != nil {
			err = failed
		} else {
			gone = append(gone, f)
		}
	}
	werr := c.write(ctx, "files.delete", func(tx Tx) error {
		for _, f := range gone {
			if err := tx.DeleteFile(f.ID); err != nil {
				return err
			}
		}
		return nil
	})
	return len(list) == jobBatch, cmpErr(werr, err)
}
