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
// reach: of each session one thing at a time, and of what waits the latest.
type presence struct {
	mu      sync.Mutex
	waiting map[protocol.SessionID]*presenceNews // present: the session's news are being told; nil: no more of them
}

type presenceNews struct {
	away, fresh bool
	told        chan struct{} // closed when it was
}

func newPresence() *presence {
	return &presence{waiting: map[protocol.SessionID]*presenceNews{}}
}

// add takes in news and reports whether somebody must begin to tell them.
func (p *presence) add(id protocol.SessionID, away, fresh bool) (n *presenceNews, begin bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, busy := p.waiting[id]
	if n == nil {
		n = &presenceNews{told: make(chan struct{})}
		p.waiting[id] = n
	}
	n.away, n.fresh = away, n.fresh || fresh
	return n, !busy
}

// next returns what is to be told, nil if that is all.
func (p *presence) next(id protocol.SessionID) *presenceNews {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.waiting[id]
	if n == nil {
		delete(p.waiting, id)
		return nil
	}
	p.waiting[id] = nil
	return n
}

// tellPresence tells a session's room that its socket went or came back, after
// what was to be told of it before. The channel is closed when that is done.
func (s *Server) tellPresence(id protocol.SessionID, away, fresh bool) <-chan struct{} {
	if _, _, ok := s.seats.of(id); !ok {
		done := make(chan struct{})
		close(done)
		return done
	}
	n, begin := s.presence.add(id, away, fresh)
	if begin {
		s.work.Go(func() {
			for n := s.presence.next(id); n != nil; n = s.presence.next(id) {
				ctx, cancel := s.shortly()
				s.setAway(ctx, id, n.away, n.fresh)
				cancel()
				close(n.told)
			}
		})
	}
	return n.told
}
