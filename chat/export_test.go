package chat

import (
	"maps"
	"slices"

	"github.com/rondo-chat/rondo/protocol"
)

// Save returns a function that brings the store back to what it holds now, in a
// new generation if fresh.
func (s *Memory) Save() (lose func(fresh bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	saved := copyThreads(s)
	return func(fresh bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.rooms = copyThreads(&Memory{rooms: saved})
		if fresh {
			s.gen = draw()
		}
	}
}

func copyThreads(s *Memory) map[protocol.RoomID]*thread {
	rooms := map[protocol.RoomID]*thread{}
	for id, t := range s.rooms {
		c := *t
		c.messages, c.byCID = slices.Clone(t.messages), maps.Clone(t.byCID)
		rooms[id] = &c
	}
	return rooms
}
