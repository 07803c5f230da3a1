package conversations

import (
	"context"

	"github.com/rondo-chat/rondo/protocol"
)

const (
	defaultSync = 200
	maxSync     = 500
	// maxBehind is after how many changes reading afresh is cheaper than all that changed.
	maxBehind = 2000
	// maxPeople bounds the people of a topic that Open shows: owner and moderators.
	maxPeople = 200
)

// Open returns all that is needed to show a conversation: with Since what changed after it, else the newest messages. Online and Here
// are the caller's to fill. Errors: bad_request, unauthorized, not_found, forbidden, unavailable.
func (c *Conversations) Open(ctx context.Context, who Caller, room protocol.RoomID, q protocol.ConvOpen) (o protocol.ConvOpened, err error) {
	if q.Since == nil {
		_, h, err := c.history(ctx, who, room, protocol.ConvHistoryQuery{Limit: clamp(q.Limit, 50, maxHistory)})
		if err != nil {
			return o, err
		}
		o.History = &h
	}
	err = c.reading(ctx, who, room, "open", func(r Reader, s seat) error {
		if q.Since != nil {
			v, err := changes(r, s, *q.Since, defaultSync)
			if err != nil {
				return err
			}
			o.Sync = &v
		}
		return opened(r, s, &o)
	})
	if err != nil {
		return protocol.ConvOpened{}, err
	}
	return o, nil
}

func opened(r Reader, s seat, o *protocol.ConvOpened) (err error) {
	o.Conversation, o.Me, o.Here = s.row.Conversation, nil, []protocol.UserID{}
	roles, most := shownRoles(), 2*protocol.MaxGroupMembers
	if s.topic() {
		roles, most = []protocol.ConvRole{protocol.ConvOwner, protocol.ConvModerator}, maxPeople
	}
	list, err := r.Members(s.row.ID, roles, Position{}, most)
	if err != nil {
		return err
	}
	o.People = people(s, list)
	if o.Pins, err = r.Pins(s.row.ID); err != nil {
		return err
	}
	o.Pins = orEmpty(o.Pins)
	if !isMember(s.me.Role) {
		return nil
	}
	me := s.me.ConvPerson
	o.Me = &me
	o.Unread, err = r.Unread(s.row.ID, s.me.ID, me.Read, maxUnread)
	return err
}

// people are the members as the caller sees them.
func people(s seat, list []Member) []protocol.ConvPerson {
	out := make([]protocol.ConvPerson, len(list))
	for i, m := range list {
		out[i] = m.ConvPerson
		if m.ID != s.who.Identity {
			out[i] = shownPerson(s.row.Kind, m.ConvPerson)
		}
	}
	return out
}

// Sync returns what changed after Since. Errors: unauthorized, not_found, forbidden, unavailable.
func (c *Conversations) Sync(ctx context.Context, who Caller, room protocol.RoomID, q protocol.ConvSyncQuery) (v protocol.ConvSync, err error) {
	err = c.reading(ctx, who, room, "sync", func(r Reader, s seat) (err error) {
		v, err = changes(r, s, q.Since, clamp(q.Limit, defaultSync, maxSync))
		return err
	})
	return v, err
}

// changes returns at most limit things that changed after since, by Rev. A page ends at a number: all that has one up to it
// is in this page or an earlier one.
func changes(r Reader, s seat, since uint64, limit int) (v protocol.ConvSync, err error) {
	v = protocol.ConvSync{Seq: s.row.Seq, Messages: []protocol.ConvMessage{}, People: []protocol.ConvPerson{}}
	if since > s.row.Seq || since < s.row.Purged || s.row.Seq-since > maxBehind {
		v.Reset = true
		return v, nil
	}
	if since == s.row.Seq {
		return v, nil
	}
	messages, err := r.Changed(s.row.ID, since, limit+1)
	if err != nil {
		return v, err
	}
	persons, err := r.PeopleChanged(s.row.ID, since, limit+1)
	if err != nil {
		return v, err
	}
	merge(&v, s, since, limit, messages, persons)
	return v, nil
}

// merge takes the first limit of messages, persons and the settings, by Rev.
func merge(v *protocol.ConvSync, s seat, since uint64, limit int, messages []Message, persons []Member) {
	settings, taken, last := s.row.Rev > since, 0, since
	for ; taken < limit && (len(messages) > 0 || len(persons) > 0 || settings); taken++ {
		var m, p, t uint64 = 1 << 63, 1 << 63, 1 << 63
		if len(messages) > 0 {
			m = messages[0].Rev
		}
		if len(persons) > 0 {
			p = persons[0].Rev
		}
		if settings {
			t = s.row.Rev
		}
		switch last = min(m, p, t); last {
		case m:
			v.Messages = append(v.Messages, messages[0].ConvMessage)
			messages = messages[1:]
		case p:
			v.People = append(v.People, people(s, persons[:1])...)
			persons = persons[1:]
		default:
			row := s.row.Conversation
			v.Conversation, settings = &row, false
		}
	}
	if len(messages) > 0 || len(persons) > 0 || settings {
		v.Seq, v.More = last, true
	}
}

// Heads returns the number of the last change of each conversation that is there.
func (c *Conversations) Heads(ctx context.Context, rooms []protocol.RoomID) (heads map[protocol.RoomID]uint64, err error) {
	err = c.read(ctx, "heads", func(r Reader) (err error) {
		heads, err = r.Heads(rooms)
		return err
	})
	return heads, err
}

// SyncAll returns all that changed after since as events, by Seq, each with the number of the one before it (After). It asks
// nobody who they are. If too much changed, reset is the only one: an event with the Conversation as it is, after which readers
// must read afresh, because its After is not what they have.
func (c *Conversations) SyncAll(ctx context.Context, room protocol.RoomID, since uint64) (events []protocol.ConvEvent, err error) {
	err = c.read(ctx, "sync.all", func(r Reader) error {
		events = nil
		row, err := r.Conversation(room)
		if err != nil {
			return err
		}
		s := seat{row: row}
		v, err := changes(r, s, since, maxBehind)
		if err != nil {
			return err
		}
		if v.Reset {
			view := row.Conversation
			events = []protocol.ConvEvent{{Room: room, Seq: row.Seq, After: row.Seq - min(row.Seq, 1), At: row.Active, Conversation: &view}}
			return nil
		}
		events = rebuilt(s, since, v)
		return nil
	})
	return events, err
}

// rebuilt makes events of what changed.
func rebuilt(s seat, since uint64, v protocol.ConvSync) (events []protocol.ConvEvent) {
	after := since
	add := func(rev uint64, e protocol.ConvEvent) {
		e.Room, e.Seq, e.After, e.At = s.row.ID, rev, after, s.row.Active
		events, after = append(events, e), rev
	}
	messages, persons, settings := v.Messages, v.People, v.Conversation
	for len(messages) > 0 || len(persons) > 0 || settings != nil {
		switch {
		case len(messages) > 0 && (len(persons) == 0 || messages[0].Rev < persons[0].Rev) && (settings == nil || messages[0].Rev < settings.Rev):
			add(messages[0].Rev, protocol.ConvEvent{Message: &messages[0]})
			messages = messages[1:]
		case len(persons) > 0 && (settings == nil || persons[0].Rev < settings.Rev):
			add(persons[0].Rev, protocol.ConvEvent{Person: &persons[0]})
			persons = persons[1:]
		default:
			add(settings.Rev, protocol.ConvEvent{Conversation: settings})
			settings = nil
		}
	}
	return events
}
