package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"

	"github.com/rondo-chat/rondo/protocol"
)

// What errors.Is finds in the errors of this package.
var (
	ErrNotFound   = errors.New("database: no such row")
	ErrConflict   = errors.New("database: a row with this key exists") // *Error has the index's name
	ErrForeignKey = errors.New("database: the row it refers to is missing, or rows refer to it")
	ErrInvalid    = errors.New("database: the value is not allowed") // NOT NULL, CHECK, too long, out of range, not UTF-8
	// ErrUncertain: the connection was lost while the commit was on its way. What
	// the transaction wrote is there or is not. The error is unavailable too.
	ErrUncertain = errors.New("database: it is not known whether the transaction was committed")
)

// Retry is what clients are told to wait when the database is unavailable.
const Retry = time.Second

// Kind is the class of an error.
type Kind string

// The kinds. The first row is what a store deals with; of the second only
// unavailable comes out of Write and Read.
const (
	KindConflict    Kind = "conflict"
	KindForeignKey  Kind = "foreign_key"
	KindInvalid     Kind = "invalid"
	KindUnavailable Kind = "unavailable"
	KindOther       Kind = "other" // a wrong statement, no right to do it, a damaged file

	kindSerialization Kind = "serialization"
	kindDeadlock      Kind = "deadlock"
	kindBusy          Kind = "busy"
)

// Error is a failed statement or transaction. Its text carries no parameter and
// no value of a row; the driver's own error, which may, is what Unwrap returns.
type Error struct {
	Kind       Kind
	Constraint string // of a conflict: the unique index's name, or "primary"
	Code       string // the engine's: SQLSTATE, number, extended result code; or ""
	Uncertain  bool   // see ErrUncertain

	lost  bool   // the server ended the connection: another one may be good
	text  string // the engine's words, where they are safe
	cause error
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("database: " + string(e.Kind))
	if e.Constraint != "" {
		b.WriteString(" on " + e.Constraint)
	}
	if e.Code != "" {
		b.WriteString(" (" + e.Code + ")")
	}
	if e.Uncertain {
		b.WriteString(": not known whether it was committed")
	}
	if e.text != "" {
		b.WriteString(": " + e.text)
	}
	return b.String()
}

// Unwrap gives the driver's error and, if the database is unavailable, what may
// be shown to clients (*protocol.Error).
func (e *Error) Unwrap() []error {
	if e.Kind.temporary() {
		return []error{&protocol.Error{
			Code: protocol.CodeUnavailable, Msg: "the service is unavailable for the moment", Retry: Retry,
		}, e.cause}
	}
	return []error{e.cause}
}

// Is finds the sentinels.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrConflict:
		return e.Kind == KindConflict
	case ErrForeignKey:
		return e.Kind == KindForeignKey
	case ErrInvalid:
		return e.Kind == KindInvalid
	case ErrUncertain:
		return e.Uncertain
	}
	return false
}

// temporary reports whether the same may succeed later.
func (k Kind) temporary() bool { return k == KindUnavailable || k.again() }

// again reports whether the engine asks for another try of the transaction.
func (k Kind) again() bool {
	return k == kindSerialization || k == kindDeadlock || k == kindBusy
}

// wrap classifies an error of a driver. It is the one place that knows the
// engines' codes. A context that was cancelled stays what it is.
func wrap(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	if _, done := errors.AsType[*Error](err); done {
		return err
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return wrapPostgres(pg, err)
	}
	if my, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return wrapMySQL(my, err)
	}
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		return wrapSQLite(lite, err)
	}
	if isConnection(err) {
		return &Error{Kind: KindUnavailable, lost: true, text: err.Error(), cause: err}
	}
	return &Error{Kind: KindOther, text: "the driver failed (" + fmt.Sprintf("%T", err) + ")", cause: err}
}

// isConnection reports whether err is the loss or want of a connection.
func isConnection(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	for _, lost := range []error{
		driver.ErrBadConn, mysql.ErrInvalidConn, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
		sql.ErrConnDone, context.DeadlineExceeded,
	} {
		if errors.Is(err, lost) {
			return true
		}
	}
	// pgx: a connection that broke earlier ("conn closed") has no type of its own.
	return pgconn.SafeToRetry(err) || pgconn.Timeout(err) || strings.HasSuffix(err.Error(), "conn closed")
}

func wrapPostgres(pg *pgconn.PgError, err error) *Error {
	e := &Error{Kind: KindOther, Code: pg.Code, cause: err}
	switch pg.Code {
	case "40001", "40003":
		e.Kind = kindSerialization
	case "0A000": // a plan made before another node's migration; pgx forgets it now
		if strings.Contains(pg.Message, "cached plan") {
			e.Kind = kindSerialization
		}
	case "40P01":
		e.Kind = kindDeadlock
	case "55P03":
		e.Kind = kindBusy
	case "23505":
		e.Kind, e.Constraint = KindConflict, pg.ConstraintName
		if strings.HasSuffix(e.Constraint, "_pkey") {
			e.Constraint = primary
		}
	case "23503", "23001":
		e.Kind = KindForeignKey
	case "57014", "25006": // timeout; now a standby
		e.Kind = KindUnavailable
	case "57P01", "57P02", "57P05", "25P03", "08006", "08003": // shutdown, crash, idle for too long, lost
		e.Kind, e.lost = KindUnavailable, true
	default:
		e.Kind = postgresClass(pg.Code)
	}
	if class := pg.Code[:min(2, len(pg.Code))]; e.Kind == KindUnavailable || class == "42" || class == "28" {
		e.text = pg.Message
	}
	return e
}

