package live

import (
	"context"
	"slices"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// healing is a conversation of which something after since is missing.
type healing struct {
	s           *shard
	t           *topic
	since, goal uint64
}

// maxTries is how often the record is asked for a change that it does not have: one that left nothing.
const maxTries = 3

// fetch has what is missing read from the record.
func (s *shard) fetch(t *topic, now time.Time) {
	select {
	case s.l.heals <- healing{s, t, t.last, t.goal}:
		t.busy = true
	default: // there is much to heal: later
		t.again = now.Add(retryHeal)
	}
}

// heal reads what is missing, until the end.
func (l *Live) heal() {
	for {
		select {
		case <-l.life.Done():
			return
		case h := <-l.heals:
			ctx, cancel := context.WithTimeout(l.life, callTime)
			events, err := l.record.SyncAll(ctx, h.t.room, h.since)
			cancel()
			select {
			case h.s.do <- func() { h.s.healed(h, events, err) }:
			case <-l.life.Done():
			}
		}
	}
}

// healed tells what was read.
func (s *shard) healed(h healing, events []protocol.ConvEvent, err error) {
	t := h.t
	t.busy = false
	switch {
	case s.topics[t.room] != t:
		return
	case protocol.CodeOf(err) == protocol.CodeNotFound:
		s.remove(t, t.all())
		s.drop(t)
		return
	case err != nil:
		t.again = time.Now().Add(retryHeal)
		return
	}
	for _, e := range events {
		if e.Seq <= t.last {
			continue
		}
		switch {
		case e.After == e.Seq-1:
			e.After = 0 // followers who have something else see a gap, and ask
		case e.After == 0 && e.Seq != t.last+1:
			e.After = t.last
		}
		s.tell(t, told{e: e, d: mustJSON(e)}, "healed")
	}
	if t.last < h.goal {
		s.giveUp(t, h.goal)
	} else {
		t.tries = 0
	}
	s.release(t)
}

// giveUp goes on without what the record does not have either: followers see by the next number that
// something is missing, and ask.
func (s *shard) giveUp(t *topic, goal uint64) {
	if t.tries++; t.tries < maxTries {
		t.again = time.Now().Add(retryHeal)
		return
	}
	t.tries = 0
	for seq := range t.held {
		goal = min(goal, seq-1)
	}
	t.last = max(t.last, goal)
}

// watch compares what was told with the record, until the end.
func (l *Live) watch() {
	tick := time.NewTicker(recheck)
	defer tick.Stop()
	healed := time.Now()
	for {
		select {
		case <-l.life.Done():
			return
		case now := <-tick.C:
			if now.Sub(healed) < l.cfg.Heal {
				l.look(l.rooms(func(s *shard) []protocol.RoomID { return s.takeYoung(now) }))
				continue
			}
			healed = now
			most := max(l.cfg.HealMost/len(l.shards), 1)
			l.look(l.rooms(func(s *shard) []protocol.RoomID { return s.some(most) }))
			l.lookAtLists()
		}
	}
}

// rooms asks all shards.
func (l *Live) rooms(of func(*shard) []protocol.RoomID) (all []protocol.RoomID) {
	for _, s := range l.shards {
		if l.in(l.life, s, func() { all = append(all, of(s)...) }) != nil {
			return nil
		}
	}
	return all
}

// takeYoung returns those that began a while ago: what was published before the other
// nodes knew of it was not sent here.
func (s *shard) takeYoung(now time.Time) (rooms []protocol.RoomID) {
	for room, at := range s.young {
		if now.Sub(at) >= recheck {
			rooms = append(rooms, room)
			delete(s.young, room)
		}
	}
	return rooms
}

// some returns up to n conversations, any.
func (s *shard) some(n int) (rooms []protocol.RoomID) {
	for room := range s.topics {
		if len(rooms) == n {
			break
		}
		rooms = append(rooms, room)
	}
	return rooms
}

// look asks the record how far the conversations are.
func (l *Live) look(rooms []protocol.RoomID) {
	for batch := range slices.Chunk(rooms, headBatch) {
		ctx, cancel := context.WithTimeout(l.life, callTime)
		heads, err := l.record.Heads(ctx, batch)
		cancel()
		if err != nil {
			l.log.Debug("conversations: the record does not say how far it is", "err", err)
			return // the next round
		}
		for _, s := range l.shards {
			if l.in(l.life, s, func() { s.heard(batch, heads) }) != nil {
				return
			}
		}
	}
}

// heard compares the conversations of this shard with what the record said.
func (s *shard) heard(rooms []protocol.RoomID, heads map[protocol.RoomID]uint64) {
	for _, room := range rooms {
		t := s.topics[room]
		if t == nil {
			continue
		}
		head, ok := heads[room]
		switch {
		case !ok:
			s.remove(t, t.all())
			s.drop(t)
		case head > t.last:
			s.expect(t, head)
		}
	}
}

// lookAtLists compares some lists with the record: who became a member while the event of it
// got lost is told now.
func (l *Live) lookAtLists() {
	for _, f := range l.people.someLists(listsAtOnce) {
		ctx, cancel := context.WithTimeout(l.life, callTime)
		found, err := l.followAll(ctx, f)
		for _, room := range found {
			if err != nil {
				break
			}
			err = l.introduce(ctx, f, room)
		}
		cancel()
		if err != nil {
			l.log.Debug("conversations: a list was not compared with the record", "err", err)
			return
		}
	}
}

// introduce tells a session of a conversation that is new to it, by its latest change.
func (l *Live) introduce(ctx context.Context, f Follower, room protocol.RoomID) error {
	heads, err := l.record.Heads(ctx, []protocol.RoomID{room})
	if err != nil || heads[room] == 0 {
		return err
	}
	events, err := l.record.SyncAll(ctx, room, heads[room]-1)
	if err != nil || len(events) == 0 {
		return err
	}
	l.cfg.Sessions.Push(one(f.Session), eventPush(room, mustJSON(events[len(events)-1])))
	return nil
}
