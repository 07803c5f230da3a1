package server

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/signaling"
)

// logins knows the sessions of this node that are an account's, by the account's
// session and by its identity.
type logins struct {
	mu   sync.Mutex
	keys map[protocol.SessionID][2]string
	by   map[string]map[protocol.SessionID]*signaling.Session
}

func newLogins() *logins {
	return &logins{keys: map[protocol.SessionID][2]string{}, by: map[string]map[protocol.SessionID]*signaling.Session{}}
}

// put notes a session, or that it belongs to another one of the account now.
func (l *logins) put(sess *signaling.Session, session string, identity protocol.UserID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forgetLocked(sess.ID())
	keys := [2]string{session, string(identity)}
	l.keys[sess.ID()] = keys
	for _, key := range keys {
		if l.by[key] == nil {
			l.by[key] = map[protocol.SessionID]*signaling.Session{}
		}
		l.by[key][sess.ID()] = sess
	}
}

func (l *logins) forget(id protocol.SessionID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forgetLocked(id)
}

func (l *logins) forgetLocked(id protocol.SessionID) {
	for _, key := range l.keys[id] {
		delete(l.by[key], id)
		if len(l.by[key]) == 0 {
			delete(l.by, key)
		}
	}
	delete(l.keys, id)
}

// of returns the sessions of an account's session, or of an identity.
func (l *logins) of(key string) []*signaling.Session {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Values(l.by[key]))
}

// expired returns the sessions that have a socket and no good token any more.
func (l *logins) expired(now time.Time) []*signaling.Session {
	l.mu.Lock()
	all := make([]*signaling.Session, 0, len(l.keys))
	for id, keys := range l.keys {
		all = append(all, l.by[keys[0]][id])
	}
	l.mu.Unlock()
	return slices.DeleteFunc(all, func(s *signaling.Session) bool { return now.Before(s.Login().Expires) || !s.Connected() })
}
