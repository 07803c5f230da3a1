package database

import (
	"context"
	"crypto/rand"
	"embed"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

//go:embed migrations
var migrations embed.FS

// replica is a read replica. It is read while its answer to the last question
// was in time and its copy of this node's heartbeat not older than MaxLag.
type replica struct {
	*pool
	index   int
	healthy atomic.Bool
	fresh   atomic.Int64 // the newest heartbeat it has, Micros
}

// replicaTimeout bounds a read from a replica: one that hangs must not take the
// time that the primary needs to answer instead.
const replicaTimeout = 2 * time.Second

// forgotten is after how long the heartbeat of a node that is gone is deleted.
const forgotten = 24 * time.Hour

func (db *DB) openReplica(index int, text string) error {
	src, err := parseURL(text, db.cfg.Password)
	if err != nil {
		return err
	}
	if src.engine != db.engine {
		return fmt.Errorf("database: replica %d is %s, the primary %s", index, src.engine, db.engine)
	}
	server, err := db.openServer(src, db.cfg.Timeout)
	if err != nil {
		return err
	}
	db.replicas = append(db.replicas, &replica{pool: newPool(server, "replica", db.cfg.MaxConns), index: index})
	return nil
}

// ReadStale is Read for what may be up to Config.MaxLag old. It goes to a healthy
// replica that has what the context's Session wrote, and to the primary if there is
// none or it fails. f may run more than once.
func (db *DB) ReadStale(ctx context.Context, name string, f func(Queryer) error) error {
	r := db.pick(sessionOf(ctx).since())
	if r == nil {
		return db.Read(ctx, name, f)
	}
	err := db.readFrom(ctx, r.pool, name, min(replicaTimeout, db.cfg.Timeout), f)
	if protocol.CodeOf(err) != protocol.CodeUnavailable {
		db.metrics.reads.WithLabelValues("replica").Inc()
		return err
	}
	if ctx.Err() != nil {
		return err
	}
	if again(err) == KindUnavailable {
		db.eject(r, err)
	}
	db.metrics.reads.WithLabelValues("fallback").Inc()
	return db.readFrom(ctx, db.read, name, db.cfg.Timeout, f)
}

// pick returns the next healthy replica that has what was written until since.
func (db *DB) pick(since int64) *replica {
	n := uint64(len(db.replicas))
	if n == 0 {
		return nil
	}
	first := db.turn.Add(1)
	for i := range n {
		r := db.replicas[(first+i)%n]
		if r.healthy.Load() && r.fresh.Load() > since {
			return r
		}
	}
	return nil
}

func (db *DB) eject(r *replica, err error) {
	if r.healthy.Swap(false) {
		db.cfg.Logger.LogAttrs(context.Background(), slog.LevelWarn, "database replica left out",
			slog.Int("replica", r.index), slog.Any("err", err))
	}
}

// interval is how often the heart beats and replicas are asked.
func (db *DB) interval() time.Duration {
	return min(max(db.cfg.MaxLag/4, 50*time.Millisecond), time.Second)
}

// watch starts the heartbeat and the questions to the replicas.
func (db *DB) watch(ctx context.Context) {
	node := rand.Text()
	db.every(ctx, func(ctx context.Context) { db.pulse(ctx, node) })
	for _, r := range db.replicas {
		db.every(ctx, func(ctx context.Context) { db.check(ctx, r, node) })
	}
}

// every calls f now and then until ctx ends; each call gets as long as a read.
func (db *DB) every(ctx context.Context, f func(context.Context)) {
	db.work.Go(func() {
		ticker := time.NewTicker(db.interval())
		defer ticker.Stop()
		for {
			step, cancel := context.WithTimeout(ctx, replicaTimeout)
			f(step)
			cancel()
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	})
}

// pulse writes this node's heartbeat. Each node has its own row and compares it
// with its own clock only.
func (db *DB) pulse(ctx context.Context, node string) {
	at := db.now()
	err := db.run(ctx, db.write, call{name: "heartbeat", timeout: replicaTimeout}, func(tx *Tx) error {
		if db.beat.Load() == 0 {
			if _, err := tx.Exec("DELETE FROM rondo_heartbeat WHERE beat < ?", Micros(at.Add(-forgotten))); err != nil {
				return err
			}
		}
		return tx.Upsert("rondo_heartbeat", []string{"node"}, []string{"node", "beat"}, node, Micros(at))
	})
	if err == nil {
		db.beat.Store(Micros(at))
	}
}

// check asks a replica for its copy of the heartbeat. How far it lags is measured
// against the newest beat that the primary took: while the primary is away
// nothing is written, and replicas that have everything go on to be read.
func (db *DB) check(ctx context.Context, r *replica, node string) {
	newest := db.beat.Load()
	var beat int64
	err := db.readFrom(ctx, r.pool, "replica_check", replicaTimeout, func(q Queryer) error {
		return q.QueryRow("SELECT beat FROM rondo_heartbeat WHERE node = ?", node).Scan(&beat)
	})
	if ctx.Err() == context.Canceled { //nolint:errorlint // ctx.Err is exactly that
		return
	}
	if err != nil {
		db.eject(r, err)
		return
	}
	r.fresh.Store(beat)
	if lag := time.Duration(newest-beat) * time.Microsecond; lag > db.cfg.MaxLag {
		db.eject(r, fmt.Errorf("lags by %v", lag))
		return
	}
	if !r.healthy.Swap(true) {
		db.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "database replica is read", slog.Int("replica", r.index))
	}
}

// lag is how far the replica is behind, in seconds.
func (db *DB) lag(r *replica) float64 {
	return max(0, float64(db.beat.Load()-r.fresh.Load())/1e6)
}
