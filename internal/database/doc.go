// Package database opens the SQL database that a store stands on and lets it
// forget which one it is: SQLite (one file, the default), PostgreSQL or
// MariaDB/MySQL, the latter two with read replicas if there are any.
//
// # What it promises
//
//   - Write is one transaction, serializable on every engine: it sees and leaves
//     the database as if it had run alone. It is tried again, with jitter, when
//     the engine asks for that (serialization failure, deadlock, busy) and when
//     the connection was lost before the commit was sent; so its function may run
//     more than once and keeps nothing outside the transaction until Write
//     returns nil. After nil, what was written is on disk.
//   - A statement that has begun is not cancelled by its caller's context: that
//     ends waiting for a connection and between tries only.
//   - Read sees one snapshot of the primary. ReadStale may be answered by a
//     replica that lags by no more than Config.MaxLag, and never by one that lacks
//     what the context's Session has written.
//   - Parameters travel as parameters, never inside of a statement's text.
//   - Errors are classified once (Error): ErrNotFound, ErrConflict with the index's
//     name, ErrForeignKey, ErrInvalid, and unavailable as *protocol.Error with a
//     time to try again. No error, log line or metric carries a parameter or a value of a row.
//
// # What a store must do to run on all engines
//
//   - Placeholders are ?, for PostgreSQL they become $1, $2, …; literals, quoted
//     names and comments are left alone. Names in double quotes work everywhere.
//   - Ids are text (TEXT, in MariaDB VARCHAR(…) CHARACTER SET ascii COLLATE
//     ascii_bin; a UUID is its 36 lower-case characters). Times are BIGINT, microseconds
//     since 1970 (Micros, Time). BOOLEAN, INTEGER, BIGINT and TEXT mean the same
//     everywhere; bytes are BLOB, in PostgreSQL BYTEA, in MariaDB VARBINARY or LONGBLOB. Text
//     columns in MariaDB are declared COLLATE utf8mb4_bin: without it 'A' equals 'a'.
//     In utf8mb4_bin and ascii_bin spaces at the end do not count: a store trims them, or uses VARBINARY.
//   - Unique indexes are made by name, CREATE UNIQUE INDEX users_email ON users
//     (email): table, then the columns, joined by underscores. That name is what a conflict reports; a
//     primary key is "primary".
//   - RETURNING and last insert ids are not used (MySQL has no RETURNING): ids are
//     made by the program, numbers drawn by UPDATE and SELECT in one transaction.
//     LIMIT ? OFFSET ? works everywhere; Tx.Upsert and Tx.InsertNew hide the rest.
//   - After a failed statement a transaction takes no other: PostgreSQL's rule, for all
//     engines. What may exist already is inserted by InsertNew.
//   - Rows are closed before the next statement of the same transaction.
//   - A write inside a write waits for itself: never call Write within f.
package database
