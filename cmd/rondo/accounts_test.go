package main

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestAccountsSettings: on by default, one file; off where several nodes would each
// have a file; and a public service does not start without mail.
func TestAccountsSettings(t *testing.T) {
	for name, tc := range map[string]struct {
		args  []string
		on    bool
		wrong string // what the error names
	}{
		"nothing set":          {on: true},
		"switched off":         {args: []string{"--accounts=false", "--public-url", "https://a.example"}},
		"Redis and a file":     {args: []string{"--redis", "redis://localhost"}},
		"Redis and a URL":      {args: []string{"--redis", "redis://localhost", "--database", "postgres://localhost/rondo"}, on: true},
		"a relay":              {args: []string{"--roles", "turn", "--public-url", "https://a.example"}},
		"localhost":            {args: []string{"--public-url", "http://localhost:8080"}, on: true},
		"loopback":             {args: []string{"--public-url", "http://127.0.0.1:8080"}, on: true},
		"public, no mail":      {args: []string{"--public-url", "https://a.example"}, wrong: "smtp:"},
		"looks like localhost": {args: []string{"--public-url", "https://localhost.example"}, wrong: "smtp:"},
		"mail, no sender":      {args: []string{"--public-url", "https://a.example", "--smtp", "mail.example"}, wrong: "smtp-from"},
		"public, mail":         {args: []string{"--public-url", "https://a.example", "--smtp", "mail.example", "--smtp-from", "rondo@a.example"}, on: true},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := loadConfig(tc.args, nil, io.Discard)
			if tc.wrong != "" {
				if !errors.Is(err, errUsage) || !strings.Contains(err.Error(), tc.wrong) {
					t.Fatalf("got %v, want an error of %s", err, tc.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.hasAccounts() != tc.on {
				t.Errorf("accounts: %t", c.hasAccounts())
			}
		})
	}
	for public, want := range map[string]string{
		"": "", "http://localhost:8080": "", "http://127.0.0.1:8080/": "", "https://a.example": "https://a.example", "https://a.example:8443/": "https://a.example:8443",
	} {
		if got := (&config{PublicURL: public}).origin(); got != want {
			t.Errorf("%q: origin %q, want %q", public, got, want)
		}
	}
	c, err := loadConfig([]string{"--data", "there"}, nil, io.Discard)
	if err != nil || c.databaseURL() != "sqlite:there/rondo.db" {
		t.Errorf("%v, %v", c, err)
	}
}

// TestCameSecurely: a header counts only if a trusted proxy sent it.
func TestCameSecurely(t *testing.T) {
	var trusted prefixList
	if err := trusted.Set("10.0.0.0/8"); err != nil {
		t.Fatal(err)
	}
	secure := cameSecurely(trusted)
	for name, tc := range map[string]struct {
		r    http.Request
		want bool
	}{
		"TLS here":              {http.Request{TLS: &tls.ConnectionState{}, RemoteAddr: "192.0.2.1:1"}, true},
		"plain":                 {http.Request{RemoteAddr: "192.0.2.1:1"}, false},
		"anybody's header":      {http.Request{RemoteAddr: "192.0.2.1:1", Header: http.Header{"X-Forwarded-Proto": {"https"}}}, false},
		"the proxy's header":    {http.Request{RemoteAddr: "10.1.2.3:1", Header: http.Header{"X-Forwarded-Proto": {"https"}}}, true},
		"the proxy, by http":    {http.Request{RemoteAddr: "10.1.2.3:1", Header: http.Header{"X-Forwarded-Proto": {"http"}}}, false},
		"the proxy says naught": {http.Request{RemoteAddr: "10.1.2.3:1"}, false},
	} {
		if got := secure(&tc.r); got != tc.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
