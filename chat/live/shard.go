package live

import (
	"encoding/json"
	"iter"
	"slices"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// shard has a part of the conversations. All of it belongs to its goroutine.
type shard struct {
	l      *Live
	do     chan func()
	topics map[protocol.RoomID]*topic
	by     map[protocol.SessionID]map[*topic]struct{}

	// Those that the next tick must look at.
	gaps   map[*topic]struct{} // something is missing
	stirs  map[*topic]struct{} // presence has changed
	marked map[*topic]struct{} // receipts wait
	late   []lateMark          // receipts of this node, oldest first
	empty  map[*topic]time.Time
	young  map[protocol.RoomID]time.Time // since when followed: the record is asked soon
	swept  time.Time                     // when old typing was forgotten
}

// How a session follows a conversation.
const (
	asOpen   = 1 << iota // it has it open
	asListed             // its user is a member
)

type following struct {
	user  protocol.UserID
	guest bool
	how   int
	away  bool
}

// told is an event with its encoding.
type told struct {
	e  protocol.ConvEvent
	d  []byte
	at time.Time
}

// topic is a conversation that somebody here follows.
type topic struct {
	room      protocol.RoomID
	key       uint64
	kind      protocol.ConvKind // "": not known
	last      uint64            // followers were told all up to here
	followers map[protocol.SessionID]*following
	open      int // followers that have it open

	recent []told // told lately, oldest first
	held   map[uint64]told
	goal   uint64    // something up to here is known to be there
	since  time.Time // when the gap was noticed
	again  time.Time // not before this time is it to be healed
	tries  int       // how often that has found nothing
	busy   bool      // it is being healed

	presenceState
	marks    map[protocol.UserID]marking // that wait
	receipts time.Time                   // when they were last told
	types    map[protocol.UserID]typing
	spent    int // pushes of typing in this second
}

const (
	maxHeld   = 256 // events that wait for one that is missing
	maxRecent = 64
	recentFor = 5 * time.Second
)

func newShard(l *Live) *shard {
	return &shard{
		l: l, do: make(chan func(), l.cfg.Queue), topics: map[protocol.RoomID]*topic{}, by: map[protocol.SessionID]map[*topic]struct{}{},
		gaps: map[*topic]struct{}{}, stirs: map[*topic]struct{}{}, marked: map[*topic]struct{}{}, empty: map[*topic]time.Time{},
		young: map[protocol.RoomID]time.Time{},
	}
}

func (s *shard) run() {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		select {
		case f := <-s.do:
			f()
		case now := <-tick.C:
			s.tick(now)
		case <-s.l.life.Done():
			return
		}
	}
}

func (s *shard) tick(now time.Time) {
	for t := range s.gaps {
		if !t.busy && now.Sub(t.since) >= s.l.cfg.Hold && !now.Before(t.again) {
			s.fetch(t, now)
		}
	}
	for t := range s.stirs {
		s.tellPresence(t, now)
	}
	for t := range s.marked {
		s.tellMarks(t, now)
	}
	for t, at := range s.empty {
		if now.Sub(at) >= s.l.cfg.Linger {
			s.drop(t)
		}
	}
	s.forgetTyping(now)
}

// topic returns the conversation; a new one begins after seq.
func (s *shard) topic(room protocol.RoomID, seq uint64) *topic {
	if t := s.topics[room]; t != nil {
		return t
	}
	t := &topic{room: room, key: roomKey(room), last: seq, followers: map[protocol.SessionID]*following{}, held: map[uint64]told{},
		marks: map[protocol.UserID]marking{}, types: map[protocol.UserID]typing{}, presenceState: newPresenceState()}
	now := time.Now()
	s.topics[room] = t
	s.empty[t] = now
	s.young[room] = now
	s.l.interest.want(t.key)
	s.l.metrics.topics.Inc()
	return t
}

// drop forgets a conversation, with all who follow it.
func (s *shard) drop(t *topic) {
	for id := range t.followers {
		s.unfollow(t, id, asOpen|asListed)
	}
	delete(s.topics, t.room)
	delete(s.gaps, t)
	delete(s.stirs, t)
	delete(s.marked, t)
	delete(s.empty, t)
	delete(s.young, t.room)
	s.l.interest.drop(t.key)
	s.l.metrics.topics.Dec()
}

