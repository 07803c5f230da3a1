package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/protocol"
)

// injections are texts that end or change statements where these are put together
// of text.
func injections(all bool) []string {
	few := []string{`' OR '1'='1`, `' OR 1=1 -- `, `'; DROP TABLE users; --`, `\`, `%`, `'||(SELECT password_hash FROM users LIMIT 1)||'`, `'; SELECT pg_sleep(25); --`, `' AND SLEEP(25) -- `}
	if !all {
		return few
	}
	return append(few,
		`" OR ""="`, `') OR ('1'='1`, `ann'--`, `ann' #`, `ann@example.org' OR 'a'='a`, `1; UPDATE users SET roles='admin'`, `' UNION SELECT password_hash, email FROM users -- `,
		`1 OR 1=1`, `' AND 1=randomblob(900000000) --`, `\' OR 1=1 -- `, `_%`, `!%`, `?`, `$1`, "`users`", "ʼ OR 1=1", "＇ OR 1=1",
	)
}

// input is one place of a request where a text goes.
type input struct {
	where, name string // where: path, query, header, body
}

// inputs returns all places of an operation, from the document.
func (w *whole) inputs(o operation) []input {
	w.t.Helper()
	var all []input
	for _, p := range o.parameters {
		all = append(all, input{p["in"].(string), p["name"].(string)})
	}
	if m, ok := media(w.t, w.doc, o.o["requestBody"])["application/json"]; ok {
		properties, _ := resolve(w.t, w.doc, m["schema"])["properties"].(object)
		for _, name := range slices.Sorted(maps.Keys(properties)) {
			all = append(all, input{"body", name})
		}
	}
	return append(all, input{"headers", ""}, input{"header", "Authorization"}) // headers: all at once
}

// TestSQLInjection: every parameter of every operation of the document, with each
// text, while all others are right: no answer shows or says what it should not, and
// in the database nothing of anybody changes but what the caller may.
func TestSQLInjection(t *testing.T) {
	onDatabases(t, func(t *testing.T, w *whole) {
		ann, bo, scapegoat, admin := w.join("ann"), w.join("bob"), w.join("cyd"), w.join("adm", auth.RoleAdmin)
		key := w.key(bo)
		before, others := w.dump(), w.rowsOf(bo, key)
		tried := 0
		for _, o := range operations(t, w.doc) {
			for _, in := range w.inputs(o) {
				list := injections(w.db.Engine() == database.SQLite)
				if strings.Contains(o.path, "/conversations/") {
					list = list[:5] // storetest tries the statements with more
				}
				for _, text := range list {
					tried++
					w.inject(o, in, text, ann, admin, scapegoat)
				}
			}
			for _, m := range []member{ann, admin} {
				w.wants(http.StatusOK, nil, "GET", "/api/v1/me", nil, m.AccessToken) // else the rest is tried by nobody
			}
			if now := w.rowsOf(bo, key); now != others {
				t.Fatalf("%s %s changed what is another's:\n%s\n--\n%s", o.method, o.path, others, now)
			}
		}
		if tried < 600 {
			t.Errorf("only %d requests", tried)
		}
		now := w.dump()
		if got, want := slices.Sorted(maps.Keys(now)), slices.Sorted(maps.Keys(before)); !slices.Equal(got, want) {
			t.Errorf("tables %v, want %v", got, want)
		}
		if len(now["users"]) != 4 || len(now["signing_keys"]) != len(before["signing_keys"]) {
			t.Errorf("users: %s", strings.Join(now["users"], "\n"))
		}
		for _, m := range []member{ann, bo, scapegoat, admin} { // and all still come in, as they were
			var in struct{ User object }
			w.wants(http.StatusOK, &in, "POST", "/api/v1/auth/login", object{"login": m.name, "password": password, "bearer": true}, "")
			if isAdmin := fmt.Sprint(in.User["roles"]) != "[user]"; isAdmin != (m.name == "adm") {
				t.Errorf("%s has the roles %v", m.name, in.User["roles"])
			}
		}
	})
}

