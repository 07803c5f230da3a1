package conversations

import (
	"context"
	"slices"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/text"
	"github.com/rondo-chat/rondo/protocol"
)

// maxRevisions bounds how often a message can be edited: all versions are kept.
const maxRevisions = 100

// on carries out what is done to one message. A message that is not there is not_found; with alive, a deleted one too.
func (c *Conversations) on(ctx context.Context, o order, seq uint64, alive bool, f func(*change, *Message) error) (sent protocol.ConvSent, err error) {
	o.limit, o.rate, o.each = "change", c.cfg.Limits.Change, true
	o.apply = func(ch *change) error {
		m, err := ch.tx.Message(ch.row.ID, seq)
		if err != nil {
			return err
		}
		sent = protocol.ConvSent{Message: m.ConvMessage, Seq: m.Rev}
		if alive && m.Deleted > 0 {
			return ErrNotFound
		}
		if err := f(ch, &m); err != nil {
			return err
		}
		if err := ch.update(&m); err != nil {
			return err
		}
		sent = protocol.ConvSent{Message: m.ConvMessage, Seq: m.Rev}
		return nil
	}
	if err = c.change(ctx, o); err != nil {
		sent = protocol.ConvSent{}
	}
	return sent, err
}

// Edit changes the text of an own message; what it said is kept (Revisions). Errors: those of Send; forbidden of a message of
// another, not_found of a deleted one.
func (c *Conversations) Edit(ctx context.Context, who Caller, room protocol.RoomID, q protocol.ConvChange) (protocol.ConvSent, error) {
	if err := cleanText(q.Text, true); err != nil {
		return protocol.ConvSent{}, err
	}
	o := order{name: "edit", who: who, room: room, check: seat.mayWrite,
		ready: func(ctx context.Context, s seat) error { return c.acceptable(ctx, s, q.Text) }}
	return c.on(ctx, o, q.Seq, true, func(ch *change, m *Message) error {
		if err := ch.may(auth.ActionConvAuthor, m.From); err != nil {
			return err
		}
		if err := cleanText(q.Text, len(m.Files) > 0); err != nil {
			return err
		}
		if m.Text == q.Text {
			return errUnchanged
		}
		return ch.edit(m, q.Text)
	})
}

func (ch *change) edit(m *Message, now string) (err error) {
	old, err := ch.tx.Revisions(ch.row.ID, m.Seq)
	if err != nil {
		return err
	}
	if len(old) >= maxRevisions {
		return errForbidden("this message was edited too often")
	}
	said := protocol.ConvRevision{Text: m.Text, At: max(m.At, m.Edited)}
	if err := ch.tx.AddRevision(ch.row.ID, m.Seq, m.Rev, said); err != nil {
		return err
	}
	if m.Mentions, err = ch.mentions(now); err != nil {
		return err
	}
	m.Text, m.Terms, m.Edited = now, Terms(now), ch.now
	if m.Terms == nil {
		m.Terms = []string{}
	}
	return nil
}

// Delete leaves of a message that it was there: an own one, for moderators and the owner any one, in topics also for moderators
// and administrators of the service. Errors: not_found, forbidden, rate_limited, unavailable. Deleting twice is none.
func (c *Conversations) Delete(ctx context.Context, who Caller, room protocol.RoomID, q protocol.ConvChange) (protocol.ConvSent, error) {
	return c.on(ctx, order{name: "delete", who: who, room: room, check: seat.mayRead}, q.Seq, false, func(ch *change, m *Message) error {
		if err := ch.mayCorrect(m.From); err != nil {
			return err
		}
		if m.Deleted > 0 {
			return errUnchanged
		}
		return ch.bury(m)
	})
}

// bury makes a message a tombstone. Its files are orphans from then on.
func (ch *change) bury(m *Message) error {
	m.Text, m.Terms, m.Mentions, m.Files, m.Reactions, m.Pinned = "", []string{}, nil, nil, nil, false
	m.Deleted = ch.now
	if err := ch.tx.DeleteRevisions(ch.row.ID, m.Seq); err != nil {
		return err
	}
	return ch.tx.DeleteReactions(ch.row.ID, m.Seq)
}

