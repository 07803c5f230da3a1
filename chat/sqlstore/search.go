package sqlstore

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
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

// roomWord is what all messages of a conversation have among their words: a search in it alone does not
// come upon others.
func roomWord(room protocol.RoomID) string {
	text := "r" + hex.EncodeToString([]byte(room))
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

// match is what words are looked for: one of any, if there are any, and all of all, whose last one is a beginning if
// prefix.
type match struct {
	any, all []string
	prefix   bool
}

// in is a table of words as w, and the condition that a row matches.
func (m match) in(engine database.Engine, table string) (from string, where query) {
	switch engine {
	case database.Postgres:
		return table + " w", query{"w.vector @@ to_tsquery('simple', ?)", []any{m.text("", " | ", " & ", ":*")}}
	case database.MySQL:
		return table + " w", query{"MATCH (w.words) AGAINST (? IN BOOLEAN MODE)", []any{m.text("+", " ", " ", "*")}}
	}
	return table + "_fts f CROSS JOIN " + table + " w ON w.id = f.rowid", // CROSS: in this order
		query{"f." + table + "_fts MATCH ?", []any{m.text("", " OR ", " AND ", "*")}}
}

// text writes it with what stands before each that must be there, the operators, and what makes a word a beginning.
func (m match) text(must, or, and, beginning string) string {
	var parts []string
	if len(m.any) > 0 {
		parts = append(parts, must+"("+strings.Join(m.any, or)+")")
	}
	for _, word := range m.all {
		parts = append(parts, must+word)
	}
	text := strings.Join(parts, and)
	if m.prefix {
		text += beginning
	}
	return text
}

// maxRooms is up to how many conversations a search names. PostgreSQL takes long over such lists and is quick without, MariaDB
// looks for each word by itself.
func maxRooms(engine database.Engine) int {
	switch engine {
	case database.Postgres:
		return 0
	case database.MySQL:
		return 50
	}
	return protocol.MaxConversations
}

// matchOf says what words the messages have that are looked for: those of the terms, and that of a conversation in question, so
// that the search takes as long as what can be found, not as what there is. ok is false if nothing can be.
func (r *reader) matchOf(s conversations.Search) (m match, ok bool, err error) {
	m = match{all: wordsOf(s.Terms), prefix: s.Prefix}
	if s.Room != "" {
		m.any = []string{roomWord(s.Room)}
		return m, len(m.all) > 0, nil
	}
	most := maxRooms(r.q.Engine())
	q := query{"SELECT room_id FROM chat_members WHERE user_id = ? AND role IN ('owner', 'moderator', 'member') LIMIT ?", []any{string(s.Searcher), most + 1}}
	m.any, err = run(r, q, func(row database.Scanner) (string, error) {
		var room protocol.RoomID
		err := row.Scan(&room)
		return roomWord(room), err
	})
	ok = len(m.any) > 0 && len(m.all) > 0
	if len(m.any) > most {
		m.any = nil
	}
	return m, ok, err
}

// Search implements conversations.Reader.
func (r *reader) Search(s conversations.Search) ([]conversations.Message, error) {
	m, ok, err := r.matchOf(s)
	if err != nil || !ok {
		return nil, err
	}
	if r.q.Engine() == database.SQLite {
		return r.searchNewest(s, m)
	}
	q := found(r.q.Engine(), selectMessage+"(SELECT m.room_id, m.seq FROM ", s, m) // what is sorted is small
	q.add(newestFound+" LIMIT ?) t JOIN chat_messages m ON m.room_id = t.room_id AND m.seq = t.seq"+newestFound, s.Limit)
	return run(r, q, scanMessage)
}

const newestFound = " ORDER BY m.inserted_at DESC, m.room_id DESC, m.seq DESC"

// searchNewest has SQLite's index give matches in the order of their ids, newest first, so that it ends when there are
// enough. The ids have the same order as the times; what is of one millisecond is sorted after that.
func (r *reader) searchNewest(s conversations.Search, m match) ([]conversations.Message, error) {
	q := found(database.SQLite, "SELECT m.inserted_at FROM ", s, m)
	q.add(" ORDER BY f.rowid DESC LIMIT ?", s.Limit)
	times, err := run(r, q, func(row database.Scanner) (at int64, err error) {
		err = row.Scan(&at)
		return at, err
	})
	if err != nil || len(times) == 0 {
		return nil, err
	}
	q = found(database.SQLite, selectMessage, s, m)
	if len(times) == s.Limit {
		q.add(" AND f.rowid >= ?", firstID(slices.Min(times)))
	}
	q.add(newestFound+" LIMIT ?", s.Limit)
	return run(r, q, scanMessage)
}

// found begins a query of the messages m that are found; the columns end with FROM.
func found(engine database.Engine, columns string, s conversations.Search, m match) query {
	from, where := m.in(engine, "chat_terms")
	join := " JOIN "
	if engine == database.SQLite {
		join = " CROSS JOIN "
	}
	q := query{text: columns + from + join + "chat_messages m ON m.room_id = w.room_id AND m.seq = w.seq WHERE "}
	q.add(where.text, where.args...)
	q.add(" AND m.deleted_at = 0 AND EXISTS (SELECT 1 FROM chat_conversations c WHERE c.id = w.room_id AND c.is_deleted = FALSE)")
	if s.Room != "" {
		q.add(" AND w.room_id = ?", string(s.Room))
	} else {
		q.add(" AND EXISTS (SELECT 1 FROM chat_members p WHERE p.room_id = w.room_id AND p.user_id = ? AND p.role IN ('owner', 'moderator', 'member'))",
			string(s.Searcher))
	}
	if s.Author != "" {
		q.add(" AND m.author = ?", string(s.Author))
	}
	if b := s.Before; b != (conversations.Found{}) {
		q.add(" AND (m.inserted_at < ? OR m.inserted_at = ? AND (m.room_id < ? OR m.room_id = ? AND m.seq < ?))",
			b.At, b.At, string(b.Room), string(b.Room), number(b.Seq))
		if engine == database.SQLite {
			q.add(" AND f.rowid < ?", firstID(b.At)+1<<idBits)
		}
	}
	return q
}

// idBits are the bits of an id below those of its time.
const idBits = 20

// firstID is the lowest id of a time.
func firstID(at int64) int64 { return max(0, min(at, 1<<(62-idBits))) << idBits }

// termsID is the id that a message's words get, unless it is taken: ids rise with time.
func termsID(at int64, room protocol.RoomID, seq uint64) int64 {
	hash := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(room), seq))
	return firstID(at) | int64(binary.BigEndian.Uint32(hash[:])>>(32-idBits))
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

