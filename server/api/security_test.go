package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/protocol"
)

// browserRequest is a request with the cookies of somebody, from a page.
func (b *bench) browserRequest(method, path, body string, as protocol.UserID, headers ...string) *http.Request {
	r := b.request(method, path, body, "")
	if as != "" {
		r.AddCookie(&http.Cookie{Name: "__Host-rondo", Value: b.token(as)})
		r.AddCookie(&http.Cookie{Name: "__Secure-rondo-refresh", Value: "refresh-of-ann"})
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

// TestCSRF: no form or script of another site changes anything, on
// any route, whatever it says.
func TestCSRF(t *testing.T) {
	b := newBench(t)
	foreign := map[string][]string{
		"fetch metadata":        {"Sec-Fetch-Site", "cross-site"},
		"a sibling's page":      {"Sec-Fetch-Site", "same-site", "Origin", "https://other.example.org"},
		"origin alone":          {"Origin", "https://evil.example"},
		"null origin":           {"Origin", "null"},
		"form":                  {"Origin", "https://evil.example", "Content-Type", "application/x-www-form-urlencoded"},
		"form without origin":   {"Content-Type", "application/x-www-form-urlencoded"},
		"text/plain":            {"Content-Type", "text/plain"},
		"text/plain with json":  {"Content-Type", "text/plain; application/json"},
		"multipart":             {"Content-Type", "multipart/form-data; boundary=x"},
		"http page of the host": {"Origin", "http://rondo.example.org:81"},
	}
	for _, o := range operations(t, b.doc) {
		if o.method == http.MethodGet {
			continue
		}
		for name, headers := range foreign {
			path, body := b.example(o)
			if body == "" && !isUpload(o.method, path) && !strings.Contains(strings.Join(headers, " "), "Origin") && !strings.Contains(strings.Join(headers, " "), "Sec-Fetch") {
				continue // without a body its type does not matter: DELETE is no form's
			}
			w := b.do(b.browserRequest(o.method, path, body, adminID, headers...))
			if w.Code != http.StatusForbidden && w.Code != http.StatusBadRequest {
				t.Errorf("%s %s by %s: %d", o.method, o.path, name, w.Code)
			}
			if len(w.Result().Cookies()) > 0 {
				t.Errorf("%s %s by %s: cookies", o.method, o.path, name)
			}
		}
		path, body := b.example(o)
		b.accounts.devices["d_7k2m"] = adminID
		b.accounts.users["u_abcdefghijklmnopqrstuvwxyz"] = b.accounts.users[boID]
		if calls := b.accounts.took(); len(calls) > 0 {
			t.Errorf("%s %s: the accounts were asked %v", o.method, o.path, calls)
		}
		w := b.do(b.browserRequest(o.method, path, body, adminID, "Origin", "https://rondo.example.org", "Sec-Fetch-Site", "same-origin"))
		if w.Code >= 300 {
			t.Errorf("%s %s by the own page: %d %s", o.method, o.path, w.Code, w.Body)
		}
		b.accounts.took()
	}
}

// TestNoCrossOriginReading: nothing invites another site's script to read.
func TestNoCrossOriginReading(t *testing.T) {
	b := newBench(t)
	for _, o := range operations(t, b.doc) {
		path, body := b.example(o)
		for _, m := range []string{o.method, http.MethodOptions} {
			w := httptest.NewRecorder()
			b.ServeHTTP(w, b.browserRequest(m, path, body, annID, "Origin", "https://evil.example", "Access-Control-Request-Method", o.method))
			for h := range w.Header() {
				if strings.HasPrefix(h, "Access-Control-") {
					t.Errorf("%s %s: %s", m, path, h)
				}
			}
			for h, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"} {
				if got := w.Header().Get(h); got != want {
					t.Errorf("%s %s: %s is %q", m, path, h, got)
				}
			}
		}
	}
}

// TestCookies: flags of each, names by the way the client came, and no token in
// the body of who gets cookies.
func TestCookies(t *testing.T) {
	for _, secure := range []bool{true, false} {
		b := newBench(t, func(c *Config) { c.Secure = func(*http.Request) bool { return secure } })
		w := b.do(b.request("POST", "/api/v1/auth/login", `{"login":"ann","password":"`+password+`"}`, ""))
		got := map[string]*http.Cookie{}
		for _, c := range w.Result().Cookies() {
			got[c.Name] = c
		}
		names := slices.Sorted(maps.Keys(got))
		want := []string{"rondo", "rondo-device", "rondo-refresh"}
		if secure {
			want = []string{"__Host-rondo", "__Secure-rondo-device", "__Secure-rondo-refresh"}
		}
		if !slices.Equal(names, want) {
			t.Fatalf("cookies %v", names)
		}
		for i, c := range []*http.Cookie{got[want[0]], got[want[1]], got[want[2]]} {
			path, site := "/api/v1/auth", http.SameSiteStrictMode
			if i == 0 {
				path, site = "/", http.SameSiteLaxMode
			}
			if c.Path != path || c.SameSite != site || !c.HttpOnly || c.Secure != secure || c.Domain != "" || c.MaxAge <= 0 {
				t.Errorf("%+v", c)
			}
		}
		if s := w.Body.String(); strings.Contains(s, "access.of.ann") || strings.Contains(s, "refresh-of-ann") || strings.Contains(s, "device-of-ann") {
			t.Errorf("a token is in the body: %s", s)
		}
		w = b.do(b.request("POST", "/api/v1/auth/login", `{"login":"ann","password":"`+password+`","bearer":true}`, ""))
		if s := w.Body.String(); len(w.Result().Cookies()) > 0 || !strings.Contains(s, `"access_token":"access.of.ann"`) || strings.Contains(s, "ticket") {
			t.Errorf("a program got %v %s", w.Result().Cookies(), s)
		}
	}
}

// TestRefreshAnswersInKind: page script cannot turn the cookie into a token.
func TestRefreshAnswersInKind(t *testing.T) {
	b := newBench(t)
	w := b.do(b.browserRequest("POST", "/api/v1/auth/refresh", `{}`, annID))
	if w.Code != 200 || strings.Contains(w.Body.String(), "access_token") || len(w.Result().Cookies()) != 2 {
		t.Errorf("by cookie: %d %s %v", w.Code, w.Body, w.Result().Cookies())
	}
	if w = b.do(b.browserRequest("POST", "/api/v1/auth/refresh", `{"bearer":true}`, annID)); w.Code != 400 {
		t.Errorf("asked for a token: %d", w.Code)
	}
	w = b.do(b.request("POST", "/api/v1/auth/refresh", `{"refresh_token":"refresh-of-ann"}`, ""))
	if w.Code != 200 || !strings.Contains(w.Body.String(), "access_token") || len(w.Result().Cookies()) > 0 {
		t.Errorf("by token: %d %s", w.Code, w.Body)
	}
	r := b.request("POST", "/api/v1/auth/refresh", `{}`, "")
	r.AddCookie(&http.Cookie{Name: "__Secure-rondo-refresh", Value: "stale"})
	if w = b.do(r); w.Code != 401 || len(w.Result().Cookies()) != 2 || w.Result().Cookies()[0].MaxAge >= 0 {
		t.Errorf("stale: %d %v", w.Code, w.Result().Cookies())
	}
	if w = b.do(b.request("POST", "/api/v1/auth/refresh", `{}`, "")); w.Code != 401 {
		t.Errorf("nothing: %d", w.Code)
	}
}

// TestFixation: what a client brings never becomes what it gets.
func TestFixation(t *testing.T) {
	b := newBench(t)
	for _, brought := range []string{b.token(boID), "chosen", ""} {
		r := b.browserRequest("POST", "/api/v1/auth/login", `{"login":"ann","password":"`+password+`"}`, "")
		r.AddCookie(&http.Cookie{Name: "__Host-rondo", Value: brought})
		r.AddCookie(&http.Cookie{Name: "__Secure-rondo-refresh", Value: brought})
		for _, c := range b.do(r).Result().Cookies() {
			if c.Value == brought {
				t.Errorf("%s is what the client brought", c.Name)
			}
		}
	}
	// A cookie that somebody without https could have planted counts for nothing.
	for _, name := range []string{"rondo", "__Secure-rondo", "__host-rondo"} {
		r := b.request("GET", "/api/v1/me", "", "")
		r.AddCookie(&http.Cookie{Name: name, Value: b.token(annID)})
		if w := b.do(r); w.Code != 401 {
			t.Errorf("cookie %s: %d", name, w.Code)
		}
	}
	r := b.browserRequest("GET", "/api/v1/me", "", annID)
	r.AddCookie(&http.Cookie{Name: "__Host-rondo", Value: b.token(boID)})
	if w := b.do(r); w.Code != 401 {
		t.Errorf("two cookies of one name: %d", w.Code)
	}
}

// TestHeaderAndLogInjection: what a client says makes no header and no line of its
// own, and no secret reaches the log.
func TestHeaderAndLogInjection(t *testing.T) {
	var log bytes.Buffer
	b := newBench(t, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	b.accounts.fail = fmt.Errorf("a bug")
	evil := "x\r\nSet-Cookie: evil=1\r\nlevel=ERROR msg=forged"
	raw, _ := json.Marshal(evil)
	lines := 0
	for _, o := range operations(t, b.doc) {
		path, body := b.example(o)
		var v object
		if body != "" {
			if err := json.Unmarshal([]byte(body), &v); err != nil {
				t.Fatal(err)
			}
			for k, old := range v {
				if _, text := old.(string); text && k != "guest" {
					v[k] = evil
				}
			}
			changed, _ := json.Marshal(v)
			body = string(changed)
		}
		r := b.request(o.method, path, body, b.token(adminID))
		r.Header["User-Agent"] = []string{evil}
		r.Header["Accept-Language"] = []string{evil}
		r.Header["X-Request-Id"] = []string{evil}
		w := b.do(r)
		lines++
		for h, values := range w.Header() {
			if strings.ContainsAny(h+strings.Join(values, ""), "\r\n") || h == "Set-Cookie" && strings.Contains(values[0], "evil") {
				t.Errorf("%s %s: header %s: %q", o.method, path, h, values)
			}
		}
		if strings.Contains(w.Body.String(), "a bug") {
			t.Errorf("%s %s: tells of the bug: %s", o.method, path, w.Body)
		}
	}
	text := log.String()
	if strings.Contains(text, "\nlevel=") || strings.Contains(text, "\r") || strings.Contains(text, string(raw)) {
		t.Errorf("the log has what a client wrote:\n%s", text)
	}
	for _, secret := range []string{password, "12345678", b.token(adminID)[:40], "refresh-of"} {
		if strings.Contains(text, secret) {
			t.Errorf("the log has the secret %q", secret)
		}
	}
	if n := strings.Count(text, "\n"); n == 0 || n > lines {
		t.Errorf("%d lines for %d requests", n, lines)
	}
}

// TestUserAgentIsCleaned: what is kept of it can be shown anywhere.
func TestUserAgentIsCleaned(t *testing.T) {
	b := newBench(t)
	r := b.request("POST", "/api/v1/auth/login", `{"login":"ann","password":"`+password+`"}`, "")
	r.Header["User-Agent"] = []string{"a\x00b\nc\x7f" + strings.Repeat("é", 300) + "\xff"}
	b.do(r)
	ua := b.accounts.last.(accounts.LoginRequest).Device.UserAgent
	if len(ua) > 256 || !strings.HasPrefix(ua, "abcé") || strings.ToValidUTF8(ua, "") != ua {
		t.Errorf("%q", ua)
	}
}

func TestBodies(t *testing.T) {
	b := newBench(t)
	for name, body := range map[string]string{
		"no object": `[]`, "text": `x`, "null": `null`, "two": `{} {}`, "cut": `{"login":`, "twice": `{"login":"a","login":"b","password":"x"}`,
		"null value": `{"login":null,"password":"x"}`, "number": `{"login":1,"password":"x"}`, "object": `{"login":{"$ne":""},"password":{"$ne":""}}`,
		"NUL": `{"login":"a\u0000b","password":"x"}`, "not UTF-8": "{\"login\":\"\xff\",\"password\":\"x\"}", "missing": `{"login":"a"}`,
		"long": `{"login":"` + strings.Repeat("a", 255) + `","password":"x"}`, "other case": `{"Login":"a","password":"x"}`,
	} {
		w := b.do(b.request("POST", "/api/v1/auth/login", body, ""))
		if w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	w := b.do(b.request("POST", "/api/v1/auth/login", `{"login":"`+strings.Repeat("a", 20<<10)+`"}`, ""))
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("large: %d", w.Code)
	}
	if calls := b.accounts.took(); len(calls) > 0 {
		t.Errorf("the accounts were asked %v", calls)
	}
	for _, m := range []string{"GET", "PUT", "DELETE"} {
		if w := b.do(b.request(m, "/api/v1/auth/login", "", "")); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "POST" || !strings.Contains(w.Header().Get("Content-Type"), "problem+json") {
			t.Errorf("%s: %d %q", m, w.Code, w.Header())
		}
	}
	if w := b.do(b.request("GET", "/api/v1/users", "", "")); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), `"not_found"`) {
		t.Errorf("no route: %d %s", w.Code, w.Body)
	}
}

