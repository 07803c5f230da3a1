package sqlstore

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/protocol"
)

// maxWord bounds a word in bytes: a term of conversations.MaxTermBytes fits. MariaDB's index takes up to 84.
const maxWord = 1 + 2*conversations.MaxTermBytes

// word is how a term is stored and asked for: x and the hexadecimal of its UTF-8, cut off. So it is one
// word, of at least three letters and no stop word, for each engine, and no operator of any.
func word(term string) string {
	text := "x" + hex.EncodeToString([]byte(term))
	return text[:min(len(text), maxWord)]
}

// tagWord is how a tag is stored among a topic's words: whole, for a tag is found by all of it.
func tagWord(tag string) string {
	if len(tag) > conversations.MaxTermBytes {
		sum := sha256.Sum256([]byte(tag))
		return "u" + hex.EncodeToString(sum[:])
	}
	return "t" + hex.EncodeToString([]byte(tag))
}

// wordsOf makes words of terms.
func wordsOf(terms []string) []string {
	var words []string
	for _, term := range terms {
		words = append(words, word(term))
	}
	return words
}

// matching is the condition that the row of table, named as, has all words; the last one is a beginning if
// prefix.
func matching(engine database.Engine, table, as string, words []string, prefix bool) query {
	switch engine {
	case database.Postgres:
		text := strings.Join(words, " & ")
		if prefix {
			text += ":*"
		}
		return query{"to_tsvector('simple', " + as + ".words) @@ to_tsquery('simple', ?)", []any{text}}
	case database.MySQL:
		text := "+" + strings.Join(words, " +")
		if prefix {
			text += "*"
		}
		return query{"MATCH (" + as + ".words) AGAINST (? IN BOOLEAN MODE)", []any{text}}
	}
	text := strings.Join(words, " ")
	if prefix {
		text += "*"
	}
	return query{as + ".id IN (SELECT rowid FROM " + table + "_fts WHERE " + table + "_fts MATCH ?)", []any{text}}
}

// Search implements conversations.Reader.
func (r *reader) Search(s conversations.Search) ([]conversations.Message, error) {
	if len(s.Terms) == 0 {
		return nil, nil
	}
	return run(r, searchQuery(r.q.Engine(), s), scanMessage)
}

func searchQuery(engine database.Engine, s conversations.Search) query {
	match := matching(engine, "chat_terms", "w", wordsOf(s.Terms), s.Prefix)
	q := query{selectMessage + "chat_terms w JOIN chat_messages m ON m.room = w.room AND m.seq = w.seq WHERE " + match.text +
		" AND m.deleted_at = 0 AND EXISTS (SELECT 1 FROM chat_conversations c WHERE c.id = w.room AND c.is_deleted = FALSE)", match.args}
	if s.Room != "" {
		q.add(" AND w.room = ?", string(s.Room))
	} else {
		q.add(" AND EXISTS (SELECT 1 FROM chat_members p WHERE p.room = w.room AND p.user_id = ? AND p.role IN ('owner', 'moderator', 'member'))",
			string(s.Searcher))
	}
	if s.Author != "" {
		q.add(" AND m.author = ?", string(s.Author))
	}
	if b := s.Before; b != (conversations.Found{}) {
		q.add(" AND (m.sent_at < ? OR m.sent_at = ? AND (m.room < ? OR m.room = ? AND m.seq < ?))",
			b.At, b.At, string(b.Room), string(b.Room), number(b.Seq))
	}
	q.add(" ORDER BY m.sent_at DESC, m.room DESC, m.seq DESC LIMIT ?", s.Limit)
	return q
}

// termsID is the id that a message's words get, unless it is taken: ids rise with time, as indexes like it.
func termsID(at int64, room protocol.RoomID, seq uint64) int64 {
	const bits = 20
	hash := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(room), seq))
	return max(0, min(at, 1<<(62-bits)))<<bits | int64(binary.BigEndian.Uint32(hash[:])>>(32-bits))
}

// insertWords inserts a row of words under the first free id; keys are the columns that say whose they are.
func (t *txn) insertWords(table string, keys []string, id int64, words []string, of ...any) error {
	columns := append([]string{"id", "words"}, keys...)
	for {
		made, err := t.tx.InsertNew(table, columns, append([]any{id, strings.Join(words, " ")}, of...)...)
		if err != nil || made {
			return err
		}
		id++
	}
}

// setTerms replaces the words of a message, unless its terms are nil.
func (t *txn) setTerms(m conversations.Message) error {
	if m.Terms == nil {
		return nil
	}
	words := wordsOf(m.Terms)
	if len(words) == 0 {
		return t.run("DELETE FROM chat_terms WHERE room = ? AND seq = ?", string(m.Room), number(m.Seq))
	}
	n, err := t.exec("UPDATE chat_terms SET words = ? WHERE room = ? AND seq = ?", strings.Join(words, " "), string(m.Room), number(m.Seq))
	if err != nil || n > 0 {
		return err
	}
	return t.insertWords("chat_terms", []string{"room", "seq"}, termsID(m.At, m.Room, m.Seq), words, string(m.Room), number(m.Seq))
}

// setTopic replaces the words of a topic, unless its terms are nil.
func (t *txn) setTopic(c conversations.Row) error {
	if c.Terms == nil || c.Kind != protocol.ConvTopic {
		return nil
	}
	words := wordsOf(c.Terms)
	for _, tag := range c.Tags {
		words = append(words, tagWord(tag))
	}
	if len(words) == 0 {
		return t.run("DELETE FROM chat_topics WHERE room = ?", string(c.ID))
	}
	n, err := t.exec("UPDATE chat_topics SET words = ? WHERE room = ?", strings.Join(words, " "), string(c.ID))
	if err != nil || n > 0 {
		return err
	}
	return t.insertWords("chat_topics", []string{"room"}, termsID(c.Created, c.ID, 0), words, string(c.ID))
}
