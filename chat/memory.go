package chat

import (
	"context"
	"math/rand/v2"
	"slices"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// Memory is a Store in the memory of one process. Each is a generation of its
// own.
type Memory struct {
	keep Retention
	gen  string

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
	gen      string // it was written in last
	epoch    string
	gone     bool
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
	return &Memory{keep: keep, gen: draw(), rooms: map[protocol.RoomID]*thread{}}, nil
}

var _ Store = (*Memory)(nil)

// draw draws the name of a generation or epoch.
func draw() string { return strconv.FormatUint(rand.Uint64(), 36) }

// Append implements Store.
func (s *Memory) Append(_ context.Context, m Message, known Mark) (Appended, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.purgeLocked(now)
	t := s.threadLocked(m.Room, now)
	if t != nil && t.gone {
		return Appended{}, ErrGone()
	}
	if t != nil {
		if off, ok := t.byCID[origin{m.From, m.CID}]; ok {
			t.expires = now.Add(s.keep.TTL)
			return Appended{Message: t.messages[t.index(off)], Dup: true}, nil
		}
	}
	if s.behind(t, known) {
		return Appended{Behind: true}, nil
	}
	t = s.makeLocked(m.Room, t)
	t.expires = now.Add(s.keep.TTL)
	t.last++
	t.at = max(t.at, m.At)
	m.Off, m.At = t.last, t.at
	t.insert(len(t.messages), m)
	t.trim(s.keep)
	return Appended{Message: m, Mark: t.mark()}, nil
}

// behind reports whether the caller knows of what is not in the thread, or may.
func (s *Memory) behind(t *thread, known Mark) bool {
	if known.Gen != "" && known.Gen != s.gen {
		return true
	}
	if t == nil {
		return known.Last > 0
	}
	return t.last < known.Last || t.gen != s.gen || known.Epoch != "" && known.Epoch != t.epoch
}

func (t *thread) mark() Mark { return Mark{Last: t.last, Gen: t.gen, Epoch: t.epoch} }

// Restore implements Store.
func (s *Memory) Restore(_ context.Context, room protocol.RoomID, lost []Message, known Mark) (Mark, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	t := s.threadLocked(room, now)
	if t != nil && t.gone {
		return Mark{}, ErrGone()
	}
	leap := t == nil || t.last < known.Last || t.gen != s.gen
	t = s.makeLocked(room, t)
	t.expires = now.Add(s.keep.TTL)
	t.last = max(t.last, known.Last)
	for _, m := range lost {
		t.last, t.at = max(t.last, m.Off), max(t.at, m.At)
		i := t.index(m.Off)
		if i == len(t.messages) || t.messages[i].Off != m.Off {
			t.insert(i, m)
		}
	}
	t.trim(s.keep)
	if leap {
		t.last, t.gen, t.epoch = t.last+Leap, s.gen, draw()
	}
	return t.mark(), nil
}

func (s *Memory) makeLocked(room protocol.RoomID, t *thread) *thread {
	if t == nil {
		t = &thread{byCID: map[origin]uint64{}, gen: s.gen, epoch: draw()}
		s.rooms[room] = t
	}
	return t
}

// insert puts m before the i-th message. A retry is answered with the message
// that was there first.
func (t *thread) insert(i int, m Message) {
	t.messages = slices.Insert(t.messages, i, m)
	t.bytes += m.Weight()
	if _, ok := t.byCID[origin{m.From, m.CID}]; !ok {
		t.byCID[origin{m.From, m.CID}] = m.Off
	}
}

// trim lets the oldest messages go that are too many.
func (t *thread) trim(keep Retention) {
	for len(t.messages) > 1 && (len(t.messages) > keep.Messages || t.bytes > keep.Bytes) {
		old := &t.messages[0]
		if from := (origin{old.From, old.CID}); t.byCID[from] == old.Off {
			delete(t.byCID, from)
		}
		t.bytes -= old.Weight()
		*old = Message{}
		t.messages = t.messages[1:]
	}
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
	switch {
	case t == nil:
		return Page{Mark: Mark{Gen: s.gen}}, nil
	case t.gone:
		return Page{}, ErrGone()
	}
	from, to := 0, len(t.messages)
	if q.Forward {
		from = t.index(min(q.After, t.last) + 1)
	} else if q.Before != 0 {
		to = t.index(q.Before)
	}
	page := Page{Mark: t.mark(), More: to-from > q.Limit}
	if page.More && q.Forward {
		to = from + q.Limit
	} else if page.More {
		from = to - q.Limit
	}
	page.Messages = slices.Clone(t.messages[from:to])
	return page, nil
}

// Marks implements Store.
func (s *Memory) Marks(_ context.Context, rooms []protocol.RoomID) ([]Mark, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	marks := make([]Mark, len(rooms))
	for i, id := range rooms {
		if t := s.threadLocked(id, now); t != nil {
			marks[i] = t.mark()
		}
	}
	return marks, nil
}

// Touch implements Store.
func (s *Memory) Touch(_ context.Context, rooms []protocol.RoomID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, id := range rooms {
		if t := s.threadLocked(id, now); t != nil && !t.gone {
			t.expires = now.Add(s.keep.TTL)
		}
	}
	return nil
}

// Drop implements Store.
func (s *Memory) Drop(_ context.Context, room protocol.RoomID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rooms[room] = &thread{gone: true, expires: time.Now().Add(GoneFor)}
	return nil
}

// Forget implements Store.
func (s *Memory) Forget(_ context.Context, user protocol.UserID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.rooms {
		t.messages = without(t.messages, user, func(m Message) {
			delete(t.byCID, origin{m.From, m.CID})
			t.bytes -= m.Weight()
		})
	}
	return nil
}

// without removes the user's messages of a room; gone hears of each.
func without(room []Message, user protocol.UserID, gone func(Message)) []Message {
	of := wrote(room, user)
	return slices.DeleteFunc(room, func(m Message) bool {
		if !of(m) {
			return false
		}
		gone(m)
		return true
	})
}

// wrote returns whether a message of a room is the user's: of those messages
// of which no user is known, the member tells.
func wrote(room []Message, user protocol.UserID) func(Message) bool {
	members := map[protocol.MemberID]bool{}
	for _, m := range room {
		if m.User == user {
			members[m.From] = true
		}
	}
	return func(m Message) bool { return m.User == user || m.User == "" && members[m.From] }
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
	s.purge = now.Add(min(s.keep.TTL/24, GoneFor))
	for id, t := range s.rooms {
		if !now.Before(t.expires) {
			delete(s.rooms, id)
		}
	}
}
