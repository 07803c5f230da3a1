package server

import (
	"sync"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// backWait is how long who comes back waits until the room knows of it, so that
// the next thing he says does not overtake that.
const backWait = 250 * time.Millisecond

// presence is what is to be told of whose socket went or came back. It is told
// beside the session, for the record that all nodes share may be slow or out of
// reach: of each session one thing after another.
type presence struct {
	mu      sync.Mutex
	waiting map[protocol.SessionID][]presenceNews // oldest first; present: somebody tells the session's news
}

type presenceNews struct {
	away, fresh bool
	told        chan struct{} // closed when it was
}

func newPresence() *presence {
	return &presence{waiting: map[protocol.SessionID][]presenceNews{}}
}

// add takes in news and reports whether somebody must begin to tell them. Whoever
// came and went again before that could be told did neither.
func (p *presence) add(id protocol.SessionID, n presenceNews) (begin bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list, busy := p.waiting[id]
	if len(list) >= 2 && n.away == list[len(list)-2].away {
		last, before := list[len(list)-1], list[len(list)-2]
		close(last.told)
		close(before.told)
		n.fresh = n.fresh || before.fresh
		list = list[:len(list)-2]
	}
	p.waiting[id] = append(list, n)
	return !busy
}

// next returns what is to be told; false if that was all.
func (p *presence) next(id protocol.SessionID) (presenceNews, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.waiting[id]
	if len(list) == 0 {
		delete(p.waiting, id)
		return presenceNews{}, false
	}
	p.waiting[id] = list[1:]
	return list[0], true
}

// tellPresence tells a session's room that its socket went or came back, after
// what was to be told of it before. The channel is closed when that is done.
func (s *Server) tellPresence(id protocol.SessionID, away, fresh bool) <-chan struct{} {
	if _, _, ok := s.seats.of(id); !ok {
		done := make(chan struct{})
		close(done)
		return done
	}
	n := presenceNews{away, fresh, make(chan struct{})}
	if s.presence.add(id, n) {
		s.work.Go(func() {
			for n, ok := s.presence.next(id); ok; n, ok = s.presence.next(id) {
				ctx, cancel := s.shortly()
				s.setAway(ctx, id, n.away, n.fresh)
				cancel()
				close(n.told)
			}
		})
	}
	return n.told
}
