package database

import (
	"context"
	"sync/atomic"
	"time"
)

// Session remembers when a user, or whatever should see its own writes, wrote
// last. With a Session in their context, Write notes the time and ReadStale
// asks a replica only if that has everything written until then. The zero Session
// is ready; it may be shared by goroutines.
type Session struct {
	last atomic.Int64 // Micros of the end of the last write
}

// ResumeSession makes a Session of another's Token, also of another node's.
// Clocks of nodes may differ by up to clockSkew without harm.
func ResumeSession(token int64) *Session {
	s := &Session{}
	if token > 0 {
		s.last.Store(token + clockSkew.Microseconds())
	}
	return s
}

const clockSkew = time.Second

// Token is what ResumeSession takes, 0 if nothing was written. It is no secret,
// and a false one makes reads go to the primary at worst, or be as stale as those
// of anybody.
func (s *Session) Token() int64 { return s.last.Load() }

type sessionKey struct{}

// WithSession puts the session into the context.
func WithSession(ctx context.Context, s *Session) context.Context {
	return context.WithValue(ctx, sessionKey{}, s)
}

// sessionOf returns the context's session, or nil.
func sessionOf(ctx context.Context) *Session {
	s, _ := ctx.Value(sessionKey{}).(*Session)
	return s
}

// wrote notes a write that ended at now, Micros.
func (s *Session) wrote(now int64) {
	if s == nil {
		return
	}
	for {
		last := s.last.Load()
		if last >= now || s.last.CompareAndSwap(last, now) {
			return
		}
	}
}

// since returns the time of the last write, 0 for none.
func (s *Session) since() int64 {
	if s == nil {
		return 0
	}
	return s.last.Load()
}