// follow lets a session follow from seq on, and gives it what was told since; false if that
// is not known any more, or would not be the session's to know.
func (s *shard) follow(t *topic, f Follower, seq uint64, how int) bool {
	known, away := s.l.people.is(f.Session)
	if !known {
		return false // it ended meanwhile
	}
	missed, ok := t.after(seq)
	if !ok {
		return false
	}
	for _, m := range missed {
		if p := m.e.Person; p != nil && p.ID == f.User && !reads(p.Role) || gone(m.e) || f.Guest && unwanted(m.e) {
			return false
		}
	}
	if seq > t.last {
		s.expect(t, seq)
	}
	s.attach(t, f, how, away)
	for _, m := range missed {
		s.l.cfg.Sessions.Push(one(f.Session), eventPush(t.room, m.d))
	}
	return true
}

func (s *shard) attach(t *topic, f Follower, how int, away bool) {
	at := t.followers[f.Session]
	if at == nil {
		at = &following{user: f.User, guest: f.Guest, away: away}
		t.followers[f.Session] = at
		if s.by[f.Session] == nil {
			s.by[f.Session] = map[*topic]struct{}{}
		}
		s.by[f.Session][t] = struct{}{}
		delete(s.empty, t)
		s.l.metrics.followers.Inc()
		if !away {
			s.arrive(t, f.User)
		}
	}
	if how&asOpen != 0 && at.how&asOpen == 0 {
		t.open++
	}
	at.how |= how
}

// unfollow ends the ways in which a session follows.
func (s *shard) unfollow(t *topic, id protocol.SessionID, how int) {
	if t == nil || t.followers[id] == nil {
		return
	}
	at := t.followers[id]
	if at.how&how&asOpen != 0 {
		t.open--
		s.l.people.closed(id, t.room)
	}
	if at.how &^= how; at.how != 0 {
		return
	}
	delete(t.followers, id)
	if delete(s.by[id], t); len(s.by[id]) == 0 {
		delete(s.by, id)
	}
	s.l.metrics.followers.Dec()
	if !at.away {
		s.leave(t, at.user)
	}
	if len(t.followers) == 0 {
		s.empty[t] = time.Now()
	}
}

func (s *shard) forget(id protocol.SessionID) {
	for t := range s.by[id] {
		s.unfollow(t, id, asOpen|asListed)
	}
}

func (s *shard) away(id protocol.SessionID, away bool) {
	for t := range s.by[id] {
		at := t.followers[id]
		if at.away == away {
			continue
		}
		at.away = away
		if away {
			s.leave(t, at.user)
		} else {
			s.arrive(t, at.user)
		}
	}
}

// after returns what was told after seq; false if not all of it is kept.
func (t *topic) after(seq uint64) ([]told, bool) {
	if seq >= t.last {
		return nil, true
	}
	for i, r := range t.recent {
		from := r.e.Seq - 1
		if r.e.After != 0 {
			from = r.e.After
		}
		if from <= seq && seq < r.e.Seq {
			return t.recent[i:], true
		}
	}
	return nil, false
}

// event takes an event from here or another node.
func (s *shard) event(e protocol.ConvEvent, d []byte) {
	t := s.topics[e.Room]
	if t == nil {
		if t = s.begin(e, d); t == nil {
			return
		}
	}
	switch {
	case e.Seq <= t.last:
	case e.Seq == t.last+1:
		s.tell(t, told{e: e, d: d}, "event")
		s.release(t)
	default:
		if len(t.held) < maxHeld {
			t.held[e.Seq] = told{e: e, d: d}
		}
		s.expect(t, e.Seq)
	}
}

// begin makes the conversation known if somebody here has just become a member of it. Who is invited is told, and
// so is whose invitation is over, but does not follow.
func (s *shard) begin(e protocol.ConvEvent, d []byte) *topic {
	if e.Person == nil {
		return nil
	}
	list := s.l.people.listers(e.Person.ID)
	switch {
	case len(list) == 0:
	case joins(e.Person.Role):
		return s.topic(e.Room, e.Seq-1)
	case e.Person.Role == protocol.ConvInvited:
		s.l.cfg.Sessions.Push(slices.Values(list), eventPush(e.Room, d))
	default:
		s.l.cfg.Sessions.Push(slices.Values(list), removedPush(e.Room))
	}
	return nil
}

// expect notes that there is something up to seq.
func (s *shard) expect(t *topic, seq uint64) {
	t.goal = max(t.goal, seq)
	if _, ok := s.gaps[t]; !ok && t.goal > t.last {
		s.gaps[t] = struct{}{}
		t.since = time.Now()
	}
}

