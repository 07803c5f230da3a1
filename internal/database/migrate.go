package database

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"regexp"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/rondo-chat/rondo/internal/pause"
)

var setName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,30}$`)

// Migrate brings the tables of one set up to date: it runs the goose migrations
// of the folder in files that has the engine's name (sqlite, postgres, mysql),
// NNNNN_name.sql, those in order that have not run yet. Each package that owns
// tables is a set of its own with its own version table, goose_SET, so versions
// of different sets never meet.
//
// Any number of nodes may call it at once: one works, the others wait, as long as
// ctx allows; a migration that has begun runs to its end. A database that is newer than the files is left as it is and logged:
// during an update old nodes go on. On MariaDB and MySQL a migration is not
// atomic, so there each file should hold one statement.
func (db *DB) Migrate(ctx context.Context, set string, files fs.FS) error {
	if !setName.MatchString(set) {
		return fmt.Errorf("database: %q is no name of a set of migrations", set)
	}
	sub, err := engineFolder(files, db.engine)
	if err != nil {
		return err
	}
	pool, free, err := db.migrationPool(ctx)
	if err != nil {
		return err
	}
	defer free()
	table := "goose_" + set
	if err := db.mend(ctx, pool, table); err != nil {
		return err
	}
	provider, err := goose.NewProvider(gooseDialect(db.engine), pool, sub,
		goose.WithTableName(table), goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("database: migrations of %s: %w", set, err)
	}
	return db.up(context.WithoutCancel(ctx), set, provider)
}

func (db *DB) up(ctx context.Context, set string, provider *goose.Provider) error {
	done, err := provider.Up(ctx)
	if err != nil {
		return fmt.Errorf("database: migrations of %s: %w", set, wrapMigration(err))
	}
	for _, m := range done {
		db.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "migrated the database",
			slog.String("set", set), slog.Int64("version", m.Source.Version), slog.Duration("took", m.Duration))
	}
	have, want, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("database: migrations of %s: %w", set, wrapMigration(err))
	}
	if have > want {
		db.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "the database is newer than this program",
			slog.String("set", set), slog.Int64("version", have), slog.Int64("known", want))
	}
	return nil
}

// wrapMigration classifies what the engine says and leaves goose's own errors as they are.
func wrapMigration(err error) error {
	version := ""
	if partial, ok := errors.AsType[*goose.PartialError](err); ok && partial.Failed != nil {
		version = fmt.Sprintf("version %d: ", partial.Failed.Source.Version)
	}
	wrapped := wrap(err)
	if e, ok := errors.AsType[*Error](wrapped); ok && e.Kind == KindOther && e.Code == "" {
		return err
	}
	return fmt.Errorf("%s%w", version, wrapped)
}

// engineFolder returns the folder with the engine's migrations, which must not be empty.
func engineFolder(files fs.FS, engine Engine) (fs.FS, error) {
	found := ""
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == string(engine) && found == "" {
			found = path
			return fs.SkipAll
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("database: migrations: %w", err)
	}
	if found == "" {
		return nil, fmt.Errorf("database: there are no migrations for %s", engine)
	}
	return fs.Sub(files, found)
}

func gooseDialect(e Engine) goose.Dialect {
	switch e {
	case Postgres:
		return goose.DialectPostgres
	case MySQL:
		return goose.DialectMySQL
	}
	return goose.DialectSQLite3
}

// migrationPool takes the lock and returns connections for goose; free gives
// both back. The connections of a server are of their own: no timeout ends what
// takes its time on a big table, and with them the lock ends too.
func (db *DB) migrationPool(ctx context.Context) (pool *sql.DB, free func(), err error) {
	if db.engine == SQLite {
		free, err = lockFile(ctx, db.source.path+"-migrate")
		return db.write.DB, free, err
	}
	if pool, err = db.openServer(db.source, 0); err != nil {
		return nil, nil, err
	}
	locked, err := db.lockServer(ctx, pool)
	if err != nil {
		_ = pool.Close()
		return nil, nil, wrap(err)
	}
	return pool, func() {
		discard(locked)
		_ = pool.Close()
	}, nil
}

// lockPause is how long to wait before asking for a taken lock again.
const lockPause = 100 * time.Millisecond

// lockServer takes a lock of the server, one for each database of it, that
// belongs to the connection returned. goose's own locking leaves out its first
// look at the tables, which another node may just be making.
func (db *DB) lockServer(ctx context.Context, pool *sql.DB) (*sql.Conn, error) {
	name := sha256.Sum256([]byte("rondo migrations " + db.source.url.Path))
	try := "SELECT GET_LOCK(?, 0)"
	if db.engine == Postgres {
		try = "SELECT CASE WHEN pg_try_advisory_lock(hashtextextended($1, 0)) THEN 1 ELSE 0 END"
	}
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	for {
		var got sql.NullInt64
		err := conn.QueryRowContext(ctx, try, hex.EncodeToString(name[:16])).Scan(&got)
		if err == nil && got.Int64 == 1 {
			return conn, nil
		}
		if err == nil {
			err = pause.For(ctx, lockPause)
		}
		if err != nil {
			discard(conn)
			return nil, err
		}
	}
}

// mend removes a version table without a row. MariaDB and MySQL commit a CREATE
// TABLE at once, so a node that died between it and the first INSERT leaves one,
// and goose would refuse it for ever.
func (db *DB) mend(ctx context.Context, pool *sql.DB, table string) error {
	if db.engine != MySQL {
		return nil
	}
	var there, rows int
	err := pool.QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?", table).Scan(&there)
	if err != nil || there == 0 {
		return wrap(err)
	}
	if err := pool.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+table).Scan(&rows); err != nil || rows > 0 {
		return wrap(err)
	}
	_, err = pool.ExecContext(ctx, "DROP TABLE "+table)
	return wrap(err)
}

// lockFile locks with an open transaction of a second SQLite file: a lock that
// works on every system, between handles of one process too, and ends with the process.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	if err := makeFile(path); err != nil {
		return nil, err
	}
	pool, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_txlock=exclusive")
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	pool.SetMaxOpenConns(1)
	for {
		tx, err := pool.BeginTx(context.WithoutCancel(ctx), nil)
		if err == nil {
			return func() {
				_ = tx.Rollback()
				_ = pool.Close()
			}, nil
		}
		err = wrap(err)
		if e, ok := errors.AsType[*Error](err); ok && e.Kind == kindBusy {
			err = pause.For(ctx, lockPause)
		}
		if err != nil {
			_ = pool.Close()
			return nil, wrap(err)
		}
	}
}
