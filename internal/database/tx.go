package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Queryer reads. It belongs to one call of Write, Read or ReadStale, must not
// be used after it or by several goroutines at once.
type Queryer interface {
	// Query runs a statement that returns rows. The rows must be closed before
	// the next statement.
	Query(query string, args ...any) (*Rows, error)
	// QueryRow runs a statement that returns one row; its error comes with Scan,
	// ErrNotFound if there is none.
	QueryRow(query string, args ...any) *Row
	// Engine says what the statement is for, where engines differ.
	Engine() Engine
}

// Tx is one transaction.
type Tx struct {
	db   *DB
	tx   *sql.Tx
	name string

	// ctx is not cancelled by the caller, and the reason why statements take none:
	// a cancelled write leaves its connection, and what it did, in doubt.
	ctx context.Context

	failed error // of the first statement that failed; no other is run after it
	open   bool  // rows are open
}

var _ Queryer = (*Tx)(nil)

var (
	errRowsOpen  = errors.New("database: a statement while rows of another are open: close them first")
	errArguments = errors.New("database: the statement's placeholders and arguments differ in number")
)

// Engine implements Queryer.
func (tx *Tx) Engine() Engine { return tx.db.engine }

// Exec runs a statement that returns no rows and gives the number of rows that
// it inserted, deleted or, for an UPDATE, found.
func (tx *Tx) Exec(query string, args ...any) (int64, error) {
	n, err := tx.exec(query, args)
	return n, tx.fail(err)
}

func (tx *Tx) exec(query string, args []any) (int64, error) {
	query, args, err := tx.ready(query, args)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	result, err := tx.tx.ExecContext(tx.ctx, query, args...)
	tx.db.statement(tx.name, query, time.Since(start))
	if err != nil {
		return 0, wrap(err)
	}
	n, err := result.RowsAffected()
	return n, wrap(err)
}

// Query implements Queryer.
func (tx *Tx) Query(query string, args ...any) (*Rows, error) {
	query, args, err := tx.ready(query, args)
	if err != nil {
		return nil, tx.fail(err)
	}
	start := time.Now()
	rows, err := tx.tx.QueryContext(tx.ctx, query, args...) //nolint:rowserrcheck // Rows.Err is the caller's
	if err != nil {
		tx.db.statement(tx.name, query, time.Since(start))
		return nil, tx.fail(wrap(err))
	}
	tx.open = true
	return &Rows{tx: tx, rows: rows, query: query, start: start}, nil
}

// QueryRow implements Queryer.
func (tx *Tx) QueryRow(query string, args ...any) *Row {
	rows, err := tx.Query(query, args...)
	return &Row{rows: rows, err: err}
}

// InsertNew inserts a row unless one with the same key is there, and reports
// whether it did. columns are names that the program chose, never input.
func (tx *Tx) InsertNew(table string, columns []string, args ...any) (bool, error) {
	query := insert(table, columns)
	if tx.db.engine != MySQL {
		n, err := tx.Exec(query+" ON CONFLICT DO NOTHING", args...)
		return n == 1, err
	}
	// INSERT IGNORE would also ignore what is wrong with the row. A duplicate key
	// undoes the statement alone, not the transaction.
	_, err := tx.exec(query, args)
	if errors.Is(err, ErrConflict) {
		return false, nil
	}
	return err == nil, tx.fail(err)
}

// Upsert inserts a row or, if one with the same key is there, sets all its
// other columns. key names the columns of one unique index.
func (tx *Tx) Upsert(table string, key, columns []string, args ...any) error {
	var query strings.Builder
	query.WriteString(insert(table, columns))
	format := "%s = excluded.%s"
	if tx.db.engine == MySQL {
		format = "%s = VALUES(%s)"
		query.WriteString(" ON DUPLICATE KEY UPDATE ")
	} else {
		mustName(key...)
		query.WriteString(" ON CONFLICT (" + strings.Join(key, ", ") + ") DO UPDATE SET ")
	}
	var set []string
	for _, c := range columns {
		if !slices.Contains(key, c) {
			set = append(set, fmt.Sprintf(format, c, c))
		}
	}
	if len(set) == 0 {
		return tx.fail(errors.New("database: Upsert without a column to set: use InsertNew"))
	}
	query.WriteString(strings.Join(set, ", "))
	_, err := tx.Exec(query.String(), args...)
	return err
}

