package server

import (
	"context"
	"encoding/json"
	"reflect"
	"time"

	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/internal/seeded"
	"github.com/rondo-chat/rondo/internal/text"
	"github.com/rondo-chat/rondo/matchmaking"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/rooms"
	"github.com/rondo-chat/rondo/signaling"
)

// silence is how long a waiting session may have been silent before it is
// pinged ahead of a match (docs/protocol.md, section 3).
const silence = 250 * time.Millisecond

func (s *Server) matchFind(ctx context.Context, sess *signaling.Session, m *protocol.Message) (any, error) {
	var find protocol.Find
	if err := m.Unmarshal(&find); err != nil {
		return nil, err
	}
	if answer, ok := s.repeated(sess, m); ok {
		return answer, nil
	}
	if _, _, ok := s.seats.of(sess.ID()); ok {
		return nil, protocol.Errorf(protocol.CodeAlready, "you are in a room: leave it first, or use match.next")
	}
	return s.find(ctx, sess, wish{find, m.ID})
}

// wish is what a session searched for last: what match.next repeats.
type wish struct {
	find  protocol.Find
	asked uint32 // number of the request; 0: none
}

// wish returns what the session searched for last.
func (s *Server) wish(id protocol.SessionID) (wish, bool) {
	w, ok := s.wishes.Load(id)
	if !ok {
		return wish{}, false
	}
	return w.(wish), true
}

// repeated answers a request whose search goes on, or has found somebody,
// although the node that began it died before it answered.
func (s *Server) repeated(sess *signaling.Session, m *protocol.Message) (any, bool) {
	w, ok := s.wish(sess.ID())
	if !ok || m.ID == 0 || w.asked != m.ID {
		return nil, false
	}
	if waiting, ok := s.matcher.Status(sess.ID()); ok {
		return waiting, true
	}
	if st, _, ok := s.seats.of(sess.ID()); ok && st.found != nil {
		return protocol.Waiting{Pool: st.found.Pool, WaitedMS: st.found.WaitedMS, Reach: protocol.ReachAnyone}, true
	}
	return nil, false
}

// forgetAsked forgets the number of the request: the client's numbers begin anew.
func (s *Server) forgetAsked(id protocol.SessionID) {
	if w, ok := s.wish(id); ok {
		s.wishes.Store(id, wish{find: w.find})
	}
}

// find starts a search with the wish.
func (s *Server) find(ctx context.Context, sess *signaling.Session, w wish) (any, error) {
	profile, err := s.profile(w.find)
	if err != nil {
		return nil, err
	}
	user := sess.User()
	waiting, err := s.matcher.Find(ctx, matchmaking.Asker{Session: sess.ID(), User: user.ID, Name: user.Name}, profile)
	if err != nil {
		return nil, err
	}
	s.wishes.Store(sess.ID(), w)
	s.noteDown(sess)
	return waiting, nil
}

// profile cleans a wish.
func (s *Server) profile(w protocol.Find) (matchmaking.Profile, error) {
	p := matchmaking.Profile{Pool: w.Pool, Trait: w.Trait, Want: w.Want, Strict: w.Strict, Relay: w.Relay}
	if p.Pool == "" {
		p.Pool = s.pools[0].Name
	}
	if len(w.Tags) > protocol.MaxTags {
		return p, protocol.Errorf(protocol.CodeBadRequest, "tags: at most %d", protocol.MaxTags)
	}
	if len(w.Languages) > protocol.MaxLanguages {
		return p, protocol.Errorf(protocol.CodeBadRequest, "languages: at most %d", protocol.MaxLanguages)
	}
	for _, raw := range w.Tags {
		tag, err := text.Tag(raw)
		if err != nil {
			return p, err
		}
		p.Tags = append(p.Tags, tag)
	}
	for _, raw := range w.Languages {
		lang, err := text.Language(raw)
		if err != nil {
			return p, err
		}
		p.Languages = append(p.Languages, lang)
	}
	return p, nil
}