func TestIfMatch(t *testing.T) {
	b := newBench(t)
	for header, want := range map[string]int{`"3"`: 200, `"2"`: 412, "": 412, "*": 412, "3": 412, `W/"3"`: 412, `"3", "4"`: 412, `"0"`: 412, `"-3"`: 412, `"03"`: 412} {
		r := b.request("PATCH", "/api/v1/me", `{"name":"Ann"}`, b.token(annID))
		r.Header.Set("If-Match", header)
		if w := b.do(r); w.Code != want {
			t.Errorf("If-Match %s: %d, want %d", header, w.Code, want)
		}
	}
}

func TestIdempotencyKey(t *testing.T) {
	now := time.Now()
	b := newBench(t, func(c *Config) { c.Now = func() time.Time { return now } })
	post := func(key, body, as string) *httptest.ResponseRecorder {
		r := b.request("POST", "/api/v1/auth/register", body, as)
		r.Header.Set("Idempotency-Key", key)
		return b.do(r)
	}
	key, body := strings.Repeat("k", 20), `{"email":"ann@example.org","username":"ann","password":"x","bearer":true}`
	first, again := post(key, body, ""), post(key, body, "")
	if first.Code != 202 || again.Code != 202 || first.Body.String() != again.Body.String() || again.Header().Get("Idempotency-Replayed") != "true" {
		t.Errorf("%d %s, then %d %s", first.Code, first.Body, again.Code, again.Body)
	}
	if n := len(b.accounts.took()); n != 1 {
		t.Errorf("%d registrations", n)
	}
	if w := post(key, strings.Replace(body, "ann@", "bo@", 1), ""); w.Code != 409 || !strings.Contains(w.Body.String(), `"idempotency"`) {
		t.Errorf("another body: %d %s", w.Code, w.Body)
	}
	if w := post(key, body, b.token(boID)); w.Header().Get("Idempotency-Replayed") != "" {
		t.Error("somebody else gets the answer")
	}
	for _, bad := range []string{"short", strings.Repeat("k", 65), strings.Repeat("k", 16) + "/"} {
		if w := post(bad, body, ""); w.Code != 400 {
			t.Errorf("key %q: %d", bad, w.Code)
		}
	}
	b.accounts.took()
	b.accounts.fail = protocol.Errorf(protocol.CodeUnavailable, "later")
	post(key+"2", body, "")
	b.accounts.fail = nil
	if w := post(key+"2", body, ""); w.Code != 202 || w.Header().Get("Idempotency-Replayed") != "" {
		t.Errorf("after a failure: %d", w.Code)
	}
	now = now.Add(answerTTL)
	if w := post(key, body, ""); w.Header().Get("Idempotency-Replayed") != "" {
		t.Error("an old answer is given again")
	}
}

