package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/protocol"
)

// The people of the tests.
const (
	annID   protocol.UserID = "u_aaaaaaaaaaaaaaaaaaaaaaaaaa"
	boID    protocol.UserID = "u_bbbbbbbbbbbbbbbbbbbbbbbbbb"
	modID   protocol.UserID = "u_cccccccccccccccccccccccccc"
	adminID protocol.UserID = "u_dddddddddddddddddddddddddd"
	botID   protocol.UserID = "u_eeeeeeeeeeeeeeeeeeeeeeeeee"
)

const password = "correct horse battery"

// fake is an Accounts in memory: it knows whose each device is, and what it was
// asked by whom.
type fake struct {
	mu      sync.Mutex
	users   map[protocol.UserID]*accounts.User
	devices map[string]protocol.UserID
	calls   []string
	fail    error // what every call answers, if not nil
	last    any
}

func newFake() *fake {
	f := &fake{users: map[protocol.UserID]*accounts.User{}, devices: map[string]protocol.UserID{"d_ann": annID, "d_bo": boID}}
	for id, roles := range map[protocol.UserID][]auth.Role{
		annID: {auth.RoleUser}, boID: {auth.RoleUser}, modID: {auth.RoleModerator, auth.RoleUser},
		adminID: {auth.RoleAdmin, auth.RoleUser}, botID: {auth.RoleService},
	} {
		f.users[id] = &accounts.User{
			ID: "secret-key-of-" + string(id), Identity: id, Email: string(id[2:6]) + "@example.org", Username: string(id[2:6]), Name: "N",
			Roles: roles, Active: true, Version: 3, Created: time.UnixMilli(1763600000000),
		}
	}
	return f
}

// note records a call that is made for who.
func (f *fake) note(what string, who protocol.UserID, args any) (*accounts.User, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, what+" "+string(who))
	f.last = args
	if f.fail != nil {
		return &accounts.User{}, f.fail
	}
	if who == "" {
		who = annID
	}
	u, ok := f.users[who]
	if !ok {
		return &accounts.User{}, protocol.Errorf(protocol.CodeNotFound, "there is no such user")
	}
	return u, nil
}

func (f *fake) proven(what string, who protocol.UserID, p accounts.Proof) error {
	_, err := f.note(what, who, p)
	if err == nil && p.Password != password {
		err = protocol.Errorf(protocol.CodeUnauthorized, "the password is wrong")
	}
	return err
}

func (f *fake) login(what string, args any, device string) (accounts.Login, error) {
	u, err := f.note(what, "", args)
	now := time.Now()
	return accounts.Login{
		User: *u, Access: "access.of.ann", AccessExpires: now.Add(10 * time.Minute), Refresh: "refresh-of-ann",
		RefreshExpires: now.Add(time.Hour), Session: "s_ann", Device: device,
	}, err
}

func (f *fake) pending(what string, args any, d accounts.Device) (accounts.Pending, error) {
	_, err := f.note(what, "", args)
	if d.ID == "" {
		d.ID = "device-of-ann"
	}
	return accounts.Pending{Expires: time.UnixMilli(1763698200000), Device: d.ID}, err
}

func (f *fake) Register(_ context.Context, r accounts.Registration) (accounts.Pending, error) {
	return f.pending("Register", r, r.Device)
}

func (f *fake) Verify(_ context.Context, email, code string, d accounts.Device) (accounts.Login, error) {
	return f.login("Verify", d, "device-of-ann")
}

func (f *fake) Resend(_ context.Context, email string, d accounts.Device) (accounts.Pending, error) {
	return f.pending("Resend", d, d)
}

func (f *fake) Login(_ context.Context, r accounts.LoginRequest) (accounts.Login, error) {
	if f.fail == nil && r.Password != password {
		return accounts.Login{}, protocol.Errorf(protocol.CodeUnauthorized, "the name or the password is wrong")
	}
	return f.login("Login", r, "device-of-ann")
}

func (f *fake) Refresh(_ context.Context, raw string, d accounts.Device) (accounts.Login, error) {
	if strings.HasPrefix(raw, "stale") {
		return accounts.Login{}, protocol.Errorf(protocol.CodeUnauthorized, "log in again")
	}
	return f.login("Refresh", raw, "")
}