func (s *Server) matchNext(ctx context.Context, sess *signaling.Session, m *protocol.Message) (any, error) {
	var find protocol.Find
	if err := m.Unmarshal(&find); err != nil {
		return nil, err
	}
	if answer, ok := s.repeated(sess, m); ok {
		return answer, nil
	}
	if reflect.ValueOf(find).IsZero() { // nothing said: as before
		last, _ := s.wish(sess.ID())
		find = last.find
	}
	if !seeded.NextStays.Hit() {
		s.leaveSeat(ctx, sess.ID(), protocol.LeaveNext)
	}
	return s.find(ctx, sess, wish{find, m.ID})
}

func (s *Server) matchCancel(ctx context.Context, sess *signaling.Session, _ *protocol.Message) (any, error) {
	s.matcher.Cancel(ctx, sess.ID())
	// A match that was found while the cancel was on its way is not wanted any more.
	if st, _, ok := s.seats.of(sess.ID()); ok && st.found != nil {
		s.leaveSeat(ctx, sess.ID(), protocol.LeaveLeft)
	}
	s.noteDown(sess)
	return nil, nil
}

func (s *Server) statsHandler(ctx context.Context, _ *signaling.Session, _ *protocol.Message) (any, error) {
	return protocol.Stats{Online: s.census.online(time.Now()), Pools: s.matcher.Stats(ctx)}, nil
}

func (s *Server) block(ctx context.Context, sess *signaling.Session, m *protocol.Message) (any, error) {
	var b protocol.Block
	if err := m.Unmarshal(&b); err != nil {
		return nil, err
	}
	for _, member := range s.seats.met(sess.ID(), m.Room) {
		if member.ID != b.Peer || member.Session == sess.ID() {
			continue
		}
		if err := s.matcher.Block(ctx, sess.User().ID, member.User); err != nil {
			return nil, err
		}
		if st, room, ok := s.seats.of(sess.ID()); ok && st.room == m.Room && room.Kind == rooms.Matched {
			s.leaveSeat(ctx, sess.ID(), protocol.LeaveBlocked)
		}
		return nil, nil
	}
	return nil, protocol.Errorf(protocol.CodeNotFound, "you have not met that member")
}

// matchHooks is what matchmaking needs of the rest of the server.
type matchHooks struct{ s *Server }

// Alive implements matchmaking.Hooks.
func (h matchHooks) Alive(ctx context.Context, id protocol.SessionID) bool {
	sess, ok := h.s.hub.Lookup(id)
	return ok && (sess.Alive(ctx, h.s.silence) || seeded.GhostStays.Hit())
}

// Open implements matchmaking.Hooks.
func (h matchHooks) Open(ctx context.Context, m matchmaking.Match) error {
	_, err := h.s.registry.Open(ctx, matchedRoom(m, h.s.mode(m.Pool)))
	return err
}

// matchedRoom is the room of a match as it is opened.
func matchedRoom(m matchmaking.Match, mode protocol.Mode) rooms.Room {
	now := time.Now()
	room := rooms.Room{ID: m.ID, Kind: rooms.Matched, Mode: mode, Capacity: 2, RelayOnly: m.Relay, Pool: m.Pool, Version: 1}
	for i, member := range m.Members {
		room.Members = append(room.Members, rooms.Member{
			ID: seatID(i), Session: member.Session, Node: member.Node, User: member.User, Name: member.Name, Since: now,
		})
	}
	return room
}

// seatID is the member id of the i-th seat of a matched room.
func seatID(i int) protocol.MemberID { return protocol.MemberID([]byte{byte('1' + i)}) }

