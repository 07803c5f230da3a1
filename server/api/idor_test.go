package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/accounts/sqlstore"
	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/passkey"
	"github.com/rondo-chat/rondo/protocol"
)

// ids is what the id in each route's path names; "": the route has none. A route
// that is not here fails TestIDOR.
func ids() map[string]string {
	return map[string]string{
		"POST /api/v1/auth/register": "", "POST /api/v1/auth/verify": "", "POST /api/v1/auth/resend": "", "POST /api/v1/auth/login": "",
		"POST /api/v1/auth/refresh": "", "POST /api/v1/auth/logout": "", "POST /api/v1/auth/forgot": "", "POST /api/v1/auth/reset": "",
		"POST /api/v1/auth/password": "", "GET /api/v1/me": "", "PATCH /api/v1/me": "", "DELETE /api/v1/me": "", "GET /api/v1/me/export": "",
		"POST /api/v1/me/deactivate": "", "GET /api/v1/me/devices": "", "POST /api/v1/me/totp": "", "DELETE /api/v1/me/totp": "",
		"POST /api/v1/me/totp/confirm": "", "POST /api/v1/me/recovery-codes": "", "GET /api/v1/admin/users": "",
		"POST /api/v1/auth/passkey/begin": "", "POST /api/v1/auth/passkey/finish": "", "GET /api/v1/me/passkeys": "",
		"POST /api/v1/me/passkey/begin": "", "POST /api/v1/me/passkey/finish": "",
		"GET /api/v1/openapi.json": "", "GET /.well-known/jwks.json": "",

		"PATCH /api/v1/me/devices/{id}":        "device",
		"DELETE /api/v1/me/devices/{id}":       "device",
		"PATCH /api/v1/admin/users/{identity}": "user",
		"GET /api/v1/pictures/{name}":          "picture",
		"PATCH /api/v1/me/passkeys/{id}":       "passkey",
		"DELETE /api/v1/me/passkeys/{id}":      "passkey",
		"DELETE /api/v1/me/push/{id}":          "push device",

		"GET /api/v1/push": "", "GET /api/v1/me/push": "", "POST /api/v1/me/push": "",

		"GET /api/v1/conversations": "", "POST /api/v1/conversations": "", "GET /api/v1/topics": "", "GET /api/v1/search": "",
		"GET /api/v1/conversations/{conversation}":                                     inConversation,
		"PATCH /api/v1/conversations/{conversation}":                                   inConversation,
		"DELETE /api/v1/conversations/{conversation}":                                  inConversation,
		"GET /api/v1/conversations/{conversation}/changes":                             inConversation,
		"GET /api/v1/conversations/{conversation}/messages":                            inConversation,
		"POST /api/v1/conversations/{conversation}/messages":                           inConversation,
		"PATCH /api/v1/conversations/{conversation}/messages/{seq}":                    inConversation,
		"DELETE /api/v1/conversations/{conversation}/messages/{seq}":                   inConversation,
		"GET /api/v1/conversations/{conversation}/messages/{seq}/revisions":            inConversation,
		"PUT /api/v1/conversations/{conversation}/messages/{seq}/reactions/{emoji}":    inConversation,
		"DELETE /api/v1/conversations/{conversation}/messages/{seq}/reactions/{emoji}": inConversation,
		"PUT /api/v1/conversations/{conversation}/messages/{seq}/pin":                  inConversation,
		"DELETE /api/v1/conversations/{conversation}/messages/{seq}/pin":               inConversation,
		"PUT /api/v1/conversations/{conversation}/marks":                               inConversation,
		"POST /api/v1/conversations/{conversation}/translations":                       inConversation,
		"POST /api/v1/conversations/{conversation}/join":                               inConversation,
		"POST /api/v1/conversations/{conversation}/leave":                              inConversation,
		"GET /api/v1/conversations/{conversation}/members":                             inConversation,
		"POST /api/v1/conversations/{conversation}/members":                            inConversation,
		"PATCH /api/v1/conversations/{conversation}/members/{user}":                    inConversation,
		"POST /api/v1/conversations/{conversation}/files":                              inConversation,
		"GET /api/v1/files/{file}":                                                     inConversation,
	}
}

// inConversation is what TestIDORInConversations tries.
const inConversation = "conversation"

