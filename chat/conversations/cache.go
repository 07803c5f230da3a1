package conversations

import (
	"context"

	"github.com/rondo-chat/rondo/protocol"
)

// CachePage is how many of the newest messages of a conversation a Cache keeps.
const CachePage = 200

// Newest is what a Cache keeps of a conversation: its newest messages, oldest first, as they are at Seq.
type Newest struct {
	Seq      uint64                 `json:"seq"`
	Whole    bool                   `json:"whole"` // there are no older messages
	Messages []protocol.ConvMessage `json:"messages"`
	Missing  bool                   `json:"missing,omitempty"` // there is no such conversation (negative)
}

// Cache keeps the newest pages of busy conversations beside the record. It may lose anything at any time. It
// promises: what Get returns was the truth at Newest.Seq, and after Apply(e) or Drop(seq) returned nil on any node, Get never
// returns, on any node, anything older than that seq; a Fill that read the record before loses against them.
type Cache interface {
	Get(ctx context.Context, room protocol.RoomID) (Newest, bool, error)
	// Fill stores what was read from the record, unless something newer is or was there.
	Fill(ctx context.Context, room protocol.RoomID, n Newest) error
	// Apply brings what is kept from e.Seq-1 to e.Seq; if that is not what is kept, it drops it.
	Apply(ctx context.Context, e protocol.ConvEvent) error
	// Drop forgets what is older than seq.
	Drop(ctx context.Context, room protocol.RoomID, seq uint64) error
}