// React puts the caller's emoji under a message, or takes it away. Errors: bad_request (not one emoji; too many different ones),
// not_found, forbidden (also who is no member), rate_limited, unavailable.
func (c *Conversations) React(ctx context.Context, who Caller, room protocol.RoomID, q protocol.ConvChange) (protocol.ConvSent, error) {
	if err := text.Emoji(q.Emoji); err != nil {
		return protocol.ConvSent{}, err
	}
	o := order{name: "react", who: who, room: room, ready: c.apart,
		check: func(s seat) error { return s.mayThen(auth.ActionConvWrite, "") }}
	return c.on(ctx, o, q.Seq, true, func(ch *change, m *Message) error {
		all, err := ch.tx.Reactions(room, m.Seq)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(r protocol.ConvReaction) bool { return r.Emoji == q.Emoji })
		if is := i >= 0 && slices.Contains(all[i].By, who.Identity); is == q.On {
			return errUnchanged
		}
		if q.On && i < 0 && len(all) >= protocol.MaxReactionKinds {
			return errBad("emoji: at most %d different ones", protocol.MaxReactionKinds)
		}
		if err := ch.tx.React(room, m.Seq, who.Identity, q.Emoji, q.On, ch.now); err != nil {
			return err
		}
		return ch.reactions(m)
	})
}

// reactions brings the message's reactions up to date.
func (ch *change) reactions(m *Message) error {
	all, err := ch.tx.Reactions(ch.row.ID, m.Seq)
	if err != nil {
		return err
	}
	m.Reactions = nil
	for _, r := range all {
		r.Count, r.By = len(r.By), r.By[:min(len(r.By), protocol.MaxReactionBy)]
		m.Reactions = append(m.Reactions, r)
	}
	return nil
}

// Pin pins a message or takes the pin away: owner and moderators, in direct conversations both. Errors: bad_request (too
// many), not_found, forbidden, rate_limited, unavailable.
func (c *Conversations) Pin(ctx context.Context, who Caller, room protocol.RoomID, q protocol.ConvChange) (protocol.ConvSent, error) {
	return c.on(ctx, order{name: "pin", who: who, room: room, check: seat.mayPin}, q.Seq, true, func(ch *change, m *Message) error {
		if m.Pinned == q.On {
			return errUnchanged
		}
		pins, err := ch.tx.Pins(room)
		if err != nil {
			return err
		}
		if q.On && len(pins) >= protocol.MaxPins {
			return errBad("pin: at most %d", protocol.MaxPins)
		}
		m.Pinned = q.On
		return nil
	})
}

// Mark raises how far the caller is, at most to the newest change; visitors of a topic have no marks. Errors: unauthorized,
// not_found, forbidden, unavailable.
func (c *Conversations) Mark(ctx context.Context, who Caller, room protocol.RoomID, q protocol.ConvMark) (marked protocol.ConvMarked, err error) {
	s, err := c.seat(ctx, who, room, seat.mayRead)
	if err != nil || !isMember(s.me.Role) {
		return protocol.ConvMarked{}, err
	}
	read := min(q.Read, s.row.Seq)
	delivered := max(min(q.Delivered, s.row.Seq), read)
	if read > s.me.Read || delivered > s.me.Delivered {
		err = c.write(ctx, "mark", func(tx Tx) (err error) {
			s.me, err = tx.Mark(room, who.Identity, delivered, read)
			return err
		})
	}
	if err != nil {
		return protocol.ConvMarked{}, err
	}
	marked = protocol.ConvMarked{User: who.Identity, Delivered: s.me.Delivered, Read: s.me.Read}
	err = c.read(ctx, "unread", func(r Reader) (err error) {
		marked.Unread, err = r.Unread(room, who.Identity, s.me.Read, maxUnread)
		return err
	})
	return marked, err
}
