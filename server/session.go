package server

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/rondo-chat/rondo/internal/seeded"
	"github.com/rondo-chat/rondo/internal/text"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/signaling"
)

// features are the parts of the protocol that this server offers.
func (s *Server) features() []string {
	list := []string{"match", "rooms", "chat", "turn"}
	if s.people != nil {
		list = append(list, "accounts")
	}
	if s.talks != nil {
		list = append(list, "conversations")
		if s.talks.translator != nil {
			list = append(list, "translate")
		}
	}
	return list
}

// identify makes a guest of whoever says hello without an account.
func (s *Server) identify(ctx context.Context, r signaling.Request, h protocol.Hello) (signaling.Identity, error) {
	if s.people != nil {
		if id, ok, err := s.people.identify(ctx, r, h); ok || err != nil {
			return id, err
		}
	}
	name, err := text.Name(h.Name)
	if err != nil {
		return signaling.Identity{}, err
	}
	if name == "" {
		name = guestName()
	}
	now := time.Now()
	id, err := s.cfg.Guests.Verify(h.Guest, now)
	if err != nil { // none, expired, or of another service: a new guest
		id = s.cfg.Guests.NewID()
	}
	keep := true
	if s.people != nil && err == nil {
		id, keep = s.people.guest(ctx, id)
	}
	who := signaling.Identity{User: protocol.User{ID: id, Name: name, Guest: true}}
	if keep {
		who.GuestToken = s.cfg.Guests.Issue(id, now)
	}
	return who, nil
}

// guestName is a friendly name for who gives none.
func guestName() string {
	first := []string{"Amber", "Blue", "Coral", "Golden", "Green", "Indigo", "Ivory", "Jade", "Lilac", "Ruby", "Silver", "Teal"}
	second := []string{"Badger", "Crane", "Dolphin", "Falcon", "Fox", "Heron", "Lynx", "Otter", "Panda", "Robin", "Swan", "Tiger"}
	return fmt.Sprintf("%s %s", first[rand.IntN(len(first))], second[rand.IntN(len(second))])
}

// welcome adds to the welcome what signaling does not know.
func (s *Server) welcome(_ context.Context, sess *signaling.Session, w *protocol.Welcome) {
	w.Features, w.Pools, w.ICE = s.features(), s.pools, s.ice(sess.ID())
}

// state is everything for a client that lost its memory.
func (s *Server) state(ctx context.Context, sess *signaling.Session) *protocol.State {
	st := &protocol.State{User: sess.User(), Limits: protocol.DefaultLimits(), Features: s.features(), Pools: s.pools}
	if w, ok := s.matcher.Status(sess.ID()); ok {
		st.Match = &w
	}
	room, err := s.roomState(ctx, sess.ID())
	if err != nil {
		s.log.Warn("room state", "err", err)
	}
	st.Room = room
	return st
}

// observer follows sessions for the features. Signaling calls it in order per
// session and never under a lock.
type observer struct{ s *Server }

// Opened implements signaling.Observer.
func (o observer) Opened(sess *signaling.Session) { o.s.census.present(sess.ID(), true) }

// Away implements signaling.Observer: nobody is matched with somebody who is
// not there, but the place in the queue and the seat are kept.
func (o observer) Away(sess *signaling.Session) {
	o.s.census.present(sess.ID(), false)
	if !seeded.GhostStays.Hit() {
		o.s.matcher.Suspend(sess.ID())
	}
	o.s.tellPresence(sess.ID(), true, false)
}

// Back implements signaling.Observer.
func (o observer) Back(sess *signaling.Session, fresh bool) {
	ctx, cancel := o.s.shortly()
	defer cancel()
	o.s.census.present(sess.ID(), true)
	if fresh {
		o.s.forgetAsked(sess.ID())
	}
	o.s.matcher.Resume(ctx, sess.ID())
	select {
	case <-o.s.tellPresence(sess.ID(), false, fresh):
	case <-time.After(backWait):
	}
}

// Closed implements signaling.Observer.
func (o observer) Closed(sess *signaling.Session, reason signaling.CloseReason) {
	ctx, cancel := o.s.shortly()
	defer cancel()
	id := sess.ID()
	o.s.census.present(id, false)
	o.s.matcher.Forget(id)
	why := protocol.LeaveLost
	if reason == signaling.ClosedBye {
		why = protocol.LeaveLeft
	}
	o.s.leaveSeat(ctx, id, why)
	o.s.seats.forget(id)
	o.s.wishes.Delete(id)
	o.s.moves.Delete(id)
	if o.s.cfg.Revoke != nil {
		o.s.cfg.Revoke(id)
	}
}