// TestKeptAnswersHoldNoSecret: neither a device's name nor a password is in what
// is kept.
func TestKeptAnswersHoldNoSecret(t *testing.T) {
	answers := NewMemoryAnswers(time.Now)
	b := newBench(t, func(c *Config) { c.Answers = answers })
	r := b.request("POST", "/api/v1/auth/register", `{"email":"ann@example.org","username":"ann","password":"`+password+`"}`, "")
	r.Header.Set("Idempotency-Key", strings.Repeat("k", 20))
	w := b.do(r)
	device := w.Result().Cookies()[0].Value
	kept := fmt.Sprintf("%+v", answers.all)
	for _, a := range answers.all {
		kept += string(a.Body)
	}
	if device == "" || strings.Contains(kept, device) || strings.Contains(kept, password) || strings.Contains(kept, "ann@") {
		t.Errorf("device %q, kept %s", device, kept)
	}
	for _, route := range Routes() {
		if route.once && (strings.Contains(route.Path, "totp") || strings.Contains(route.Path, "login") || strings.Contains(route.Path, "verify") || strings.Contains(route.Path, "admin")) {
			t.Errorf("%s: its answers hold what must not be kept", route.Name())
		}
	}
}

func TestLimits(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Limiter = ratelimit.NewMemory(100) })
	from := func(addr string) int {
		r := b.request("POST", "/api/v1/auth/login", `{"login":"ann","password":"no"}`, "")
		r.RemoteAddr = addr
		return b.do(r).Code
	}
	for i := range 300 {
		if from(fmt.Sprintf("[2001:db8::%x]:1", i)) == http.StatusTooManyRequests {
			if i < 50 {
				t.Errorf("refused after %d", i)
			}
			if from("[2001:db8:0:1::1]:1") == http.StatusTooManyRequests || from("192.0.2.1:1") == http.StatusTooManyRequests {
				t.Error("others are refused too")
			}
			return
		}
	}
	t.Error("a /64 is never refused")
}

