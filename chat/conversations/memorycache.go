package conversations

import (
	"container/list"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/rondo-chat/rondo/protocol"
)

// MaxPageBytes is how much a Cache keeps of one conversation, roughly; its newest message stays in any case.
const MaxPageBytes = 1 << 20

// MemoryCacheConfig bounds a MemoryCache. Zero fields have the defaults given.
type MemoryCacheConfig struct {
	Conversations int // 10,000
	Bytes         int // 64 MiB, roughly
}

// MemoryCache is a Cache in the memory of one process, for a service of one node. What was not used for the longest time goes first.
type MemoryCache struct {
	cfg MemoryCacheConfig

	mu    sync.Mutex
	rooms map[protocol.RoomID]*list.Element // of *cached
	used  *list.List                        // the last used first
	bytes int
	gen   uint64
}

// cached is what is kept of one conversation: at least who may fill it.
type cached struct {
	room  protocol.RoomID
	gen   uint64 // drawn when it came
	floor uint64 // of Apply and Drop since
	there bool
	page  Newest // its messages are never changed in place: readers have them
	bytes int
}

// entryBytes is what an entry takes beside its messages.
const entryBytes = 400

var _ Cache = (*MemoryCache)(nil)

// NewMemoryCache makes an empty MemoryCache.
func NewMemoryCache(cfg MemoryCacheConfig) (*MemoryCache, error) {
	if cfg.Conversations < 0 || cfg.Bytes < 0 {
		return nil, errors.New("conversations: a bound of MemoryCacheConfig is negative")
	}
	if cfg.Conversations == 0 {
		cfg.Conversations = 10_000
	}
	if cfg.Bytes == 0 {
		cfg.Bytes = 64 << 20
	}
	return &MemoryCache{cfg: cfg, rooms: map[protocol.RoomID]*list.Element{}, used: list.New()}, nil
}

// Get implements Cache.
func (c *MemoryCache) Get(_ context.Context, room protocol.RoomID, limit int) (n Newest, found bool, lease string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entryLocked(room)
	if e == nil {
		c.gen++
		e = &cached{room: room, gen: c.gen, bytes: entryBytes}
		c.rooms[room] = c.used.PushFront(e)
		c.bytes += e.bytes
		c.trimLocked()
	}
	if !e.there {
		return Newest{}, false, strconv.FormatUint(e.gen, 36) + "/" + strconv.FormatUint(e.floor, 36), nil
	}
	n = e.page
	if len(n.Messages) > limit {
		n.Messages, n.Whole = n.Messages[len(n.Messages)-limit:], false
	}
	n.Messages = slices.Clip(n.Messages)
	return n, true, "", nil
}

// Fill implements Cache.
func (c *MemoryCache) Fill(_ context.Context, room protocol.RoomID, lease string, n Newest) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entryLocked(room)
	gen, _, _ := strings.Cut(lease, "/")
	if e == nil || gen != strconv.FormatUint(e.gen, 36) || n.Seq < e.floor || e.there && n.Seq <= e.page.Seq {
		return nil
	}
	n.Messages = slices.Clip(n.Messages) // what is appended goes elsewhere
	c.putLocked(e, n.Bounded())
	return nil
}

// Apply implements Cache.
func (c *MemoryCache) Apply(_ context.Context, ev protocol.ConvEvent) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entryLocked(ev.Room)
	if e == nil {
		return nil
	}
	e.floor = max(e.floor, ev.Seq)
	if !e.there || e.page.Seq >= ev.Seq {
		return nil
	}
	if n, ok := e.page.with(ev); ok {
		c.putLocked(e, n.Bounded())
	} else {
		c.clearLocked(e)
	}
	return nil
}

// Drop implements Cache.
func (c *MemoryCache) Drop(_ context.Context, room protocol.RoomID, seq uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entryLocked(room)
	if e == nil {
		return nil
	}
	e.floor = max(e.floor, seq)
	if e.there && e.page.Seq < seq {
		c.clearLocked(e)
	}
	return nil
}

func (c *MemoryCache) entryLocked(room protocol.RoomID) *cached {
	at, ok := c.rooms[room]
	if !ok {
		return nil
	}
	c.used.MoveToFront(at)
	e, _ := at.Value.(*cached)
	return e
}

func (c *MemoryCache) putLocked(e *cached, n Newest) {
	c.bytes -= e.bytes
	e.page, e.there, e.bytes = n, true, entryBytes+n.weight()
	c.bytes += e.bytes
	c.trimLocked()
}

func (c *MemoryCache) clearLocked(e *cached) {
	c.bytes -= e.bytes - entryBytes
	e.page, e.there, e.bytes = Newest{}, false, entryBytes
}

// trimLocked lets go what is too much. Who was to fill it may not any more.
func (c *MemoryCache) trimLocked() {
	for c.used.Len() > 1 && (c.used.Len() > c.cfg.Conversations || c.bytes > c.cfg.Bytes) {
		e, _ := c.used.Remove(c.used.Back()).(*cached)
		delete(c.rooms, e.room)
		c.bytes -= e.bytes
	}
}

// Bounded returns what a Cache keeps of it: the newest, up to CachePage messages and MaxPageBytes.
func (n Newest) Bounded() Newest {
	from, bytes := len(n.Messages), 0
	for from > 0 && len(n.Messages)-from < CachePage {
		bytes += weight(&n.Messages[from-1])
		if bytes > MaxPageBytes && from < len(n.Messages) {
			break
		}
		from--
	}
	if from > 0 {
		n.Messages, n.Whole = n.Messages[from:], false
	}
	return n
}

func (n Newest) weight() int {
	sum := 0
	for i := range n.Messages {
		sum += weight(&n.Messages[i])
	}
	return sum
}

// weight is about what a message takes in memory.
func weight(m *protocol.ConvMessage) int {
	sum := 320 + len(m.Text) + len(m.Name) + len(m.From) + len(m.CID)
	for _, u := range m.Mentions {
		sum += 16 + len(u)
	}
	for i := range m.Files {
		sum += 120 + len(m.Files[i].Name)
	}
	for i := range m.Reactions {
		sum += 64
		for _, u := range m.Reactions[i].By {
			sum += 16 + len(u)
		}
	}
	return sum
}

// with returns the page after an event that comes next, and false if it is not clear what it is then.
func (n Newest) with(e protocol.ConvEvent) (Newest, bool) {
	if n.Missing || e.Seq != n.Seq+1 || e.After != 0 {
		return n, false
	}
	n.Seq = e.Seq
	switch {
	case e.Message != nil && e.Message.Seq == e.Seq:
		n.Messages = append(n.Messages, *e.Message) // readers' slices end before it
		return n, true
	case e.Message != nil:
		return n.changed(e.Message)
	case e.Conversation != nil:
		// Retention: what is left may be whole now, or less.
		return n, !e.Conversation.Deleted && e.Conversation.Oldest == 0
	}
	return n, e.Person != nil
}

// changed returns the page with another state of one of its messages.
func (n Newest) changed(m *protocol.ConvMessage) (Newest, bool) {
	i, found := slices.BinarySearchFunc(n.Messages, m.Seq, func(kept protocol.ConvMessage, seq uint64) int {
		switch {
		case kept.Seq < seq:
			return -1
		case kept.Seq > seq:
			return 1
		}
		return 0
	})
	if !found {
		return n, i == 0 && len(n.Messages) > 0 && !n.Whole // older than the page
	}
	n.Messages = slices.Clone(n.Messages)
	n.Messages[i] = *m
	return n, true
}
