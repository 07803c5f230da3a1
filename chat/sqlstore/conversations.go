package sqlstore

import (
	"errors"
	"slices"
	"strings"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/protocol"
)

const rowColumns = "id, kind, name, about, language, tags, writers, slow_s, keep_s, guests, members, seq, rev, oldest, " +
	"created_at, active_at, is_deleted, pair, passcode_hash, purged"

func scanRow(row database.Scanner) (conversations.Row, error) {
	var c conversations.Row
	var tags string
	var pair *string
	err := row.Scan(&c.ID, &c.Kind, &c.Name, &c.About, &c.Language, &tags, &c.Writers, &c.Slow, &c.Keep, &c.Guests, &c.Members,
		&c.Seq, &c.Rev, &c.Oldest, &c.Created, &c.Active, &c.Deleted, &pair, &c.PasscodeHash, &c.Purged)
	if err != nil {
		return c, err
	}
	if pair != nil {
		c.Pair = *pair
	}
	c.Passcode = c.PasscodeHash != ""
	return c, readList(tags, &c.Tags)
}

// rowArgs are the values of rowColumns.
func rowArgs(c conversations.Row) ([]any, error) {
	tags, err := listJSON(c.Tags)
	if err != nil {
		return nil, err
	}
	var pair any // NULL is unique with NULL
	if c.Pair != "" {
		pair = c.Pair
	}
	return []any{string(c.ID), string(c.Kind), c.Name, c.About, c.Language, tags, string(c.Writers), c.Slow, c.Keep, c.Guests, c.Members,
		number(c.Seq), number(c.Rev), number(c.Oldest), c.Created, c.Active, c.Deleted, pair, c.PasscodeHash, number(c.Purged)}, nil
}

// Conversation implements conversations.Reader.
func (r *reader) Conversation(id protocol.RoomID) (conversations.Row, error) {
	return one(r.q.QueryRow("SELECT "+rowColumns+" FROM chat_conversations WHERE id = ?", string(id)), scanRow)
}

// Direct implements conversations.Reader.
func (r *reader) Direct(pair string) (conversations.Row, error) {
	return one(r.q.QueryRow("SELECT "+rowColumns+" FROM chat_conversations WHERE pair = ?", pair), scanRow)
}

// Heads implements conversations.Reader.
func (r *reader) Heads(ids []protocol.RoomID) (map[protocol.RoomID]uint64, error) {
	type head struct {
		id  protocol.RoomID
		seq uint64
	}
	heads := map[protocol.RoomID]uint64{}
	for part := range slices.Chunk(ids, chunk) {
		q := query{"SELECT id, seq FROM chat_conversations WHERE id IN (" + database.Marks(len(part)) + ")", values(part)}
		found, err := run(r, q, func(row database.Scanner) (h head, err error) {
			err = row.Scan(&h.id, &h.seq)
			return h, err
		})
		if err != nil {
			return nil, err
		}
		for _, h := range found {
			heads[h.id] = h.seq
		}
	}
	return heads, nil
}

// Conversations implements conversations.Reader.
func (r *reader) Conversations(after protocol.RoomID, keep bool, limit int) ([]conversations.Row, error) {
	q := query{"SELECT " + rowColumns + " FROM chat_conversations WHERE id > ?", []any{string(after)}}
	if keep {
		q.add(" AND keep_s > 0")
	}
	q.add(" ORDER BY id LIMIT ?", limit)
	return run(r, q, scanRow)
}

// olderThan continues a list by active_at and id, newest first, after a position.
func (q *query) olderThan(p conversations.Position) {
	if p != (conversations.Position{}) {
		q.add(" AND c.active_at <= ? AND (c.active_at < ? OR c.id < ?)", p.At, p.At, p.ID)
	}
}

// Inbox implements conversations.Reader.
func (r *reader) Inbox(user protocol.UserID, after conversations.Position, limit int) ([]conversations.Row, error) {
	return run(r, inboxQuery(user, after, limit), scanRow)
}