func (f *fake) Logout(_ context.Context, session string) error {
	_, err := f.note("Logout "+session, "", nil)
	return err
}

func (f *fake) LogoutToken(_ context.Context, raw string) error {
	_, err := f.note("LogoutToken", "", raw)
	return err
}

func (f *fake) LogoutAll(_ context.Context, identity protocol.UserID, except string) error {
	_, err := f.note("LogoutAll", identity, except)
	return err
}

func (f *fake) Forgot(_ context.Context, email string, d accounts.Device) (accounts.Pending, error) {
	return f.pending("Forgot", d, d)
}

func (f *fake) Reset(_ context.Context, email, code, password string, d accounts.Device) error {
	_, err := f.note("Reset", "", d)
	return err
}

func (f *fake) ChangePassword(_ context.Context, identity protocol.UserID, session string, p accounts.Proof, password string) error {
	return f.proven("ChangePassword", identity, p)
}

func (f *fake) Me(_ context.Context, identity protocol.UserID) (accounts.User, error) {
	u, err := f.note("Me", identity, nil)
	return *u, err
}

func (f *fake) UpdateProfile(_ context.Context, identity protocol.UserID, version int64, p accounts.Patch) (accounts.User, error) {
	u, err := f.note("UpdateProfile", identity, p)
	if err == nil && version != u.Version {
		err = protocol.Errorf(protocol.CodeChanged, "the profile changed meanwhile")
	}
	return *u, err
}

func (f *fake) Export(_ context.Context, identity protocol.UserID) (accounts.Export, error) {
	u, err := f.note("Export", identity, nil)
	return accounts.Export{User: *u}, err
}

func (f *fake) Deactivate(_ context.Context, identity protocol.UserID, p accounts.Proof) error {
	return f.proven("Deactivate", identity, p)
}

func (f *fake) Delete(_ context.Context, identity protocol.UserID, p accounts.Proof) error {
	return f.proven("Delete", identity, p)
}

func (f *fake) Devices(_ context.Context, identity protocol.UserID, session string) ([]accounts.DeviceInfo, error) {
	_, err := f.note("Devices", identity, session)
	var list []accounts.DeviceInfo
	for id, owner := range f.devices {
		if owner == identity {
			list = append(list, accounts.DeviceInfo{ID: id, Created: time.UnixMilli(1), LastSeen: time.UnixMilli(2)})
		}
	}
	return list, err
}

func (f *fake) owned(what string, identity protocol.UserID, device string) error {
	_, err := f.note(what+" "+device, identity, nil)
	if err == nil && f.devices[device] != identity {
		err = protocol.Errorf(protocol.CodeNotFound, "there is no such device")
	}
	return err
}

func (f *fake) RenameDevice(_ context.Context, identity protocol.UserID, device, name string) (accounts.DeviceInfo, error) {
	err := f.owned("RenameDevice", identity, device)
	return accounts.DeviceInfo{ID: device, Name: name, Created: time.UnixMilli(1), LastSeen: time.UnixMilli(2)}, err
}

func (f *fake) RevokeDevice(_ context.Context, identity protocol.UserID, device string) error {
	return f.owned("RevokeDevice", identity, device)
}

func (f *fake) EnrolTOTP(_ context.Context, identity protocol.UserID, p accounts.Proof) (accounts.Enrolment, error) {
	return accounts.Enrolment{Secret: "JBSWY3DPEHPK3PXP", URL: "otpauth://totp/Rondo:ann"}, f.proven("EnrolTOTP", identity, p)
}

func (f *fake) ConfirmTOTP(_ context.Context, identity protocol.UserID, code string) ([]string, error) {
	_, err := f.note("ConfirmTOTP", identity, code)
	return []string{"abcde-fghij"}, err
}

func (f *fake) DisableTOTP(_ context.Context, identity protocol.UserID, p accounts.Proof) error {
	return f.proven("DisableTOTP", identity, p)
}

func (f *fake) NewRecoveryCodes(_ context.Context, identity protocol.UserID, p accounts.Proof) ([]string, error) {
	return []string{"abcde-fghij"}, f.proven("NewRecoveryCodes", identity, p)
}

