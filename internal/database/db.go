package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rondo-chat/rondo/internal/pause"
)

// DB is an open database. Its methods may be called by any number of goroutines.
type DB struct {
	cfg     Config
	engine  Engine
	source  source
	metrics *metrics

	write    *pool // for SQLite one connection
	read     *pool // of the primary; for servers the same as write
	replicas []*replica
	turn     atomic.Uint64 // whose turn among the replicas it is
	beat     atomic.Int64  // the newest heartbeat that the primary took, Micros

	began time.Time
	stop  context.CancelFunc
	work  sync.WaitGroup
}

// now is the time by a clock that never steps back, whatever is done to the
// machine's: heartbeats and writes are compared by it.
func (db *DB) now() time.Time { return db.began.Add(time.Since(db.began)) }

// pool is a set of connections.
type pool struct {
	*sql.DB
	role    string // writer, reader, primary, replica: for metrics
	maxIdle int
}

func newPool(db *sql.DB, role string, conns int) *pool {
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return &pool{DB: db, role: role, maxIdle: conns}
}

// dropIdle closes the idle connections: one of them was found broken, so the
// others may be too.
func (p *pool) dropIdle() {
	p.SetMaxIdleConns(-1)
	p.SetMaxIdleConns(p.maxIdle)
}

// Open opens the database and asks it for an answer; without one the error is
// unavailable (*protocol.Error), and Open may be called again. Replicas need not
// answer.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	src, err := parseURL(cfg.URL, cfg.Password)
	if err != nil {
		return nil, err
	}
	db := &DB{cfg: cfg, engine: src.engine, source: src, began: time.Now()}
	db.metrics = newMetrics(db)
	if err := db.open(ctx); err != nil {
		db.closePools()
		return nil, err
	}
	if cfg.Registerer != nil {
		if err := cfg.Registerer.Register(db.metrics); err != nil {
			_ = db.Close()
			return nil, fmt.Errorf("database: %w", err)
		}
	}
	return db, nil
}

func (db *DB) open(ctx context.Context) error {
	if err := db.openPrimary(); err != nil {
		return err
	}
	if err := db.firstAnswer(ctx); err != nil {
		return err
	}
	for i, text := range db.cfg.Replicas {
		if err := db.openReplica(i, text); err != nil {
			return err
		}
	}
	background, stop := context.WithCancel(context.Background())
	db.stop = stop
	if len(db.replicas) == 0 {
		return nil
	}
	if err := db.Migrate(ctx, "heartbeat", migrations); err != nil {
		return err
	}
	db.watch(background)
	return nil
}

// firstAnswer asks both pools. SQLite's writer comes first: it makes the log that
// readers need.
func (db *DB) firstAnswer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, db.cfg.Timeout)
	defer cancel()
	if err := wrap(db.write.PingContext(ctx)); err != nil {
		return err
	}
	return db.Ping(ctx)
}

func (db *DB) openPrimary() error {
	if db.engine != SQLite {
		server, err := db.openServer(db.source, db.cfg.Timeout)
		if err != nil {
			return err
		}
		db.write = newPool(server, "primary", db.cfg.MaxConns)
		db.read = db.write
		return nil
	}
	if len(db.cfg.Replicas) > 0 {
		return errors.New("database: SQLite has no replicas")
	}
	if err := makeFile(db.source.path); err != nil {
		return err
	}
	w, err := openSQLite(db.source.path, true, db.cfg.Timeout)
	if err != nil {
		return err
	}
	db.write = newPool(w, "writer", 1)
	r, err := openSQLite(db.source.path, false, db.cfg.Timeout)
	if err != nil {
		return err
	}
	db.read = newPool(r, "reader", db.cfg.MaxConns)
	return nil
}

// openServer makes a pool whose statements the timeout ends, 0 for never.
func (db *DB) openServer(src source, timeout time.Duration) (*sql.DB, error) {
	if src.engine == Postgres {
		return openPostgres(src.url, timeout)
	}
	return openMySQL(src.url, timeout, db.cfg.Logger)
}

// Engine says which engine it is.
func (db *DB) Engine() Engine { return db.engine }

// Ping asks the primary for an answer: the readiness check. Of SQLite it asks a
// reader, for the writer may be busy. It waits no longer than ctx and
// Config.Timeout allow.
func (db *DB) Ping(ctx context.Context) error {
	return db.readFrom(ctx, db.read, "ping", db.cfg.Timeout, func(q Queryer) error {
		return q.QueryRow("SELECT 1").Scan(new(int))
	})
}

// Close waits for what is running and closes all connections.
func (db *DB) Close() error {
	if db.stop != nil {
		db.stop()
	}
	db.work.Wait()
	if db.cfg.Registerer != nil {
		db.cfg.Registerer.Unregister(db.metrics)
	}
	return db.closePools()
}

