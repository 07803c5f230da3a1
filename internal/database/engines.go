package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// dialTimeout bounds making one connection.
const dialTimeout = 3 * time.Second

// busyTimeout is how long SQLite itself waits at most for a lock of another process.
const busyTimeout = 5 * time.Second

// openSQLite opens the file with one of the two kinds of connections: writers
// take the write lock when they begin, readers cannot write.
func openSQLite(path string, write bool, timeout time.Duration) (*sql.DB, error) {
	q := url.Values{"_dqs": {"0"}, "_txlock": {"deferred"}}
	pragmas := []string{
		"busy_timeout(" + strconv.FormatInt(min(busyTimeout, timeout).Milliseconds(), 10) + ")",
		"journal_mode(wal)", "synchronous(full)", "foreign_keys(1)", "trusted_schema(0)",
	}
	if write {
		q.Set("_txlock", "immediate")
		pragmas = append(pragmas, "secure_delete(1)") // what is deleted is overwritten
	} else {
		pragmas = append(pragmas, "query_only(1)")
	}
	q["_pragma"] = pragmas
	pool, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	return pool, nil
}

// makeFile makes the database's file, if it is missing, readable by its owner
// only. SQLite gives the files beside it the same rights.
func makeFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	return f.Close()
}

// openPostgres opens a pool of pgx connections.
func openPostgres(u *url.URL, timeout time.Duration) (*sql.DB, error) {
	if err := refuse(u.Query(), "default_query_exec_mode"); err != nil {
		return nil, err
	}
	cfg, err := pgx.ParseConfig(u.String())
	if err != nil {
		return nil, errors.New("database: a parameter of the postgres URL cannot be read")
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = dialTimeout
	}
	ms := strconv.FormatInt(timeout.Milliseconds(), 10)
	for name, value := range map[string]string{
		"application_name": "rondo", "statement_timeout": ms, "lock_timeout": ms,
		"idle_in_transaction_session_timeout": ms, "client_encoding": "UTF8",
	} {
		if _, set := cfg.RuntimeParams[name]; !set {
			cfg.RuntimeParams[name] = value
		}
	}
	return stdlib.OpenDB(*cfg), nil
}

// sqlMode makes MariaDB and MySQL refuse what they would cut or bend, and read
// quotes and backslashes as the standard has it.
const sqlMode = "'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'"

// openMySQL opens a pool of go-sql-driver connections.
func openMySQL(u *url.URL, timeout time.Duration, log *slog.Logger) (*sql.DB, error) {
	q := u.Query()
	cfg := mysql.NewConfig()
	cfg.User = u.User.Username()
	cfg.Passwd, _ = u.User.Password()
	cfg.Net, cfg.Addr = "tcp", u.Host
	if u.Port() == "" {
		cfg.Addr = net.JoinHostPort(u.Hostname(), "3306")
	}
	if socket := q.Get("socket"); socket != "" {
		cfg.Net, cfg.Addr = "unix", socket
	}
	cfg.DBName = strings.TrimPrefix(u.Path, "/")
	cfg.TLSConfig = q.Get("tls")
	for name := range q {
		if name != "socket" && name != "tls" {
			return nil, fmt.Errorf("database: the parameter %q is not allowed in a mysql URL", name)
		}
	}
	if cfg.DBName == "" {
		return nil, errors.New("database: the mysql URL names no database")
	}
	cfg.Collation = "utf8mb4_bin"
	cfg.ClientFoundRows = true // an UPDATE counts the rows it found, as elsewhere
	cfg.ParseTime = true       // goose reads its timestamps so
	cfg.Timeout, cfg.ReadTimeout, cfg.WriteTimeout = dialTimeout, 2*timeout, 2*timeout
	cfg.Params = map[string]string{
		"sql_mode": sqlMode,
	}
	if timeout > 0 {
		cfg.Params["innodb_lock_wait_timeout"] = strconv.Itoa(max(1, int(timeout.Seconds())))
	}
	cfg.Logger = mysqlLog{log}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, errors.New("database: the mysql URL cannot be read")
	}
	return sql.OpenDB(connector), nil
}

// mysqlLog takes what the driver has to say of broken connections.
type mysqlLog struct{ log *slog.Logger }

func (l mysqlLog) Print(v ...any) {
	l.log.LogAttrs(context.Background(), slog.LevelDebug, "mysql driver", slog.String("text", fmt.Sprint(v...)))
}
