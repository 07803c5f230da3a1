package database_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// TestMigrateAtOnce: eight nodes that start together make the tables once, and
// two sets with the same versions do not meet.
func TestMigrateAtOnce(t *testing.T) {
	onEngines(t, func(t *testing.T, url string) {
		set := files()
		for _, engine := range []string{"sqlite", "postgres", "mysql"} {
			set["migrations/"+engine+"/00004_row.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nINSERT INTO counter (id, n) VALUES (7, 7);\n")}
		}
		var group sync.WaitGroup
		for range 8 {
			db := open(t, database.Config{URL: url})
			group.Go(func() {
				if err := db.Migrate(t.Context(), "test", set); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		db := open(t, database.Config{URL: url})
		if n := mustValue[int](t, db, "SELECT COUNT(*) FROM counter"); n != 1 {
			t.Errorf("the last migration ran %d times", n)
		}
		other := fstest.MapFS{}
		for _, engine := range []string{"sqlite", "postgres", "mysql"} {
			other[engine+"/00001_other.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE other (n INTEGER);\n")}
		}
		if err := db.Migrate(t.Context(), "other", other); err != nil {
			t.Error(err)
		}
		mustWriteOne(t, db, "INSERT INTO other (n) VALUES (1)")
		if err := db.Migrate(t.Context(), "test", files()); err != nil {
			t.Errorf("an older program on a newer database: %v", err)
		}
	})
}

func TestMigrateErrors(t *testing.T) {
	onEngines(t, func(t *testing.T, url string) {
		db := migrated(t, database.Config{URL: url})
		if db.Migrate(t.Context(), "x; DROP", files()) == nil {
			t.Error("a wrong name was taken")
		}
		if db.Migrate(t.Context(), "none", fstest.MapFS{"oracle/00001_a.sql": {}}) == nil {
			t.Error("no migrations for this engine, and no error")
		}
		bad := fstest.MapFS{string(db.Engine()) + "/00001_bad.sql": {Data: []byte("-- +goose Up\nCREATE NONSENSE;\n")}}
		if err := db.Migrate(t.Context(), "bad", bad); err == nil || !strings.Contains(err.Error(), "version 1") {
			t.Errorf("a wrong statement: %v", err)
		}
		bad[string(db.Engine())+"/00001_bad.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE good (n INTEGER);\n")}
		if err := db.Migrate(t.Context(), "bad", bad); err != nil {
			t.Errorf("after it was mended: %v", err)
		}
	})
}

// TestMigrateAfterDeath: a node died in the middle of making MariaDB's version table.
func TestMigrateAfterDeath(t *testing.T) {
	db := open(t, database.Config{URL: testenv.MariaDB(t)})
	mustWriteOne(t, db, `CREATE TABLE goose_test (id bigint(20) unsigned NOT NULL AUTO_INCREMENT, version_id bigint NOT NULL,
		is_applied boolean NOT NULL, tstamp datetime NULL default CURRENT_TIMESTAMP, PRIMARY KEY(id))`)
	for range 2 {
		if err := db.Migrate(t.Context(), "test", files()); err != nil {
			t.Fatal(err)
		}
	}
	mustWriteOne(t, db, "INSERT INTO counter (id, n) VALUES (1, 1)")
}

// retries returns how often transactions were tried again for the reason.
func retries(t *testing.T, reg *prometheus.Registry, reason string) float64 {
	t.Helper()
	return metric(t, reg, "rondo_database_retries_total", reason)
}