// TestLogout: with an access token, with a refresh token alone, with nothing.
func TestLogout(t *testing.T) {
	b := newBench(t)
	for name, c := range map[string]struct {
		r    *http.Request
		want string
	}{
		"access":  {b.request("POST", "/api/v1/auth/logout", `{}`, b.token(annID)), "Logout s_" + string(annID) + " "},
		"no body": {b.request("POST", "/api/v1/auth/logout", "", b.token(annID)), "Logout s_" + string(annID) + " "},
		"cookie":  {b.browserRequest("POST", "/api/v1/auth/logout", `{}`, annID), "Logout s_" + string(annID) + " "},
		"refresh": {b.request("POST", "/api/v1/auth/logout", `{"refresh_token":"x"}`, ""), "LogoutToken "},
		"nothing": {b.request("POST", "/api/v1/auth/logout", `{}`, ""), ""},
		"all":     {b.request("POST", "/api/v1/auth/logout", `{"all":true}`, b.token(annID)), "LogoutAll " + string(annID)},
	} {
		w := b.do(c.r)
		calls := b.accounts.took()
		if w.Code != 204 || strings.Join(calls, "|") != c.want {
			t.Errorf("%s: %d %q", name, w.Code, calls)
		}
		for _, k := range w.Result().Cookies() {
			if k.MaxAge >= 0 {
				t.Errorf("%s: %s stays", name, k.Name)
			}
		}
	}
	if w := b.do(b.request("POST", "/api/v1/auth/logout", `{"all":true,"refresh_token":"x"}`, "")); w.Code != 401 {
		t.Errorf("all of nobody: %d", w.Code)
	}
}

