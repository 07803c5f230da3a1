package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/testenv"
)

// service is one service with accounts: a database, a secret and a mail server
// that outlive its nodes.
type service struct {
	sink *testenv.SMTPServer
	opts lab.Options
}

// databases are the databases that accounts are tested with from outside; all
// others are a matter of accounts/sqlstore.
func databases(t *testing.T, f func(t *testing.T, url string)) {
	t.Run("SQLite", func(t *testing.T) { f(t, "sqlite:"+filepath.Join(t.TempDir(), "rondo.db")) })
	t.Run("PostgreSQL", func(t *testing.T) { f(t, testenv.Postgres(t)) })
}

func newService(t *testing.T, database string) *service {
	t.Helper()
	dir := t.TempDir()
	s := &service{sink: testenv.SMTP(t, testenv.SMTPStartTLS)}
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	s.opts = lab.Options{
		Secret: filepath.Join(dir, "secret"),
		Args: []string{
			"--database", database, "--smtp", s.sink.Addr, "--smtp-user", s.sink.Username, "--smtp-password-file", file("password", s.sink.Password),
			"--smtp-ca", file("ca.pem", string(s.sink.CA)), "--smtp-from", "Rondo <rondo@example.org>",
		},
	}
	return s
}

func (s *service) node(t *testing.T) *lab.Node {
	t.Helper()
	return lab.Start(t, s.opts)
}

// person is a browser that comes from an address of its own.
type person struct {
	t    *testing.T
	node *lab.Node
	http *http.Client
	jar  http.CookieJar
	from int

	email, username, password string
}

// browser returns somebody new at n; i chooses the address they come from.
func browser(t *testing.T, n *lab.Node, i int, name string) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &person{t: t, node: n, jar: jar, from: i, email: name + "@example.org", username: name, password: "correct horse " + name}
	transport := &http.Transport{DialContext: lab.DialFrom(i)}
	t.Cleanup(transport.CloseIdleConnections)
	p.http = &http.Client{Jar: jar, Transport: transport, Timeout: 40 * time.Second}
	return p
}

// said is an answer.
type said struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

func (s said) code() string {
	code, _ := s.body["code"].(string) // absent: no problem
	return code
}

// try sends a request; the error is that of the connection.
func (p *person) try(method, path string, body any) (said, error) {
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return said{}, err
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.node.URL()+"/api/v1"+path, payload)
	if err != nil {
		return said{}, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return said{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return said{}, err
	}
	s := said{status: resp.StatusCode, header: resp.Header, raw: string(b)}
	if len(b) > 0 {
		err = json.Unmarshal(b, &s.body)
	}
	return s, err
}

func (p *person) ask(method, path string, body any) said {
	p.t.Helper()
	s, err := p.try(method, path, body)
	if err != nil {
		p.t.Fatalf("%s %s: %v", method, path, err)
	}
	return s
}

// wants asks and checks the status.
func (p *person) wants(status int, method, path string, body any) said {
	p.t.Helper()
	s := p.ask(method, path, body)
	if s.status != status {
		p.t.Fatalf("%s %s: %d, want %d: %s", method, path, s.status, status, s.raw)
	}
	return s
}

type fields map[string]any

func (p *person) registration() fields {
	return fields{"email": p.email, "username": p.username, "password": p.password}
}

func (p *person) login() fields { return fields{"login": p.email, "password": p.password} }

// join registers and verifies.
func (p *person) join(s *service) said {
	p.t.Helper()
	nth := 1 + len(letters(s, p.email, "Your code for Rondo"))
	p.wants(http.StatusAccepted, "POST", "/auth/register", p.registration())
	code := awaitMail(p.t, s, p.email, "Your code for Rondo", nth).Code(p.t)
	return p.wants(http.StatusOK, "POST", "/auth/verify", fields{"email": p.email, "code": code})
}

