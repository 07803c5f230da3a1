package signaling

import (
	"context"
	"fmt"
	"time"

	"github.com/rondo-chat/rondo/internal/seeded"
	"github.com/rondo-chat/rondo/protocol"
)

// answer is what comes of a message.
type answer struct {
	frame    []byte // nil: nothing to say
	remember bool   // a handler ran: the same request must not run it again
	code     protocol.CloseCode
	reason   string
}

// handle handles one message of socket k in the session's turn.
func (s *Session) handle(k *socket, m *protocol.Message) {
	_ = s.acquire(context.Background()) // who has the turn is bounded by Limits.Handler
	if p := s.hub.keeper; p != nil && p.asleep() && !p.mine(s) {
		k.close(protocol.CloseReplaced, "replaced")
		s.depart("", false)
		s.release()
		return
	}
	s.handleInTurn(k, m)
}

// handleInTurn is handle for who has the turn, which it gives back.
func (s *Session) handleInTurn(k *socket, m *protocol.Message) {
	ok, mine := s.begin(k, m)
	if !mine { // a client that is not heard here must not believe that it is
		k.close(protocol.CloseReplaced, "replaced")
	}
	if !ok {
		return
	}
	a := s.dispatch(m, time.Now())
	k.pay(s.finish(k, m, a))
	if a.code != 0 {
		k.close(a.code, a.reason)
	}
}

// begin begins to handle a message. It gives the turn back if k is not the
// session's socket any more, which mine tells, or if the request was answered before.
func (s *Session) begin(k *socket, m *protocol.Message) (ok, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sock != k {
		s.releaseLocked()
		return false, false
	}
	if !s.spoken {
		s.spoken = true
		s.changed()
	}
	if m.Ack != 0 && m.Ack <= s.seq {
		s.ring.ack(m.Ack)
	}
	if m.ID != 0 {
		if stored, ok := s.replies.find(m.ID, m.Type); ok && !seeded.RequestAgain.Hit() {
			s.sayLocked(nil, stored)
			s.releaseLocked()
			return false, true
		}
	}
	return true, true
}

// finish sends and remembers the answer and gives the turn back. It returns what is to
// be written then.
func (s *Session) finish(k *socket, m *protocol.Message, a answer) (owed [2]*outbox) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.remember && m.ID != 0 {
		s.replies.add(reply{m.ID, m.Type, a.frame}, &s.hub.cfg.Limits)
	}
	if a.frame != nil && s.sock == k && !seeded.ReplyLost.Hit() && !seeded.RequestAgain.Hit() {
		s.sayLocked(s, a.frame)
	}
	owed, s.owed = s.owed, owed
	s.releaseLocked()
	return owed
}

// pay writes what a turn owes: right here, or, if more has come already, somewhere else,
// where what comes of that can go out together with it.
func (k *socket) pay(owed [2]*outbox) {
	for _, o := range owed {
		switch {
		case o == nil:
		case k.t.buffered() > 0:
			k.hub.flow.add(o)
		default:
			k.hub.flow.now(o)
		}
	}
}

// sayLocked sends a reply; a client too slow for it is closed by who pushes or
// asks next, or right here.
func (s *Session) sayLocked(turn *Session, b []byte) {
	if k := s.sock; k != nil && k.sendIn(turn, b, "") {
		s.hub.m.dropped[dropFull].Inc()
		s.hub.spawn(func() { s.abandon(k, protocol.CloseSlow, "slow") })
	}
}

// dispatch decides about a message and runs its handler.
func (s *Session) dispatch(m *protocol.Message, now time.Time) answer {
	h := s.hub
	if ok, retry := s.bytes.Take(now, float64(m.Size), h.cfg.Limits.Bytes); !ok {
		return s.refuse(m, "bytes", now, retry)
	}
	switch m.Type {
	case protocol.TypeAck, protocol.TypePong:
		return answer{}
	case protocol.TypeBye:
		return answer{code: protocol.CloseBye, reason: "bye"}
	case protocol.TypeHello, protocol.TypeResume:
		return s.fail(m, protocol.Errorf(protocol.CodeBadRequest, "%s: this session is open already", m.Type))
	}
	r := h.routes[m.Type]
	if r == nil {
		return s.plain(m, now)
	}
	if ok, retry := r.take(s, now); !ok {
		return s.refuse(m, r.limit, now, retry)
	}
	return s.run(r, m, now)
}

// plain answers what has no handler: a ping, or a type unknown here.
func (s *Session) plain(m *protocol.Message, now time.Time) answer {
	if ok, retry := s.bucket(0).Take(now, 1, s.hub.cfg.Limits.Plain); !ok {
		return s.refuse(m, "plain", now, retry)
	}
	if m.Type == protocol.TypePing {
		return answer{frame: textFrame(`{"t":"pong"}`)}
	}
	return s.fail(m, protocol.Errorf(protocol.CodeUnknownType, "this server does not know the type %.32q", string(m.Type)))
}

// refuse answers rate_limited, and closes a client that does not slow down.
func (s *Session) refuse(m *protocol.Message, limit string, now time.Time, retry time.Duration) answer {
	l := &s.hub.cfg.Limits
	s.hub.m.limited.WithLabelValues(limit).Inc()
	a := s.fail(m, &protocol.Error{Code: protocol.CodeRateLimited, Msg: "too fast", Retry: retry})
	if len(s.refused) == l.Refusals {
		copy(s.refused, s.refused[1:])
		s.refused = s.refused[:l.Refusals-1]
	}
	s.refused = append(s.refused, now)
	if len(s.refused) == l.Refusals && now.Sub(s.refused[0]) <= l.RefusalWindow {
		s.refused = nil
		a.code, a.reason = protocol.CloseRateLimited, s.hub.retryReason()
	}
	return a
}

// retryReason is the reason of CloseRateLimited (section 10).
func (h *Hub) retryReason() string {
	return fmt.Sprintf("retry=%d", h.cfg.Limits.RefusalWindow.Milliseconds())
}

func (s *Session) fail(m *protocol.Message, e *protocol.Error) answer {
	s.hub.m.errors.WithLabelValues(string(e.Code)).Inc()
	return answer{frame: seal(protocol.AppendErr(newFrame(len(e.Msg)+96), m.ID, e))}
}

// run runs the handler. A panic costs the client its socket, and nobody else
// anything.
func (s *Session) run(r *route, m *protocol.Message, begin time.Time) answer {
	h := s.hub
	ctx := h.ctx
	if !r.Brief {
		lazy := newLazyContext(h.ctx, h.cfg.Limits.Handler)
		defer lazy.end()
		ctx = lazy
	}
	var d any
	err, panicked := h.guard(string(m.Type), func() (err error) {
		d, err = r.Serve(ctx, s, m)
		return err
	})
	h.m.seconds[m.Type].Observe(time.Since(begin).Seconds())
	a := s.reply(m, d, err)
	a.remember = true
	if panicked {
		a.code, a.reason = protocol.CloseInternal, "internal"
	}
	return a
}

func (s *Session) reply(m *protocol.Message, d any, err error) answer {
	if err == nil {
		if m.ID == 0 {
			return answer{}
		}
		var b []byte
		if b, err = protocol.AppendOK(newFrame(128), m.ID, "", d); err == nil {
			return answer{frame: seal(b)}
		}
	}
	return s.fail(m, s.hub.wireError(string(m.Type), err))
}
