package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/protocol"
)

func itoa(n int) string { return strconv.Itoa(n) }

// example returns the path with the document's examples in it, and a body that
// the document has as an example ("" if the operation takes none).
func (b *bench) example(o operation) (path, body string) {
	b.t.Helper()
	path = o.path
	query := url.Values{}
	for _, p := range o.parameters {
		name, value := p["name"].(string), fmt.Sprint(p["example"])
		if p["in"] == "path" && p["example"] != nil {
			path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(value))
		}
		if p["in"] == "query" && p["required"] == true {
			query.Set(name, value)
		}
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	if o.path == "/api/v1/pictures/{name}" {
		path = "/api/v1/pictures/" + b.cfg.Pictures.Name("room", "1", annID, time.Now())
	}
	m, ok := media(b.t, b.doc, o.o["requestBody"])["application/json"]
	if !ok {
		return path, ""
	}
	all := examplesOf(m)
	name := slices.Sorted(maps.Keys(all))[len(all)-1]
	v := all[name]
	if o.path == "/api/v1/auth/register" {
		v.(object)["guest"] = b.guests.Issue("g_aaaaaaaaaaaaaaaaaaaaaaaaaa", time.Now())
	}
	raw, err := json.Marshal(v)
	if err != nil {
		b.t.Fatal(err)
	}
	return path, string(raw)
}

// TestRoutesAreThoseOfTheDocument: no more, no fewer, with the same actions.
func TestRoutesAreThoseOfTheDocument(t *testing.T) {
	want, got := map[string]string{}, map[string]string{}
	for _, o := range operations(t, document(t)) {
		want[o.method+" "+o.path] = o.o["x-action"].(string)
	}
	for _, r := range Routes() {
		got[r.Name()] = string(r.Action)
	}
	if !maps.Equal(want, got) {
		t.Errorf("the document has %v,\nthe table has %v", want, got)
	}
}