func (f *fake) Passkeys(_ context.Context, identity protocol.UserID) ([]accounts.PasskeyInfo, error) {
	_, err := f.note("Passkeys", identity, nil)
	return []accounts.PasskeyInfo{{ID: "d_ann", Name: "N", Created: time.UnixMilli(1)}}, err
}

func (f *fake) BeginPasskey(_ context.Context, identity protocol.UserID, p accounts.Proof, origin string) (accounts.PasskeyStart, error) {
	return passkeyStart(), f.proven("BeginPasskey", identity, p)
}

func passkeyStart() accounts.PasskeyStart {
	return accounts.PasskeyStart{State: "sealed", Options: []byte(`{"challenge":"AAAA"}`), Expires: time.UnixMilli(1763698200000)}
}

func (f *fake) FinishPasskey(_ context.Context, identity protocol.UserID, r accounts.PasskeyAnswer) (accounts.PasskeyInfo, error) {
	_, err := f.note("FinishPasskey", identity, r)
	return accounts.PasskeyInfo{ID: "k", Name: "N", Created: time.UnixMilli(1), LastUsed: time.UnixMilli(2)}, err
}

func (f *fake) RenamePasskey(_ context.Context, identity protocol.UserID, id, name string) (accounts.PasskeyInfo, error) {
	err := f.owned("RenamePasskey", identity, id)
	return accounts.PasskeyInfo{ID: id, Name: name, Created: time.UnixMilli(1)}, err
}

func (f *fake) DeletePasskey(_ context.Context, identity protocol.UserID, id string) error {
	return f.owned("DeletePasskey", identity, id)
}

func (f *fake) BeginPasskeyLogin(_ context.Context, origin string) (accounts.PasskeyStart, error) {
	_, err := f.note("BeginPasskeyLogin", "", origin)
	return passkeyStart(), err
}

func (f *fake) FinishPasskeyLogin(_ context.Context, r accounts.PasskeyAnswer) (accounts.Login, error) {
	return f.login("FinishPasskeyLogin", r, "device-of-ann")
}

func (f *fake) List(_ context.Context, p accounts.Page) ([]accounts.User, error) {
	_, err := f.note("List", "", p)
	var list []accounts.User
	for _, id := range []protocol.UserID{annID, boID, modID, adminID, botID} {
		if len(list) < p.Limit {
			list = append(list, *f.users[id])
		}
	}
	return list, err
}

func (f *fake) SetRoles(_ context.Context, actor, identity protocol.UserID, roles []auth.Role) (accounts.User, error) {
	u, err := f.note("SetRoles", identity, roles)
	return *u, err
}

func (f *fake) SetDisabled(_ context.Context, actor, identity protocol.UserID, disabled bool) (accounts.User, error) {
	u, err := f.note("SetDisabled", identity, disabled)
	return *u, err
}

// took returns what was called since the last time.
func (f *fake) took() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = nil
	return calls
}

// revoked is a Revoked.
type revoked map[string]bool

func (r revoked) Revoked(session string) bool { return r[session] }

// unlimited is a Limiter that is none.
type unlimited struct{}

func (unlimited) Take(context.Context, string, float64, ratelimit.Rate) (bool, time.Duration, error) {
	return true, 0, nil
}

// bench is an API with all that it needs.
type bench struct {
	*API
	t        *testing.T
	accounts *fake
	tokens   *auth.Tokens
	guests   *auth.Guests
	revoked  revoked
	doc      object
}

