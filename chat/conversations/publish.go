package conversations

import (
	"context"
	"encoding/json"
	"maps"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

const (
	maxTold  = 10_000 // published events that are not yet marked; more are published again later
	maxStale = 10_000 // conversations whose cache could not be told of a change
	// publishTime is how long the cache may take; the caller who made the change waits for it.
	publishTime = 2 * time.Second
)

// outlet remembers what must still be done about events that were published.
type outlet struct {
	mu    sync.Mutex
	told  []Event
	stale map[protocol.RoomID]uint64 // the cache may have something older than this
	blind bool                       // stale was full: the cache is not asked until it is empty
}

// publish tells the cache and the readers of committed events. Neither makes the change fail: what was not told
// is published again from the outbox, by whichever node has the lease.
func (c *Conversations) publish(ctx context.Context, events []protocol.ConvEvent) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTime)
	defer cancel()
	var told []Event
	for _, e := range events {
		if c.tell(ctx, e) {
			told = append(told, Event{Room: e.Room, Seq: e.Seq, At: e.At})
		}
	}
	c.outlet.mu.Lock()
	defer c.outlet.mu.Unlock()
	if len(c.outlet.told)+len(told) <= maxTold {
		c.outlet.told = append(c.outlet.told, told...)
	}
}

// tell reports whether both the cache and the readers have the event.
func (c *Conversations) tell(ctx context.Context, e protocol.ConvEvent) bool {
	cached := c.cached(ctx, e)
	err := c.cfg.Publisher.Publish(e)
	result := "ok"
	switch {
	case err != nil:
		result = "failed"
		c.cfg.Logger.Debug("conversations: publishing failed", "room", e.Room, "seq", e.Seq, "error", err)
	case !cached:
		result = "cache"
	}
	c.metrics.published.WithLabelValues(result).Inc()
	return cached && err == nil
}

// cached tells the cache. What it could not be told is remembered: until it is, this node does not ask it.
func (c *Conversations) cached(ctx context.Context, e protocol.ConvEvent) bool {
	seq, err := e.Seq, error(nil)
	switch {
	case e.Conversation != nil && e.Conversation.Deleted:
		seq++
		err = c.cfg.Cache.Drop(ctx, e.Room, seq)
	default:
		if err = c.cfg.Cache.Apply(ctx, e); err != nil {
			err = c.cfg.Cache.Drop(ctx, e.Room, seq)
		}
	}
	if err == nil {
		return true
	}
	c.cfg.Logger.Warn("conversations: the cache does not take a change", "room", e.Room, "seq", e.Seq, "error", err)
	c.outlet.mu.Lock()
	defer c.outlet.mu.Unlock()
	if len(c.outlet.stale) < maxStale || c.outlet.stale[e.Room] > 0 {
		c.outlet.stale[e.Room] = max(c.outlet.stale[e.Room], seq)
	} else {
		c.outlet.blind = true
	}
	return false
}

// trusts reports whether the cache was told of all changes that this node made in the conversation.
func (c *Conversations) trusts(room protocol.RoomID) bool {
	c.outlet.mu.Lock()
	defer c.outlet.mu.Unlock()
	return !c.outlet.blind && c.outlet.stale[room] == 0
}

// flush marks what was published, and tells the cache what it could not be told.
func (c *Conversations) flush(ctx context.Context) error {
	c.retell(ctx)
	c.outlet.mu.Lock()
	told := c.outlet.told
	c.outlet.told = nil
	c.outlet.mu.Unlock()
	for len(told) > 0 {
		n := min(len(told), jobBatch)
		batch := told[:n]
		if err := c.write(ctx, "told", func(tx Tx) error { return tx.Told(batch) }); err != nil {
			return err // they are published again: readers know what they have
		}
		told = told[n:]
	}
	return nil
}

func (c *Conversations) retell(ctx context.Context) {
	c.outlet.mu.Lock()
	stale := maps.Clone(c.outlet.stale)
	c.outlet.mu.Unlock()
	for room, seq := range stale {
		if c.cfg.Cache.Drop(ctx, room, seq) != nil {
			return // it is away
		}
		c.forgive(room, seq)
	}
}

func (c *Conversations) forgive(room protocol.RoomID, seq uint64) {
	c.outlet.mu.Lock()
	defer c.outlet.mu.Unlock()
	if c.outlet.stale[room] == seq {
		delete(c.outlet.stale, room)
	}
	// What did not fit in is published again from the outbox, with which the cache hears of it.
	c.outlet.blind = c.outlet.blind && len(c.outlet.stale) > 0
}

// republish publishes what stood in the outbox untold for a while: its node died, or what it told did
// not listen. It reports whether there is more.
func (c *Conversations) republish(ctx context.Context) (more bool, err error) {
	var events []Event
	before := c.now() - c.cfg.Limits.Told.Milliseconds()
	err = c.read(ctx, "untold", func(r Reader) (err error) {
		events, err = r.Untold(before, jobBatch)
		return err
	})
	if err != nil {
		return false, err
	}
	c.metrics.age(events, c.now())
	var told []Event
	for _, row := range events {
		var e protocol.ConvEvent
		if err := json.Unmarshal(row.Payload, &e); err != nil {
			c.cfg.Logger.Error("conversations: an event that cannot be read", "room", row.Room, "seq", row.Seq, "error", err)
		} else if !c.tell(ctx, e) {
			continue
		}
		told = append(told, row)
	}
	if len(told) == 0 {
		return false, nil
	}
	return len(events) == jobBatch, c.write(ctx, "told", func(tx Tx) error { return tx.Told(told) })
}
