package sqlstore

import (
	"errors"
	"slices"
	"strings"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/protocol"
)

const messageColumns = "room_id, seq, rev, author, name, cid, content, reply_to, thread, replies, mentions, files, reactions, is_pinned, " +
	"inserted_at, updated_at, deleted_at"

// selectMessage reads messages as m.
const selectMessage = "SELECT m.room_id, m.seq, m.rev, m.author, m.name, m.cid, m.content, m.reply_to, m.thread, m.replies, m.mentions, m.files, " +
	"m.reactions, m.is_pinned, m.inserted_at, m.updated_at, m.deleted_at FROM "

func scanMessage(row database.Scanner) (conversations.Message, error) {
	var m conversations.Message
	var author *string
	var mentions, files, reactions string
	err := row.Scan(&m.Room, &m.Seq, &m.Rev, &author, &m.Name, &m.CID, &m.Text, &m.ReplyTo, &m.Thread, &m.Replies, &mentions, &files, &reactions,
		&m.Pinned, &m.At, &m.Edited, &m.Deleted)
	if err != nil {
		return m, err
	}
	if author != nil {
		m.From = protocol.UserID(*author)
	}
	return m, errors.Join(readList(mentions, &m.Mentions), readList(files, &m.Files), readList(reactions, &m.Reactions))
}

// messageArgs are the values of messageColumns.
func messageArgs(m conversations.Message) ([]any, error) {
	mentions, err1 := listJSON(m.Mentions)
	files, err2 := listJSON(m.Files)
	reactions, err3 := listJSON(m.Reactions)
	var author any // NULL is unique with NULL: cids of those who were deleted may be the same
	if m.From != "" {
		author = string(m.From)
	}
	return []any{string(m.Room), number(m.Seq), number(m.Rev), author, m.Name, m.CID, m.Text, number(m.ReplyTo), number(m.Thread), m.Replies,
		mentions, files, reactions, m.Pinned, m.At, m.Edited, m.Deleted}, errors.Join(err1, err2, err3)
}

// Message implements conversations.Reader.
func (r *reader) Message(room protocol.RoomID, seq uint64) (conversations.Message, error) {
	return one(r.q.QueryRow(selectMessage+"chat_messages m WHERE m.room_id = ? AND m.seq = ?", string(room), number(seq)), scanMessage)
}

// MessageByCID implements conversations.Reader.
func (r *reader) MessageByCID(room protocol.RoomID, author protocol.UserID, cid string) (conversations.Message, error) {
	return one(r.q.QueryRow(selectMessage+"chat_messages m WHERE m.room_id = ? AND m.author = ? AND m.cid = ?", string(room), string(author), cid),
		scanMessage)
}

// Messages implements conversations.Reader.
func (r *reader) Messages(room protocol.RoomID, p conversations.Page) ([]conversations.Message, error) {
	list, err := run(r, pageQuery(r.q.Engine(), room, p), scanMessage)
	if p.After == 0 {
		slices.Reverse(list)
	}
	return list, err
}

func pageQuery(engine database.Engine, room protocol.RoomID, p conversations.Page) query {
	q := query{text: selectMessage + "chat_messages m WHERE "}
	index := []string{"m.room_id", "m.seq"}
	switch { // one index: another column is looked at in the rows
	case p.Thread != 0:
		q.equal(engine, "m.thread", number(p.Thread))
		if engine != database.MySQL {
			q.add(" AND m.thread > 0") // as the index has it
		}
		index = []string{"m.room_id", "m.thread", "m.seq"}
		if p.Author != "" {
			q.add(" AND m.author = ?", string(p.Author))
		}
		q.add(" AND ")
	case p.Author != "":
		q.equal(engine, "m.author", string(p.Author))
		index = []string{"m.author", "m.room_id", "m.seq"}
		q.add(" AND ")
	}
	q.equal(engine, "m.room_id", string(room))
	if p.Pinned {
		q.add(" AND m.is_pinned = TRUE")
	}
	direction := " DESC"
	switch {
	case p.After != 0:
		q.add(" AND m.seq > ?", number(p.After))
		direction = ""
	case p.Before != 0:
		q.add(" AND m.seq < ?", number(p.Before))
	}
	q.along(direction, index...)
	q.add(" LIMIT ?", p.Limit)
	return q
}

// Last implements conversations.Reader.
func (r *reader) Last(rooms []protocol.RoomID) (map[protocol.RoomID]conversations.Message, error) {
	last := map[protocol.RoomID]conversations.Message{}
	for part := range slices.Chunk(rooms, chunk) {
		found, err := run(r, lastQuery(part), scanMessage)
		if err != nil {
			return nil, err
		}
		for _, m := range found {
			last[m.Room] = m
		}
	}
	return last, nil
}