// primary is the Constraint of a primary key.
const primary = "primary"

// postgresClass classifies by the first two characters of the SQLSTATE.
func postgresClass(code string) Kind {
	switch code[:min(2, len(code))] {
	case "22", "23": // data exception, integrity constraint
		return KindInvalid
	case "08", "53", "57", "58": // connection, resources (disk full), operator, system
		return KindUnavailable
	}
	return KindOther
}

func wrapMySQL(my *mysql.MySQLError, err error) *Error {
	e := &Error{Kind: KindOther, Code: strconv.Itoa(int(my.Number)), cause: err}
	switch my.Number {
	case 1020: // the row has changed since it was read
		e.Kind = kindSerialization
	case 1213:
		e.Kind = kindDeadlock
	case 1205, 3572: // lock wait
		e.Kind = kindBusy
	case 1062, 1586:
		e.Kind, e.Constraint = KindConflict, mysqlKey(my.Message)
	case 1216, 1217, 1451, 1452:
		e.Kind = KindForeignKey
	case 1048, 1264, 1265, 1292, 1364, 1366, 1406, 3819, 4025:
		e.Kind = KindInvalid
	case 1053, 1077, 1158, 1159, 1160, 1161, 1927, 4031: // shutdown, lost, killed, idle for too long
		e.Kind, e.lost, e.text = KindUnavailable, true, my.Message
	case 1021, 1037, 1040, 1041, 1114, 1129, 1203, 1226, 1290, 1317, 1792, 1836, 1969, 3024: // full, too many, read-only, too slow
		e.Kind, e.text = KindUnavailable, my.Message
	case 1044, 1045, 1049, 1054, 1064, 1142, 1146, 1149, 1305: // names and statements, no values
		e.text = my.Message
	}
	return e
}

// mysqlKey takes the index's name out of "Duplicate entry '…' for key 'name'"
// (MySQL 8: 'table.name'). The entry may hold anything, also quotes; the name
// stands last.
func mysqlKey(message string) string {
	_, name, ok := cutLast(message, " for key '")
	if !ok {
		return ""
	}
	name = strings.TrimSuffix(name, "'")
	if _, after, ok := cutLast(name, "."); ok {
		name = after
	}
	if name == "PRIMARY" {
		return primary
	}
	return name
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// SQLite's result codes (https://www.sqlite.org/rescode.html).
const (
	sqliteError, sqliteBusy, sqliteLocked, sqliteReadonly    = 1, 5, 6, 8
	sqliteInterrupt, sqliteIOErr, sqliteFull, sqliteCantOpen = 9, 10, 13, 14
	sqliteProtocol, sqliteTooBig, sqliteConstraint           = 15, 18, 19
	sqlitePrimaryKey, sqliteUnique, sqliteRowID              = 1555, 2067, 2579
	sqliteForeignKey, sqliteTrigger                          = 787, 1811
)

func wrapSQLite(lite *sqlite.Error, err error) *Error {
	code := lite.Code()
	e := &Error{Kind: KindOther, Code: strconv.Itoa(code), cause: err}
	switch code {
	case sqlitePrimaryKey, sqliteRowID:
		e.Kind, e.Constraint = KindConflict, primary
		return e
	case sqliteUnique:
		e.Kind, e.Constraint = KindConflict, sqliteKey(lite.Error())
		return e
	case sqliteForeignKey, sqliteTrigger:
		e.Kind = KindForeignKey
		return e
	}
	switch code & 0xff {
	case sqliteBusy, sqliteLocked:
		e.Kind = kindBusy
	case sqliteConstraint, sqliteTooBig:
		e.Kind = KindInvalid
	case sqliteReadonly, sqliteInterrupt, sqliteIOErr, sqliteFull, sqliteCantOpen, sqliteProtocol:
		e.Kind, e.text = KindUnavailable, lite.Error()
	case sqliteError:
		e.text = lite.Error() // no such table, syntax
	}
	return e
}

// sqliteKey makes the index's name, as the house names indexes, of "UNIQUE
// constraint failed: users.a, users.b (2067)"; an index over an expression is
// named by SQLite itself: "index 'name'".
func sqliteKey(message string) string {
	_, key, ok := cutLast(message, "UNIQUE constraint failed: ")
	if !ok {
		return ""
	}
	if before, _, ok := cutLast(key, " ("); ok {
		key = before
	}
	if name, ok := strings.CutPrefix(key, "index '"); ok {
		return strings.TrimSuffix(name, "'")
	}
	var table string
	var columns []string
	for column := range strings.SplitSeq(key, ", ") {
		t, c, _ := strings.Cut(column, ".")
		table, columns = t, append(columns, c)
	}
	return table + "_" + strings.Join(columns, "_")
}
