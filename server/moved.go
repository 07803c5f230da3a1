package server

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/internal/seeded"
	"github.com/rondo-chat/rondo/matchmaking"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/rooms"
	"github.com/rondo-chat/rondo/signaling"
)

const (
	kindSession bus.Kind = "session" // signaling's own

	forwardFor = 10 * time.Second // how long what arrives for a session that moved is passed on
	maxEarly   = 64               // messages kept for a session that is about to arrive
	earlyFor   = 5 * time.Second  // how long they are kept
	maxMoved   = 20_000           // sessions that are remembered or awaited
)

// sessionNote is what another node needs to go on with a session.
type sessionNote struct {
	Room      protocol.RoomID   `json:"room,omitempty"`
	Me        protocol.MemberID `json:"me,omitempty"`
	Found     *protocol.Found   `json:"found,omitempty"` // without ICE
	Wish      *protocol.Find    `json:"wish,omitempty"`
	Asked     uint32            `json:"asked,omitempty"` // number of the request that said it
	Searching bool              `json:"searching,omitempty"`
	Start     int64             `json:"start,omitempty"` // of the search, Unix microseconds
	Since     int64             `json:"since,omitempty"` // its place; 0: none yet
	Moves     int               `json:"moves,omitempty"` // how often the session moved
}

// noteDown keeps the session's note as its seat and search are now. It is called
// after each change of them.
func (s *Server) noteDown(sess *signaling.Session) {
	if s.cfg.SessionStore == nil {
		return
	}
	s.noting.Lock() // of two changes at once, the later note must know of both
	defer s.noting.Unlock()
	var n sessionNote
	id := sess.ID()
	if st, _, ok := s.seats.of(id); ok {
		n.Room, n.Me = st.room, st.me
		if st.found != nil {
			found := *st.found
			found.ICE = nil
			n.Found = &found
		}
	} else if start, since, ok := s.matcher.Place(id); ok {
		n.Searching, n.Start = true, start.UnixMicro()
		if !since.IsZero() {
			n.Since = since.UnixMicro()
		}
	}
	n.Moves = s.moved(id)
	if w, ok := s.wish(id); ok {
		n.Wish, n.Asked = &w.find, w.asked
	}
	b, err := json.Marshal(n)
	if err != nil {
		s.log.Error("session note", "err", err)
		return
	}
	sess.SetNote(b)
}

// moved is how often the session has moved.
func (s *Server) moved(id protocol.SessionID) int {
	n, _ := s.moves.Load(id)
	moves, _ := n.(int) // 0 where there is none
	return moves
}

// noteSeat is noteDown for a session by its id.
func (s *Server) noteSeat(id protocol.SessionID) {
	if sess, ok := s.hub.Lookup(id); ok {
		s.noteDown(sess)
	}
}

// Restored implements signaling.Observer: the session takes its seat or its place
// in the queue again.
func (o observer) Restored(sess *signaling.Session, r signaling.Restored) {
	s := o.s
	ctx, cancel := s.shortly()
	defer cancel()
	s.census.present(sess.ID(), true)
	var n sessionNote
	if err := json.Unmarshal(r.Note, &n); len(r.Note) > 0 && err != nil {
		s.log.Error("note of a session", "err", err)
	}
	if n.Wish != nil {
		s.wishes.Store(sess.ID(), wish{*n.Wish, n.Asked})
		if r.Fresh {
			s.forgetAsked(sess.ID())
		}
	}
	s.moves.Store(sess.ID(), n.Moves)
	switch {
	case n.Room != "" && !seeded.SeatLeftBehind.Hit():
		s.reseat(ctx, sess, n, r)
	case n.Searching && n.Wish != nil:
		s.searchOn(ctx, sess, n)
	}
	s.noteDown(sess)
}

// reseat moves a session's seat here and tells the room.
func (s *Server) reseat(ctx context.Context, sess *signaling.Session, n sessionNote, r signaling.Restored) {
	id := sess.ID()
	room, was, err := s.registry.Return(ctx, n.Room, id)
	for err != nil && protocol.CodeOf(err) == protocol.CodeUnavailable && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
		room, was, err = s.registry.Return(ctx, n.Room, id)
	}
	if err != nil {
		s.unseated(sess, n)
		return
	}
	if n.Found != nil {
		n.Found.ICE = s.ice(id)
	}
	if !s.reenter(id, seat{room: n.Room, me: n.Me, found: n.Found, orphan: !r.Forwards}, room) {
		return // it sits elsewhere by now: not possible before it is attached
	}
	head := castHead{Class: signaling.MustDeliver, Except: n.Me, Snapshot: &room}
	if !was.Away { // its node died before it could say so
		head.Type = protocol.TypePeerReconnecting
		s.cast(room, head, protocol.PeerReconnecting{Peer: n.Me})
	}
	head.Type, head.Recorded, head.Orphan = protocol.TypePeerBack, true, !r.Forwards
	s.cast(room, head, protocol.PeerBack{Peer: n.Me, Fresh: r.Fresh})
}

// unseated tells a session that the room it sat in is over for it.
func (s *Server) unseated(sess *signaling.Session, n sessionNote) {
	p := signaling.Push{Type: protocol.TypeRoomClosed, Room: n.Room, Class: signaling.MustDeliver}
	var d any = protocol.RoomClosed{Reason: "lost"}
	if n.Found != nil {
		p.Type = protocol.TypePeerLeft
		d = protocol.PeerLeft{Peer: n.Found.Peer.ID, Reason: protocol.LeaveLost}
	}
	var err error
	if p.D, err = json.Marshal(d); err != nil {
		s.log.Error("push payload", "type", p.Type, "err", err)
		return
	}
	sess.Push(p)
}