func lastQuery(rooms []protocol.RoomID) query {
	return query{selectMessage + "chat_conversations c JOIN chat_messages m ON m.room_id = c.id" +
		" AND m.seq = (SELECT x.seq FROM chat_messages x WHERE x.room_id = c.id ORDER BY x.seq DESC LIMIT 1) WHERE c.id IN (" + database.Marks(len(rooms)) + ")", values(rooms)}
}

// Unread implements conversations.Reader.
func (r *reader) Unread(room protocol.RoomID, user protocol.UserID, seq uint64, limit int) (int, error) {
	var n int
	q := unreadQuery(room, user, seq, limit)
	err := r.q.QueryRow(q.text, q.args...).Scan(&n)
	return n, err
}

func unreadQuery(room protocol.RoomID, user protocol.UserID, seq uint64, limit int) query {
	return query{"SELECT COUNT(*) FROM (SELECT 1 AS one FROM chat_messages m WHERE m.room_id = ? AND m.seq > ? AND m.deleted_at = 0" +
		" AND (m.author IS NULL OR m.author <> ?) ORDER BY m.seq LIMIT ?) t", []any{string(room), number(seq), string(user), limit}}
}

// Pins implements conversations.Reader.
func (r *reader) Pins(room protocol.RoomID) ([]uint64, error) {
	return run(r, pinsQuery(room), func(row database.Scanner) (seq uint64, err error) {
		err = row.Scan(&seq)
		return seq, err
	})
}

func pinsQuery(room protocol.RoomID) query {
	return query{"SELECT seq FROM chat_messages WHERE room_id = ? AND is_pinned = TRUE ORDER BY seq", []any{string(room)}}
}

// Changed implements conversations.Reader.
func (r *reader) Changed(room protocol.RoomID, since uint64, limit int) ([]conversations.Message, error) {
	return run(r, changedQuery(room, since, limit), scanMessage)
}

func changedQuery(room protocol.RoomID, since uint64, limit int) query {
	return query{selectMessage + "chat_messages m WHERE m.room_id = ? AND m.rev > ? ORDER BY m.rev, m.seq LIMIT ?",
		[]any{string(room), number(since), limit}}
}

// Revisions implements conversations.Reader.
func (r *reader) Revisions(room protocol.RoomID, seq uint64) ([]protocol.ConvRevision, error) {
	q := query{"SELECT content, written_at FROM chat_revisions WHERE room_id = ? AND seq = ? ORDER BY rev", []any{string(room), number(seq)}}
	return run(r, q, func(row database.Scanner) (v protocol.ConvRevision, err error) {
		err = row.Scan(&v.Text, &v.At)
		return v, err
	})
}

// Reactions implements conversations.Reader.
func (r *reader) Reactions(room protocol.RoomID, seq uint64) ([]protocol.ConvReaction, error) {
	var list []protocol.ConvReaction
	q := query{"SELECT emoji, user_id FROM chat_reactions WHERE room_id = ? AND seq = ? ORDER BY reacted_at, emoji, user_id",
		[]any{string(room), number(seq)}}
	_, err := run(r, q, func(row database.Scanner) (none struct{}, err error) {
		var emoji string
		var user protocol.UserID
		if err := row.Scan(&emoji, &user); err != nil {
			return none, err
		}
		i := slices.IndexFunc(list, func(x protocol.ConvReaction) bool { return x.Emoji == emoji })
		if i < 0 {
			i = len(list)
			list = append(list, protocol.ConvReaction{Emoji: emoji})
		}
		list[i].Count++
		list[i].By = append(list[i].By, user)
		return none, nil
	})
	return list, err
}

// InsertMessage implements conversations.Tx.
func (t *txn) InsertMessage(m conversations.Message) error {
	args, err := messageArgs(m)
	if err != nil {
		return err
	}
	if err := t.run("INSERT INTO chat_messages ("+messageColumns+") VALUES ("+database.Marks(len(args))+")", args...); err != nil {
		return err
	}
	if m.Deleted != 0 {
		return nil
	}
	if len(m.Files) > 0 {
		if err := t.freeFiles(m.Room, m.Seq, false); err != nil {
			return err
		}
	}
	if words := messageWords(m); len(words) > 0 {
		return t.insertWords("chat_terms", []string{"room_id", "seq"}, termsID(m.At, m.Room, m.Seq), words, string(m.Room), number(m.Seq))
	}
	return nil
}