// release tells what waited for what has come now.
func (s *shard) release(t *topic) {
	for {
		next, ok := t.held[t.last+1]
		if !ok {
			break
		}
		s.tell(t, next, "event")
	}
	for seq := range t.held {
		if seq <= t.last {
			delete(t.held, seq)
		}
	}
	if t.goal <= t.last {
		delete(s.gaps, t)
		return
	}
	if !t.busy {
		t.since = time.Now() // it goes on
	}
}

// tell gives an event to all followers, and acts on what it says of who may follow.
func (s *shard) tell(t *topic, ev told, how string) {
	e := ev.e
	s.admit(t, ev)
	if e.Conversation != nil {
		t.kind = e.Conversation.Kind
	}
	if len(t.followers) > 0 {
		s.l.cfg.Sessions.Push(t.all(), eventPush(t.room, ev.d))
		s.l.metrics.told.WithLabelValues(how).Inc()
	}
	t.last = e.Seq
	ev.at = time.Now()
	t.keep(ev)
	switch p := e.Person; {
	case gone(e):
		s.remove(t, t.all())
	case unwanted(e):
		s.remove(t, t.where(func(f *following) bool { return f.guest }))
	case p != nil && !reads(p.Role):
		follows := func(id protocol.SessionID) bool { return t.followers[id] != nil }
		if invited := slices.DeleteFunc(s.l.people.listers(p.ID), follows); len(invited) > 0 {
			s.l.cfg.Sessions.Push(slices.Values(invited), removedPush(t.room))
		}
		s.remove(t, t.of(p.ID))
	}
}

// admit lets the sessions follow that have the list of who is a member now.
func (s *shard) admit(t *topic, ev told) {
	p := ev.e.Person
	if p == nil || !joins(p.Role) && p.Role != protocol.ConvInvited {
		return
	}
	for _, id := range s.l.people.listers(p.ID) {
		known, away := s.l.people.is(id)
		switch {
		case !known:
		case joins(p.Role):
			s.attach(t, Follower{id, p.ID, p.Guest}, asListed, away)
		case t.followers[id] == nil:
			s.l.cfg.Sessions.Push(one(id), eventPush(t.room, ev.d))
		}
	}
}

// keep remembers what was told, for who is just about to follow.
func (t *topic) keep(ev told) {
	for len(t.recent) > 0 && (len(t.recent) >= maxRecent || ev.at.Sub(t.recent[0].at) > recentFor) {
		t.recent = t.recent[1:]
	}
	t.recent = append(t.recent, ev)
}

// remove ends following for sessions that may not any more.
func (s *shard) remove(t *topic, ids iter.Seq[protocol.SessionID]) {
	s.l.cfg.Sessions.Push(ids, removedPush(t.room))
	for id := range ids {
		s.unfollow(t, id, asOpen|asListed)
	}
}

// joins reports whether the role makes a member, and reads whether who has it may go on following.
func joins(r protocol.ConvRole) bool {
	return r == protocol.ConvOwner || r == protocol.ConvModerator || r == protocol.ConvMember
}

func reads(r protocol.ConvRole) bool { return r != protocol.ConvLeft && r != protocol.ConvBanned }

func gone(e protocol.ConvEvent) bool { return e.Conversation != nil && e.Conversation.Deleted }

// unwanted reports whether guests may not read any more.
func unwanted(e protocol.ConvEvent) bool { return e.Conversation != nil && !e.Conversation.Guests }

func eventPush(room protocol.RoomID, d []byte) Push {
	return Push{Type: protocol.TypeConvEvent, Room: room, D: d}
}

func removedPush(room protocol.RoomID) Push {
	return Push{Type: protocol.TypeConvRemoved, Room: room, D: []byte("{}")}
}

func one(id protocol.SessionID) iter.Seq[protocol.SessionID] {
	return func(yield func(protocol.SessionID) bool) { yield(id) }
}

// where returns the followers that fit.
func (t *topic) where(fits func(*following) bool) iter.Seq[protocol.SessionID] {
	return func(yield func(protocol.SessionID) bool) {
		for id, f := range t.followers {
			if fits(f) && !yield(id) {
				return
			}
		}
	}
}

func (t *topic) all() iter.Seq[protocol.SessionID] {
	return t.where(func(*following) bool { return true })
}

func (t *topic) of(user protocol.UserID) iter.Seq[protocol.SessionID] {
	return t.where(func(f *following) bool { return f.user == user })
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil { // types of this package and protocol's: a bug
		return []byte("{}")
	}
	return b
}
