package auth

import (
	"crypto/tls"
	"net/http/httptest"
	"testing"

	"github.com/rondo-chat/rondo/protocol"
)

func TestOrigins(t *testing.T) {
	list, err := ParseOrigins([]string{"https://rondo.example", "http://localhost:8080/", " https://Sub.Example:8443 ", "capacitor://localhost", "https://[2001:db8::1]"})
	if err != nil {
		t.Fatal(err)
	}
	own, err := ParseOrigins(nil)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		origins Origins
		host    string
		tls     bool
		origin  []string
		cookie  bool
		ok      bool
	}{
		{"listed", list, "x", true, []string{"https://rondo.example"}, true, true},
		{"listed, default port", list, "x", true, []string{"https://rondo.example:443"}, true, true},
		{"listed, upper case", list, "x", true, []string{"HTTPS://RONDO.example"}, false, true},
		{"listed with port", list, "x", false, []string{"http://localhost:8080"}, false, true},
		{"listed in upper case", list, "x", false, []string{"https://sub.example:8443"}, false, true},
		{"app", list, "x", true, []string{"capacitor://localhost"}, false, true},
		{"IPv6", list, "x", true, []string{"https://[2001:db8::1]"}, false, true},
		{"other scheme", list, "x", true, []string{"http://rondo.example"}, false, false},
		{"other port", list, "x", true, []string{"https://rondo.example:8443"}, false, false},
		{"subdomain", list, "x", true, []string{"https://a.rondo.example"}, false, false},
		{"suffix", list, "x", true, []string{"https://evilrondo.example"}, false, false},
		{"prefix", list, "x", true, []string{"https://rondo.example.evil.org"}, false, false},
		{"user", list, "x", true, []string{"https://rondo.example@evil.org"}, false, false},
		{"path", list, "x", true, []string{"https://rondo.example/x"}, false, false},
		{"trailing dot", list, "x", true, []string{"https://rondo.example."}, false, false},
		{"null", list, "x", true, []string{"null"}, false, false},
		{"empty", list, "x", true, []string{""}, false, false},
		{"two", list, "x", true, []string{"https://rondo.example", "https://rondo.example"}, false, false},
		{"two in one", list, "x", true, []string{"https://rondo.example, https://evil.org"}, false, false},
		{"own host is not enough with a list", list, "me.example", true, []string{"https://me.example"}, false, false},
		{"none, no cookie", list, "x", true, nil, false, true},
		{"none, cookie", list, "x", true, nil, true, false},
		{"own", own, "me.example", true, []string{"https://me.example"}, true, true},
		{"own behind a proxy", own, "me.example", false, []string{"https://me.example"}, false, true},
		{"own with port", own, "localhost:8080", false, []string{"http://localhost:8080"}, false, true},
		{"own default port", own, "me.example:443", true, []string{"https://me.example"}, false, true},
		{"own upper case", own, "ME.example", true, []string{"https://me.EXAMPLE"}, false, true},
		{"own IPv6", own, "[::1]:8080", false, []string{"http://[::1]:8080"}, false, true},
		{"own IPv6, default port", own, "[::1]", false, []string{"http://[::1]"}, false, true},
		{"own, plain page on TLS", own, "me.example", true, []string{"http://me.example"}, false, false},
		{"own, no page", own, "me.example", false, []string{"ftp://me.example"}, false, false},
		{"own, an extension", own, "me.example", false, []string{"chrome-extension://me.example"}, false, false},
		{"own, other port", own, "me.example:8080", false, []string{"http://me.example:8081"}, false, false},
		{"own, no port", own, "me.example:8080", false, []string{"http://me.example"}, false, false},
		{"other", own, "me.example", false, []string{"https://evil.org"}, false, false},
		{"no host", own, "", false, []string{"https://evil.org"}, false, false},
		{"null, own", own, "null", false, []string{"null"}, false, false},
		{"zero value", Origins{}, "me.example", false, []string{"https://evil.org"}, false, false},
	}
	for _, test := range tests {
		r := httptest.NewRequest("GET", "/ws", nil)
		r.Host = test.host
		if test.tls {
			r.TLS = &tls.ConnectionState{}
		}
		for _, o := range test.origin {
			r.Header.Add("Origin", o)
		}
		if test.cookie {
			r.Header.Set("Cookie", "a=b")
		}
		err := test.origins.Check(r)
		if test.ok && err != nil || !test.ok && protocol.CodeOf(err) != protocol.CodeOrigin {
			t.Errorf("%s: %v, want ok = %v", test.name, err, test.ok)
		}
	}
}

func TestParseOriginsRefuses(t *testing.T) {
	for _, s := range []string{"", "*", "https://*", "https://*.example", "rondo.example", "//rondo.example", "https://", "https://a/b", "https://a?b", "https://a?", "https://a#b",
		"https://u@a", "https://a,https://b", "https://münchen.example", "https://a b", "null", "https://a:port", "https://a%zz", "mailto:a@b"} {
		if _, err := ParseOrigins([]string{"https://good.example", s}); err == nil {
			t.Errorf("%q is accepted", s)
		}
	}
}

func FuzzOrigin(f *testing.F) {
	for _, s := range []string{"https://rondo.example", "http://[::1]:80", "null", "https://a:1:2", "a://b", "https://a%2e", "https://[::1%25eth0]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o, err := parseOrigin(s)
		if err != nil {
			return
		}
		if o.scheme == "" || o.host == "" {
			t.Errorf("%q: %+v", s, o)
		}
		again, err := ParseOrigins([]string{s})
		if err == nil && !again.allowed[o.String()] {
			t.Errorf("%q is not itself", s)
		}
	})
}