func TestAdministratorsDoNotLockThemselvesOut(t *testing.T) {
	b := newBench(t)
	for body, want := range map[string]int{
		`{"disabled":true}`: 403, `{"roles":["user"]}`: 403, `{"roles":["user","admin","moderator"]}`: 200, `{"disabled":false}`: 200,
		`{"roles":["root"]}`: 400, `{}`: 400,
	} {
		if w := b.do(b.request("PATCH", "/api/v1/admin/users/"+string(adminID), body, b.token(adminID))); w.Code != want {
			t.Errorf("%s: %d, want %d", body, w.Code, want)
		}
	}
	for _, id := range []string{"x", "u_", string(annID) + "a", "g_AAAAAAAAAAAAAAAAAAAAAAAAAA", "u_aaaaaaaaaaaaaaaaaaaaaaaaa%27"} {
		if w := b.do(b.request("PATCH", "/api/v1/admin/users/"+id, `{"disabled":true}`, b.token(adminID))); w.Code != 404 {
			t.Errorf("identity %s: %d", id, w.Code)
		}
	}
}

func TestPages(t *testing.T) {
	b := newBench(t)
	for query, want := range map[string]int{"": 200, "?limit=2": 200, "?limit=0": 400, "?limit=101": 400, "?limit=x": 400, "?after=x": 400, "?after=" + string(annID): 200, "?query=%00": 400, "?query=%ff": 400, "?query=a%27%20OR%201=1--": 200} {
		w := b.do(b.request("GET", "/api/v1/admin/users"+query, "", b.token(modID)))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", query, w.Code, want)
		}
		if query == "?limit=2" && (!strings.Contains(w.Body.String(), `"next":"`+string(boID)+`"`) || strings.Contains(w.Body.String(), string(modID))) {
			t.Errorf("a page of two: %s", w.Body)
		}
	}
	if w := b.do(b.request("GET", "/api/v1/admin/users", "", b.token(modID))); strings.Contains(w.Body.String(), "secret-key") || strings.Contains(w.Body.String(), `"next"`) {
		t.Errorf("%s", w.Body)
	}
}

