package e2e_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/internal/testenv"
)

// TestAccountsSurviveKills: a node is killed (SIGKILL) several times, at any moment of
// registrations and refreshes, on each database. Afterwards nobody is half a user,
// nobody's session is lost, and who began to register comes in.
func TestAccountsSurviveKills(t *testing.T) {
	t.Parallel() // it mostly waits
	survive := func(t *testing.T, url string) {
		s := newService(t, url)
		n := s.node(t)
		start := time.Now()
		var veterans []*person
		for i := range 3 {
			p := browser(t, n, 1+i, fmt.Sprintf("veteran%d", i))
			p.join(s)
			veterans = append(veterans, p)
		}
		joining := time.Since(start) / 3
		kills := 6 // RONDO_KILLS for more
		if n, err := strconv.Atoi(os.Getenv("RONDO_KILLS")); err == nil {
			kills = n
		}
		for i := range kills {
			newcomer := browser(t, n, 10+i, fmt.Sprintf("newcomer%d", i))
			n = s.killedWhile(t, n, rand.N(joining*3/2), newcomer, veterans)
			for _, p := range veterans {
				p.node = n
				p.wants(http.StatusOK, "POST", "/auth/refresh", fields{})
				p.wants(http.StatusOK, "GET", "/me", nil)
			}
			newcomer.node = n
			newcomer.arrive(s)
		}
		n.Kill()
		checkAccounts(t, url, kills+len(veterans))
	}
	databases(t, survive)
	t.Run("MariaDB", func(t *testing.T) { survive(t, testenv.MariaDB(t)) })
}

// TestAccountsSurviveTheDatabasesKills: the same with the database server, which is
// killed (SIGKILL) and started again. Meanwhile the answer is that it is away.
func TestAccountsSurviveTheDatabasesKills(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *testenv.SQLServer{"PostgreSQL": testenv.PostgresServer, "MariaDB": testenv.MariaDBServer} {
		t.Run(name, func(t *testing.T) {
			db := start(t)
			s := newService(t, db.URL)
			n := s.node(t)
			const kills = 3
			var all []*person
			for i := range 2 {
				p := browser(t, n, 1+i, fmt.Sprintf("veteran%d", i))
				p.join(s)
				all = append(all, p)
			}
			for i := range kills {
				newcomer := browser(t, n, 10+i, fmt.Sprintf("newcomer%d", i))
				stop := make(chan struct{})
				busy := s.busy(n, newcomer, all, stop)
				<-time.After(rand.N(400 * time.Millisecond))
				db.Kill()
				if got := newcomer.comeFrom(200+i).ask("POST", "/auth/login", all[0].login()); got.status != http.StatusServiceUnavailable || got.code() != "unavailable" || got.header.Get("Retry-After") == "" {
					t.Errorf("without a database: %d %s", got.status, got.raw)
				}
				db.Restart()
				close(stop)
				busy.Wait()
				for _, p := range all {
					testenv.Eventually(t, wait, func() bool { return p.ask("POST", "/auth/refresh", fields{}).status == http.StatusOK }, "%s goes on", p.username)
					p.wants(http.StatusOK, "GET", "/me", nil)
				}
				newcomer.arrive(s)
				all = append(all, newcomer)
			}
			n.Kill()
			checkAccounts(t, db.URL, len(all))
		})
	}
}

// killedWhile kills n after d, while newcomer registers and the veterans refresh,
// and returns the next node.
func (s *service) killedWhile(t *testing.T, n *lab.Node, d time.Duration, newcomer *person, veterans []*person) *lab.Node {
	t.Helper()
	busy := s.busy(n, newcomer, veterans, nil)
	<-time.After(d)
	n.Kill()
	busy.Wait()
	return s.node(t)
}

// busy lets newcomer register and the veterans refresh, until n is gone or stop is
// closed.
func (s *service) busy(n *lab.Node, newcomer *person, veterans []*person, stop <-chan struct{}) *sync.WaitGroup {
	var busy sync.WaitGroup
	over := func(pause time.Duration) bool {
		select {
		case <-n.Done():
			return true
		case <-stop:
			return true
		case <-time.After(pause):
			return false
		}
	}
	for _, p := range veterans {
		busy.Go(func() {
			for ok := true; ok; ok = !over(rand.N(40 * time.Millisecond)) {
				said, err := p.try("POST", "/auth/refresh", fields{})
				if err != nil {
					return // the node is gone
				}
				if said.status != http.StatusOK && said.status != http.StatusTooManyRequests && said.status != http.StatusServiceUnavailable {
					p.t.Errorf("%s: refresh: %d %s", p.username, said.status, said.raw)
					return
				}
			}
		})
	}
	busy.Go(func() {
		said, err := newcomer.try("POST", "/auth/register", newcomer.registration())
		if err != nil || said.status != http.StatusAccepted {
			return
		}
		for !over(5 * time.Millisecond) {
			if mails := letters(s, newcomer.email, "Your code"); len(mails) > 0 {
				_, _ = newcomer.try("POST", "/auth/verify", fields{"email": newcomer.email, "code": mails[0].Code(newcomer.t)}) // judged by arrive
				return
			}
		}
	})
	return &busy
}