func (db *DB) closePools() error {
	var errs []error
	for _, p := range db.pools() {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}

// pools returns each pool once.
func (db *DB) pools() []*pool {
	var all []*pool
	if db.read != nil && db.read != db.write {
		all = append(all, db.read)
	}
	if db.write != nil {
		all = append(all, db.write) // SQLite: last, it takes the log back into the file
	}
	for _, r := range db.replicas {
		all = append(all, r.pool)
	}
	return all
}

// Write runs f in one serializable transaction and commits it if f returns nil.
// If Write returns nil, it is committed and on disk; else nothing of it is
// there, except that after ErrUncertain nobody knows. f may run more than once.
// name says what the write is for, a constant of the program: a metric's label.
func (db *DB) Write(ctx context.Context, name string, f func(*Tx) error) error {
	return db.writeAt(ctx, name, sql.LevelSerializable, f)
}

// WriteCommitted is Write for busy places where conflicts would make too many tries:
// on servers it runs at READ COMMITTED, where rows that f read may have changed
// when it writes, unless it reads them with Engine.ForUpdate.
func (db *DB) WriteCommitted(ctx context.Context, name string, f func(*Tx) error) error {
	return db.writeAt(ctx, name, sql.LevelReadCommitted, f)
}

func (db *DB) writeAt(ctx context.Context, name string, level sql.IsolationLevel, f func(*Tx) error) error {
	if db.engine == SQLite {
		level = sql.LevelDefault // its only one is serializable
	}
	defer func() { sessionOf(ctx).wrote(Micros(db.now())) }()
	return db.run(ctx, db.write, call{name: name, opts: sql.TxOptions{Isolation: level}, timeout: db.cfg.Timeout}, f)
}

// Read runs f over one snapshot of the primary: it sees everything that was
// committed before. f may run more than once.
func (db *DB) Read(ctx context.Context, name string, f func(Queryer) error) error {
	db.metrics.reads.WithLabelValues("primary").Inc()
	return db.readFrom(ctx, db.read, name, db.cfg.Timeout, f)
}

func (db *DB) readFrom(ctx context.Context, p *pool, name string, timeout time.Duration, f func(Queryer) error) error {
	opts := sql.TxOptions{ReadOnly: true}
	if db.engine != SQLite {
		opts.Isolation = sql.LevelRepeatableRead
	}
	return db.run(ctx, p, call{name: name, opts: opts, timeout: timeout}, func(tx *Tx) error { return f(tx) })
}

// call is what run needs to know of a transaction.
type call struct {
	name    string
	opts    sql.TxOptions
	timeout time.Duration
}

// Bounds of the tries of one transaction. What the engine asks to try again is
// tried for as long as there is time; a lost connection is given up sooner,
// because the server is gone more often than not.
const (
	maxTries       = 100
	maxReconnects  = 3
	firstPause     = 2 * time.Millisecond
	longestPause   = 250 * time.Millisecond
	reconnectPause = 50 * time.Millisecond
)

// run runs one transaction, again where that makes sense.
func (db *DB) run(ctx context.Context, p *pool, c call, f func(*Tx) error) error {
	start := time.Now()
	ctx, cancel := context.WithDeadline(ctx, start.Add(c.timeout))
	defer cancel()
	var err error
	for try, lost := 1, 0; ; try++ {
		err = db.once(ctx, p, c, f)
		kind := again(err)
		if kind == KindUnavailable {
			p.dropIdle()
			if lost++; lost >= maxReconnects {
				break
			}
		}
		if kind == "" || try >= maxTries || !rest(ctx, try, kind) {
			break
		}
		db.metrics.retries.WithLabelValues(string(kind)).Inc()
	}
	db.metrics.observe(c.name, time.Since(start), err)
	return err
}

// again returns why the transaction may be tried again, or "".
func again(err error) Kind {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Uncertain || !e.Kind.temporary() {
		return ""
	}
	if e.Kind == KindUnavailable && !e.lost {
		return "" // the server is there and cannot: full, read-only, too slow
	}
	return e.Kind
}

// rest waits before the next try, longer each time and never as long as
// another one, and reports whether there is time for it.
func rest(ctx context.Context, try int, kind Kind) bool {
	longest := min(firstPause<<min(try, 10), longestPause)
	if kind == KindUnavailable {
		longest = reconnectPause
	}
	return pause.For(ctx, rand.N(longest)+1) == nil
}

// once runs one try: waits for a connection as long as ctx allows, and from
// then on takes notice of its deadline only.
func (db *DB) once(ctx context.Context, p *pool, c call, f func(*Tx) error) error {
	conn, err := p.Conn(ctx)
	if err != nil {
		return wrap(err)
	}
	defer conn.Close() //nolint:errcheck // gives it back
	inner := context.WithoutCancel(ctx)
	if deadline, ok := ctx.Deadline(); ok && (db.engine != SQLite || c.opts.ReadOnly) {
		var cancel context.CancelFunc
		inner, cancel = context.WithDeadline(inner, deadline)
		defer cancel()
	}
	began, err := conn.BeginTx(inner, &c.opts)
	if err != nil {
		return wrap(err)
	}
	tx := &Tx{db: db, tx: began, name: c.name, ctx: inner}
	if err := tx.call(f); err != nil {
		if began.Rollback() != nil {
			discard(conn)
		}
		return err
	}
	if err := began.Commit(); err != nil {
		discard(conn)
		return commitError(err, c.opts.ReadOnly)
	}
	return nil
}

// call runs f and gives its error, or that of a statement which f passed over.
func (tx *Tx) call(f func(*Tx) error) error {
	returned := false
	defer func() {
		if !returned {
			_ = tx.tx.Rollback() // f panics: its panic goes on
		}
	}()
	err := f(tx)
	returned = true
	switch {
	case tx.open:
		return errors.Join(errRowsOpen, err)
	case tx.failed == nil:
		return err
	case err == nil || again(tx.failed) != "":
		return tx.failed
	}
	return err
}

// commitError classifies an error of COMMIT. A lost connection leaves open what
// became of a write.
func commitError(err error, readOnly bool) error {
	wrapped := wrap(err)
	e, ok := errors.AsType[*Error](wrapped)
	if !ok || e.Kind.again() || readOnly {
		return wrapped
	}
	if e.Kind == KindUnavailable || e.Code == "" {
		e.Kind, e.Uncertain = KindUnavailable, true
	}
	return e
}

// discard closes a connection whose transaction may still be open.
func discard(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // always that error
}
