package client

import (
	"slices"

	"github.com/rondo-chat/rondo/protocol"
)

// signalsSeen knows the newest signals of each member of the room. After the death
// of a node some come again, with the number they had (docs/protocol.md, section 7).
type signalsSeen struct {
	room protocol.RoomID
	from map[protocol.MemberID][]uint32 // oldest first
}

// rememberedSignals is how many of each member are known.
const rememberedSignals = 256

// again takes in a signal and reports whether it was here before. Those without
// a number never come again.
func (s *signalsSeen) again(room protocol.RoomID, from protocol.MemberID, n uint32) bool {
	if n == 0 {
		return false
	}
	if s.room != room || s.from == nil {
		s.room, s.from = room, map[protocol.MemberID][]uint32{}
	}
	list := s.from[from]
	if slices.Contains(list, n) {
		return true
	}
	if len(list) >= rememberedSignals {
		list = slices.Delete(list, 0, rememberedSignals/2)
	}
	s.from[from] = append(list, n)
	return false
}