// Found implements matchmaking.Hooks: it seats the session and tells it.
func (h matchHooks) Found(id protocol.SessionID, m matchmaking.Match, you int) {
	s := h.s
	room := matchedRoom(m, s.mode(m.Pool))
	me := m.Members[you]
	found := &protocol.Found{
		Pool: m.Pool, Mode: room.Mode, You: seatID(you),
		Peer:    s.peer(m.ID, room.Members[1-you]),
		Offerer: you == 0 || seeded.BothOffer.Hit(), Polite: you != 0,
		Shared: m.Shared, RelayOnly: m.Relay, WaitedMS: max(0, time.Since(me.Since).Milliseconds()),
		ICE: s.ice(id),
	}
	sess, ok := s.hub.Lookup(id)
	if ok = ok && s.seatMatched(sess, seat{room: m.ID, me: seatID(you), found: found}, room); ok {
		_, ok = s.hub.Lookup(id) // its end may not have seen the seat
	}
	if !ok {
		// It ended, or sat down elsewhere, while the match was being made: the other one must not wait.
		s.background(func(ctx context.Context) { s.vacate(ctx, id, room, seatID(you), protocol.LeaveLost) })
		return
	}
	s.noteDown(sess)
	if !sess.Connected() {
		s.tellPresence(id, true, false)
	}
}

// seatMatched seats a session in the room of its match, tells it, and then hands
// on what the other one, who was told earlier, has signalled meanwhile. It returns
// false if the session sits elsewhere.
func (s *Server) seatMatched(sess *signaling.Session, st seat, room rooms.Room) bool {
	d, err := json.Marshal(st.found)
	if err != nil {
		s.log.Error("match.found", "err", err)
		return false
	}
	s.kept.mu.Lock()
	defer s.kept.mu.Unlock()
	if !s.seats.enter(sess.ID(), st, room) {
		return false
	}
	if !seeded.HalfTold.Hit() {
		sess.Push(signaling.Push{Type: protocol.TypeMatchFound, Room: room.ID, D: d, Class: signaling.MustDeliver})
	}
	s.deliverEarly(sess.ID(), room.ID)
	return true
}

// Absent implements matchmaking.Absentee: the match went live without a member
// that had left already.
func (h matchHooks) Absent(m matchmaking.Match, you int) {
	room := matchedRoom(m, h.s.mode(m.Pool))
	h.s.background(func(ctx context.Context) {
		h.s.vacate(ctx, m.Members[you].Session, room, seatID(you), protocol.LeaveLost)
	})
}

// Waiting implements matchmaking.Hooks.
func (h matchHooks) Waiting(id protocol.SessionID, w protocol.Waiting) {
	h.s.push(id, protocol.TypeMatchWaiting, w, signaling.Latest)
}

// Stopped implements matchmaking.Hooks.
func (h matchHooks) Stopped(id protocol.SessionID, err *protocol.Error) {
	h.s.push(id, protocol.TypeMatchStopped,
		protocol.Stopped{Reason: string(err.Code), RetryMS: err.Retry.Milliseconds()}, signaling.MustDeliver)
	h.s.noteSeat(id)
}

// push tells one local session something that concerns no room.
func (s *Server) push(id protocol.SessionID, t protocol.Type, payload any, class signaling.Class) {
	sess, ok := s.hub.Lookup(id)
	if !ok {
		return
	}
	d, err := json.Marshal(payload)
	if err != nil {
		s.log.Error("push payload", "type", t, "err", err)
		return
	}
	sess.Push(signaling.Push{Type: t, D: d, Class: class, Key: string(t)})
}

// notifier carries what a feature on one node tells itself on another.
type notifier struct {
	bus  bus.Bus
	kind bus.Kind
}

// Notify implements matchmaking.Notifier and signaling.Notifier.
func (n notifier) Notify(to protocol.NodeID, key string, payload []byte) error {
	return n.bus.Publish(bus.Message{To: to, Kind: n.kind, Key: key, Payload: payload})
}

// mode is what people in the pool send each other.
func (s *Server) mode(pool string) protocol.Mode {
	for _, p := range s.cfg.Pools {
		if p.Name == pool {
			return p.Mode
		}
	}
	return protocol.ModeVideo
}