// TestTickets: they end, and are good for nothing else.
func TestTickets(t *testing.T) {
	b := newBench(t)
	now := time.Now()
	c := auth.Claims{Identity: annID, Session: "s", Roles: []auth.Role{auth.RoleUser}, Expires: now.Add(time.Minute).Truncate(time.Second)}
	tickets := b.cfg.Tickets
	raw := tickets.Issue(c, now)
	got, err := tickets.Verify(raw, now.Add(TicketTTL-time.Millisecond))
	if err != nil || got.Identity != c.Identity || got.Session != "s" || !got.Expires.Equal(c.Expires) || len(got.Roles) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	for name, at := range map[string]time.Time{"after its time": now.Add(TicketTTL), "after the token's time": now.Add(time.Hour)} {
		if _, err := tickets.Verify(raw, at); protocol.CodeOf(err) != protocol.CodeUnauthorized {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []string{"", "x", raw + "A", raw[1:], b.token(annID), b.guests.Issue("g_aaaaaaaaaaaaaaaaaaaaaaaaaa", now)} {
		if _, err := tickets.Verify(bad, now); protocol.CodeOf(err) != protocol.CodeUnauthorized {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if w := b.do(b.request("GET", "/api/v1/me", "", raw)); w.Code != 401 {
		t.Errorf("REST takes a ticket: %d", w.Code)
	}
}

// TestStuffingBehindOneAddress: a flood from an address keeps nobody out behind it
// who has logged in before, or is logged in; what a flood can make up does not
// count as such.
func TestStuffingBehindOneAddress(t *testing.T) {
	now := time.Now()
	b := newBench(t, func(c *Config) { c.Limiter = frozen{at: now, sets: map[ratelimit.Rate]*ratelimit.Keyed{}} })
	login := func(device, cookie string) *httptest.ResponseRecorder {
		body := `{"login":"ann","password":"` + password + `","bearer":true,"device_token":"` + device + `"}`
		if cookie != "" {
			body = `{"login":"ann","password":"` + password + `"}`
		}
		r := b.request("POST", "/api/v1/auth/login", body, "")
		if cookie != "" {
			r.AddCookie(&http.Cookie{Name: "__Secure-rondo-device", Value: cookie})
		}
		return b.do(r)
	}
	var had struct {
		DeviceToken string `json:"device_token"`
	}
	if err := json.Unmarshal(login("", "").Body.Bytes(), &had); err != nil || len(had.DeviceToken) < 20 {
		t.Fatalf("%q %v", had.DeviceToken, err)
	}
	flood := func(send func(i int) int) {
		t.Helper()
		for i := range 400 {
			if send(i) == http.StatusTooManyRequests {
				return
			}
		}
		t.Fatal("a flood is never refused")
	}
	flood(func(int) int { return login("", "").Code })
	seal := had.DeviceToken[len(had.DeviceToken)-sealSize:]
	for i, made := range []string{"", "x", "device-of-ann", "other" + seal, had.DeviceToken[:len(had.DeviceToken)-1], "device-of-ann" + strings.ToUpper(seal), seal, strings.Repeat("a", 47) + seal} {
		if w := login(made, ""); w.Code != http.StatusTooManyRequests {
			t.Errorf("made up %d: %d", i, w.Code)
		}
	}
	if w := login(had.DeviceToken, ""); w.Code != http.StatusOK {
		t.Errorf("a program's known device: %d", w.Code)
	}
	w := login("", had.DeviceToken)
	if w.Code != http.StatusOK {
		t.Errorf("a browser's known device: %d", w.Code)
	}
	for _, c := range w.Result().Cookies() {
		if c.Name == "__Secure-rondo-device" && c.Value != had.DeviceToken {
			t.Errorf("the device's cookie became %q", c.Value)
		}
	}
	if d := b.accounts.last.(accounts.LoginRequest).Device; d.ID != "device-of-ann" {
		t.Errorf("the accounts see the device as %q", d.ID)
	}
	// To ask for a code takes no seal away, and gives nobody one.
	for cookie, want := range map[string]string{had.DeviceToken: had.DeviceToken, "device-of-ann": "device-of-ann"} {
		r := b.request("POST", "/api/v1/auth/forgot", `{"email":"ann@example.org"}`, "")
		r.RemoteAddr = "192.0.2.1:1"
		r.AddCookie(&http.Cookie{Name: "__Secure-rondo-device", Value: cookie})
		if got := b.do(r).Result().Cookies(); len(got) != 1 || got[0].Value != want {
			t.Errorf("after forgot: %v, want %q", got, want)
		}
	}
	flood(func(int) int { return login(had.DeviceToken, "").Code }) // the device's own share ends too

	me := func(token string) int { return b.do(b.request("GET", "/api/v1/me", "", token)).Code }
	flood(func(int) int { return me("") })
	for token, want := range map[string]int{
		b.token(annID): 200, b.token(boID): 200, b.token(annID)[1:]: 429, b.tokenOf(annID, "s_revoked", now): 429, b.tokenOf(annID, "s", now.Add(-time.Hour)): 429,
	} {
		if got := me(token); got != want {
			t.Errorf("with a token: %d, want %d", got, want)
		}
	}
	flood(func(int) int { return me(b.token(annID)) })
	if got := me(b.token(boID)); got != http.StatusOK {
		t.Errorf("one caller's flood keeps another out: %d", got)
	}
}

// frozen is a Limiter for which no time passes, for a test of one goroutine.
type frozen struct {
	at   time.Time
	sets map[ratelimit.Rate]*ratelimit.Keyed
}

func (f frozen) Take(_ context.Context, key string, n float64, rate ratelimit.Rate) (bool, time.Duration, error) {
	if f.sets[rate] == nil {
		f.sets[rate] = ratelimit.NewKeyed(rate, 10_000)
	}
	ok, retry := f.sets[rate].Take(key, f.at, n)
	return ok, retry, nil
}