// inject makes one request with the text in one place.
func (w *whole) inject(o operation, in input, text string, ann, admin, scapegoat member) {
	w.t.Helper()
	token, proof := ann.AccessToken, password
	name := o.method + " " + o.path
	switch { // what would end the test if it were done is asked for with a wrong password
	case strings.Contains(o.path, "/admin/"):
		token = admin.AccessToken
	case strings.Contains(o.path, "/auth/") && o.path != "/api/v1/auth/password":
		token = ""
	case name == "DELETE /api/v1/me", strings.Contains(o.path, "deactivate"), strings.Contains(o.path, "password"):
		proof = "wrong"
	}
	values := object{
		"email": "ann@example.org", "login": scapegoat.name, "username": "fresh", "password": proof, "current": proof, "code": "12345678", "disabled": false, "device_token": "x",
		"guest": w.guests.Issue("g_aaaaaaaaaaaaaaaaaaaaaaaaaa", w.cfg.Now()), "refresh_token": scapegoat.RefreshToken[:20], "user": scapegoat.name,
	}
	if o.path == "/api/v1/auth/register" {
		values["email"] = "fresh@example.org"
	}
	body := w.body(o, values)
	if o.path == "/api/v1/admin/users/{identity}" {
		body = object{"disabled": false}
	}
	path, query, header := o.path, url.Values{}, []string{}
	if name == "PATCH /api/v1/me" {
		header = append(header, "If-Match", w.version(ann))
	}
	set := func(where, name, text string) {
		switch where {
		case "path":
			path = strings.ReplaceAll(path, "{"+name+"}", strings.ReplaceAll(url.PathEscape(text), "+", "%2B"))
		case "query":
			query.Set(name, text)
		case "header":
			header = append(header, name, text)
		case "headers": // the access token's header counts, not its cookie
			header = append(header, "User-Agent", text, "Accept-Language", text, "X-Forwarded-For", text, "X-Request-Id", text, "Referer", text,
				"Cookie", "__Host-rondo="+text+"; __Secure-rondo-device="+text+"; __Secure-rondo-refresh="+text)
		}
	}
	if in.where == "body" {
		schema := resolve(w.t, w.doc, media(w.t, w.doc, o.o["requestBody"])["application/json"]["schema"])
		body[in.name] = w.fill(schema["properties"].(object)[in.name], text)
	} else {
		set(in.where, in.name, text)
	}
	if o.method == http.MethodPatch {
		set("path", "id", ann.device)
	}
	set("path", "id", "0198c0de-0000-7000-8000-000000000000") // her own device's deletion would end the session
	set("path", "identity", string(scapegoat.User.ID))
	set("path", "name", "5Kc9sJ0mYb3rT1")
	for name, value := range map[string]string{"conversation": string(w.topic(ann, name)), "seq": "3", "emoji": "👍", "user": string(scapegoat.User.ID), "file": fileID} {
		set("path", name, value)
	}
	var payload any
	if body != nil {
		payload = body
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	got := w.send(o.method, path, payload, token, header...)
	answer := got.Body.String()
	if got.Code >= 500 {
		w.t.Errorf("%s, %s %s = %q: %d %s", name, in.where, in.name, text, got.Code, answer)
	}
	for _, leak := range []string{"hash:", "bob@example.org", "SQLSTATE", "syntax", "sqlite_"} {
		if strings.Contains(answer, leak) && !strings.Contains(text, leak) && !strings.HasSuffix(path, "openapi.json") && !(in.where != "query" && o.path == "/api/v1/admin/users") {
			w.t.Errorf("%s, %s %s = %q shows %q: %s", name, in.where, in.name, text, leak, answer)
		}
	}
}

// topic is a conversation of ann's with some messages, the same one each time but for who would delete it.
func (w *whole) topic(ann member, route string) protocol.RoomID {
	w.t.Helper()
	if route == "DELETE /api/v1/conversations/{conversation}" {
		return nobodys().room
	}
	if w.talk == "" {
		w.talk, _ = w.found(ann, object{"kind": "topic", "name": "Jazz", "writers": "everyone"})
	}
	return w.talk
}

// fill is a value of the schema with the text in every place that takes one.
func (w *whole) fill(schema any, text string) any {
	w.t.Helper()
	s := resolve(w.t, w.doc, schema)
	switch {
	case s["type"] == "array":
		return []any{w.fill(s["items"], text)}
	case s["type"] == "object":
		v := object{}
		properties, _ := s["properties"].(object)
		for name, p := range properties {
			v[name] = w.fill(p, text)
		}
		return v
	}
	return text // also where it is a number or a boolean
}

// version is the ETag of the profile.
func (w *whole) version(m member) string {
	w.t.Helper()
	return w.send("GET", "/api/v1/me", nil, m.AccessToken).Header().Get("ETag")
}

// TestHeaderAndLogInjectionInTheWhole: whatever a client puts where it can put text, a line of the
// log is one line of JSON without a control character, a header is one header, and what
// is stored and shown has no control character either.
func TestHeaderAndLogInjectionInTheWhole(t *testing.T) {
	w := newWhole(t)
	ann, cyd := w.join("ann"), w.join("cyd")
	evil := []string{
		"x\r\nSet-Cookie: evil=1", "x\nlevel=ERROR msg=forged", "{\"level\":\"ERROR\"}\n{\"msg\":\"forged\"}", "\x1b[2J\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\u009b31m", "\u0085next", "\u2028line", "x\x00y", "\u202egnp.exe", "a@example.org\r\nBcc: v@example.org",
	}
	for _, text := range evil {
		w.seen = text
		for _, o := range operations(t, w.doc) {
			for _, in := range w.inputs(o) {
				if in.name == "If-Match" || in.name == "Authorization" && strings.Contains(o.path, "/me") {
					continue
				}
				w.inject(o, in, text, ann, ann, cyd)
			}
		}
		w.wants(http.StatusOK, &cyd, "POST", "/api/v1/auth/login", object{"login": "cyd", "password": password, "bearer": true}, "")
	}
	for line := range strings.Lines(w.logged()) {
		if !json.Valid([]byte(line)) || strings.ContainsFunc(strings.TrimSuffix(line, "\n"), unicode.IsControl) {
			t.Errorf("a line of the log: %q", line)
		}
	}
	var stored [2]any
	w.wants(http.StatusOK, &stored[0], "GET", "/api/v1/me/export", nil, ann.AccessToken)
	w.wants(http.StatusOK, &stored[1], "GET", "/api/v1/me/export", nil, cyd.AccessToken)
	for _, text := range texts(stored[:]) {
		if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u202e' }) {
			t.Errorf("stored: %q", text)
		}
	}
}

