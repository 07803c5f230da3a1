package conversations

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/text"
	"github.com/rondo-chat/rondo/protocol"
)

// Send stores a message and returns it with its number. Who sent this CID to the conversation before gets the first answer
// again, whatever limits say. In a topic in which everyone may write, writing joins.
//
// People are mentioned as <@id> in the text, which clients show as names; who is no member is not mentioned.
//
// Errors: bad_request, too_large, unauthorized, not_found (also the message that it answers to, and a file), forbidden (also:
// one of the two keeps the other away), rate_limited with when, what Moderator says, unavailable.
func (c *Conversations) Send(ctx context.Context, who Caller, room protocol.RoomID, q protocol.ConvSend) (protocol.ConvSent, error) {
	sent, again, err := c.send(ctx, who, room, q)
	c.metrics.sent(again, err)
	return sent, err
}

func (c *Conversations) send(ctx context.Context, who Caller, room protocol.RoomID, q protocol.ConvSend) (sent protocol.ConvSent, again bool, err error) {
	if err := cleanSend(q); err != nil {
		return sent, false, err
	}
	if err := identified(who); err != nil {
		return sent, false, err
	}
	var s seat
	err = c.read(ctx, "send.look", func(r Reader) (err error) {
		if s, err = look(r, who, room); err != nil {
			return err
		}
		if err := s.mayWrite(); err != nil {
			return err
		}
		sent, again, err = first(r, who, room, q.CID)
		return err
	})
	if err != nil || again {
		return sent, again, err
	}
	if err := c.limit(ctx, "send", string(who.Identity)+":"+string(room), c.cfg.Limits.Send); err != nil {
		return sent, false, err
	}
	if err := s.slow(c.now()); err != nil {
		return sent, false, err
	}
	if err := c.acceptable(ctx, s, q.Text); err != nil {
		return sent, false, err
	}
	err = c.commit(ctx, order{name: "send", who: who, room: room, check: seat.mayWrite, apply: func(ch *change) (err error) {
		if sent, again, err = first(ch.tx, who, room, q.CID); err != nil {
			return err
		}
		if again {
			return errUnchanged
		}
		sent, err = ch.send(c, q)
		return err
	}})
	if err != nil {
		sent = protocol.ConvSent{}
	}
	return sent, again, err
}

func cleanSend(q protocol.ConvSend) error {
	switch {
	case !isWord(q.CID):
		return errBad("cid: must be 1 to %d of A-Z a-z 0-9 _ -", protocol.MaxCIDBytes)
	case q.Thread && q.ReplyTo == 0:
		return errBad("thread: needs reply_to")
	case len(q.Files) > protocol.MaxFilesPerText:
		return errBad("files: at most %d", protocol.MaxFilesPerText)
	}
	for i, id := range q.Files {
		if !isWord(id) || slices.Contains(q.Files[:i], id) {
			return errBad("files: not ids of different files")
		}
	}
	return cleanText(q.Text, len(q.Files) > 0)
}

// cleanText checks a message's text, which stays as it is; with files it may be empty.
func cleanText(s string, files bool) error {
	if s == "" && files {
		return nil
	}
	_, err := text.Chat(s)
	return err
}

// first returns the answer to the message that the author sent with the CID before, if it is there.
func first(r Reader, who Caller, room protocol.RoomID, cid string) (protocol.ConvSent, bool, error) {
	m, err := r.MessageByCID(room, who.Identity, cid)
	found, err := exists(err)
	if !found {
		return protocol.ConvSent{}, false, err
	}
	return protocol.ConvSent{Message: m.ConvMessage, Seq: m.Seq}, true, nil
}

// slow refuses who wrote too short a time ago. Owner and moderators may.
func (s seat) slow(now int64) error {
	if s.row.Slow == 0 || s.me.Wrote == 0 || s.role() == auth.RoomOwner || s.role() == auth.RoomModerator {
		return nil
	}
	if left := s.me.Wrote + int64(s.row.Slow)*1000 - now; left > 0 {
		return errTooFast("slow mode", time.Duration(left)*time.Millisecond)
	}
	return nil
}

// acceptable asks those outside of the transaction: whether one of two keeps the other away, and the Moderator.
func (c *Conversations) acceptable(ctx context.Context, s seat, said string) error {
	if err := c.apart(ctx, s); err != nil {
		return err
	}
	if c.cfg.Moderator == nil || said == "" {
		return nil
	}
	return c.cfg.Moderator.Check(ctx, s.who, s.row.ID, said)
}

// apart refuses what one of two does to the other if one of them keeps the other away.
func (c *Conversations) apart(ctx context.Context, s seat) error {
	if !s.direct() {
		return nil
	}
	if s.peer() == "" {
		return errForbidden("the other one is gone")
	}
	return c.blocked(ctx, s.who.Identity, s.peer())
}

