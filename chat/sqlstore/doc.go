// Package sqlstore keeps the chat that lasts in an SQL database: SQLite, PostgreSQL, MariaDB or MySQL
// (internal/database). It implements conversations.Store; the promises are those of that interface, and
// chat/conversations/storetest is the suite of them.
//
// Its tables are named chat_… and are the set of migrations "chat". Times are Unix milliseconds, but those of leases.
//
//   - A transaction that draws numbers updates the conversation's row first and so holds it to its end:
//     transactions of one conversation run one after another, those of others beside them.
//     READ COMMITTED is enough, for every statement after Draw sees what was committed before it.
//   - All lists are read by key, never by OFFSET, and each has its index.
//   - Ids, emoji and whatever else is compared are compared byte by byte. In MariaDB and MySQL they are VARBINARY
//     with the comment 'text', for spaces at the end do not count in its text.
//   - Search terms are stored as words of ASCII (see word), which all engines' full-text indexes cut and compare
//     in the same way. The index of SQLite is kept by triggers.
package sqlstore

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"strings"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/internal/database"
)

//go:embed migrations
var migrations embed.FS

// setName is the name of the set of migrations; its versions are in the table goose_chat.
const setName = "chat"

// Store implements conversations.Store. It is safe for concurrent use, also by several nodes.
type Store struct{ db *database.DB }

var _ conversations.Store = (*Store)(nil)

// New returns the store in the database, whose tables Migrate makes.
func New(db *database.DB) *Store { return &Store{db: db} }

// Migrations returns the set of migrations: for who copies databases.
func Migrations() (set string, files fs.FS) { return setName, migrations }

// Migrate brings the tables up to date; any number of nodes may do so at once.
func (s *Store) Migrate(ctx context.Context) error { return s.db.Migrate(ctx, setName, migrations) }

// Write implements conversations.Store.
func (s *Store) Write(ctx context.Context, name string, f func(conversations.Tx) error) error {
	return s.db.WriteCommitted(ctx, name, func(tx *database.Tx) error {
		return f(&txn{reader: reader{q: tx}, tx: tx})
	})
}

// Read implements conversations.Store.
func (s *Store) Read(ctx context.Context, name string, f func(conversations.Reader) error) error {
	return s.db.Read(ctx, name, func(q database.Queryer) error { return f(&reader{q: q}) })
}

// reader implements conversations.Reader.
type reader struct{ q database.Queryer }

// txn implements conversations.Tx.
type txn struct {
	reader
	tx *database.Tx
}

var _ conversations.Tx = (*txn)(nil)

// exec runs a statement and gives the number of rows; a conflict is ErrTaken.
func (t *txn) exec(query string, args ...any) (int64, error) {
	n, err := t.tx.Exec(query, args...)
	if errors.Is(err, database.ErrConflict) {
		err = conversations.ErrTaken
	}
	return n, err
}

// run is exec where the number does not matter.
func (t *txn) run(query string, args ...any) error {
	_, err := t.exec(query, args...)
	return err
}

// must is exec of what changes one row; without one it is ErrNotFound.
func (t *txn) must(query string, args ...any) error {
	n, err := t.exec(query, args...)
	if err == nil && n == 0 {
		err = conversations.ErrNotFound
	}
	return err
}

// one reads one row.
func one[T any](row *database.Row, scan func(database.Scanner) (T, error)) (T, error) {
	v, err := scan(row)
	if errors.Is(err, database.ErrNotFound) {
		return v, conversations.ErrNotFound
	}
	return v, err
}

// query builds a statement with its parameters.
type query struct {
	text string
	args []any
}

// add appends a part and its parameters.
func (q *query) add(part string, args ...any) {
	q.text += part
	q.args = append(q.args, args...)
}

// run reads all rows of the query.
func run[T any](r *reader, q query, scan func(database.Scanner) (T, error)) ([]T, error) {
	rows, err := r.q.Query(q.text, q.args...)
	return database.All(rows, err, scan)
}

// equal adds that a column has the value. MariaDB takes an equality for a reason to walk through an index from its
// end, past all that a following condition leaves out; said as a range it goes to where the list begins.
func (q *query) equal(engine database.Engine, column string, value any) {
	if engine == database.MySQL {
		q.add(column+" >= ? AND "+column+" <= ?", value, value)
		return
	}
	q.add(column+" = ?", value)
}

// along orders by all columns of an index, those too that are equal: so MariaDB sees that it is its order.
func (q *query) along(direction string, index ...string) {
	q.add(" ORDER BY " + strings.Join(index, direction+", ") + direction)
}

// number is how seqs are stored: as high as engines go, which nothing is.
func number(n uint64) int64 { return int64(min(n, math.MaxInt64)) }

// listJSON writes a list; nil is [].
func listJSON[T any](list []T) (string, error) {
	if len(list) == 0 {
		return "[]", nil
	}
	text, err := json.Marshal(list)
	return string(text), err
}

// readList reads a list; [] is nil.
func readList[T any](text string, into *[]T) error {
	if text == "[]" {
		*into = nil
		return nil
	}
	return json.Unmarshal([]byte(text), into)
}

// values makes a list of parameters of texts.
func values[T ~string](list []T) []any {
	args := make([]any, len(list))
	for i, v := range list {
		args[i] = string(v)
	}
	return args
}

// chunk is how many keys one statement names.
const chunk = 200
