package live

import (
	"maps"
	"slices"
	"sync"

	"github.com/rondo-chat/rondo/protocol"
)

// people knows the sessions that follow anything here.
type people struct {
	mu       sync.Mutex
	sessions map[protocol.SessionID]*session
	lists    map[protocol.UserID]map[protocol.SessionID]struct{} // those that follow the user's list
}

type session struct {
	user   protocol.UserID
	guest  bool
	listed bool
	away   bool
	open   map[protocol.RoomID]struct{}
}

func newPeople() *people {
	return &people{sessions: map[protocol.SessionID]*session{}, lists: map[protocol.UserID]map[protocol.SessionID]struct{}{}}
}

func (p *people) sessionLocked(f Follower) *session {
	s := p.sessions[f.Session]
	if s == nil {
		s = &session{user: f.User, guest: f.Guest, open: map[protocol.RoomID]struct{}{}}
		p.sessions[f.Session] = s
	}
	return s
}

// open notes an open conversation; false if there are too many.
func (p *people) open(f Follower, room protocol.RoomID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.sessionLocked(f)
	if _, ok := s.open[room]; !ok && len(s.open) >= MaxOpen {
		return false
	}
	s.open[room] = struct{}{}
	return true
}

func (p *people) closed(id protocol.SessionID, room protocol.RoomID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.sessions[id]; s != nil {
		delete(s.open, room)
	}
}

func (p *people) hasOpen(id protocol.SessionID, room protocol.RoomID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.sessions[id]; s != nil {
		_, ok := s.open[room]
		return ok
	}
	return false
}

// list notes that the session follows its user's list: as the first one of the user, and as one that did not before.
func (p *people) list(f Follower) (first, fresh bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.sessionLocked(f)
	if s.listed {
		return false, false
	}
	s.listed = true
	first = len(p.lists[f.User]) == 0
	if first {
		p.lists[f.User] = map[protocol.SessionID]struct{}{}
	}
	p.lists[f.User][f.Session] = struct{}{}
	return first, true
}

// unlist takes that back; last: none of the user's is left.
func (p *people) unlist(id protocol.SessionID) (last bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unlistLocked(id)
}

func (p *people) unlistLocked(id protocol.SessionID) (last bool) {
	s := p.sessions[id]
	if s == nil || !s.listed {
		return false
	}
	s.listed = false
	delete(p.lists[s.user], id)
	if len(p.lists[s.user]) > 0 {
		return false
	}
	delete(p.lists, s.user)
	return true
}

// forget is the end of a session; last: none that follows the user's list is left.
func (p *people) forget(id protocol.SessionID) (user protocol.UserID, known, last bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.sessions[id]
	if s == nil {
		return "", false, false
	}
	last = p.unlistLocked(id)
	delete(p.sessions, id)
	return s.user, true, last
}

// away notes whether the session has a socket; false if that is known, or the session is not.
func (p *people) away(id protocol.SessionID, away bool) (changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.sessions[id]
	if s == nil || s.away == away {
		return false
	}
	s.away = away
	return true
}

// is reports whether the session is there, and whether it is away.
func (p *people) is(id protocol.SessionID) (known, away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.sessions[id]
	return s != nil, s != nil && s.away
}

// listers are the sessions that follow the user's list.
func (p *people) listers(user protocol.UserID) []protocol.SessionID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.lists[user]))
}

// someLists returns up to n of those that follow a list, any.
func (p *people) someLists(n int) (some []Follower) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for user, sessions := range p.lists {
		for id := range sessions {
			if len(some) == n {
				return some
			}
			some = append(some, Follower{id, user, p.sessions[id].guest})
		}
	}
	return some
}
