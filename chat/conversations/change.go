package conversations

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/protocol"
)

// errUnchanged ends a transaction that found nothing to change: its number is not drawn.
var errUnchanged = errors.New("conversations: unchanged")

// change is a transaction that draws numbers of one conversation, which is locked from its begin on.
type change struct {
	tx Tx
	seat
	now    int64 // Unix milliseconds, not before the newest message
	events []protocol.ConvEvent
	fresh  bool // the number that was drawn has no event yet
	dirty  bool // row was changed
}

// order is what a caller wants to change.
type order struct {
	name  string // of the transaction
	who   Caller
	room  protocol.RoomID
	limit string // name of what is limited; "": nothing
	rate  ratelimit.Rate
	each  bool // it is limited in each conversation for itself
	check func(seat) error
	ready func(context.Context, seat) error // more that must hold before the transaction; may be nil
	apply func(*change) error
}

// change carries an order out: may the caller, is it not too fast, the transaction, in
// which the caller's role is read again, then the events are published. A change that is none (errUnchanged)
// is no error.
func (c *Conversations) change(ctx context.Context, o order) error {
	s, err := c.seat(ctx, o.who, o.room, o.check)
	if err != nil {
		return err
	}
	if o.limit != "" {
		key := string(o.who.Identity)
		if o.each {
			key += ":" + string(o.room)
		}
		if err := c.limit(ctx, o.limit, key, o.rate); err != nil {
			return err
		}
	}
	if o.ready != nil {
		if err := o.ready(ctx, s); err != nil {
			return err
		}
	}
	return c.commit(ctx, o)
}

// commit is change without its first questions.
func (c *Conversations) commit(ctx context.Context, o order) error {
	done, err := c.turns.wait(ctx, o.room)
	if err != nil {
		return err
	}
	defer done()
	var events []protocol.ConvEvent
	err = c.write(ctx, o.name, func(tx Tx) error {
		ch, err := c.begin(tx, o.who, o.room)
		if err != nil {
			return err
		}
		if o.check != nil {
			if err := o.check(ch.seat); err != nil {
				return err
			}
		}
		if err := o.apply(ch); err != nil {
			return err
		}
		events, err = ch.end()
		return err
	})
	if errors.Is(err, errUnchanged) {
		return nil
	}
	if err == nil {
		c.publish(ctx, events)
	}
	return err
}

// begin draws the first number, which locks the conversation.
func (c *Conversations) begin(tx Tx, who Caller, room protocol.RoomID) (*change, error) {
	row, err := tx.Draw(room, 1)
	if err != nil {
		return nil, err
	}
	s, err := take(tx, who, row)
	return &change{tx: tx, seat: s, now: max(c.now(), row.Active), fresh: true}, err
}

// next is the number of the next event.
func (ch *change) next() (uint64, error) {
	if ch.fresh {
		ch.fresh = false
		return ch.row.Seq, nil
	}
	row, err := ch.tx.Draw(ch.row.ID, 1)
	ch.row.Seq = row.Seq
	return row.Seq, err
}

func (ch *change) event(seq uint64) *protocol.ConvEvent {
	ch.events = append(ch.events, protocol.ConvEvent{Room: ch.row.ID, Seq: seq, At: ch.now, By: ch.who.Identity})
	return &ch.events[len(ch.events)-1]
}

// insert stores a new message with the next number.
func (ch *change) insert(m *Message) (err error) {
	if m.Seq, err = ch.next(); err != nil {
		return err
	}
	m.Rev = m.Seq
	ch.event(m.Seq).Message = &m.ConvMessage
	ch.row.Active, ch.dirty = m.At, true
	return ch.tx.InsertMessage(*m)
}

// update stores a message that changed, with the next number.
func (ch *change) update(m *Message) (err error) {
	if m.Rev, err = ch.next(); err != nil {
		return err
	}
	ch.event(m.Rev).Message = &m.ConvMessage
	return ch.tx.UpdateMessage(*m)
}

// person stores a member whose role or name changed, with the next number, and counts members.
func (ch *change) person(before protocol.ConvRole, m *Member) (err error) {
	if m.Rev, err = ch.next(); err != nil {
		return err
	}
	if was, is := isMember(before), isMember(m.Role); was != is {
		ch.dirty = true
		if is {
			ch.row.Members++
		} else {
			ch.row.Members--
		}
	}
	if m.ID == ch.me.ID {
		ch.me, ch.known = *m, true
	}
	p := shownPerson(ch.row.Kind, m.ConvPerson)
	ch.event(m.Rev).Person = &p
	return ch.tx.PutMember(*m)
}

// settings says that something of the row changed that stands under its Rev.
func (ch *change) settings() (err error) {
	if ch.row.Rev, err = ch.next(); err != nil {
		return err
	}
	ch.dirty = true
	v := ch.row.Conversation
	ch.event(ch.row.Rev).Conversation = &v
	return nil
}

// end stores the row and puts the events into the outbox. A number without an event would be a gap.
func (ch *change) end() ([]protocol.ConvEvent, error) {
	if ch.fresh {
		return nil, errUnchanged
	}
	if ch.dirty && !ch.row.Deleted {
		if err := ch.tx.UpdateConversation(ch.row); err != nil {
			return nil, err
		}
	}
	for _, e := range ch.events {
		payload, err := json.Marshal(e)
		if err != nil {
			return nil, err
		}
		if err := ch.tx.Enqueue(Event{Room: e.Room, Seq: e.Seq, At: e.At, Payload: payload}); err != nil {
			return nil, err
		}
	}
	return ch.events, nil
}

// shownPerson is a member as others see them: marks in topics are one's own.
func shownPerson(kind protocol.ConvKind, p protocol.ConvPerson) protocol.ConvPerson {
	if kind == protocol.ConvTopic {
		p.Delivered, p.Read = 0, 0
	}
	return p
}
