package live

import (
	"context"
	"slices"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// presenceState is who is here, as a part of a topic.
type presenceState struct {
	users map[protocol.UserID]int // with a socket here: how many sessions
	nodes map[protocol.NodeID]wirePeople

	stir    bool                  // users have changed since said
	said    time.Time             // when other nodes were told
	sent    wirePeople            // what they were told
	pushed  time.Time             // when followers were told
	showing protocol.ConvPresence // what they were told
}

func newPresenceState() presenceState {
	return presenceState{users: map[protocol.UserID]int{}, nodes: map[protocol.NodeID]wirePeople{}}
}

// wirePeople is who a node has.
type wirePeople struct {
	Room protocol.RoomID   `json:"r"`
	N    int               `json:"n"`
	Here []protocol.UserID `json:"h,omitempty"` // the first maxHere of them
}

func (p wirePeople) equal(o wirePeople) bool { return p.N == o.N && slices.Equal(p.Here, o.Here) }

const (
	sayEvery = time.Second // at most so often nodes tell each other of a conversation's presence
	sayAgain = time.Minute // so often also if nothing changed: it may have got lost
)

func (s *shard) arrive(t *topic, user protocol.UserID) {
	if t.users[user]++; t.users[user] == 1 {
		s.stir(t)
	}
}

func (s *shard) leave(t *topic, user protocol.UserID) {
	if t.users[user]--; t.users[user] <= 0 {
		delete(t.users, user)
		s.stir(t)
	}
}

func (s *shard) stir(t *topic) {
	t.stir = true
	s.stirs[t] = struct{}{}
}

// local is who is here. Those it names are the first in the order of their ids, so that the same people give the same names.
func (t *topic) local() wirePeople {
	return wirePeople{Room: t.room, N: len(t.users), Here: first(func(yield func(protocol.UserID)) {
		for id := range t.users {
			yield(id)
		}
	})}
}

// first returns the maxHere lowest of the ids, each once, in order.
func first(each func(yield func(protocol.UserID))) []protocol.UserID {
	low := make([]protocol.UserID, 0, maxHere+1)
	each(func(id protocol.UserID) {
		at, found := slices.BinarySearch(low, id)
		if found || at == maxHere {
			return
		}
		if low = slices.Insert(low, at, id); len(low) > maxHere {
			low = low[:maxHere]
		}
	})
	return low
}

// presence is who has the conversation's events, on all nodes. Who is on two nodes counts once if all
// nodes name all of theirs.
func (t *topic) presence(self protocol.NodeID) protocol.ConvPresence {
	all := []wirePeople{t.local()}
	for node, p := range t.nodes {
		if node != self {
			all = append(all, p)
		}
	}
	p := protocol.ConvPresence{}
	whole := true
	named := map[protocol.UserID]struct{}{}
	for _, part := range all {
		p.Online += part.N
		whole = whole && part.N == len(part.Here)
		for _, id := range part.Here {
			named[id] = struct{}{}
		}
	}
	if whole {
		p.Online = len(named)
	}
	p.Here = first(func(yield func(protocol.UserID)) {
		for id := range named {
			yield(id)
		}
	})
	return p
}

// tellPresence tells other nodes and followers, if it is time to.
func (s *shard) tellPresence(t *topic, now time.Time) {
	if t.stir && now.Sub(t.said) >= sayEvery {
		t.stir = false
		if p := t.local(); !p.equal(t.sent) || now.Sub(t.said) >= sayAgain {
			t.said, t.sent = now, p
			_ = s.l.send(s.l.interest.wanting(t.key), string(t.room), wirePresence, mustJSON(p)) // counted; said again in a while
		}
	}
	every := s.l.cfg.Present + time.Duration(t.open)*time.Millisecond
	if now.Sub(t.pushed) < every {
		return
	}
	if p := t.presence(s.l.cfg.Node); p.Online != t.showing.Online || !slices.Equal(p.Here, t.showing.Here) {
		t.pushed, t.showing = now, p
		s.l.cfg.Sessions.Push(t.opened(""), Push{Type: protocol.TypeConvPresence, Room: t.room, D: mustJSON(p), Key: "conv.presence " + string(t.room)})
		if s.l.cfg.Shown != nil {
			s.l.cfg.Shown(t.room, p)
		}
	}
	if !t.stir {
		delete(s.stirs, t)
	}
}

// opened are the followers that have it open, without those of one user.
func (t *topic) opened(but protocol.UserID) func(func(protocol.SessionID) bool) {
	return t.where(func(f *following) bool { return f.how&asOpen != 0 && (but == "" || f.user != but) })
}

// presentElsewhere takes who another node has.
func (s *shard) presentElsewhere(node protocol.NodeID, p wirePeople) {
	t := s.topics[p.Room]
	if t == nil {
		return
	}
	if p.N == 0 {
		delete(t.nodes, node)
	} else {
		t.nodes[node] = p
	}
	s.stirs[t] = struct{}{}
}

// wanted takes that a node wants to hear of conversations, or no more.
func (s *shard) wanted(node protocol.NodeID, add, drop []uint64) {
	mine := func(keys []uint64) map[uint64]struct{} {
		set := map[uint64]struct{}{}
		for _, key := range keys {
			if s.l.shard(key) == s {
				set[key] = struct{}{}
			}
		}
		return set
	}
	fresh, over := mine(add), mine(drop)
	if len(fresh)+len(over) == 0 {
		return
	}
	s.tellLate(node, fresh, time.Now())
	for _, t := range s.topics {
		if _, ok := fresh[t.key]; ok {
			_ = s.l.send([]protocol.NodeID{node}, string(t.room), wirePresence, mustJSON(t.local())) // counted; said again in a while
		}
		if _, ok := over[t.key]; ok && t.nodes[node].N > 0 {
			delete(t.nodes, node)
			s.stirs[t] = struct{}{}
		}
	}
}

// died forgets who was at nodes that are gone.
func (s *shard) died(nodes []protocol.NodeID) {
	for _, t := range s.topics {
		for _, node := range nodes {
			if _, ok := t.nodes[node]; ok {
				delete(t.nodes, node)
				s.stirs[t] = struct{}{}
			}
		}
	}
}

// typing is when and what somebody was last passed on to type.
type typing struct {
	at time.Time
	on bool
}

// typed is what nodes tell each other of who types.
type typed struct {
	Room protocol.RoomID `json:"r"`
	protocol.ConvTyping
}

const (
	typeEvery  = 2 * time.Second // of one person
	typeFor    = 5 * time.Second // it counts so long
	typeBudget = 2000            // pushes of typing a second, of one conversation
	markBudget = 2000            // pushes of receipts at once, of one conversation
	markEvery  = 250 * time.Millisecond
)

// MayType reports whether what a session says about its typing is news: it has the conversation open, and
// has not just said so.
func (l *Live) MayType(ctx context.Context, f Follower, room protocol.RoomID, on bool) bool {
	may := false
	s := l.shardOf(room)
	err := l.in(ctx, s, func() {
		t := s.topics[room]
		if t == nil || t.followers[f.Session] == nil || t.followers[f.Session].how&asOpen == 0 {
			return
		}
		now := time.Now()
		was, known := t.types[f.User]
		if !known && !on || known && was.on == on && now.Sub(was.at) < typeEvery {
			return
		}
		t.types[f.User] = typing{now, on}
		may = true
	})
	return err == nil && may
}

// Type tells all others who have the conversation open that somebody types.
func (l *Live) Type(room protocol.RoomID, who protocol.ConvTyping) {
	t := typed{room, who}
	l.try(room, func(s *shard) { s.typed(t) })
	_ = l.send(l.interest.wanting(roomKey(room)), string(room), wireTyping, mustJSON(t)) // counted; it is soon over anyway
}

// typed pushes it, but in a large conversation not everybody's.
func (s *shard) typed(who typed) {
	t := s.topics[who.Room]
	if t == nil || t.open == 0 || t.spent > 0 && t.spent+t.open > typeBudget {
		return
	}
	if t.spent == 0 {
		time.AfterFunc(time.Second, func() { s.l.try(t.room, func(*shard) { t.spent = 0 }) })
	}
	t.spent += t.open
	s.l.cfg.Sessions.Push(t.opened(who.User), Push{
		Type: protocol.TypeConvTyping, Room: t.room, D: mustJSON(who.ConvTyping), Key: "conv.typing " + string(t.room) + " " + string(who.User),
	})
}

func (s *shard) forgetTyping(now time.Time) {
	if now.Sub(s.swept) < typeFor {
		return
	}
	s.swept = now
	for _, t := range s.topics {
		for user, was := range t.types {
			if now.Sub(was.at) >= typeFor {
				delete(t.types, user)
			}
		}
		if now.Sub(t.said) >= sayAgain && len(t.users) > 0 {
			s.stir(t)
		}
	}
}

// marking is how far somebody is, as nodes tell each other.
type marking struct {
	Room protocol.RoomID `json:"r"`
	Own  bool            `json:"o,omitempty"` // only for that one's own sessions
	protocol.ConvMarked
}

// Mark tells how far somebody (m.User) is: all who follow the conversation, or with own only that one's sessions.
func (l *Live) Mark(room protocol.RoomID, m protocol.ConvMarked, own bool) {
	mark := marking{room, own, m}
	l.try(room, func(s *shard) {
		s.mark(mark)
		s.remember(mark, time.Now())
	})
	_ = l.send(l.interest.wanting(roomKey(room)), string(room), wireMark, mustJSON(mark)) // counted; the next mark says more
}

// mark keeps it until the next round.
func (s *shard) mark(m marking) {
	t := s.topics[m.Room]
	if t == nil {
		return
	}
	was := t.marks[m.User]
	m.Delivered, m.Read = max(m.Delivered, was.Delivered), max(m.Read, was.Read)
	t.marks[m.User] = m
	s.marked[t] = struct{}{}
}

// lateMark is a receipt that was told to the nodes that wanted it at that time.
type lateMark struct {
	marking
	at time.Time
}

const maxLate = 256

// remember keeps a receipt for nodes of which it is not known yet that they want it: of
// who opens a conversation in that moment.
func (s *shard) remember(m marking, now time.Time) {
	s.late = slices.DeleteFunc(s.late, func(l lateMark) bool {
		return now.Sub(l.at) >= recentFor || l.Room == m.Room && l.User == m.User && l.Own == m.Own
	})
	if len(s.late) == maxLate {
		s.late = slices.Delete(s.late, 0, 1)
	}
	s.late = append(s.late, lateMark{m, now})
}

// tellLate tells a node that wants to hear of these conversations now.
func (s *shard) tellLate(node protocol.NodeID, fresh map[uint64]struct{}, now time.Time) {
	for _, l := range s.late {
		if _, ok := fresh[roomKey(l.Room)]; ok && now.Sub(l.at) < recentFor {
			_ = s.l.send([]protocol.NodeID{node}, string(l.Room), wireMark, mustJSON(l.marking)) // counted; the next mark says more
		}
	}
}

// tellMarks pushes receipts, as many as may be at once.
func (s *shard) tellMarks(t *topic, now time.Time) {
	if now.Sub(t.receipts) < markEvery {
		return
	}
	t.receipts = now
	left := markBudget
	for user, m := range t.marks {
		if left <= 0 {
			return
		}
		to := t.where(func(f *following) bool { return f.user == user || !m.Own && f.how&asOpen != 0 })
		for range to {
			left--
		}
		delete(t.marks, user)
		s.l.cfg.Sessions.Push(to, Push{
			Type: protocol.TypeConvMarks, Room: t.room, D: mustJSON(m.ConvMarked), Key: "conv.marks " + string(t.room) + " " + string(user),
		})
	}
	delete(s.marked, t)
}

// Kind returns what a followed conversation is, "" if that is not known here.
func (l *Live) Kind(ctx context.Context, room protocol.RoomID) protocol.ConvKind {
	var kind protocol.ConvKind
	s := l.shardOf(room)
	if err := l.in(ctx, s, func() {
		if t := s.topics[room]; t != nil {
			kind = t.kind
		}
	}); err != nil {
		return ""
	}
	return kind
}

// Learn notes what conversations are, of those that are followed here.
func (l *Live) Learn(ctx context.Context, kinds map[protocol.RoomID]protocol.ConvKind) {
	for room, kind := range kinds {
		s := l.shardOf(room)
		_ = l.in(ctx, s, func() { // an end: it is not needed
			if t := s.topics[room]; t != nil {
				t.kind = kind
			}
		})
	}
}