// arrive brings somebody in whose registration or verification may have been cut
// off, by the ways that a person has: log in, or else register again.
func (p *person) arrive(s *service) {
	p.t.Helper()
	got := p.ask("POST", "/auth/login", p.login())
	if got.status == http.StatusUnauthorized && got.code() == "credentials" {
		p.join(s)
		p.wants(http.StatusOK, "POST", "/auth/login", p.login())
	} else if got.status != http.StatusOK {
		p.t.Fatalf("%s: log-in: %d %s", p.username, got.status, got.raw)
	}
	p.wants(http.StatusOK, "GET", "/me", nil)
}

// checkAccounts looks into the database, whose node is gone: so many users, and no
// row that lacks what belongs to it.
func checkAccounts(t *testing.T, url string, users int) {
	t.Helper()
	db, err := database.Open(t.Context(), database.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	queries := []struct {
		what, query string
		want        int
	}{
		{"users", "SELECT COUNT(*) FROM users", users},
		{"half users", "SELECT COUNT(*) FROM users WHERE password_hash = '' OR email_key = '' OR username = '' OR identity = ''", 0},
		{"users without a session", "SELECT COUNT(*) FROM users WHERE id NOT IN (SELECT user_id FROM sessions)", 0},
		{"sessions of nobody", "SELECT COUNT(*) FROM sessions WHERE user_id NOT IN (SELECT id FROM users)", 0},
		{"sessions without a device", "SELECT COUNT(*) FROM sessions WHERE device_id NOT IN (SELECT id FROM user_devices)", 0},
		{"sessions without a token", "SELECT COUNT(*) FROM sessions WHERE id NOT IN (SELECT session_id FROM refresh_tokens)", 0},
		{"tokens without a session", "SELECT COUNT(*) FROM refresh_tokens WHERE session_id NOT IN (SELECT id FROM sessions)", 0},
		{"codes without a registration", "SELECT COUNT(*) FROM one_time_codes WHERE purpose = 'verify' AND subject NOT IN (SELECT id FROM registrations)", 0},
	}
	for _, q := range queries {
		err := db.Read(t.Context(), "test", func(r database.Queryer) error {
			var got int
			if err := r.QueryRow(q.query).Scan(&got); err != nil {
				return err
			}
			if got != q.want {
				t.Errorf("%s: %d, want %d", q.what, got, q.want)
			}
			if r.Engine() == database.SQLite {
				var sound string
				if err := r.QueryRow("PRAGMA integrity_check").Scan(&sound); err != nil || sound != "ok" {
					t.Errorf("integrity: %q, %v", sound, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatalf("%s: %v", q.what, err)
		}
	}
}

// TestAccountsOnAFullDisk: with no byte left for the database people are told so, nobody is
// logged out, and all works again when there is room.
func TestAccountsOnAFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		testenv.Missing(t, "mounting a small disk needs root")
	}
	disk := t.TempDir()
	s := newService(t, "sqlite:"+filepath.Join(disk, "rondo.db"))
	s.opts.Binary = onSmallDisk(t, disk)
	n := s.node(t)
	ann := browser(t, n, 1, "ann")
	ann.join(s)
	inside := filepath.Join("/proc", fmt.Sprint(n.PID()), "root", disk)
	fill(t, inside)

	// What has a page to spare may still work: in the end nothing is written.
	testenv.Eventually(t, 2*wait, func() bool { return ann.ask("POST", "/auth/refresh", fields{}).status != http.StatusOK }, "the disk is full")
	bob := browser(t, n, 2, "bob")
	for _, refused := range []said{
		ann.ask("POST", "/auth/refresh", fields{}), bob.ask("POST", "/auth/register", bob.registration()), bob.ask("POST", "/auth/login", ann.login()),
	} {
		if refused.status != http.StatusServiceUnavailable || refused.code() != "unavailable" || refused.header.Get("Retry-After") == "" {
			t.Errorf("on a full disk: %d %s", refused.status, refused.raw)
		}
	}
	ann.wants(http.StatusOK, "GET", "/me", nil)
	if _, status := n.Get(t, "http://"+n.Metrics+"/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: %d", status)
	}

	if err := os.Remove(filepath.Join(inside, "filler")); err != nil {
		t.Fatal(err)
	}
	ann.wants(http.StatusOK, "POST", "/auth/refresh", fields{})
	bob.join(s)
	checkAccounts(t, "sqlite:"+copied(t, n, inside), 2)
}

// copied copies the database out of a node's disk while the node stands still, and
// returns its path.
func copied(t *testing.T, n *lab.Node, inside string) string {
	t.Helper()
	if err := n.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"rondo.db", "rondo.db-wal"} {
		b, err := os.ReadFile(filepath.Join(inside, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n.Kill()
	return filepath.Join(dir, "rondo.db")
}

// onSmallDisk returns a program that runs the server with a disk of its own, of
// 8 MiB, in place of dir; it goes with the process.
func onSmallDisk(t *testing.T, dir string) string {
	t.Helper()
	wrapper := filepath.Join(t.TempDir(), "on-small-disk")
	script := fmt.Sprintf("#!/bin/sh\nexec %s -m sh -c 'mount -t tmpfs -o size=8m tmpfs \"$0\" && exec \"$@\"' %s %s \"$@\"\n",
		testenv.Need(t, "unshare"), dir, lab.Binary(t))
	if err := os.WriteFile(wrapper, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return wrapper
}

// fill leaves no byte free in the folder's disk.
func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; size /= 2 {
		for {
			if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
}