// TestIDOR: every route with every id that somebody else has, by who may not: the
// answer is that of an id which nobody has, and nothing of the other's changes.
// Routes without an id are given the other's everywhere else, and act for their
// caller alone.
func TestIDOR(t *testing.T) {
	w := newWhole(t)
	bo := w.join("bob")
	var totp struct{ Secret string }
	w.wants(http.StatusOK, &totp, "POST", "/api/v1/me/totp", object{"password": password}, bo.AccessToken)
	w.wants(http.StatusAccepted, nil, "POST", "/api/v1/auth/forgot", object{"email": "bob@example.org", "device_token": bo.DeviceToken}, "")
	key := w.key(bo)
	w.addPasskey(key)
	var notified protocol.PushDevice
	w.wants(http.StatusOK, &notified, "POST", "/api/v1/me/push", pushOf("https://push.example/bob"), bo.AccessToken)
	before := w.rowsOf(bo, key)
	theirs := map[string]string{
		"passkey": passkeyID, "push device": notified.ID,
		"device": bo.device, "user": string(bo.User.ID), "session": bo.session, "database key": key, "device's secret": bo.DeviceToken, "username": "bob", "email": "bob@example.org",
	}
	known := ids()
	for _, route := range Routes() {
		what, listed := known[route.Name()]
		if !listed || (what != "") != strings.Contains(route.Path, "{") {
			t.Errorf("%s: the table of ids does not say what its id names", route.Name())
			continue
		}
		delete(known, route.Name())
		if what == inConversation {
			continue
		}
		o := w.operationOf(route.Name())
		actor := w.join(fmt.Sprintf("actor%d", len(known)))
		callers := map[string]string{"a user": actor.AccessToken, "a guest": w.guests.Issue("g_aaaaaaaaaaaaaaaaaaaaaaaaaa", w.cfg.Now()), "nobody": ""}
		if what == "" {
			w.elsewhere(route, o, actor, theirs)
		} else {
			for who, token := range callers {
				w.refusedAlike(route, o, who, token, theirs)
			}
		}
		if now := w.rowsOf(bo, key); now != before {
			t.Fatalf("%s changed what is another's:\n%s\n--\n%s", route.Name(), before, now)
		}
	}
	for name := range known {
		t.Errorf("%s is no route", name)
	}
}

// passkeyID is the id of the passkey that addPasskey adds.
const passkeyID = "019a9f3e-7c2b-7d31-a3c5-000000000001"

