// Package sqlstore keeps accounts, their mails and the service's signing keys in an
// SQL database: SQLite, PostgreSQL, MariaDB or MySQL (internal/database).
//
// A Store is everything that several parts need of the same tables: the
// accounts.Store, the outbox of internal/mail, the auth.KeyStore, the list of revocations
// and the saved answers of REST. Times are microseconds; 0 is the zero time.
// It also copies all of it, and the tables of other parts (With): Move to another database, Backup to a file and Restore from it.
// In MariaDB all text, ids too, is utf8mb4: a column of ASCII cannot be compared with what a client may send.
package sqlstore

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"slices"
	"time"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/internal/database"
)

//go:embed migrations
var migrations embed.FS

// setName is the name of the set of migrations; its versions are in the table goose_accounts.
const setName = "accounts"

// Store implements accounts.Store. It is safe for concurrent use, also by several nodes.
type Store struct {
	db     *database.DB
	files  fs.FS // migrations
	others []set // what copies take too
}

var _ accounts.Store = (*Store)(nil)

// New returns the store in the database, whose tables Migrate makes.
func New(db *database.DB) *Store { return &Store{db: db, files: migrations} }

// Migrate brings the tables up to date; any number of nodes may do so at once.
func (s *Store) Migrate(ctx context.Context) error { return s.db.Migrate(ctx, setName, s.files) }

// With returns the store with another part's set of migrations (database.DB.Migrate) in the same database: copies take its
// tables too, as far as there are any. Migrate stays that part's own.
func (s *Store) With(name string, files fs.FS) *Store {
	all := *s
	all.others = append(slices.Clone(s.others), set{name, files})
	return &all
}

// Write implements accounts.Store.
func (s *Store) Write(ctx context.Context, name string, f func(accounts.Tx) error) error {
	return s.db.Write(ctx, name, func(tx *database.Tx) error {
		return f(&txn{reader: reader{q: tx, lock: tx.Engine().ForUpdate()}, tx: tx})
	})
}

// Read implements accounts.Store.
func (s *Store) Read(ctx context.Context, name string, f func(accounts.Reader) error) error {
	return s.db.Read(ctx, name, func(q database.Queryer) error { return f(&reader{q: q}) })
}

// reader implements accounts.Reader.
type reader struct {
	q    database.Queryer
	lock string // ends a SELECT of what the transaction is going to change
}

// txn implements accounts.Tx.
type txn struct {
	reader
	tx *database.Tx
}

var _ accounts.Tx = (*txn)(nil)

// exec runs a statement whose number of rows does not matter.
func (t *txn) exec(query string, args ...any) error {
	_, err := t.tx.Exec(query, args...)
	return taken(err)
}

// put inserts or replaces.
func (t *txn) put(table string, key, columns []string, args ...any) error {
	return taken(t.tx.Upsert(table, key, columns, args...))
}

// taken makes a conflict on a unique value of a person the accounts.TakenError.
func taken(err error) error {
	conflict, ok := errors.AsType[*database.Error](err)
	if !ok || conflict.Kind != database.KindConflict {
		return err
	}
	switch conflict.Constraint {
	case "users_identity":
		return &accounts.TakenError{Field: accounts.ByIdentity}
	case "users_email_key":
		return &accounts.TakenError{Field: accounts.ByEmail}
	case "users_username", "registrations_username":
		return &accounts.TakenError{Field: accounts.ByUsername}
	case "passkeys_credential_id":
		return &accounts.TakenError{Field: accounts.ByCredential}
	}
	return err
}

// one reads one row.
func one[T any](row *database.Row, scan func(database.Scanner) (T, error)) (T, error) {
	v, err := scan(row)
	if errors.Is(err, database.ErrNotFound) {
		return v, accounts.ErrNotFound
	}
	return v, err
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return database.Micros(t)
}

func instant(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return database.Time(micros)
}

// list makes a list of parameters.
func list(values []string) []any {
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	return args
}