// UpdateMessage implements conversations.Tx.
func (t *txn) UpdateMessage(m conversations.Message) error {
	args, err := messageArgs(m)
	if err != nil {
		return err
	}
	set := strings.ReplaceAll(strings.TrimPrefix(messageColumns, "room_id, seq, "), ",", " = ?,") + " = ?"
	if err := t.must("UPDATE chat_messages SET "+set+" WHERE room_id = ? AND seq = ?", append(args[2:], args[0], args[1])...); err != nil {
		return err
	}
	if m.Deleted != 0 || len(m.Files) > 0 {
		if err := t.freeFiles(m.Room, m.Seq, m.Deleted != 0); err != nil {
			return err
		}
	}
	if m.Deleted != 0 {
		m.Terms = []string{}
	}
	return t.setTerms(m)
}

// RemoveMessages implements conversations.Tx.
func (t *txn) RemoveMessages(room protocol.RoomID, upTo uint64, before int64, limit int) (files []string, n int, err error) {
	type old struct {
		seq   int64
		at    int64
		files string
	}
	q := query{"SELECT seq, inserted_at, files FROM chat_messages WHERE room_id = ? AND seq <= ? ORDER BY seq LIMIT ?", []any{string(room), number(upTo), limit}}
	list, err := run(&t.reader, q, func(row database.Scanner) (o old, err error) {
		err = row.Scan(&o.seq, &o.at, &o.files)
		return o, err
	})
	if err != nil {
		return nil, 0, err
	}
	list = slices.DeleteFunc(list, func(o old) bool { return o.at >= before })
	for part := range slices.Chunk(list, chunk) {
		seqs := []any{string(room)}
		for _, o := range part {
			seqs = append(seqs, o.seq)
			var attached []protocol.ConvFile
			if err := readList(o.files, &attached); err != nil {
				return nil, 0, err
			}
			for _, f := range attached {
				files = append(files, f.ID)
			}
		}
		where := " WHERE room_id = ? AND seq IN (" + database.Marks(len(part)) + ")"
		for _, statement := range []string{"DELETE FROM chat_terms", "DELETE FROM chat_reactions", "DELETE FROM chat_revisions",
			"DELETE FROM chat_messages", "UPDATE chat_files SET is_free = TRUE"} {
			if err := t.run(statement+where, seqs...); err != nil {
				return nil, 0, err
			}
		}
	}
	return files, len(list), nil
}

// AddRevision implements conversations.Tx.
func (t *txn) AddRevision(room protocol.RoomID, seq, rev uint64, r protocol.ConvRevision) error {
	return t.run("INSERT INTO chat_revisions (room_id, seq, rev, content, written_at) VALUES (?, ?, ?, ?, ?)", string(room), number(seq), number(rev), r.Text, r.At)
}

// DeleteRevisions implements conversations.Tx.
func (t *txn) DeleteRevisions(room protocol.RoomID, seq uint64) error {
	return t.run("DELETE FROM chat_revisions WHERE room_id = ? AND seq = ?", string(room), number(seq))
}

// React implements conversations.Tx.
func (t *txn) React(room protocol.RoomID, seq uint64, user protocol.UserID, emoji string, on bool, at int64) error {
	if !on {
		return t.run("DELETE FROM chat_reactions WHERE room_id = ? AND seq = ? AND emoji = ? AND user_id = ?", string(room), number(seq), emoji, string(user))
	}
	_, err := t.tx.InsertNew("chat_reactions", []string{"room_id", "seq", "emoji", "user_id", "reacted_at"}, string(room), number(seq), emoji, string(user), at)
	return err
}

// DeleteReactions implements conversations.Tx.
func (t *txn) DeleteReactions(room protocol.RoomID, seq uint64) error {
	return t.run("DELETE FROM chat_reactions WHERE room_id = ? AND seq = ?", string(room), number(seq))
}

// MessagesOf implements conversations.Tx.
func (t *txn) MessagesOf(user protocol.UserID, limit int) ([]conversations.Message, error) {
	return run(&t.reader, query{selectMessage + "chat_messages m WHERE m.author = ? ORDER BY m.room_id, m.seq LIMIT ?", []any{string(user), limit}}, scanMessage)
}

// ReactedBy implements conversations.Tx.
func (t *txn) ReactedBy(user protocol.UserID, limit int) ([]conversations.Message, error) {
	q := query{selectMessage + "(SELECT DISTINCT room_id, seq FROM chat_reactions WHERE user_id = ? ORDER BY room_id, seq LIMIT ?) r" +
		" JOIN chat_messages m ON m.room_id = r.room_id AND m.seq = r.seq ORDER BY m.room_id, m.seq", []any{string(user), limit}}
	return run(&t.reader, q, scanMessage)
}