// TestAccountLife: register, code from the mail, log in, refresh, log out, refused.
func TestAccountLife(t *testing.T) {
	databases(t, func(t *testing.T, url string) {
		s := newService(t, url)
		ann := browser(t, s.node(t), 1, "ann")
		ann.wants(http.StatusUnauthorized, "GET", "/me", nil)
		joined := ann.join(s)
		user, _ := joined.body["user"].(map[string]any)
		if user["username"] != "ann" || user["email"] != "ann@example.org" || !strings.HasPrefix(fmt.Sprint(user["id"]), "u_") {
			t.Fatalf("joined: %s", joined.raw)
		}
		if strings.Contains(joined.raw, "token") {
			t.Errorf("a browser's tokens are in the body: %s", joined.raw)
		}
		for range 3 {
			ann.wants(http.StatusOK, "POST", "/auth/refresh", fields{})
			ann.wants(http.StatusOK, "GET", "/me", nil)
		}
		ann.wants(http.StatusNoContent, "POST", "/auth/logout", fields{})
		ann.wants(http.StatusUnauthorized, "GET", "/me", nil)
		ann.wants(http.StatusUnauthorized, "POST", "/auth/refresh", fields{})
		ann.wants(http.StatusOK, "POST", "/auth/login", ann.login())
		ann.wants(http.StatusOK, "GET", "/me", nil)

		// The program's way: tokens in the body, which are worth nothing after the log-out.
		bot := browser(t, ann.node, 2, "ann")
		login := bot.login()
		login["bearer"] = true
		tokens := bot.wants(http.StatusOK, "POST", "/auth/login", login)
		if bot.bearer(tokens) != http.StatusOK {
			t.Error("the access token does not work")
		}
		bot.wants(http.StatusNoContent, "POST", "/auth/logout", fields{"refresh_token": tokens.body["refresh_token"]})
		testenv.Eventually(t, 2*time.Second, func() bool { return bot.bearer(tokens) == http.StatusUnauthorized }, "an access token ends with its session")
		bot.wants(http.StatusUnauthorized, "POST", "/auth/refresh", fields{"refresh_token": tokens.body["refresh_token"]})
		ann.wants(http.StatusOK, "GET", "/me", nil) // another session
	})
}

// bearer asks for /me with the access token of an answer and returns the status.
func (p *person) bearer(tokens said) int {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), "GET", p.node.URL()+"/api/v1/me", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", fmt.Sprintf("Bearer %s", tokens.body["access_token"]))
	resp, err := p.http.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// TestForgotAndReset: the old password and the sessions of before are over.
func TestForgotAndReset(t *testing.T) {
	databases(t, func(t *testing.T, url string) {
		s := newService(t, url)
		n := s.node(t)
		ann, phone := browser(t, n, 1, "ann"), browser(t, n, 2, "ann")
		ann.join(s)
		phone.wants(http.StatusOK, "POST", "/auth/login", phone.login())
		before := 1 + len(letters(s, "ann@example.org", "new password"))
		ann.wants(http.StatusAccepted, "POST", "/auth/forgot", fields{"email": ann.email})
		code := awaitMail(t, s, "ann@example.org", "new password", before).Code(t)
		wrong := fields{"email": ann.email, "code": "00000000", "password": "a new horse battery"}
		if code == "00000000" {
			wrong["code"] = "00000001"
		}
		if got := ann.ask("POST", "/auth/reset", wrong); got.status != http.StatusBadRequest || got.code() != "code_invalid" {
			t.Errorf("a wrong code: %d %s", got.status, got.raw)
		}
		reset := fields{"email": ann.email, "code": code, "password": "a new horse battery"}
		ann.wants(http.StatusNoContent, "POST", "/auth/reset", reset)
		if got := ann.ask("POST", "/auth/reset", reset); got.status != http.StatusBadRequest {
			t.Errorf("the code once more: %d %s", got.status, got.raw)
		}
		for _, p := range []*person{ann, phone} {
			p.wants(http.StatusUnauthorized, "POST", "/auth/refresh", fields{})
			testenv.Eventually(t, 2*time.Second, func() bool { return p.ask("GET", "/me", nil).status == http.StatusUnauthorized }, "the session ends")
			if got := p.ask("POST", "/auth/login", p.login()); got.status != http.StatusUnauthorized || got.code() != "credentials" {
				t.Errorf("the old password: %d %s", got.status, got.raw)
			}
		}
		ann.password = "a new horse battery"
		ann.wants(http.StatusOK, "POST", "/auth/login", ann.login())
		awaitMail(t, s, "ann@example.org", "was changed", 1)
	})
}

