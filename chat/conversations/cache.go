package conversations

import (
	"context"

	"github.com/rondo-chat/rondo/protocol"
)

// CachePage is how many of the newest messages of a conversation a Cache keeps.
const CachePage = 200

// Newest is what a Cache gives of a conversation: its newest messages, oldest first, as they are at Seq.
type Newest struct {
	Seq      uint64                 `json:"seq"`
	Whole    bool                   `json:"whole"` // there are no older messages than these
	Messages []protocol.ConvMessage `json:"messages"`
	Missing  bool                   `json:"missing,omitempty"` // there is no such conversation (negative)
}

// Cache keeps the newest pages of busy conversations beside the record. It may lose anything at any time.
//
// It promises: what Get returns was the truth at Newest.Seq; and after Apply(e) or Drop(seq) returned nil
// on any node, Get never returns, on any node, anything older than that seq. A Fill of what was read before
// loses against them, also if everything that the cache held was lost in between: a Fill needs the lease
// of a Get that found nothing, and a lease is lost with the rest. Decision 019.
//
// What Apply or Drop could not tell the cache (an error) it does not know: call Drop again until it returns nil.
type Cache interface {
	// Get returns the newest messages that are kept, at most limit of them. Nothing of it may be changed.
	// If nothing is kept, found is false and lease is what Fill asks for: read the record only after Get has
	// returned. Callers that got the same lease may share one reading (single flight); with another one it may be too old for them.
	Get(ctx context.Context, room protocol.RoomID, limit int) (n Newest, found bool, lease string, err error)
	// Fill stores what was read from the record, up to CachePage messages, unless something newer is or was there.
	// It is no error if the lease is good no more. What was filled may not be changed afterwards.
	Fill(ctx context.Context, room protocol.RoomID, lease string, n Newest) error
	// Apply brings what is kept from e.Seq-1 to e.Seq; if that is not what is kept, it drops what is older. The record
	// must have the event already.
	Apply(ctx context.Context, e protocol.ConvEvent) error
	// Drop forgets what is older than seq. After a conversation was removed, seq is one more than its last.
	Drop(ctx context.Context, room protocol.RoomID, seq uint64) error
}