// addPasskey gives the user with the key a passkey.
func (w *whole) addPasskey(key string) {
	w.t.Helper()
	err := sqlstore.New(w.db).Write(w.t.Context(), "test", func(tx accounts.Tx) error {
		return tx.InsertPasskey(accounts.PasskeyRow{
			ID: passkeyID, User: key, Name: "key", Created: w.cfg.Now(), Credential: passkey.Credential{ID: []byte("credential"), PublicKey: []byte("public key"), AAGUID: make([]byte, 16)},
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// refusedAlike asks with each id of somebody else, and with one that nobody has.
func (w *whole) refusedAlike(route Route, o operation, who, token string, theirs map[string]string) {
	w.t.Helper()
	nobodys := map[string]string{"{id}": "0198c0de-0000-7000-8000-000000000000", "{identity}": "u_zzzzzzzzzzzzzzzzzzzzzzzzzz", "{name}": "5Kc9sJ0mYb3rT1"}
	ask := func(id string) (int, string) {
		path := route.Path
		for name, none := range nobodys {
			if id == "" {
				id = none
			}
			path = strings.ReplaceAll(path, name, id)
		}
		got := w.send(route.Method, path, w.body(o, nil), token)
		return got.Code, got.Body.String()
	}
	status, text := ask("")
	switch {
	case route.Action == auth.ActionPublic:
		if status != http.StatusNotFound {
			w.t.Errorf("%s by %s: %d", route.Name(), who, status)
		}
	case token == "" || who == "a guest":
		if status != http.StatusUnauthorized {
			w.t.Errorf("%s by %s: %d", route.Name(), who, status)
		}
	case route.Action == auth.ActionUser:
		if status != http.StatusForbidden {
			w.t.Errorf("%s by %s: %d", route.Name(), who, status)
		}
	case status != http.StatusNotFound:
		w.t.Errorf("%s by %s with an id that nobody has: %d", route.Name(), who, status)
	}
	for kind, id := range theirs {
		if s, b := ask(id); s != status || b != text && plain(id, 1, 64) {
			w.t.Errorf("%s by %s with another's %s: %d %s, with an id that nobody has: %d %s", route.Name(), who, kind, s, b, status, text)
		}
	}
}

// elsewhere asks as actor, with somebody else's ids in the query and in headers,
// and with the right password, so that what is asked for is done.
func (w *whole) elsewhere(route Route, o operation, actor member, theirs map[string]string) {
	w.t.Helper()
	var query, header []string
	for _, id := range theirs {
		for _, name := range []string{"id", "user", "user_id", "identity", "device", "sub", "session", "after"} {
			query = append(query, name+"="+id)
			header = append(header, "X-"+strings.ReplaceAll(name, "_", "-"), id)
		}
	}
	header = append(header, "If-Match", `"1"`, "Cookie", "__Secure-rondo-device="+theirs["device's secret"])
	body := w.body(o, object{
		"password": password, "current": password, "email": actor.name + "@example.org", "login": actor.name, "username": actor.name + "_2",
		"refresh_token": actor.RefreshToken, "code": "12345678", "guest": w.guests.Issue("g_bbbbbbbbbbbbbbbbbbbbbbbbbb", w.cfg.Now()),
	})
	var payload any
	if body != nil {
		payload = body
	}
	path := route.Path
	if route.Action != auth.ActionUsers { // there the query counts; TestPages
		path += "?" + strings.Join(query, "&")
	}
	got := w.send(route.Method, path, payload, actor.AccessToken, header...)
	if got.Code >= 500 {
		w.t.Errorf("%s: %d %s", route.Name(), got.Code, got.Body)
	}
	for kind, id := range theirs {
		if len(id) > 4 && strings.Contains(got.Body.String(), id) {
			w.t.Errorf("%s shows another's %s: %s", route.Name(), kind, got.Body)
		}
	}
}

// TestNobodyElsesSecretsServe: codes and tokens that are somebody's open nothing of
// anybody else's.
func TestNobodyElsesSecretsServe(t *testing.T) {
	w := newWhole(t)
	ann, bo := w.join("ann"), w.join("bob")
	w.wants(http.StatusAccepted, nil, "POST", "/api/v1/auth/forgot", object{"email": "bob@example.org", "device_token": ann.DeviceToken}, "")
	code := w.code("bob@example.org")
	w.wants(http.StatusAccepted, nil, "POST", "/api/v1/auth/forgot", object{"email": "ann@example.org", "device_token": bo.DeviceToken}, "")
	for name, body := range map[string]object{
		"bo's code for ann":              {"email": "ann@example.org", "code": code, "password": "taken over", "device_token": ann.DeviceToken},
		"ann's code on another's device": {"email": "ann@example.org", "code": w.code("ann@example.org"), "password": "taken over", "device_token": ann.DeviceToken},
		"ann's code without a device":    {"email": "ann@example.org", "code": w.code("ann@example.org"), "password": "taken over"},
	} {
		if got := w.send("POST", "/api/v1/auth/reset", body, bo.AccessToken); got.Code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, got.Code, got.Body)
		}
	}
	// A refresh token brings its own user, whoever's access token comes with it; and the
	// password is the caller's own.
	var got member
	w.wants(http.StatusOK, &got, "POST", "/api/v1/auth/refresh", object{"refresh_token": ann.RefreshToken}, bo.AccessToken)
	if got.User.ID != ann.User.ID {
		t.Errorf("refreshed as %s", got.User.ID)
	}
	w.wants(http.StatusNoContent, nil, "POST", "/api/v1/auth/password", object{"current": password, "password": "bo's new password"}, bo.AccessToken)
	w.wants(http.StatusOK, nil, "POST", "/api/v1/auth/login", object{"login": "ann", "password": password, "bearer": true}, "")
	if got := w.send("POST", "/api/v1/me/totp", object{"password": password}, bo.AccessToken); got.Code != http.StatusUnauthorized {
		t.Errorf("ann's password for bo: %d", got.Code)
	}
}

// TestMassAssignmentInTheDatabase: with a body that is right but for one key too
// many nothing at all is written.
func TestMassAssignmentInTheDatabase(t *testing.T) {
	w := newWhole(t)
	ann, admin := w.join("ann"), w.join("adm", auth.RoleAdmin)
	extras := object{
		"roles": []string{"admin"}, "role": "admin", "is_admin": true, "identity": "u_aaaaaaaaaaaaaaaaaaaaaaaaaa", "id": "1", "user_id": "1", "active": true, "disabled": false,
		"is_active": true, "totp": false, "version": 9, "email_verified": true, "password_hash": "x", "session": "x", "created_at": 1, "Name": "x", "user": object{"roles": []string{"admin"}},
	}
	before := w.dump()
	for _, route := range Routes() {
		o := w.operationOf(route.Name())
		for key, value := range extras {
			body := w.body(o, object{"password": password, "current": password, "email": "ann@example.org", "login": "ann", "username": "fresh", "refresh_token": ann.RefreshToken})
			if _, known := body[key]; body == nil || known || route.Action == auth.ActionUser && (key == "roles" || key == "disabled") {
				continue
			}
			body[key] = value
			path := strings.NewReplacer("{id}", ann.device, "{identity}", string(ann.User.ID)).Replace(route.Path)
			if strings.Contains(path, "{") {
				path, _ = w.example(o)
			}
			token := ann.AccessToken
			if strings.HasPrefix(route.Path, "/api/v1/admin") {
				token = admin.AccessToken
			}
			if got := w.send(route.Method, path, body, token, "If-Match", `"1"`); got.Code != http.StatusBadRequest {
				t.Errorf("%s with %q: %d %s", route.Name(), key, got.Code, got.Body)
			}
		}
	}
	now := w.dump()
	for table := range before {
		if a, b := strings.Join(before[table], "\n"), strings.Join(now[table], "\n"); a != b {
			t.Errorf("%s changed:\n%s\n--\n%s", table, a, b)
		}
	}
}