// letters returns the mails to an address whose subject holds words.
func letters(s *service, address, words string) []testenv.Mail {
	var list []testenv.Mail
	for _, m := range s.sink.Mails() {
		if slices.Contains(m.To, address) && strings.Contains(m.Subject, words) {
			list = append(list, m)
		}
	}
	return list
}

// awaitMail waits for the nth mail (from 1) to an address whose subject holds words.
func awaitMail(t *testing.T, s *service, address, words string, nth int) testenv.Mail {
	t.Helper()
	testenv.Eventually(t, wait, func() bool { return len(letters(s, address, words)) >= nth }, "mail %d about %q", nth, words)
	return letters(s, address, words)[nth-1]
}

// TestNobodyIsEnumerated: who has an account cannot be told by status, headers,
// body, or time.
func TestNobodyIsEnumerated(t *testing.T) {
	s := newService(t, "sqlite:"+filepath.Join(t.TempDir(), "rondo.db"))
	n := s.node(t)
	const rounds = 7
	var known []*person // two groups, since forgot and resend count as one to the limits
	for i := range 2 * rounds {
		p := browser(t, n, 10+i, fmt.Sprintf("known%d", i))
		p.join(s)
		known = append(known, p)
	}
	for _, c := range []struct {
		name  string
		group int
		path  string
		body  func(email, username string) fields
	}{
		{"log-in", 0, "/auth/login", func(email, _ string) fields { return fields{"login": email, "password": "not the password"} }},
		{"register", 0, "/auth/register", func(email, username string) fields {
			return fields{"email": email, "username": "new_" + username, "password": "correct horse battery"}
		}},
		{"forgot", 0, "/auth/forgot", func(email, _ string) fields { return fields{"email": email} }},
		{"resend", 1, "/auth/resend", func(email, _ string) fields { return fields{"email": email} }},
		{"verify", 0, "/auth/verify", func(email, _ string) fields { return fields{"email": email, "code": "12345678"} }},
		{"reset", 1, "/auth/reset", func(email, _ string) fields {
			return fields{"email": email, "code": "12345678", "password": "correct horse battery"}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var times [2][]time.Duration // of unknown and known
			for i := range rounds {
				var answers [2]said
				for _, side := range []int{i % 2, 1 - i%2} {
					who := c.group*rounds + i
					email := fmt.Sprintf("nobody%d@example.org", who)
					if side == 1 {
						email = known[who].email
					}
					stranger := browser(t, n, 300+2*who+side, fmt.Sprintf("stranger%d_%d", who, side))
					stranger.ask("GET", "/me", nil) // a connection
					start := time.Now()
					answers[side] = stranger.ask("POST", c.path, c.body(email, stranger.username))
					times[side] = append(times[side], time.Since(start))
				}
				if a, b := outside(answers[0]), outside(answers[1]); a != b {
					t.Fatalf("unknown: %s\nknown:   %s", a, b)
				}
			}
			// The fastest of each: a busy machine makes answers slower, never faster.
			unknown, have := slices.Min(times[0]), slices.Min(times[1])
			t.Logf("unknown %v, known %v", unknown, have)
			if d := (unknown - have).Abs(); d > 10*time.Millisecond && d > max(unknown, have)*2/5 {
				t.Errorf("unknown takes %v, known %v: %v\n%v", unknown, have, times[0], times[1])
			}
		})
	}
}

// outside is what can be seen of an answer: times are left out, random values
// shown by their length.
func outside(s said) string {
	header := s.header.Clone()
	header.Del("Date")
	var cookies []string
	for _, c := range header.Values("Set-Cookie") {
		name, value, _ := strings.Cut(c, "=")
		value, attributes, _ := strings.Cut(value, ";")
		cookies = append(cookies, fmt.Sprintf("%s=%d;%s", name, len(value), attributes))
	}
	header.Del("Set-Cookie")
	body := map[string]any{}
	for k, v := range s.body {
		if k == "expires_at" || k == "retry_ms" {
			v = "a number"
		}
		body[k] = v
	}
	return fmt.Sprint(s.status, header, cookies, body)
}