// searchOn goes on with a session's search at its old place.
func (s *Server) searchOn(ctx context.Context, sess *signaling.Session, n sessionNote) {
	profile, err := s.profile(*n.Wish)
	if err == nil {
		var since time.Time
		if n.Since != 0 {
			since = time.UnixMicro(n.Since)
		}
		user := sess.User()
		err = s.matcher.Return(ctx, matchmaking.Asker{Session: sess.ID(), User: user.ID, Name: user.Name}, profile, time.UnixMicro(n.Start), since)
	}
	if err != nil {
		s.log.Warn("search not continued", "err", err)
		s.push(sess.ID(), protocol.TypeMatchStopped, protocol.Stopped{Reason: string(protocol.CodeUnavailable), RetryMS: 1000}, signaling.MustDeliver)
	}
}

// Moved implements signaling.Observer: what this node knows of the session goes
// into its note, and then goes. A match that is being made is settled first.
func (o observer) Moved(sess *signaling.Session, to protocol.NodeID) {
	s := o.s
	id := sess.ID()
	s.census.present(id, false)
	s.matcher.Suspend(id)
	move := s.moved(id) + 1
	s.moves.Store(id, move)
	s.noteDown(sess)
	if st, _, ok := s.seats.of(id); ok {
		s.passage.left(id, departure{to: to, room: st.room, me: st.me, move: move, until: time.Now().Add(forwardFor)})
		s.seats.leave(id, st.room)
	}
	s.matcher.Forget(id)
	s.seats.forget(id)
	s.wishes.Delete(id)
	s.moves.Delete(id)
}

// stranded is called on one node when a sweep found members of a dead node.
func (s *Server) stranded(room rooms.Room, members []rooms.Member) {
	for _, m := range members {
		if !m.Away { // else they were told
			s.cast(room, castHead{Type: protocol.TypePeerReconnecting, Class: signaling.MustDeliver, Except: m.ID, Snapshot: &room, Recorded: true},
				protocol.PeerReconnecting{Peer: m.ID})
		}
	}
}

// regained is called with members of this node that others had found stranded.
func (s *Server) regained(_ rooms.Room, members []rooms.Member) {
	for _, m := range members {
		if sess, ok := s.hub.Lookup(m.Session); ok && sess.Connected() {
			s.tellPresence(m.Session, false, false)
		}
	}
}

// passage knows which sessions have left this node lately, and keeps what was
// passed on for those that are about to arrive.
type passage struct {
	mu     sync.Mutex
	gone   map[protocol.RoomID]map[protocol.SessionID]departure
	early  map[protocol.SessionID][]parcel
	pruned time.Time
}

// departure is where a session went, and what seat it had.
type departure struct {
	to    protocol.NodeID // "": not known
	room  protocol.RoomID
	me    protocol.MemberID
	move  int // the number of this move
	until time.Time
}

// parcel is a push that was passed on.
type parcel struct {
	head  castHead
	d     []byte
	until time.Time
}

func newPassage() *passage {
	return &passage{gone: map[protocol.RoomID]map[protocol.SessionID]departure{}, early: map[protocol.SessionID][]parcel{}}
}

// pruneLocked drops what is over, at most once a second.
func (p *passage) pruneLocked(now time.Time) {
	if now.Sub(p.pruned) < time.Second {
		return
	}
	p.pruned = now
	for room, sessions := range p.gone {
		for id, d := range sessions {
			if now.After(d.until) {
				delete(sessions, id)
			}
		}
		if len(sessions) == 0 {
			delete(p.gone, room)
		}
	}
	for id, list := range p.early {
		if now.After(list[0].until) {
			delete(p.early, id)
		}
	}
}

func (p *passage) left(id protocol.SessionID, d departure) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pruneLocked(time.Now())
	if len(p.gone) >= maxMoved {
		return
	}
	if p.gone[d.room] == nil {
		p.gone[d.room] = map[protocol.SessionID]departure{}
	}
	p.gone[d.room][id] = d
}

// from returns the sessions that left the room by leaving this node.
func (p *passage) from(room protocol.RoomID) map[protocol.SessionID]departure {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.gone[room]) == 0 {
		return nil
	}
	p.pruneLocked(time.Now())
	found := map[protocol.SessionID]departure{}
	for id, d := range p.gone[room] {
		found[id] = d
	}
	return found
}

// keep keeps what came for a session before the session itself.
func (p *passage) keep(id protocol.SessionID, h castHead, d []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.pruneLocked(now)
	if len(p.early) < maxMoved && len(p.early[id]) < maxEarly {
		p.early[id] = append(p.early[id], parcel{h, slices.Clone(d), now.Add(earlyFor)})
	}
}

// arrived returns what was kept for the session. It is here from now on.
func (p *passage) arrived(id protocol.SessionID, room protocol.RoomID) []parcel {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.early[id]
	delete(p.early, id)
	delete(p.gone[room], id) // it may have come back
	if len(p.gone[room]) == 0 {
		delete(p.gone, room)
	}
	return list
}

// forward passes a push on to where the session went.
func (s *Server) forward(id protocol.SessionID, to departure, h castHead, d []byte) {
	if to.to == "" {
		return
	}
	h.Session, h.Move, h.Elsewhere = id, to.move, nil
	payload, err := encodeCast(h, d)
	if err != nil {
		s.log.Error("encode push", "type", h.Type, "err", err)
		return
	}
	s.publish(bus.Message{To: to.to, Kind: kindSignal, Key: string(h.Room), Payload: payload})
}