func inboxQuery(user protocol.UserID, after conversations.Position, limit int) query {
	q := query{"SELECT c." + strings.ReplaceAll(rowColumns, ", ", ", c.") + " FROM chat_members m JOIN chat_conversations c ON c.id = m.room_id" +
		" WHERE m.user_id = ? AND m.role IN ('owner', 'moderator', 'member', 'invited') AND c.is_deleted = FALSE", []any{string(user)}}
	q.olderThan(after)
	q.add(" ORDER BY c.active_at DESC, c.id DESC LIMIT ?", limit)
	return q
}

// Topics implements conversations.Reader.
func (r *reader) Topics(d conversations.Directory) ([]conversations.Row, error) {
	return run(r, topicsQuery(r.q.Engine(), d), scanRow)
}

func topicsQuery(engine database.Engine, d conversations.Directory) query {
	q := query{text: "SELECT " + rowColumns + " FROM chat_conversations c WHERE "}
	q.equal(engine, "c.kind", string(protocol.ConvTopic))
	q.add(" AND ")
	q.equal(engine, "c.is_deleted", false)
	if d.Language != "" {
		q.add(" AND c.language = ?", d.Language)
	}
	words := wordsOf(d.Terms)
	if d.Tag != "" {
		words = append(words, tagWord(d.Tag))
	}
	if len(words) > 0 {
		from, where := match{all: words}.in(engine, "chat_topics")
		q.add(" AND c.id IN (SELECT w.room_id FROM "+from+" WHERE "+where.text+")", where.args...)
	}
	q.olderThan(d.After)
	q.along(" DESC", "c.kind", "c.is_deleted", "c.active_at", "c.id")
	q.add(" LIMIT ?", d.Limit)
	return q
}

// Draw implements conversations.Tx.
func (t *txn) Draw(id protocol.RoomID, n int) (conversations.Row, error) {
	if err := t.must("UPDATE chat_conversations SET seq = seq + ? WHERE id = ?", n, string(id)); err != nil {
		return conversations.Row{}, err
	}
	return t.Conversation(id)
}

// InsertConversation implements conversations.Tx.
func (t *txn) InsertConversation(c conversations.Row) error {
	args, err := rowArgs(c)
	if err != nil {
		return err
	}
	if err := t.run("INSERT INTO chat_conversations ("+rowColumns+") VALUES ("+database.Marks(len(args))+")", args...); err != nil {
		return err
	}
	return t.setTopic(c)
}

// UpdateConversation implements conversations.Tx.
func (t *txn) UpdateConversation(c conversations.Row) error {
	args, err := rowArgs(c)
	if err != nil {
		return err
	}
	columns := strings.Split(rowColumns, ", ")
	var set []string
	var with []any
	for i, name := range columns {
		if name != "id" && name != "seq" {
			set, with = append(set, name+" = ?"), append(with, args[i])
		}
	}
	err = t.must("UPDATE chat_conversations SET "+strings.Join(set, ", ")+" WHERE id = ?", append(with, string(c.ID))...)
	if err != nil {
		return err
	}
	return t.setTopic(c)
}

// RemoveConversation implements conversations.Tx. The conversation's own row comes first: as in Draw, it is the lock.
func (t *txn) RemoveConversation(id protocol.RoomID) error {
	var errs []error
	for _, statement := range []string{
		"DELETE FROM chat_conversations WHERE id = ?",
		"DELETE FROM chat_topics WHERE room_id = ?",
		"DELETE FROM chat_terms WHERE room_id = ?",
		"DELETE FROM chat_reactions WHERE room_id = ?",
		"DELETE FROM chat_revisions WHERE room_id = ?",
		"DELETE FROM chat_messages WHERE room_id = ?",
		"DELETE FROM chat_members WHERE room_id = ?",
		"UPDATE chat_files SET room_id = '', seq = 1, is_free = TRUE WHERE room_id = ?",
	} {
		errs = append(errs, t.run(statement, string(id)))
	}
	return errors.Join(errs...)
}