// TestAuthorisation: every route × who asks. A route that is not here fails.
func TestAuthorisation(t *testing.T) {
	everybody := "stranger ann mod admin bot expired revoked forged guest"
	people := "ann mod admin" // whose is what the route is about: their own
	// Who may ask at all; what of which conversation, these say: TestStrangersInConversations.
	talkers := "ann mod admin guest"
	may := map[string]string{
		"POST /api/v1/auth/register":           everybody,
		"POST /api/v1/auth/verify":             everybody,
		"POST /api/v1/auth/resend":             everybody,
		"POST /api/v1/auth/login":              everybody,
		"POST /api/v1/auth/passkey/begin":      everybody,
		"POST /api/v1/auth/passkey/finish":     everybody,
		"POST /api/v1/auth/refresh":            everybody,
		"POST /api/v1/auth/logout":             people, // {"all":true}
		"POST /api/v1/auth/forgot":             everybody,
		"POST /api/v1/auth/reset":              everybody,
		"POST /api/v1/auth/password":           people,
		"GET /api/v1/me":                       people,
		"PATCH /api/v1/me":                     people,
		"DELETE /api/v1/me":                    people,
		"GET /api/v1/me/export":                people,
		"POST /api/v1/me/deactivate":           people,
		"GET /api/v1/me/devices":               people,
		"PATCH /api/v1/me/devices/{id}":        people,
		"DELETE /api/v1/me/devices/{id}":       people,
		"POST /api/v1/me/totp":                 people,
		"DELETE /api/v1/me/totp":               people,
		"POST /api/v1/me/totp/confirm":         people,
		"POST /api/v1/me/recovery-codes":       people,
		"GET /api/v1/me/passkeys":              people,
		"POST /api/v1/me/passkey/begin":        people,
		"POST /api/v1/me/passkey/finish":       people,
		"PATCH /api/v1/me/passkeys/{id}":       people,
		"DELETE /api/v1/me/passkeys/{id}":      people,
		"GET /api/v1/admin/users":              "mod admin bot",
		"PATCH /api/v1/admin/users/{identity}": "admin",
		"GET /api/v1/pictures/{name}":          everybody, // whom a room told the name
		"GET /api/v1/openapi.json":             everybody,
		"GET /.well-known/jwks.json":           everybody,

		"GET /api/v1/conversations":                                                    talkers,
		"POST /api/v1/conversations":                                                   talkers,
		"GET /api/v1/conversations/{conversation}":                                     talkers,
		"PATCH /api/v1/conversations/{conversation}":                                   talkers,
		"DELETE /api/v1/conversations/{conversation}":                                  talkers,
		"GET /api/v1/conversations/{conversation}/changes":                             talkers,
		"GET /api/v1/conversations/{conversation}/messages":                            talkers,
		"POST /api/v1/conversations/{conversation}/messages":                           talkers,
		"PATCH /api/v1/conversations/{conversation}/messages/{seq}":                    talkers,
		"DELETE /api/v1/conversations/{conversation}/messages/{seq}":                   talkers,
		"GET /api/v1/conversations/{conversation}/messages/{seq}/revisions":            talkers,
		"PUT /api/v1/conversations/{conversation}/messages/{seq}/reactions/{emoji}":    talkers,
		"DELETE /api/v1/conversations/{conversation}/messages/{seq}/reactions/{emoji}": talkers,
		"PUT /api/v1/conversations/{conversation}/messages/{seq}/pin":                  talkers,
		"DELETE /api/v1/conversations/{conversation}/messages/{seq}/pin":               talkers,
		"PUT /api/v1/conversations/{conversation}/marks":                               talkers,
		"POST /api/v1/conversations/{conversation}/translations":                       talkers,
		"POST /api/v1/conversations/{conversation}/join":                               talkers,
		"POST /api/v1/conversations/{conversation}/leave":                              talkers,
		"GET /api/v1/conversations/{conversation}/members":                             talkers,
		"POST /api/v1/conversations/{conversation}/members":                            talkers,
		"PATCH /api/v1/conversations/{conversation}/members/{user}":                    talkers,
		"POST /api/v1/conversations/{conversation}/files":                              talkers,
		"GET /api/v1/files/{file}":                                                     talkers,
		"GET /api/v1/topics":                                                           talkers,
		"GET /api/v1/push":                                                             everybody,
		"GET /api/v1/me/push":                                                          people,
		"POST /api/v1/me/push":                                                         people,
		"DELETE /api/v1/me/push/{id}":                                                  people,
		"GET /api/v1/search":                                                           talkers,
	}
	b := newBench(t)
	b.accounts.users["u_abcdefghijklmnopqrstuvwxyz"] = b.accounts.users[boID]
	as := map[string]string{
		"stranger": "", "ann": b.token(annID), "mod": b.token(modID), "admin": b.token(adminID), "bot": b.token(botID),
		"expired": b.tokenOf(annID, "s_ann", time.Now().Add(-time.Hour)), "revoked": b.tokenOf(annID, "s_revoked", time.Now()),
		"forged": b.token(annID)[:60] + "AAAA" + b.token(annID)[64:], "guest": b.guests.Issue("g_aaaaaaaaaaaaaaaaaaaaaaaaaa", time.Now()),
	}
	ids := map[string]protocol.UserID{"ann": annID, "mod": modID, "admin": adminID, "bot": botID}
	seen := 0
	for _, o := range operations(t, b.doc) {
		name := o.method + " " + o.path
		allowed, ok := may[name]
		if !ok {
			t.Errorf("%s is in no row of this table", name)
			continue
		}
		seen++
		for who, token := range as {
			path, body := b.example(o)
			b.accounts.devices["d_7k2m"] = ids[who]
			if o.path == "/api/v1/auth/logout" {
				body = `{"all":true}`
			}
			b.accounts.took()
			w := b.do(b.request(o.method, path, body, token))
			calls := b.accounts.took()
			if slices.Contains(strings.Fields(allowed), who) {
				if w.Code >= 300 {
					t.Errorf("%s as %s: %d %s", name, who, w.Code, w.Body)
				}
				continue
			}
			want := http.StatusUnauthorized
			if ids[who] != "" {
				want = http.StatusForbidden
				if !strings.HasPrefix(o.path, "/api/v1/admin") && allowed != talkers {
					want = http.StatusNotFound // its existence is private
				}
			}
			if w.Code != want || len(calls) > 0 {
				t.Errorf("%s as %s: %d, want %d; asked the accounts %v", name, who, w.Code, want, calls)
			}
		}
	}
	if seen != len(may) {
		t.Errorf("the table has %d rows, the document %d operations", len(may), seen)
	}
}

