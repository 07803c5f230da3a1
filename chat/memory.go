package chat

import (
	"context"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// Memory is a Store in the memory of one process.
type Memory struct {
	keep Retention

	mu    sync.Mutex
	rooms map[protocol.RoomID]*thread
	purge time.Time // when to look for expired rooms again
}

// thread is one room's messages.
type thread struct {
	messages []Message
	byCID    map[origin]uint64 // offsets of messages
	last     uint64
	at       int64
	bytes    int
	expires  time.Time
}

type origin struct {
	from protocol.MemberID
	cid  string
}

// NewMemory makes an empty Memory.
func NewMemory(keep Retention) (*Memory, error) {
	keep, err := keep.WithDefaults()
	if err != nil {
		return nil, err
	}
	return &Memory{keep: keep, rooms: map[protocol.RoomID]*thread{}}, nil
}

var _ Store = (*Memory)(nil)

// Append implements Store.
func (s *Memory) Append(_ context.Context, m Message) (Message, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.purgeLocked(now)
	t := s.threadLocked(m.Room, now)
	if t == nil {
		t = &thread{byCID: map[origin]uint64{}}
		s.rooms[m.Room] = t
	}
	t.expires = now.Add(s.keep.TTL)
	if off, ok := t.byCID[origin{m.From, m.CID}]; ok {
		return t.messages[t.index(off)], true, nil
	}
	return t.append(m, s.keep), false, nil
}

func (t *thread) append(m Message, keep Retention) Message {
	t.last++
	t.at = max(t.at, m.At)
	m.Off, m.At = t.last, t.at
	t.messages = append(t.messages, m)
	t.byCID[origin{m.From, m.CID}] = m.Off
	t.bytes += m.Weight()
	for len(t.messages) > 1 && (len(t.messages) > keep.Messages || t.bytes > keep.Bytes) {
		old := &t.messages[0]
		delete(t.byCID, origin{old.From, old.CID})
		t.bytes -= old.Weight()
		*old = Message{}
		t.messages = t.messages[1:]
	}
	return m
}

// index returns where the first message with an offset of at least off is.
func (t *thread) index(off uint64) int {
	return sort.Search(len(t.messages), func(i int) bool { return t.messages[i].Off >= off })
}

// Page implements Store.
func (s *Memory) Page(_ context.Context, room protocol.RoomID, q Query) (Page, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.threadLocked(room, time.Now())
	if t == nil {
		return Page{}, nil
	}
	from, to := 0, len(t.messages)
	if q.Forward {
		from = t.index(min(q.After, t.last) + 1)
	} else if q.Before != 0 {
		to = t.index(q.Before)
	}
	page := Page{Last: t.last, More: to-from > q.Limit}
	if page.More && q.Forward {
		to = from + q.Limit
	} else if page.More {
		from = to - q.Limit
	}
	page.Messages = slices.Clone(t.messages[from:to])
	return page, nil
}

// Touch implements Store.
func (s *Memory) Touch(_ context.Context, rooms []protocol.RoomID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, id := range rooms {
		if t := s.threadLocked(id, now); t != nil {
			t.expires = now.Add(s.keep.TTL)
		}
	}
	return nil
}

// Drop implements Store.
func (s *Memory) Drop(_ context.Context, room protocol.RoomID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.rooms, room)
	return nil
}

// threadLocked returns the room's thread, or nil if there is none or it expired.
func (s *Memory) threadLocked(room protocol.RoomID, now time.Time) *thread {
	t := s.rooms[room]
	if t != nil && !now.Before(t.expires) {
		delete(s.rooms, room)
		return nil
	}
	return t
}

// purgeLocked drops expired rooms, now and then.
func (s *Memory) purgeLocked(now time.Time) {
	if now.Before(s.purge) {
		return
	}
	s.purge = now.Add(s.keep.TTL / 24)
	for id, t := range s.rooms {
		if !now.Before(t.expires) {
			delete(s.rooms, id)
		}
	}
}
