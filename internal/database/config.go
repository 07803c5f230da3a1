package database

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config says which database to open and how. Zero fields have the defaults given.
type Config struct {
	// URL names the database:
	//
	//	sqlite:PATH                                  one file, made if it is missing
	//	postgres://user:password@host:port/name?…    parameters as libpq's (sslmode, host for a socket's folder)
	//	mysql://user:password@host:port/name?tls=…   also mariadb://; ?socket=PATH instead of host and port
	URL string
	// Password replaces the password in URL and Replicas, so that it can come from a file.
	Password string
	// Replicas are URLs of read replicas of the same engine; none for SQLite.
	Replicas []string
	// MaxConns bounds the open connections to each server, for SQLite the
	// readers; 16, at least 2.
	MaxConns int
	// Timeout bounds one call of Write or Read with all its tries and waiting; 10 s.
	// Only a SQLite write that has its turn is not interrupted by it, and
	// ReadStale may spend 2 s more on a replica that hangs.
	Timeout time.Duration
	// SlowQuery is how long a statement may take before it is logged; 200 ms,
	// negative: never.
	SlowQuery time.Duration
	// MaxLag is how far a replica may be behind and still be read; 5 s.
	MaxLag time.Duration

	Logger     *slog.Logger          // discards by default
	Registerer prometheus.Registerer // nil: no metrics
}

// validate fills in the defaults.
func (c *Config) validate() error {
	switch {
	case c.URL == "":
		return errors.New("database: Config.URL is missing")
	case c.MaxConns < 0 || c.MaxConns == 1:
		return errors.New("database: Config.MaxConns must be at least 2")
	case c.Timeout < 0:
		return errors.New("database: Config.Timeout is negative")
	case c.MaxLag < 0:
		return errors.New("database: Config.MaxLag is negative")
	}
	if c.MaxConns == 0 {
		c.MaxConns = 16
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.SlowQuery == 0 {
		c.SlowQuery = 200 * time.Millisecond
	}
	if c.MaxLag == 0 {
		c.MaxLag = 5 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Engine is a kind of database.
type Engine string

// The engines. The value is also the name of the folder with its migrations.
const (
	SQLite   Engine = "sqlite"
	Postgres Engine = "postgres"
	MySQL    Engine = "mysql" // MariaDB too
)

// ForUpdate is what ends a SELECT whose rows the transaction is going to change:
// others then wait for it instead of failing and trying again. SQLite, where
// writers come one after another anyway, has no word for it.
func (e Engine) ForUpdate() string {
	if e == SQLite {
		return ""
	}
	return " FOR UPDATE"
}

// source is a parsed URL.
type source struct {
	engine Engine
	path   string   // SQLite's file
	url    *url.URL // of a server, with the password
}

// parseURL reads a database URL. Its errors never repeat the URL: it may hold a
// password.
func parseURL(text, password string) (source, error) {
	scheme, rest, _ := strings.Cut(text, ":")
	if scheme == "sqlite" {
		return sqliteSource(rest)
	}
	u, err := url.Parse(text)
	if err != nil {
		return source{}, errors.New("database: the URL cannot be read (write special characters of the password as %XX)")
	}
	if password != "" {
		u.User = url.UserPassword(u.User.Username(), password)
	}
	switch u.Scheme {
	case "postgres", "postgresql":
		return source{engine: Postgres, url: u}, nil
	case "mysql", "mariadb":
		return source{engine: MySQL, url: u}, nil
	}
	return source{}, errors.New("database: the URL must begin with sqlite:, postgres:// or mysql://")
}

func sqliteSource(rest string) (source, error) {
	path, query, _ := strings.Cut(rest, "?")
	path = strings.TrimPrefix(path, "//") // sqlite:///var/lib/x.db
	switch {
	case query != "":
		return source{}, errors.New("database: sqlite: takes no parameters")
	case path == "" || strings.Contains(path, ":memory:"):
		return source{}, errors.New("database: sqlite: needs the path of a file")
	}
	return source{engine: SQLite, path: path}, nil
}

// refuse returns an error if the URL's query has one of the parameters: they
// would put parameters into the text of statements, or let a server read files.
func refuse(q url.Values, names ...string) error {
	for _, name := range names {
		if q.Has(name) {
			return fmt.Errorf("database: the parameter %s is not allowed in the URL", name)
		}
	}
	return nil
}