// messageWords are the words that a message is found by; none if it has no terms.
func messageWords(m conversations.Message) []string {
	if len(m.Terms) == 0 {
		return nil
	}
	return append([]string{roomWord(m.Room)}, wordsOf(m.Terms)...)
}

// setTerms replaces the words of a message, unless its terms are nil.
func (t *txn) setTerms(m conversations.Message) error {
	if m.Terms == nil {
		return nil
	}
	words := messageWords(m)
	if len(words) == 0 {
		return t.run("DELETE FROM chat_terms WHERE room_id = ? AND seq = ?", string(m.Room), number(m.Seq))
	}
	n, err := t.exec("UPDATE chat_terms SET words = ? WHERE room_id = ? AND seq = ?", strings.Join(words, " "), string(m.Room), number(m.Seq))
	if err != nil || n > 0 {
		return err
	}
	return t.insertWords("chat_terms", []string{"room_id", "seq"}, termsID(m.At, m.Room, m.Seq), words, string(m.Room), number(m.Seq))
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
		return t.run("DELETE FROM chat_topics WHERE room_id = ?", string(c.ID))
	}
	n, err := t.exec("UPDATE chat_topics SET words = ? WHERE room_id = ?", strings.Join(words, " "), string(c.ID))
	if err != nil || n > 0 {
		return err
	}
	return t.insertWords("chat_topics", []string{"room_id"}, termsID(c.Created, c.ID, 0), words, string(c.ID))
}