func (c *Conversations) blocked(ctx context.Context, a, b protocol.UserID) error {
	blocked, err := c.cfg.People.Blocked(ctx, a, b)
	if err == nil && blocked {
		err = errForbidden("this person cannot be written to")
	}
	return err
}

// send is the transaction's part of Send.
func (ch *change) send(c *Conversations, q protocol.ConvSend) (protocol.ConvSent, error) {
	if err := ch.slow(c.now()); err != nil {
		return protocol.ConvSent{}, err
	}
	m := Message{Room: ch.row.ID, ConvMessage: protocol.ConvMessage{
		From: ch.who.Identity, Name: ch.who.Name, CID: q.CID, Text: q.Text, ReplyTo: q.ReplyTo, At: ch.now}, Terms: Terms(q.Text)}
	root, err := ch.answer(&m, q)
	if err != nil {
		return protocol.ConvSent{}, err
	}
	if m.Mentions, err = ch.mentions(q.Text); err != nil {
		return protocol.ConvSent{}, err
	}
	if err := ch.present(); err != nil {
		return protocol.ConvSent{}, err
	}
	files, err := ch.files(&m, q.Files)
	if err != nil {
		return protocol.ConvSent{}, err
	}
	if err := ch.insert(&m); err != nil {
		return protocol.ConvSent{}, err
	}
	for _, f := range files {
		f.Seq = m.Seq
		if err := ch.tx.PutFile(f); err != nil {
			return protocol.ConvSent{}, err
		}
	}
	me := ch.me
	me.Wrote, me.Delivered, me.Read = ch.now, m.Seq, m.Seq
	if err := ch.tx.PutMember(me); err != nil {
		return protocol.ConvSent{}, err
	}
	if root != nil {
		root.Replies++
		if err := ch.update(root); err != nil {
			return protocol.ConvSent{}, err
		}
	}
	return protocol.ConvSent{Message: m.ConvMessage, Seq: m.Seq}, nil
}

// present makes the writer a member, and a user who came as a guest no guest any more.
func (ch *change) present() error {
	if !isMember(ch.me.Role) {
		return ch.enter()
	}
	if !ch.me.Guest || ch.who.Guest {
		return nil
	}
	m := ch.me
	m.Guest = false
	return ch.person(m.Role, &m)
}

// answer looks for what the message answers to and, in a thread, returns its first message, whose Replies
// change: they count all answers, also those that were deleted since.
func (ch *change) answer(m *Message, q protocol.ConvSend) (*Message, error) {
	if q.ReplyTo == 0 {
		return nil, nil
	}
	to, err := ch.tx.Message(ch.row.ID, q.ReplyTo)
	if err == nil && to.Deleted > 0 {
		err = ErrNotFound
	}
	if err != nil || !q.Thread {
		return nil, err
	}
	m.Thread = to.Seq
	if to.Thread > 0 {
		m.Thread = to.Thread
		if to, err = ch.tx.Message(ch.row.ID, to.Thread); errors.Is(err, ErrNotFound) {
			return nil, nil // retention took it
		}
	}
	return &to, err
}

// mentions returns the members whom the text mentions as <@id>, in order.
func (ch *change) mentions(s string) ([]protocol.UserID, error) {
	ids, err := mentioned(s)
	if err != nil {
		return nil, err
	}
	var members []protocol.UserID
	for _, id := range ids {
		m, err := ch.tx.Member(ch.row.ID, id)
		found, err := exists(err)
		if err != nil {
			return nil, err
		}
		if found && isMember(m.Role) {
			members = append(members, id)
		}
	}
	return members, nil
}

// mentioned returns the ids that stand as <@id> in the text, each once.
func mentioned(s string) ([]protocol.UserID, error) {
	var ids []protocol.UserID
	for {
		_, rest, found := strings.Cut(s, "<@")
		if !found {
			return ids, nil
		}
		s = rest
		id, _, closed := strings.Cut(rest[:min(len(rest), protocol.MaxCIDBytes+1)], ">")
		if !closed || !isWord(id) || slices.Contains(ids, protocol.UserID(id)) {
			continue
		}
		if ids = append(ids, protocol.UserID(id)); len(ids) > protocol.MaxMentions {
			return nil, errBad("text: at most %d people mentioned", protocol.MaxMentions)
		}
	}
}

// files returns the uploads that the message gets: the author's own ones, made for this conversation, that no other message has.
func (ch *change) files(m *Message, ids []string) ([]File, error) {
	var files []File
	for _, id := range ids {
		f, err := ch.tx.File(id)
		if err != nil {
			return nil, err
		}
		if f.Owner != ch.who.Identity || f.Room != ch.row.ID || f.Seq != 0 {
			return nil, ErrNotFound
		}
		files, m.Files = append(files, f), append(m.Files, f.ConvFile)
	}
	return files, nil
}
