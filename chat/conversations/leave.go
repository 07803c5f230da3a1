package conversations

import (
	"context"
	"fmt"
	"slices"

	"github.com/rondo-chat/rondo/protocol"
)

// Renamed gives the user's memberships the new name; messages keep the name that they were written under. Errors: unavailable.
func (c *Conversations) Renamed(ctx context.Context, user protocol.UserID, name string) error {
	list, err := c.memberships(ctx, user)
	for _, m := range list {
		if err != nil {
			return err
		}
		if m.Name == name {
			continue
		}
		err = ended(c.commit(ctx, order{name: "renamed", room: m.Room, apply: func(ch *change) error {
			m, err := ch.tx.Member(m.Room, user)
			if err != nil {
				return err
			}
			if m.Name == name {
				return errUnchanged
			}
			m.Name = name
			return ch.person(m.Role, &m)
		}}))
	}
	return err
}

func (c *Conversations) memberships(ctx context.Context, user protocol.UserID) (list []Member, err error) {
	err = c.read(ctx, "memberships", func(r Reader) (err error) {
		list, err = r.Memberships(user)
		return err
	})
	return list, err
}

// Forget takes away what is known of a user who was deleted: messages become tombstones of nobody, reactions, memberships and subscriptions go. What
// they owned gets an heir as with Leave. It may be asked again, and goes on where it ended. Errors: unavailable.
func (c *Conversations) Forget(ctx context.Context, user protocol.UserID) error {
	if err := c.write(ctx, "forget.subscriptions", func(tx Tx) error { return tx.EndSubscriptions(user, nil) }); err != nil {
		return err
	}
	if err := c.forgetIn(ctx, func(tx Tx) ([]Message, error) { return tx.MessagesOf(user, jobBatch) },
		func(ch *change, m *Message) error {
			if m.From != user {
				return nil
			}
			return ch.disown(m)
		}); err != nil {
		return err
	}
	if err := c.forgetIn(ctx, func(tx Tx) ([]Message, error) { return tx.ReactedBy(user, jobBatch) },
		func(ch *change, m *Message) error { return ch.unreact(m, user) }); err != nil {
		return err
	}
	list, err := c.memberships(ctx, user)
	for _, m := range list {
		if err != nil {
			return err
		}
		err = ended(c.commit(ctx, order{name: "forget.member", room: m.Room, apply: func(ch *change) error { return ch.forget(user) }}))
	}
	return err
}

// forgetIn finds messages and changes them, conversation by conversation, until there are none.
func (c *Conversations) forgetIn(ctx context.Context, find func(Tx) ([]Message, error), f func(*change, *Message) error) error {
	for {
		var found []Message
		err := c.write(ctx, "forget.find", func(tx Tx) (err error) {
			found, err = find(tx)
			return err
		})
		if err != nil || len(found) == 0 {
			return err
		}
		rooms := map[protocol.RoomID][]uint64{}
		for _, m := range found {
			rooms[m.Room] = append(rooms[m.Room], m.Seq)
		}
		for room, seqs := range rooms {
			err := c.commit(ctx, order{name: "forget", room: room, apply: func(ch *change) error {
				for _, seq := range seqs {
					m, err := ch.tx.Message(room, seq)
					if found, err := exists(err); !found {
						if err != nil {
							return err
						}
						continue
					}
					if err = f(ch, &m); err != nil {
						return err
					}
				}
				return nil
			}})
			if err := ended(err); err != nil {
				return err
			}
		}
	}
}

// disown makes a message a tombstone of nobody. Its CID must be one that no other of nobody has.
func (ch *change) disown(m *Message) error {
	deleted := m.Deleted
	if err := ch.bury(m); err != nil {
		return err
	}
	if deleted > 0 {
		m.Deleted = deleted
	}
	m.From, m.Name, m.CID = "", "", fmt.Sprintf("gone-%d", m.Seq)
	return ch.update(m)
}

func (ch *change) unreact(m *Message, user protocol.UserID) error {
	all, err := ch.tx.Reactions(ch.row.ID, m.Seq)
	if err != nil {
		return err
	}
	for _, r := range all {
		if slices.Contains(r.By, user) {
			if err := ch.tx.React(ch.row.ID, m.Seq, user, r.Emoji, false, ch.now); err != nil {
				return err
			}
		}
	}
	if err := ch.reactions(m); err != nil {
		return err
	}
	return ch.update(m)
}

// forget ends a membership without a trace: who has not heard of it must read afresh (Purged).
func (ch *change) forget(user protocol.UserID) error {
	m, err := ch.tx.Member(ch.row.ID, user)
	if err != nil {
		return err
	}
	ch.me = m
	before := m.Role
	if m.Role != protocol.ConvLeft {
		heir, found, err := ch.heir()
		if err != nil {
			return err
		}
		alone := before == protocol.ConvOwner || ch.direct()
		if alone && !found {
			return ch.remove()
		}
		if before == protocol.ConvOwner {
			was := heir.Role
			heir.Role = protocol.ConvOwner
			if err := ch.person(was, &heir); err != nil {
				return err
			}
		}
	}
	m.Role, m.Name, m.Delivered, m.Read, m.Wrote = protocol.ConvLeft, "", 0, 0, 0
	if err := ch.person(before, &m); err != nil {
		return err
	}
	ch.row.Purged, ch.dirty = m.Rev, true
	if ch.direct() {
		ch.row.Pair = ""
	}
	return ch.tx.RemoveMember(ch.row.ID, user)
}

// Export is all that is stored of a user.
type Export struct {
	Conversations []protocol.ConvEntry `json:"conversations"` // Me is the user; those that were left, too
	Messages      []protocol.ConvHit   `json:"messages"`      // own ones, of each conversation the newest first; at most about 100,000
	// Devices take notifications. Their addresses and keys are secrets, also of who exports.
	Devices []protocol.PushDevice `json:"push_devices"`
}

const maxExport = 100_000

// Export returns all that is stored of a user. Errors: unavailable.
func (c *Conversations) Export(ctx context.Context, user protocol.UserID) (e Export, err error) {
	e = Export{Conversations: []protocol.ConvEntry{}, Messages: []protocol.ConvHit{}}
	if e.Devices, err = c.devices(ctx, user); err != nil {
		return e, err
	}
	list, err := c.memberships(ctx, user)
	for _, m := range list {
		if err != nil {
			return e, err
		}
		var row Row
		err = c.read(ctx, "export", func(r Reader) (err error) {
			row, err = r.Conversation(m.Room)
			return err
		})
		if protocol.CodeOf(err) == protocol.CodeNotFound {
			err = nil // removed meanwhile
			continue
		}
		e.Conversations = append(e.Conversations, protocol.ConvEntry{Conversation: row.Conversation, Me: m.ConvPerson})
		if err == nil {
			err = c.exportFrom(ctx, m.Room, user, &e)
		}
	}
	return e, err
}

// exportFrom reads in pages, each its own snapshot: what was sent later is left out.
func (c *Conversations) exportFrom(ctx context.Context, room protocol.RoomID, user protocol.UserID, e *Export) error {
	for before := uint64(0); len(e.Messages) < maxExport; {
		var list []Message
		err := c.read(ctx, "export.messages", func(r Reader) (err error) {
			list, err = r.Messages(room, Page{Before: before, Author: user, Limit: jobBatch})
			return err
		})
		if err != nil || len(list) == 0 {
			return err
		}
		for _, m := range slices.Backward(list) {
			e.Messages = append(e.Messages, protocol.ConvHit{Room: room, Message: m.ConvMessage})
		}
		before = list[0].Seq
	}
	return nil
}
