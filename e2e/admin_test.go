package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/accounts/sqlstore"
	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/internal/testenv"
)

// desk is where somebody runs rondo admin with the settings of a service.
type desk struct {
	t        *testing.T
	settings []string
}

// command returns the program with its arguments.
func (d desk) command(args ...string) *exec.Cmd {
	cmd := exec.Command(lab.Binary(d.t), append(append([]string{"admin"}, args...), d.settings...)...)
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "RONDO_") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	return cmd
}

// run runs a command that must succeed and returns what it says.
func (d desk) run(stdin string, args ...string) string {
	d.t.Helper()
	var out, errs bytes.Buffer
	cmd := d.command(args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	if err := cmd.Run(); err != nil {
		d.t.Fatalf("%v: %v\n%s", args, err, errs.String())
	}
	return out.String()
}

// fails runs a command that must end with status 1 and returns what it says.
func (d desk) fails(args ...string) string {
	d.t.Helper()
	out, err := d.command(args...).CombinedOutput()
	if e, ok := err.(*exec.ExitError); !ok || e.ExitCode() != 1 {
		d.t.Fatalf("%v: %v, want status 1\n%s", args, err, out)
	}
	return string(out)
}

// bearerLogin logs in as programs do.
func (p *person) bearerLogin() said {
	p.t.Helper()
	login := p.login()
	login["bearer"] = true
	return p.wants(http.StatusOK, "POST", "/auth/login", login)
}

// TestAdmin: an installation's life from the command line, while its server runs.
func TestAdmin(t *testing.T) {
	t.Parallel() // it mostly waits
	databases(t, func(t *testing.T, url string) {
		s := newService(t, url)
		d := desk{t, []string{"--database", url, "--secret-file", s.opts.Secret}}
		const password = "correct horse root"
		d.run(password+"\n", "create", "--email", "root@example.org", "--username", "root", "--password-file", "-") // before the first start
		n := s.node(t)
		root, ann := browser(t, n, 1, "root"), browser(t, n, 2, "ann")
		root.wants(http.StatusOK, "POST", "/auth/login", root.login())
		root.wants(http.StatusOK, "GET", "/admin/users", nil)
		ann.join(s)
		if got := d.run("", "list"); !strings.Contains(got, "root@example.org") || !strings.Contains(got, "ann@example.org") {
			t.Errorf("list:\n%s", got)
		}

		tokens, rootTokens := ann.bearerLogin(), root.bearerLogin()
		c := n.Dial(t, 3, client.Options{Header: http.Header{"Authorization": {fmt.Sprint("Bearer ", tokens.body["access_token"])}}, NoReconnect: true})
		d.run("", "disable", "ann")
		start := time.Now()
		ended(t, c)
		if ann.bearer(tokens) != http.StatusUnauthorized {
			t.Error("a disabled account's token works")
		}
		t.Logf("the socket closed %v after the command", time.Since(start))
		ann.wants(http.StatusUnauthorized, "GET", "/me", nil)
		ann.wants(http.StatusForbidden, "POST", "/auth/login", ann.login())

		before := kids(t, n)
		kid := strings.Fields(d.run("", "rotate-keys"))[2]
		kid = strings.TrimSuffix(kid, ",")
		if strings.Contains(before, kid) {
			t.Fatalf("%s is not new: %s", kid, before)
		}
		testenv.Eventually(t, wait, func() bool {
			stranger := base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"at+jwt","alg":"EdDSA","kid":"` + kid + `"}`))
			root.bearer(said{body: map[string]any{"access_token": stranger + ".e30.AAAA"}}) // has the node look for it now
			return strings.Contains(kids(t, n), kid)
		}, "the new key is in the JWKS")
		if root.bearer(rootTokens) != http.StatusOK {
			t.Error("a token of the old key is refused")
		}

		file := filepath.Join(t.TempDir(), "backup")
		d.run("", "backup", file)
		d.elsewhere(s, file, root, ann)
	})
}

// ended waits until the server has closed a client's connection.
func ended(t *testing.T, c *client.Client) {
	t.Helper()
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for {
		select {
		case _, ok := <-c.Events():
			if !ok {
				t.Logf("the connection ended: %v", c.Err())
				return
			}
		case <-deadline.C:
			t.Fatal("the connection goes on")
		}
	}
}

// elsewhere restores a backup into a new folder, where root can log in, and ann is disabled.
func (d desk) elsewhere(s *service, file string, root, ann *person) {
	t := d.t
	t.Helper()
	dir := t.TempDir()
	at := desk{t, []string{"--data", dir}}
	secret, err := os.ReadFile(s.opts.Secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "secret"), secret, 0o600); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(dir, "half")
	if err := os.WriteFile(half, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if got := at.fails("restore", half); !strings.Contains(got, "cut off") {
		t.Errorf("half a backup: %s", got)
	}
	at.run("", "restore", file)
	if got := at.fails("restore", file); !strings.Contains(got, "not empty") {
		t.Errorf("twice: %s", got)
	}
	n := lab.Start(t, lab.Options{Secret: filepath.Join(dir, "secret"), Args: []string{"--database", "sqlite:" + filepath.Join(dir, "rondo.db")}})
	root.node, ann.node = n, n
	root.wants(http.StatusUnauthorized, "POST", "/auth/refresh", fields{}) // sessions are not in backups
	root.wants(http.StatusOK, "POST", "/auth/login", root.login())
	root.wants(http.StatusOK, "GET", "/me", nil)
	ann.wants(http.StatusForbidden, "POST", "/auth/login", ann.login())
}

// kids returns the ids of the keys in the JWKS.
func kids(t *testing.T, n *lab.Node) string {
	t.Helper()
	body, status := n.Get(t, n.URL()+"/.well-known/jwks.json")
	var set struct{ Keys []struct{ Kid string } }
	if err := json.Unmarshal([]byte(body), &set); err != nil || status != http.StatusOK {
		t.Fatalf("JWKS: %d, %v", status, err)
	}
	var b strings.Builder
	for _, k := range set.Keys {
		b.WriteString(k.Kid + " ")
	}
	return b.String()
}

// TestAdminMoveKilled: SIGKILL in the middle of a move leaves the source as it was and the target empty; the
// move works afterwards.
func TestAdminMoveKilled(t *testing.T) {
	dir, target := t.TempDir(), testenv.Postgres(t)
	d := desk{t, []string{"--data", dir}}
	d.run("correct horse battery", "create", "--email", "root@example.org", "--username", "root", "--password-file", "-")
	was := d.run("", "list")
	db, err := database.Open(t.Context(), database.Config{URL: target, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := sqlstore.New(db).Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	count := func(query string) (n int) {
		err := db.Read(t.Context(), "count", func(q database.Queryer) error { return q.QueryRow(query).Scan(&n) })
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	// It stands still between users and the audit log.
	err = db.Write(t.Context(), "hold", func(tx *database.Tx) error {
		if _, err := tx.Exec("LOCK TABLE audit_log IN EXCLUSIVE MODE"); err != nil {
			return err
		}
		p := testenv.Start(t, d.command("move", "--to", target))
		testenv.Eventually(t, wait, func() bool {
			return p.Exited() || count("SELECT COUNT(*) FROM pg_locks WHERE NOT granted") > 0
		}, "the move waits in the middle")
		if p.Exited() {
			t.Errorf("it ended: %s", p.Output())
		}
		p.Kill()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := count("SELECT COUNT(*) FROM users"); n != 0 {
		t.Fatalf("%d users in the target", n)
	}
	if got := d.run("", "list"); got != was {
		t.Errorf("the source:\n%s\nwas\n%s", got, was)
	}
	if got := d.run("", "move", "--to", target); strings.Count(got, " yes\n") < 10 || strings.Contains(got, " no\n") {
		t.Errorf("the next move: %s", got)
	}
	if got := (desk{t, []string{"--database", target, "--data", dir}}).run("", "list"); got != was {
		t.Errorf("the target:\n%s", got)
	}
}
