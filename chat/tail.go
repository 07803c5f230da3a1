package chat

import (
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

const (
	tailMessages = 100      // kept of a room
	tailBytes    = 64 << 10 // kept of a room, Message.Weight summed
	tailsBytes   = 64 << 20 // kept of all rooms; beyond it a room keeps no more than it had
	freshFor     = time.Minute
)

// tail is what this node knows of a room in which members of it sit: how far it
// has come, and its newest messages.
type tail struct {
	mark     Mark
	messages []Message // by offset
	bytes    int
	heard    time.Time // when the newest was heard of
	settles  time.Time // until when other nodes may put back what was lost
	suspect  bool      // the store may have lost messages of it
}

// tails are the tails of all rooms that this node follows.
type tails struct {
	follows func(protocol.RoomID) bool // nil: none
	settle  time.Duration

	mu    sync.Mutex
	rooms map[protocol.RoomID]*tail
	bytes int
}

// mark returns what is known of the room, and until when it settles.
func (s *tails) mark(room protocol.RoomID) (Mark, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.rooms[room]
	if t == nil {
		return Mark{}, time.Time{}
	}
	return t.mark, t.settles
}

// lost returns what is to be put back if the store has lost it.
func (s *tails) lost(room protocol.RoomID) ([]Message, Mark) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.rooms[room]
	if t == nil {
		return nil, Mark{}
	}
	return slices.Clone(t.messages), t.mark
}

// note keeps messages of the room, and its mark where the store said it, else
// only its newest offset. Generation and epoch become known if nothing was known
// that the store would have to be asked for.
func (s *tails) note(room protocol.RoomID, stored Mark, messages ...Message) {
	if s.follows == nil || !s.follows(room) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.rooms[room]
	if t == nil {
		t = &tail{}
		s.rooms[room] = t
	}
	if t.mark.Epoch == "" && len(t.messages) == 0 {
		t.mark.Gen, t.mark.Epoch = stored.Gen, stored.Epoch
	}
	last := stored.Last
	for _, m := range messages {
		last = max(last, m.Off)
		s.keepLocked(t, m)
	}
	if last > t.mark.Last {
		t.suspect = t.suspect || stored.Epoch == "" && t.mark.Last != 0 && last > t.mark.Last+1
		t.mark.Last, t.heard = last, time.Now()
	}
}

func (s *tails) keepLocked(t *tail, m Message) {
	i := sort.Search(len(t.messages), func(i int) bool { return t.messages[i].Off >= m.Off })
	if i < len(t.messages) && t.messages[i].Off == m.Off {
		return
	}
	t.messages = slices.Insert(t.messages, i, m)
	t.bytes += m.Weight()
	s.bytes += m.Weight()
	for len(t.messages) > 0 && (len(t.messages) > tailMessages || t.bytes > tailBytes || s.bytes > tailsBytes) {
		old := t.messages[0].Weight()
		t.bytes -= old
		s.bytes -= old
		t.messages = slices.Delete(t.messages, 0, 1)
	}
}

// restored notes that all that is known of the room is in the store.
func (s *tails) restored(room protocol.RoomID, mark Mark) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.rooms[room]
	if t == nil {
		return
	}
	if t.mark.Epoch != "" && t.mark.Epoch != mark.Epoch || mark.Last >= t.mark.Last+Leap {
		t.settles = time.Now().Add(s.settle)
	}
	mark.Last = max(mark.Last, t.mark.Last)
	t.mark = mark
	t.suspect = false
}

// forget drops the room's tail.
func (s *tails) forget(room protocol.RoomID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetLocked(room)
}

func (s *tails) forgetLocked(room protocol.RoomID) {
	if t := s.rooms[room]; t != nil {
		s.bytes -= t.bytes
		delete(s.rooms, room)
	}
}

// forgetUser drops the messages of a user from all tails.
func (s *tails) forgetUser(user protocol.UserID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.rooms {
		t.messages = without(t.messages, user, func(m Message) {
			t.bytes -= m.Weight()
			s.bytes -= m.Weight()
		})
	}
}

// prune forgets the rooms that this node follows no more.
func (s *tails) prune() {
	s.mu.Lock()
	ids := make([]protocol.RoomID, 0, len(s.rooms))
	for id := range s.rooms {
		ids = append(ids, id)
	}
	s.mu.Unlock()
	for _, id := range ids {
		if !s.follows(id) {
			s.forget(id)
		}
	}
}

// toCheck returns the rooms of which the store may have lost something: those
// heard of lately, and some of the others; or all.
func (s *tails) toCheck(all bool, others int) []protocol.RoomID {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []protocol.RoomID
	now := time.Now()
	for id, t := range s.rooms { // in random order, so the others take turns
		fresh := all || t.suspect || now.Sub(t.heard) < freshFor
		if !fresh {
			others--
		}
		if fresh || others >= 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// behind reports whether the room is to be put back, by the store's mark of it:
// the store lost something of it, or was without something of it (lost), or it is
// not known whether.
func (s *tails) behind(room protocol.RoomID, stored Mark) (behind, lost bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.rooms[room]
	if t == nil {
		return false, false
	}
	lost = stored.Last < t.mark.Last || t.mark.Epoch != "" && stored.Epoch != t.mark.Epoch
	return lost || t.mark.Epoch == "" && len(t.messages) > 0, lost
}