// TestWhatIsAskedForIsTheCallersOwn: on every route that is about the caller, the
// accounts hear the identity of the token, whatever else the request says (IDOR).
func TestWhatIsAskedForIsTheCallersOwn(t *testing.T) {
	b := newBench(t)
	own := 0
	for _, r := range Routes() {
		if r.Action != auth.ActionAccount && r.Action != auth.ActionProfile && r.Action != auth.ActionDevice {
			continue
		}
		own++
		for _, o := range operations(t, b.doc) {
			if o.method+" "+o.path != r.Name() {
				continue
			}
			_, body := b.example(o)
			path := strings.ReplaceAll(o.path, "{id}", "d_bo") + "?identity=" + string(boID) + "&user=" + string(boID)
			req := b.request(o.method, path, body, b.token(annID))
			req.Header.Set("X-User", string(boID))
			req.Header.Set("If-Match", `"3"`)
			req.AddCookie(&http.Cookie{Name: "__Host-rondo", Value: b.token(boID)})
			w := b.do(req)
			calls := b.accounts.took()
			if len(calls) != 1 || !strings.HasSuffix(calls[0], string(annID)) {
				t.Errorf("%s: the accounts were asked %v", r.Name(), calls)
			}
			if strings.Contains(o.path, "{id}") && w.Code != http.StatusNotFound {
				t.Errorf("%s of somebody else's device: %d", r.Name(), w.Code)
			}
		}
	}
	if own < 12 {
		t.Errorf("only %d routes were tried", own)
	}
}

// TestMassAssignment: no key but those of the document is taken, on any route,
// and those that would matter most are tried.
func TestMassAssignment(t *testing.T) {
	b := newBench(t)
	for _, o := range operations(t, b.doc) {
		path, body := b.example(o)
		if body == "" {
			continue
		}
		for _, extra := range []string{"roles", "role", "is_admin", "identity", "id", "user_id", "active", "is_active", "disabled", "totp", "version", "email_verified", "session", "created_at", "Password", "EMAIL", "__proto__"} {
			var v object
			if err := json.Unmarshal([]byte(body), &v); err != nil {
				t.Fatal(err)
			}
			if _, known := v[extra]; known || o.path == "/api/v1/admin/users/{identity}" && extra == "disabled" {
				continue
			}
			v[extra] = true
			raw, _ := json.Marshal(v)
			w := b.do(b.request(o.method, path, string(raw), b.token(adminID)))
			if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), `"bad_request"`) {
				t.Errorf("%s %s with %s: %d %s", o.method, o.path, extra, w.Code, w.Body)
			}
		}
	}
	if calls := b.accounts.took(); len(calls) > 0 {
		t.Errorf("the accounts were asked: %v", calls)
	}
}

// TestRequestsMatchTheDocument: the structs say what the schemas say.
func TestRequestsMatchTheDocument(t *testing.T) {
	doc := document(t)
	for name, v := range map[string]any{
		"Register": registerRequest{}, "Verify": verifyRequest{}, "Address": addressRequest{}, "LoginRequest": loginRequest{},
		"Refresh": refreshRequest{}, "Logout": logoutRequest{}, "Reset": resetRequest{}, "PasswordChange": passwordRequest{},
		"Confirm": confirmRequest{}, "ProfilePatch": profileRequest{}, "DevicePatch": deviceRequest{}, "TOTPConfirm": totpRequest{}, "UserPatch": userRequest{},
		"Pending": pendingAnswer{}, "User": userAnswer{}, "Login": loginAnswer{}, "Device": deviceAnswer{}, "Devices": devicesAnswer{},
		"TOTP": totpAnswer{}, "RecoveryCodes": recoveryAnswer{},
		"Passkey": passkeyAnswer{}, "Passkeys": passkeysAnswer{}, "PasskeyStart": passkeyStartAnswer{}, "PasskeyFinish": passkeyFinishRequest{},
		"PasskeyPatch": passkeyRequest{}, "PasskeyLogin": passkeyLoginRequest{},
		"AdminUser": adminUser{}, "Users": usersAnswer{}, "Problem": problem{},

		"ConversationCreate": createRequest{}, "ConversationPatch": conversationPatch{}, "MessageSend": sendRequest{}, "MessageEdit": editRequest{}, "Marks": markRequest{},
		"TranslationRequest": translateRequest{}, "JoinRequest": joinRequest{}, "InviteRequest": inviteRequest{}, "MemberPatch": roleRequest{},
		"Conversation": protocol.Conversation{}, "Member": protocol.ConvPerson{}, "Message": protocol.ConvMessage{}, "Reaction": protocol.ConvReaction{}, "File": protocol.ConvFile{},
		"Entry": protocol.ConvEntry{}, "Entries": protocol.ConvList{}, "Topics": protocol.ConvDirectory{}, "History": protocol.ConvHistory{}, "Changes": protocol.ConvSync{},
		"Sent": protocol.ConvSent{}, "Marked": protocol.ConvMarked{}, "Members": protocol.ConvPeople{}, "Revisions": revisionsAnswer{}, "Revision": protocol.ConvRevision{},
		"PushKey": pushKeyAnswer{}, "PushDevices": pushDevicesAnswer{}, "PushDevice": protocol.PushDevice{}, "PushSubscription": subscribeRequest{}, "PushKeys": protocol.PushKeys{},
		"Found": protocol.ConvFound{}, "Hit": protocol.ConvHit{}, "Translations": protocol.ConvTranslated{}, "Translation": protocol.ConvTranslation{},
	} {
		schema := merged(t, doc, object{"$ref": "#/components/schemas/" + name})
		var keys, required []string
		properties := schema["properties"].(object)
		request := schema["additionalProperties"] == false && name != "Problem"
		for _, field := range reflect.VisibleFields(reflect.TypeOf(v)) {
			if field.Anonymous {
				continue
			}
			key, options, _ := strings.Cut(field.Tag.Get("json"), ",")
			keys = append(keys, key)
			if need := field.Tag.Get("need") == "true"; need || !request && !strings.Contains(options, "omitempty") {
				required = append(required, key)
			}
			p, ok := properties[key]
			if !ok {
				t.Errorf("%s: the document has no %q", name, key)
				continue
			}
			if limit, ok := resolve(t, doc, p)["maxLength"]; ok && request && itoaAny(limit) != field.Tag.Get("max") {
				t.Errorf("%s.%s: at most %v in the document, %q here", name, key, limit, field.Tag.Get("max"))
			}
		}
		slices.Sort(keys)
		slices.Sort(required)
		if got := slices.Sorted(maps.Keys(properties)); !slices.Equal(got, keys) {
			t.Errorf("%s: the document has %q, the struct %q", name, got, keys)
		}
		var listed []string
		all, _ := schema["required"].([]any)
		for _, r := range all {
			listed = append(listed, r.(string))
		}
		slices.Sort(listed)
		if !slices.Equal(listed, required) {
			t.Errorf("%s: the document requires %q, the struct %q", name, listed, required)
		}
	}
}

