package database_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/internal/testenv"
)

// replication is what engines differ in.
type replication struct {
	primary       func(testing.TB) *testenv.SQLServer
	replica       func(testing.TB, *testenv.SQLServer) *testenv.SQLServer
	where         string // a query: is this a replica?
	pause, resume string // what a replica does with what it gets
}

func replications() map[string]replication {
	return map[string]replication{
		"PostgreSQL": {testenv.PostgresServer, testenv.PostgresReplica, "SELECT pg_is_in_recovery()",
			"SELECT pg_wal_replay_pause()", "SELECT pg_wal_replay_resume()"},
		"MariaDB": {testenv.MariaDBPrimary, testenv.MariaDBReplica, "SELECT @@read_only = 1", "STOP SLAVE SQL_THREAD", "START SLAVE SQL_THREAD"},
	}
}

// replicated is a primary with two replicas, and a database over them.
type replicated struct {
	*database.DB
	replication
	primary  *testenv.SQLServer
	replicas []*testenv.SQLServer
	reg      *prometheus.Registry
}

func newReplicated(t *testing.T, how replication) *replicated {
	t.Helper()
	r := &replicated{replication: how, primary: how.primary(t), reg: prometheus.NewRegistry()}
	for range 2 {
		r.replicas = append(r.replicas, how.replica(t, r.primary))
	}
	r.DB = migrated(t, database.Config{
		URL: r.primary.URL, Replicas: []string{r.replicas[0].URL, r.replicas[1].URL},
		MaxLag: time.Second, Registerer: r.reg,
	})
	r.waitHealthy(t, 1, 1)
	mustWriteOne(t, r.DB, "INSERT INTO counter (id, n) VALUES (1, 0)")
	return r
}

// waitHealthy waits until the replicas are read (1) or left out (0).
func (r *replicated) waitHealthy(t *testing.T, want ...float64) {
	t.Helper()
	testenv.Eventually(t, 20*time.Second, func() bool {
		for i, w := range want {
			if metric(t, r.reg, "rondo_database_replica_healthy", fmt.Sprint(i)) != w {
				return false
			}
		}
		return true
	}, "replicas healthy: want %v", want)
}

// fromReplica reads, stale allowed, and reports whether a replica answered.
func (r *replicated) fromReplica(t *testing.T) (replica bool) {
	t.Helper()
	err := r.ReadStale(t.Context(), "where", func(q database.Queryer) error {
		return q.QueryRow(r.where).Scan(&replica)
	})
	if err != nil {
		t.Fatal(err)
	}
	return replica
}

// TestReplicas runs the cases one after another on one set of servers; each
// begins with all of them well.
func TestReplicas(t *testing.T) {
	for name, how := range replications() {
		t.Run(name, func(t *testing.T) { testReplicas(t, newReplicated(t, how)) })
	}
}

func testReplicas(t *testing.T, r *replicated) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, *replicated)
	}{
		{"lags", replicaLags},
		{"own writes", readYourWrites},
		{"stalls", replicaStalls},
		{"killed and back", replicaKilledAndBack},
		{"primary away", primaryAway},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.waitHealthy(t, 1, 1)
			c.run(t, r)
		})
	}
}

func replicaKilledAndBack(t *testing.T, r *replicated) {
	for range 10 {
		if !r.fromReplica(t) {
			t.Fatal("a stale read went to the primary")
		}
	}
	if mustValue[bool](t, r.DB, r.where) {
		t.Fatal("Read went to a replica")
	}
	r.replicas[0].Kill()
	for range 10 {
		r.fromReplica(t) // no error, whoever answers
	}
	r.waitHealthy(t, 0, 1)
	r.replicas[1].Kill()
	if r.fromReplica(t) {
		t.Fatal("both replicas are dead, and one answered")
	}
	r.waitHealthy(t, 0, 0)
	r.replicas[0].Restart()
	r.replicas[1].Restart()
	r.waitHealthy(t, 1, 1)
	if !r.fromReplica(t) {
		t.Fatal("the replicas are back, and the primary answered")
	}
}

func replicaLags(t *testing.T, r *replicated) {
	r.replicas[0].SQL(r.pause)
	r.waitHealthy(t, 0, 1)
	if lag := metric(t, r.reg, "rondo_database_replica_lag_seconds", "0"); lag < 1 {
		t.Errorf("left out, and the metric says that it lags by %v s", lag)
	}
	r.replicas[1].SQL(r.pause)
	r.waitHealthy(t, 0, 0)
	if r.fromReplica(t) {
		t.Error("both lag, and one answered")
	}
	r.replicas[0].SQL(r.resume)
	r.replicas[1].SQL(r.resume)
	r.waitHealthy(t, 1, 1)
	if !r.fromReplica(t) {
		t.Error("they are back, and the primary answered")
	}
}

// replicaStalls: a replica that hangs costs its readers no error and at most
// the time that a replica gets.
func replicaStalls(t *testing.T, r *replicated) {
	r.replicas[0].Stall()
	began := time.Now()
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() { r.fromReplica(t) })
	}
	group.Wait()
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("the readers waited %v", took)
	}
	r.waitHealthy(t, 0, 1)
	r.replicas[0].Continue()
	r.waitHealthy(t, 1, 1)
}

// readYourWrites: a session never misses its own write, here and on another
// node, while replicas lag less than would leave them out.
func readYourWrites(t *testing.T, r *replicated) {
	for _, replica := range r.replicas {
		replica.SQL(r.pause)
	}
	read := func(s *database.Session) (n int) {
		t.Helper()
		ctx := database.WithSession(t.Context(), s)
		err := r.ReadStale(ctx, "own", func(q database.Queryer) error {
			return q.QueryRow("SELECT n FROM counter WHERE id = 1").Scan(&n)
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	var session database.Session
	if session.Token() != 0 {
		t.Error("a new session has a token")
	}
	for i := range 20 {
		err := r.Write(database.WithSession(t.Context(), &session), "own", func(tx *database.Tx) error {
			_, err := tx.Exec("UPDATE counter SET n = ? WHERE id = 1", i+1)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := read(&session); n != i+1 {
			t.Fatalf("wrote %d and read %d", i+1, n)
		}
		if n := read(database.ResumeSession(session.Token())); n != i+1 {
			t.Fatalf("wrote %d and read %d on another node", i+1, n)
		}
	}
	for _, replica := range r.replicas {
		replica.SQL(r.resume)
	}
	testenv.Eventually(t, 20*time.Second, func() bool {
		replica := false
		err := r.ReadStale(database.WithSession(t.Context(), &session), "where", func(q database.Queryer) error {
			return q.QueryRow(r.where).Scan(&replica)
		})
		return err == nil && replica
	}, "the session reads from the primary for ever")
}

// primaryAway: stale reads go on, writes are told.
func primaryAway(t *testing.T, r *replicated) {
	r.primary.Kill()
	if _, err := writeOne(t, r.DB, "UPDATE counter SET n = 1"); err == nil {
		t.Fatal("wrote without a primary")
	}
	for range 10 {
		if !r.fromReplica(t) {
			t.Fatal("no replica answered")
		}
	}
	r.primary.Restart()
	mustWriteOne(t, r.DB, "UPDATE counter SET n = 1")
	r.waitHealthy(t, 1, 1)
}