func newBench(t *testing.T, change ...func(*Config)) *bench {
	t.Helper()
	signer, err := auth.NewSigner([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := auth.NewKeyring(auth.KeyringConfig{Store: &auth.MemoryKeys{}, Wrap: signer.Key("jwt keys")})
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ring.Close)
	tokens, err := auth.NewTokens(auth.TokensConfig{Keyring: ring, Issuer: "https://rondo.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, accounts: newFake(), tokens: tokens, guests: auth.NewGuests(signer, time.Hour), revoked: revoked{"s_revoked": true}, doc: document(t)}
	cfg := Config{
		Accounts: b.accounts, Tokens: tokens, Revoked: b.revoked, Guests: b.guests, Tickets: NewTickets(signer), Pictures: newPictures(t), JWKS: ring.JWKS,
		Key: signer.Key("api"), Secure: func(*http.Request) bool { return true },
		Limiter: unlimited{}, PushKey: "B" + strings.Repeat("a", 86), Conversations: newTalks(b.accounts), Files: newTalks(b.accounts), Translate: newTalks(b.accounts).translate,
	}
	for _, f := range change {
		f(&cfg)
	}
	if b.API, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return b
}

// token is an access token of one of the people.
func (b *bench) token(id protocol.UserID) string { return b.tokenOf(id, "s_"+string(id), time.Now()) }

func (b *bench) tokenOf(id protocol.UserID, session string, at time.Time) string {
	b.t.Helper()
	raw, err := b.tokens.Issue(auth.Claims{Identity: id, Session: session, Roles: b.accounts.users[id].Roles}, at)
	if err != nil {
		b.t.Fatal(err)
	}
	return raw
}

// request makes one as a browser or a program does; as is "" or a token.
func (b *bench) request(method, path, body, as string) *http.Request {
	if body == "" && isUpload(method, path) {
		body = "hello"
	}
	r := httptest.NewRequest(method, "https://rondo.example.org"+path, strings.NewReader(body))
	r.RemoteAddr = "198.51.100.7:1234"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if isUpload(method, r.URL.Path) {
		r.Header.Set("Content-Type", "application/octet-stream")
	}
	if as != "" {
		r.Header.Set("Authorization", "Bearer "+as)
	}
	if method == http.MethodPatch && path == "/api/v1/me" {
		r.Header.Set("If-Match", `"3"`)
	}
	return r
}

// isUpload reports whether the body is a file.
func isUpload(method, path string) bool {
	path, _, _ = strings.Cut(path, "?")
	return method == http.MethodPost && strings.HasPrefix(path, "/api/v1/conversations/") && strings.HasSuffix(path, "/files")
}

// do serves the request and checks the answer against the document.
func (b *bench) do(r *http.Request) *httptest.ResponseRecorder {
	b.t.Helper()
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	b.conforms(r, w)
	return w
}

func (b *bench) conforms(r *http.Request, w *httptest.ResponseRecorder) {
	b.t.Helper()
	var op *operation
	mux := http.NewServeMux()
	for _, o := range operations(b.t, b.doc) {
		mux.HandleFunc(o.method+" "+o.path, func(http.ResponseWriter, *http.Request) { op = &o })
	}
	mux.ServeHTTP(httptest.NewRecorder(), r)
	if op == nil {
		return // there is no such operation: nothing is promised
	}
	where := r.Method + " " + r.URL.Path
	responses := op.o["responses"].(object)
	response, listed := responses[itoa(w.Code)]
	if !listed {
		response = responses["default"]
	}
	bodies := media(b.t, b.doc, response)
	typ := w.Header().Get("Content-Type")
	if len(bodies) == 0 {
		if w.Body.Len() > 0 || typ != "" {
			b.t.Errorf("%s: %d has a body that the document does not have", where, w.Code)
		}
		return
	}
	m, ok := bodies[typ]
	if !ok {
		b.t.Errorf("%s: %d is of type %q, which the document does not have: %s", where, w.Code, typ, w.Body)
		return
	}
	if !strings.HasSuffix(typ, "json") {
		b.headersConform(where, resolve(b.t, b.doc, response), w)
		return
	}
	if err := compile(b.t, b.doc, m["schema"]).Validate(parse(b.t, w.Body.Bytes())); err != nil {
		b.t.Errorf("%s: %d is not what the document says: %#v\n%s", where, w.Code, err, w.Body)
	}
	b.headersConform(where, resolve(b.t, b.doc, response), w)
}

// headersConform checks the headers that the document fixes or demands.
func (b *bench) headersConform(where string, response object, w *httptest.ResponseRecorder) {
	b.t.Helper()
	headers, _ := response["headers"].(object)
	for name, h := range headers {
		header := resolve(b.t, b.doc, h)
		got := w.Header().Get(name)
		if c, fixed := header["schema"].(object)["const"]; fixed && name != "WWW-Authenticate" && got != c {
			b.t.Errorf("%s: header %s is %q, the document says %q", where, name, got, c)
		}
		if header["required"] == true && got == "" {
			b.t.Errorf("%s: header %s is missing", where, name)
		}
	}
}
