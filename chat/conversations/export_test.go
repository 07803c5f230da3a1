package conversations

import (
	"context"

	"github.com/rondo-chat/rondo/protocol"
)

// Step runs one step of a job, lease or not.
func (c *Conversations) Step(ctx context.Context, name string) (more bool, err error) {
	if name == jobFlush {
		return false, c.flush(ctx)
	}
	for _, j := range c.jobs() {
		if j.name == name {
			return j.step(ctx)
		}
	}
	panic("no job " + name)
}

// Round runs a round of a job and reports whether this node has the lease.
func (c *Conversations) Round(ctx context.Context, name string) bool {
	for _, j := range c.jobs() {
		if j.name == name {
			c.round(ctx, j)
			return !j.held.IsZero()
		}
	}
	panic("no job " + name)
}

// Jobs are the names of all jobs.
func Jobs() []string { return jobNames() }

// RetainNow does what the job would do next.
func (c *Conversations) RetainNow(ctx context.Context, room protocol.RoomID) error {
	var row Row
	err := c.read(ctx, "test", func(r Reader) (err error) {
		row, err = r.Conversation(room)
		return err
	})
	if err != nil || row.Keep == 0 {
		return err
	}
	return c.retain(ctx, row)
}
