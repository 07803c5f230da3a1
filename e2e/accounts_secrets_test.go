package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/testenv"
)

// TestSecretsAtRest: neither the database, with mails that wait in it, nor the log
// at its most talkative, nor the metrics hold a password, a code or a token.
func TestSecretsAtRest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rondo.db")
	s := newService(t, "sqlite:"+file)
	n := s.node(t)
	ann := browser(t, n, 1, "ann")
	secrets := map[string]string{"password": ann.password, "mail server's password": s.sink.Password}
	ann.join(s)
	secrets["code"] = letters(s, ann.email, "Your code")[0].Code(t)
	secrets["wrong password"] = "a mistyped password"
	ann.wants(http.StatusUnauthorized, "POST", "/auth/login", fields{"login": ann.email, "password": secrets["wrong password"]})
	login := ann.login()
	login["bearer"] = true
	for i := range 2 {
		tokens := browser(t, n, 2+i, "ann").wants(http.StatusOK, "POST", "/auth/login", login)
		for _, kind := range []string{"access_token", "refresh_token", "device_token"} {
			secrets[fmt.Sprint(kind, i)], _ = tokens.body[kind].(string)
		}
	}
	totp := ann.wants(http.StatusOK, "POST", "/me/totp", fields{"password": ann.password})
	secrets["second factor"], _ = totp.body["secret"].(string)

	s.sink.Down() // the codes of these stay in the outbox
	bob := browser(t, n, 9, "bob")
	secrets["password of somebody not verified"] = bob.password
	bob.wants(http.StatusAccepted, "POST", "/auth/register", bob.registration())
	ann.wants(http.StatusAccepted, "POST", "/auth/forgot", fields{"email": ann.email})
	testenv.Eventually(t, wait, func() bool { return strings.Contains(n.Output(), "mail server cannot be used") }, "mail that cannot leave is in the log")

	metrics := n.MetricsText(t)
	n.Stop(t, wait)
	places := map[string]string{"log": n.Output(), "metrics": metrics}
	for _, name := range []string{file, file + "-wal"} {
		if b, err := os.ReadFile(name); err == nil { // a clean stop leaves no -wal
			places[filepath.Base(name)] = string(b)
		}
	}
	for where, text := range places {
		for what, secret := range secrets {
			if len(secret) < 8 {
				t.Fatalf("%s: %q is no secret", what, secret)
			}
			if strings.Contains(text, secret) {
				t.Errorf("the %s shows the %s", where, what)
			}
		}
	}
	if !strings.Contains(places["rondo.db"], ann.email) {
		t.Error("not even ann is in the database: this test looks at the wrong file")
	}
	for _, where := range []string{"log", "metrics"} {
		if strings.Contains(places[where], "example.org") && strings.Contains(places[where], ann.email) {
			t.Errorf("the %s shows an e-mail address", where)
		}
	}

	// What waited leaves from the next node, and is what it was.
	s.sink.Up(t)
	bob.node = s.node(t)
	code := awaitMail(t, s, bob.email, "Your code", 1).Code(t)
	if strings.Contains(places["rondo.db"], code) || strings.Contains(places["log"], code) {
		t.Error("a code that waited was readable")
	}
	bob.wants(http.StatusOK, "POST", "/auth/verify", fields{"email": bob.email, "code": code})
}

// TestNoMailServer: a developer finds the code in the log; a public service does
// not start.
func TestNoMailServer(t *testing.T) {
	n := lab.Start(t, lab.Options{})
	ann := browser(t, n, 1, "ann")
	ann.wants(http.StatusAccepted, "POST", "/auth/register", ann.registration())
	printed := regexp.MustCompile(`"code":"(\d{8})"`)
	testenv.Eventually(t, wait, func() bool { return printed.MatchString(n.Output()) }, "the code is in the log")
	ann.wants(http.StatusOK, "POST", "/auth/verify", fields{"email": ann.email, "code": printed.FindStringSubmatch(n.Output())[1]})

	out := lab.StartFails(t, lab.Options{Args: []string{"--public-url", "https://meet.example.org"}})
	if !strings.Contains(out, "smtp") {
		t.Errorf("a public service without mail does not say what is missing:\n%s", out)
	}
}