// metric returns the value of a counter or gauge with one label of that value.
func metric(t testing.TB, reg *prometheus.Registry, name, label string) float64 {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range all {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			if len(m.GetLabel()) == 1 && m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s of %s", name, label)
	return 0
}

// TestDeadlock: two transactions that wait for one another both succeed, because
// the one that the engine gives up is tried again.
func TestDeadlock(t *testing.T) {
	for _, engine := range []database.Engine{database.Postgres, database.MySQL} {
		t.Run(string(engine), func(t *testing.T) {
			reg := prometheus.NewRegistry()
			db := migrated(t, database.Config{URL: engines()[engine](t), Registerer: reg})
			mustWriteOne(t, db, "INSERT INTO counter (id, n) VALUES (1, 0), (2, 0)")
			const add = "UPDATE counter SET n = n + 1 WHERE id = ?"
			var both sync.WaitGroup // have their first row
			both.Add(2)
			var group sync.WaitGroup
			for i := range 2 {
				group.Go(func() {
					first := true
					err := db.WriteCommitted(t.Context(), "cross", func(tx *database.Tx) error {
						if _, err := tx.Exec(add, 1+i); err != nil {
							return err
						}
						if first {
							first = false
							both.Done()
							both.Wait()
						}
						_, err := tx.Exec(add, 2-i)
						return err
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			if n := mustValue[int](t, db, "SELECT SUM(n) FROM counter"); n != 4 {
				t.Errorf("counted %d, want 4", n)
			}
			if n := retries(t, reg, "deadlock"); n < 1 {
				t.Errorf("%v tries after a deadlock", n)
			}
		})
	}
}

// TestWriteSkew: each of two transactions reads what the other one writes. One
// after the other they could not both find the row missing.
func TestWriteSkew(t *testing.T) {
	onEngines(t, func(t *testing.T, url string) {
		db := migrated(t, database.Config{URL: url, Timeout: 30 * time.Second})
		var group sync.WaitGroup
		var inserted atomic.Int64
		for i := range 8 {
			group.Go(func() {
				err := db.Write(t.Context(), "skew", func(tx *database.Tx) error {
					var n int
					if err := tx.QueryRow("SELECT COUNT(*) FROM counter").Scan(&n); err != nil {
						return err
					}
					if n > 0 {
						return context.Canceled // any error of ours
					}
					_, err := tx.Exec("INSERT INTO counter (id, n) VALUES (?, 0)", i)
					return err
				})
				if err == nil {
					inserted.Add(1)
				} else if !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if n := mustValue[int64](t, db, "SELECT COUNT(*) FROM counter"); n != 1 || inserted.Load() != 1 {
			t.Errorf("%d rows, %d writers believe to be the first", n, inserted.Load())
		}
	})
}

// TestHandles: several processes (here: handles) write one SQLite file; none is
// told that it is busy.
func TestHandles(t *testing.T) {
	url := engines()[database.SQLite](t)
	db := migrated(t, database.Config{URL: url})
	mustWriteOne(t, db, "INSERT INTO counter (id, n) VALUES (1, 0)")
	var group sync.WaitGroup
	var tries atomic.Int64
	add := func(tx *database.Tx) error {
		tries.Add(1)
		var n int
		if err := tx.QueryRow("SELECT n FROM counter WHERE id = 1").Scan(&n); err != nil {
			return err
		}
		_, err := tx.Exec("UPDATE counter SET n = ?", n+1)
		return err
	}
	for range 8 {
		handle := open(t, database.Config{URL: url, Timeout: 30 * time.Second})
		for range 25 {
			group.Go(func() {
				if err := handle.Write(t.Context(), "add", add); err != nil {
					t.Error(err)
				}
			})
		}
	}
	group.Wait()
	if n := tries.Load(); n != 200 {
		t.Errorf("%d tries for 200 writes: a writer did not take the lock when it began", n)
	}
	if n := mustValue[int](t, db, "SELECT n FROM counter"); n != 200 {
		t.Errorf("counted %d, want 200", n)
	}
}

// TestPoolIsBounded: whoever finds all connections taken is told that the
// database is unavailable, in time.
func TestPoolIsBounded(t *testing.T) {
	onEngines(t, func(t *testing.T, url string) {
		db := migrated(t, database.Config{URL: url, MaxConns: 2, Timeout: 5 * time.Second})
		hold, held := make(chan struct{}), make(chan struct{}, 2)
		var group sync.WaitGroup
		writers := 2
		if db.Engine() == database.SQLite {
			writers = 1
		}
		for range writers {
			group.Go(func() {
				_ = db.Write(t.Context(), "hold", func(*database.Tx) error {
					held <- struct{}{}
					<-hold
					return nil
				})
			})
		}
		for range writers {
			<-held
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		err := db.Write(ctx, "test", func(tx *database.Tx) error {
			_, err := tx.Exec("INSERT INTO counter (id, n) VALUES (1, 0)")
			return err
		})
		if e, ok := errors.AsType[*protocol.Error](err); !ok || e.Code != protocol.CodeUnavailable || e.Retry <= 0 {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("after %v", took)
		}
		close(hold)
		group.Wait()
		mustWriteOne(t, db, "INSERT INTO counter (id, n) VALUES (1, 0)")
	})
}

// servers are engines whose server a test may kill.
func servers() map[database.Engine]func(testing.TB) *testenv.SQLServer {
	return map[database.Engine]func(testing.TB) *testenv.SQLServer{
		database.Postgres: testenv.PostgresServer, database.MySQL: testenv.MariaDBServer,
	}
}

// TestKill: a server is killed under twenty writers, twice. What was acknowledged
// is there, what failed is not, and only what is uncertain may be either.
func TestKill(t *testing.T) {
	for engine, start := range servers() {
		t.Run(string(engine), func(t *testing.T) {
			server := start(t)
			db := migrated(t, database.Config{URL: server.URL, Timeout: 5 * time.Second})
			var (
				group        sync.WaitGroup
				mu           sync.Mutex
				acknowledged = map[int64]bool{}
				refused      = map[int64]bool{}
				uncertain    int
				next         atomic.Int64
				stop         = make(chan struct{})
			)
			record := func(id int64, err error) {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					acknowledged[id] = true
				case errors.Is(err, database.ErrUncertain):
					uncertain++
				default:
					refused[id] = true
				}
				if err != nil && protocol.CodeOf(err) != protocol.CodeUnavailable {
					t.Errorf("not unavailable: %v", err)
				}
			}
			count := func() int {
				mu.Lock()
				defer mu.Unlock()
				return len(acknowledged)
			}
			for range 20 {
				group.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						id := next.Add(1)
						_, err := writeOne(t, db, "INSERT INTO counter (id, n) VALUES (?, ?)", id, id)
						record(id, err)
					}
				})
			}
			for round := range 2 {
				before := count()
				testenv.Eventually(t, 20*time.Second, func() bool { return count() > before+100 }, "no writes in round %d", round)
				server.Kill()
				server.Restart()
			}
			before := count()
			testenv.Eventually(t, 20*time.Second, func() bool { return count() > before+100 }, "no writes after the last restart")
			close(stop)
			group.Wait()
			t.Logf("%d acknowledged, %d refused, %d uncertain", len(acknowledged), len(refused), uncertain)
			there := ids(t, db)
			for id := range acknowledged {
				if !there[id] {
					t.Errorf("%d was acknowledged and is gone", id)
				}
			}
			for id := range refused {
				if there[id] {
					t.Errorf("%d was refused and is there", id)
				}
			}
		})
	}
}

func ids(t testing.TB, db *database.DB) map[int64]bool {
	t.Helper()
	var there map[int64]bool
	err := db.Read(t.Context(), "ids", func(q database.Queryer) error {
		there = map[int64]bool{}
		rows, err := q.Query("SELECT id FROM counter")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id int64
			if err := rows.Scan(&id); err != nil {
				return err
			}
			there[id] = true
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return there
}

// TestAwayAndBack: while the server is away calls fail soon; the first one after its return succeeds,
// whatever connections the pool still has.
func TestAwayAndBack(t *testing.T) {
	for engine, start := range servers() {
		t.Run(string(engine), func(t *testing.T) {
			server := start(t)
			db := migrated(t, database.Config{URL: server.URL})
			holdConnections(t, db, 12)
			server.Kill()
			server.Restart()
			if _, err := writeOne(t, db, "INSERT INTO counter (id, n) VALUES (100, 0)"); err != nil {
				t.Errorf("after a restart: %v", err)
			}
			server.Kill()
			began := time.Now()
			_, err := writeOne(t, db, "INSERT INTO counter (id, n) VALUES (101, 0)")
			if protocol.CodeOf(err) != protocol.CodeUnavailable || errors.Is(err, database.ErrUncertain) {
				t.Errorf("away: %v", err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("away: told after %v", took)
			}
			if protocol.CodeOf(db.Ping(t.Context())) != protocol.CodeUnavailable {
				t.Error("Ping is content")
			}
			if _, err := database.Open(t.Context(), database.Config{URL: server.URL}); protocol.CodeOf(err) != protocol.CodeUnavailable {
				t.Errorf("Open: %v", err)
			}
			server.Restart()
			if err := db.Ping(t.Context()); err != nil {
				t.Errorf("Ping after the return: %v", err)
			}
		})
	}
}

// holdConnections has the pool open n connections, and leaves them idle.
func holdConnections(t *testing.T, db *database.DB, n int) {
	t.Helper()
	var all, group sync.WaitGroup
	all.Add(n)
	for range n {
		group.Go(func() {
			err := db.Read(t.Context(), "hold", func(q database.Queryer) error {
				all.Done()
				all.Wait()
				return q.QueryRow("SELECT 1").Scan(new(int))
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

// TestUncertain: the connection is cut after the server got COMMIT and before
// its answer arrives. The writer is told that nobody knows, and nothing is tried again.
func TestUncertain(t *testing.T) {
	for _, engine := range []database.Engine{database.Postgres, database.MySQL} {
		t.Run(string(engine), func(t *testing.T) {
			url := engines()[engine](t)
			direct := migrated(t, database.Config{URL: url})
			var armed atomic.Bool
			db := open(t, database.Config{URL: cutAtCommit(t, url, &armed)})
			armed.Store(true)
			tries := 0
			err := db.Write(t.Context(), "test", func(tx *database.Tx) error {
				tries++
				_, err := tx.Exec("INSERT INTO counter (id, n) VALUES (?, 0)", tries)
				return err
			})
			if !errors.Is(err, database.ErrUncertain) || protocol.CodeOf(err) != protocol.CodeUnavailable {
				t.Errorf("got %v", err)
			}
			if tries != 1 {
				t.Errorf("%d tries", tries)
			}
			testenv.Eventually(t, 10*time.Second, func() bool { return len(ids(t, direct)) == 1 }, "the transaction was not committed: the test proves nothing")
		})
	}
}

// cutAtCommit returns url by way of a proxy that passes everything to the
// server and, when armed, cuts a connection once it has passed a COMMIT.
func cutAtCommit(t *testing.T, url string, armed *atomic.Bool) string {
	t.Helper()
	address := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(url)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", address)
			if err != nil {
				t.Error(err)
				_ = client.Close()
				continue
			}
			var cut atomic.Bool
			group.Go(func() {
				defer client.Close()
				_, _ = io.Copy(writerFunc(func(b []byte) (int, error) {
					if cut.Load() {
						return 0, io.ErrClosedPipe
					}
					return client.Write(b)
				}), server)
			})
			group.Go(func() {
				defer server.Close()
				_, _ = io.Copy(writerFunc(func(b []byte) (int, error) {
					if armed.Load() && bytes.Contains(bytes.ToUpper(b), []byte("COMMIT")) {
						cut.Store(true)
					}
					return server.Write(b)
				}), client)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		group.Wait()
	})
	return strings.Replace(url, address, l.Addr().String(), 1)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// TestStalledServer: a server that holds its connections and says nothing costs
// no more than the timeout.
func TestStalledServer(t *testing.T) {
	for engine, start := range servers() {
		t.Run(string(engine), func(t *testing.T) {
			server := start(t)
			db := migrated(t, database.Config{URL: server.URL, Timeout: time.Second})
			server.Stall()
			began := time.Now()
			_, err := writeOne(t, db, "INSERT INTO counter (id, n) VALUES (1, 0)")
			if protocol.CodeOf(err) != protocol.CodeUnavailable {
				t.Errorf("got %v", err)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("told after %v", took)
			}
			server.Continue()
			testenv.Eventually(t, 20*time.Second, func() bool {
				_, err := writeOne(t, db, "INSERT INTO counter (id, n) VALUES (2, 0)")
				return err == nil || errors.Is(err, database.ErrConflict)
			}, "does not come back")
		})
	}
}

// TestChild is no test: TestSQLiteKill runs it in a process of its own, with a
// URL as its input. It writes until it is killed, and says what is committed.
func TestChild(t *testing.T) {
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if errors.Is(err, io.EOF) || !strings.HasPrefix(line, "sqlite:") {
		return
	}
	db := migrated(t, database.Config{URL: strings.TrimSpace(line)})
	var group sync.WaitGroup
	var next atomic.Int64
	next.Store(mustValue[int64](t, db, "SELECT COALESCE(MAX(id), 0) FROM counter"))
	for range 4 {
		group.Go(func() {
			for {
				id := next.Add(1)
				mustWriteOne(t, db, "INSERT INTO counter (id, n) VALUES (?, ?)", id, id)
				fmt.Printf("committed %d\n", id)
			}
		})
	}
	group.Wait()
}

// TestSQLiteKill: a process that writes is killed, three times; what it said to
// be committed is there and the file is whole.
func TestSQLiteKill(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "killed.db")
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	committed := map[int64]bool{}
	for range 3 {
		out, in := io.Pipe()
		cmd := childProcess(program, url, in)
		p := testenv.Start(t, cmd)
		lines := bufio.NewScanner(out)
		for n := 0; n < 50 && lines.Scan(); {
			var id int64
			if _, err := fmt.Sscanf(lines.Text(), "committed %d", &id); err == nil {
				committed[id] = true
				n++
			}
		}
		go io.Copy(io.Discard, out) //nolint:errcheck // until in is closed
		p.Kill()
		_ = in.Close()
	}
	if len(committed) < 150 {
		t.Fatalf("only %d writes", len(committed))
	}
	db := open(t, database.Config{URL: url})
	there := ids(t, db)
	for id := range committed {
		if !there[id] {
			t.Errorf("%d was committed and is gone", id)
		}
	}
	if got := mustValue[string](t, db, "PRAGMA integrity_check"); got != "ok" {
		t.Error(got)
	}
}

func childProcess(program, url string, out io.Writer) *exec.Cmd {
	cmd := exec.Command(program, "-test.run=^TestChild$", "-test.timeout=1m")
	cmd.Stdin = strings.NewReader(url + "\n")
	cmd.Stdout = out
	return cmd
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	url := engines()[database.SQLite](t)
	db := migrated(t, database.Config{URL: url, Registerer: reg})
	for i := range 400 {
		_ = db.Read(t.Context(), fmt.Sprintf("name%d", i), func(database.Queryer) error { return nil })
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	if n, err := testutil.GatherAndCount(reg, "rondo_database_seconds"); err != nil || n > 201 {
		t.Errorf("%d names, %v", n, err)
	}
	if _, err := database.Open(t.Context(), database.Config{URL: url, Registerer: reg}); err == nil {
		t.Error("a second database took the same metrics")
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	again := open(t, database.Config{URL: url, Registerer: reg})
	mustWriteOne(t, again, "INSERT INTO counter (id, n) VALUES (1, 1)")
}

func TestConfig(t *testing.T) {
	for _, c := range []database.Config{
		{},
		{URL: "sqlite:"}, {URL: "sqlite::memory:"}, {URL: "sqlite:x?mode=ro"}, {URL: "oracle://x"}, {URL: "x"},
		{URL: "sqlite:/nowhere/at/all.db"},
		{URL: "sqlite:x.db", Replicas: []string{"sqlite:y.db"}},
		{URL: "sqlite:x.db", MaxConns: 1},
		{URL: "postgres://u:s3cret@h:port/x"}, {URL: "postgres://u:s3cret@127.0.0.1:1/x?sslmode=bent"},
		{URL: "postgres://u:s3cret@127.0.0.1:1/x?default_query_exec_mode=simple_protocol"},
		{URL: "postgres://u:s3cret@127.0.0.1:1/x"},
		{URL: "mysql://u:s3cret@127.0.0.1:1/x?interpolateParams=true"}, {URL: "mysql://u:s3cret@127.0.0.1:1/"},
		{URL: "mysql://u:s3cret@127.0.0.1:1/x?tls=bent"}, {URL: "mysql://u:s3cret@127.0.0.1:1/x"},
		{URL: "mysql://u@127.0.0.1:1/x", Password: "s3cret"},
	} {
		db, err := database.Open(t.Context(), c)
		if err == nil {
			_ = db.Close()
			t.Errorf("%+v was taken", c)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the password is in %v", err)
		}
	}
}