func insert(table string, columns []string) string {
	mustName(table)
	mustName(columns...)
	return "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES (" + Marks(len(columns)) + ")"
}

var identifier = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// mustName keeps names that are no names out of statements: a mistake of the
// program, never of a client.
func mustName(names ...string) {
	for _, n := range names {
		if !identifier.MatchString(n) {
			panic(fmt.Sprintf("database: %q is no name of a table or column", n))
		}
	}
}

// Marks returns n placeholders for a list: "?, ?, ?". For none it returns NULL,
// so that IN (…) is right, and empty.
func Marks(n int) string {
	if n <= 0 {
		return "NULL"
	}
	return strings.Repeat("?, ", n-1) + "?"
}

// Micros is how times are stored.
func Micros(t time.Time) int64 { return t.UnixMicro() }

// Time is the time of Micros, in UTC.
func Time(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

// ready checks a statement and writes it as the engine has it.
func (tx *Tx) ready(query string, args []any) (string, []any, error) {
	switch {
	case tx.failed != nil:
		return "", nil, tx.failed
	case tx.open:
		return "", nil, errRowsOpen
	}
	bound, n, err := rebind(query, tx.db.engine == Postgres)
	if err == nil && n != len(args) {
		err = errArguments
	}
	if err != nil {
		return "", nil, err
	}
	plain := make([]any, len(args))
	for i, a := range args {
		if plain[i], err = parameter(a); err != nil {
			return "", nil, err
		}
	}
	return bound, plain, nil
}

// parameter makes a value one of nil, bool, int64, float64, string and []byte, and
// refuses what engines would take differently.
func parameter(a any) (any, error) {
	v, err := driver.DefaultParameterConverter.ConvertValue(a)
	if err != nil {
		return nil, fmt.Errorf("database: a parameter of type %T is not supported", a)
	}
	switch v := v.(type) {
	case string:
		if !utf8.ValidString(v) || strings.IndexByte(v, 0) >= 0 {
			return nil, &Error{Kind: KindInvalid, text: "text that is not UTF-8 or has a NUL"}
		}
	case []byte:
		if v == nil {
			return nil, nil
		}
	case time.Time:
		return nil, errors.New("database: times are stored as Micros")
	}
	return v, nil
}

// fail remembers the first error of a statement.
func (tx *Tx) fail(err error) error {
	if err != nil && tx.failed == nil {
		tx.failed = err
	}
	return err
}

// Rows are the rows of a Query, to be used as those of database/sql.
type Rows struct {
	tx    *Tx
	rows  *sql.Rows
	query string
	start time.Time
	done  bool
}

// Next steps to the next row and reports whether there is one. After the last
// one the rows are closed.
func (r *Rows) Next() bool {
	if r.rows.Next() {
		return true
	}
	r.finish()
	return false
}

// Scan copies the row's columns.
func (r *Rows) Scan(dest ...any) error { return scanned(r.rows.Scan(dest...)) }

// Err is what ended the rows early, if anything did. It must be asked after Next.
func (r *Rows) Err() error { return r.tx.fail(wrap(r.rows.Err())) }

// Close ends the rows; it may be called again.
func (r *Rows) Close() error {
	err := r.rows.Close()
	r.finish()
	return r.tx.fail(wrap(err))
}

func (r *Rows) finish() {
	if !r.done {
		r.done = true
		r.tx.open = false
		r.tx.db.statement(r.tx.name, r.query, time.Since(r.start))
	}
}

// scanned hides the value in an error of Scan (it quotes what it cannot convert).
func scanned(err error) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: KindOther, text: "a column does not fit its destination", cause: err}
}

// Row is the row of a QueryRow.
type Row struct {
	rows *Rows
	err  error
}

// Scan copies the row's columns; ErrNotFound if there is no row. Of several it
// takes the first.
func (r *Row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return ErrNotFound
	}
	if err := r.rows.Scan(dest...); err != nil {
		_ = r.rows.Close() // Scan's error tells more
		return err
	}
	return r.rows.Close()
}

// Scanner is a row: *Row and *Rows.
type Scanner interface{ Scan(dest ...any) error }

// All reads all rows of a Query, and closes them.
func All[T any](rows *Rows, err error, scan func(Scanner) (T, error)) ([]T, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, rows.Err()
}