// texts are all strings within a JSON value.
func texts(v any) []string {
	var all []string
	switch v := v.(type) {
	case string:
		all = append(all, v)
	case []any:
		for _, e := range v {
			all = append(all, texts(e)...)
		}
	case map[string]any:
		for k, e := range v {
			all = append(append(all, k), texts(e)...)
		}
	}
	return all
}

// TestOddNames: names over-long, empty to the eye, of many scripts, or made to
// deceive: each is taken and comes back the same everywhere, or is refused as a bad
// request.
func TestOddNames(t *testing.T) {
	good := map[string]string{ // as typed → as kept
		"Ann": "Ann", " Ann  B ": "Ann B", "Zoë": "Zoë", "Zoe\u0308": "Zoë", "李小龙": "李小龙", "Αθηνά": "Αθηνά", "محمد": "محمد", "עדי": "עדי", "👩‍👩‍👧‍👦": "👩‍👩‍👧‍👦", "🏳️‍🌈": "🏳️‍🌈", "O'Brien": "O'Brien",
		`"<b>&amp;"`: `"<b>&amp;"`, "İstanbul": "İstanbul", "ﷺ": "ﷺ", "𝒜𝓃𝓃": "𝒜𝓃𝓃", "null": "null", "ann\u00a0b": "ann b", strings.Repeat("é", 40): strings.Repeat("é", 40), "क्षि": "क्षि", `\u0000`: `\u0000`, "%00": "%00",
	}
	bad := []string{
		"", " ", "\u200b", "\u3164", "\u2800", "\u00ad", "\u0301", strings.Repeat("a", 41), strings.Repeat("👩‍👩‍👧‍👦", 41), "a" + strings.Repeat("\u0301", 400), strings.Repeat("x", 1025), "a\nb", "a\x00b", "a\x1bb", "a\u202eb", "a\u2066b", "a\u2028b", "\u009b",
	}
	onDatabases(t, func(t *testing.T, w *whole) {
		ann, bo := w.join("ann"), w.join("bob")
		devices := "/api/v1/me/devices/" + ann.device
		var me, device struct{ Name string }
		for typed, kept := range good {
			got := w.send("PATCH", "/api/v1/me", object{"name": typed}, ann.AccessToken, "If-Match", w.version(ann))
			if got.Code != http.StatusOK {
				t.Errorf("%q: %d %s", typed, got.Code, got.Body)
				continue
			}
			w.wants(http.StatusOK, &me, "GET", "/api/v1/me", nil, ann.AccessToken)
			w.wants(http.StatusOK, &device, "PATCH", devices, object{"name": typed}, ann.AccessToken)
			if me.Name != kept || device.Name != kept {
				t.Errorf("%q is kept as %q, for a device as %q, want %q", typed, me.Name, device.Name, kept)
			}
		}
		w.wants(http.StatusOK, &me, "GET", "/api/v1/me", nil, ann.AccessToken)
		for _, typed := range bad {
			for path, method := range map[string]string{"/api/v1/me": "PATCH", devices: "PATCH"} {
				got := w.send(method, path, object{"name": typed}, ann.AccessToken, "If-Match", w.version(ann))
				if got.Code != http.StatusBadRequest && !(typed == "" || path == devices && got.Code == http.StatusOK && strings.Contains(got.Body.String(), `"name":""`)) {
					t.Errorf("%s, %.40q: %d %s", path, typed, got.Code, got.Body)
				}
			}
			for _, field := range []string{"name", "username", "email"} {
				body := object{"email": "new@example.org", "username": "newcomer", "password": password, "name": "New"}
				body[field] = typed
				got := w.send("POST", "/api/v1/auth/register", body, "")
				if got.Code != http.StatusBadRequest && !(field == "name" && got.Code == http.StatusAccepted && (typed == "\u3164" || !strings.ContainsFunc(typed, unicode.IsLetter))) {
					t.Errorf("register, %s %.40q: %d %s", field, typed, got.Code, got.Body)
				}
			}
		}
		after := me
		w.wants(http.StatusOK, &after, "GET", "/api/v1/me", nil, ann.AccessToken)
		if after != me {
			t.Errorf("the name became %q", after.Name)
		}
		// What looks like another's username or address is not another's, or not taken at all.
		for _, like := range []string{"BOB", "bОb", "ｂｏｂ", "bob ", "bob\u200b"} {
			var in struct{ User struct{ ID string } }
			got := w.send("POST", "/api/v1/auth/login", object{"login": like, "password": password, "bearer": true}, "")
			if _ = json.Unmarshal(got.Body.Bytes(), &in); got.Code == http.StatusOK && like != "BOB" || in.User.ID != "" && in.User.ID != string(bo.User.ID) {
				t.Errorf("login %q: %d %s", like, got.Code, got.Body)
			}
		}
	})
}