// merged is a schema of which allOf others are parts.
func merged(t *testing.T, doc object, v any) object {
	t.Helper()
	schema := resolve(t, doc, v)
	parts, ok := schema["allOf"].([]any)
	if !ok {
		return schema
	}
	all, required := object{}, []any{}
	for _, part := range parts {
		p := resolve(t, doc, part)
		maps.Copy(all, p["properties"].(object))
		required = append(required, p["required"].([]any)...)
	}
	return object{"properties": all, "required": required}
}

func itoaAny(v any) string { return string(v.(json.Number)) }

// TestErrorsConform: each error that the accounts may give is a problem of the
// document, on every route.
func TestErrorsConform(t *testing.T) {
	b := newBench(t)
	for _, e := range []error{
		protocol.Errorf(protocol.CodeUnauthorized, "no"), protocol.Errorf(protocol.CodeForbidden, "no"), protocol.Errorf(protocol.CodeNotFound, "no"),
		protocol.Errorf(protocol.CodeAlready, "no"), protocol.Errorf(protocol.CodeChanged, "no"), protocol.Errorf(protocol.CodeNeedsTOTP, "no"),
		&protocol.Error{Code: protocol.CodeRateLimited, Msg: "no", Retry: 1500 * time.Millisecond}, protocol.Errorf(protocol.CodeUnavailable, "no"),
		http.ErrBodyNotAllowed,
	} {
		b.accounts.fail = e
		for _, o := range operations(t, b.doc) {
			path, body := b.example(o)
			w := b.do(b.request(o.method, path, body, b.token(adminID)))
			if protocol.CodeOf(e) == protocol.CodeNotFound && o.o["operationId"] == "picture" {
				continue // a guest has none, and it must not show who is one
			}
			if w.Code < 400 && !strings.HasSuffix(path, ".json") && o.o["operationId"] != "pushKey" {
				t.Errorf("%s %s: %d although the accounts say %v", o.method, o.path, w.Code, e)
			}
			if protocol.CodeOf(e) == protocol.CodeRateLimited && w.Code >= 400 && (w.Code != 429 || w.Header().Get("Retry-After") != "2") {
				t.Errorf("%s %s: %d, Retry-After %q", o.method, o.path, w.Code, w.Header().Get("Retry-After"))
			}
			if strings.Contains(w.Body.String(), http.ErrBodyNotAllowed.Error()) {
				t.Errorf("%s %s tells what is ours: %s", o.method, o.path, w.Body)
			}
		}
	}
}
