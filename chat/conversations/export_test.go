package conversations

import (
	"context"

	"github.com/rondo-chat/rondo/protocol"
)

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
