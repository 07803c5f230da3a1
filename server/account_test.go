package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/accounts/sqlstore"
	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/internal/mail"
	"github.com/rondo-chat/rondo/internal/password"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/server"
)

const secretWords = "seventeen blue herons"

// postman seals mails and remembers the codes in them.
type postman struct {
	*mail.Sealer
	mu    sync.Mutex
	codes map[string]string
}

// Seal implements accounts.Mailer.
func (p *postman) Seal(m mail.Message, now time.Time) (mail.Row, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.Data.Code != "" {
		p.codes[m.To] = m.Data.Code
	}
	return p.Sealer.Seal(m, now)
}

func (p *postman) code(address string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.codes[address]
}

// deafBus hears nothing of one kind: its node must learn it from the database.
type deafBus struct {
	bus.Bus
	kind bus.Kind
}

func (b deafBus) Handle(k bus.Kind, h bus.Handler) {
	if k == b.kind {
		h = func(bus.Message) {}
	}
	b.Bus.Handle(k, h)
}

// town is nodes with accounts over one database.
type town struct {
	t     testing.TB
	nodes []*node
	mail  *postman
}

func newTown(t testing.TB, n int, change func(i int, cfg *server.Config)) *town {
	t.Helper()
	db, err := database.Open(t.Context(), database.Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "a.db"), Timeout: 30 * time.Second, SlowQuery: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	store := sqlstore.New(db)
	if err := store.Migrate(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	sealer, err := mail.NewSealer(make([]byte, mail.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	hasher, err := password.New(password.Config{MemoryKiB: 19456})
	if err != nil {
		t.Fatal(err)
	}
	town := &town{t: t, mail: &postman{Sealer: sealer, codes: map[string]string{}}}
	limiter := ratelimit.NewMemory(1000)
	town.nodes = nodesWith(t, n, func(i int, cfg *server.Config) {
		cfg.Accounts = &server.Accounts{
			Store: store, Keys: store, Revocations: store, Passwords: hasher, Acceptable: password.Acceptable, Mail: town.mail,
			Limiter: limiter, Issuer: "https://rondo.example.org",
		}
		if change != nil {
			change(i, cfg)
		}
	})
	return town
}

// account is what a program knows after logging in.
type account struct {
	User         protocol.User
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	DeviceToken  string `json:"device_token"`
	Ticket       string
}

// send makes one request to a node and reads the answer into out; it returns the
// status. c nil: the default client.
func (w *town) send(c *http.Client, at int, method, path, bearer string, in, out any) int {
	w.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.nodes[at].web.URL+path, bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	if c == nil {
		c = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	}
	resp, err := c.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && out != nil {
		err = json.Unmarshal(answer, out)
	}
	if err != nil {
		w.t.Fatalf("%s %s: %d %v: %s", method, path, resp.StatusCode, err, answer)
	}
	return resp.StatusCode
}

// register makes an account for name; guest is the token of who it was before.
func (w *town) register(at int, name, guest string) account {
	w.t.Helper()
	address := name + "@example.org"
	var pending, a account
	in := map[string]any{"email": address, "username": name, "name": strings.ToUpper(name), "password": secretWords, "bearer": true}
	if guest != "" {
		in["guest"] = guest
	}
	if status := w.send(nil, at, "POST", "/api/v1/auth/register", "", in, &pending); status != http.StatusAccepted {
		w.t.Fatalf("register: %d", status)
	}
	in = map[string]any{"email": address, "code": w.mail.code(address), "device_token": pending.DeviceToken, "bearer": true}
	if status := w.send(nil, at, "POST", "/api/v1/auth/verify", "", in, &a); status != http.StatusOK {
		w.t.Fatalf("verify: %d", status)
	}
	return a
}

// login opens another session of the account.
func (w *town) login(at int, name string) account {
	w.t.Helper()
	var a account
	in := map[string]any{"login": name, "password": secretWords, "bearer": true}
	if status := w.send(nil, at, "POST", "/api/v1/auth/login", "", in, &a); status != http.StatusOK {
		w.t.Fatalf("login: %d", status)
	}
	return a
}

func with(token string) client.Options {
	return client.Options{Name: "Somebody", Bearer: func(context.Context) (string, error) { return token, nil }}
}

func joinWith(t *testing.T, url string, o client.Options) *user {
	t.Helper()
	c, err := client.Dial(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &user{c, t}
}

// wantClosed waits until the server has closed the client's session with code.
func wantClosed(t *testing.T, u *user, code protocol.CloseCode, within time.Duration) {
	t.Helper()
	limit := time.After(within)
	for {
		select {
		case _, ok := <-u.Events():
			if ok {
				continue
			}
			if ce, ok := errors.AsType[*client.CloseError](u.Err()); !ok || ce.Code != code {
				t.Fatalf("ended with %v, want %d", u.Err(), code)
			}
			return
		case <-limit:
			t.Fatalf("still open after %v", within)
		}
	}
}

func TestGuestBecomesUserInACall(t *testing.T) {
	w := newTown(t, 2, nil)
	ann, bo := join(t, w.nodes[0].url, "Ann"), join(t, w.nodes[1].url, "Bo")
	fa, fb := pair(t, ann, bo)
	before := ann.Welcome()

	a := w.register(1, "annie", before.Guest)
	if a.User.ID != before.User.ID {
		t.Fatalf("the account is %s, the guest was %s", a.User.ID, before.User.ID)
	}
	authed, err := ann.Renew(t.Context(), a.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	want := protocol.User{ID: before.User.ID, Name: "ANNIE"}
	if authed.User != want || authed.AuthMS < 500_000 || authed.AuthMS > 600_000 {
		t.Errorf("authed %+v", authed)
	}
	if up := next[client.PeerUpdated](bo); up.Room != fa.Room || up.Peer.ID != fa.You || up.Peer.Name != "ANNIE" {
		t.Errorf("updated %+v", up)
	}
	// The call goes on, both ways.
	if err := bo.Signal(t.Context(), fb.Room, "", protocol.SignalOffer, struct{}{}); err != nil {
		t.Fatal(err)
	}
	next[client.Signal](ann)
	if _, err := ann.Chat(t.Context(), fa.Room, "still here"); err != nil {
		t.Fatal(err)
	}
	if m := next[client.Chat](bo); m.Name != "ANNIE" {
		t.Errorf("chat from %q", m.Name)
	}
	// The guest's token is nobody's now.
	c := joinWith(t, w.nodes[0].url, client.Options{Guest: before.Guest})
	if got := c.Welcome().User; got.ID == before.User.ID || !got.Guest {
		t.Errorf("the old guest token makes %+v", got)
	}
	// And the session ends with the account's, wherever that is said.
	if s := w.send(nil, 1, "POST", "/api/v1/auth/logout", a.AccessToken, struct{}{}, nil); s != http.StatusNoContent {
		t.Fatal(s)
	}
	wantClosed(t, ann, protocol.CloseAuth, 2*time.Second)
	if left := next[client.PeerLeft](bo); left.Peer != fa.You {
		t.Errorf("left %+v", left)
	}
}

// TestANameIsNotNeeded: a database that does not answer keeps nobody who has a good
// token from calling.
func TestANameIsNotNeeded(t *testing.T) {
	var away atomic.Bool
	w := newTown(t, 1, func(_ int, cfg *server.Config) { cfg.Accounts.Store = absentStore{cfg.Accounts.Store, &away} })
	a := w.register(0, "annie", "")
	away.Store(true)
	if u := joinWith(t, w.nodes[0].url, with(a.AccessToken)).Welcome().User; u.ID != a.User.ID || u.Guest || u.Name != "Somebody" {
		t.Errorf("%+v", u)
	}
	// A guest is let in too, but whether the identity is still a guest's cannot be known.
	g := joinWith(t, w.nodes[0].url, client.Options{}).Welcome()
	again := joinWith(t, w.nodes[0].url, client.Options{Guest: g.Guest}).Welcome()
	if again.User.ID == g.User.ID || again.Guest != g.Guest && again.Guest != "" {
		t.Errorf("first %+v, then %+v", g.User, again.User)
	}
}

// absentStore is a database that can go away.
type absentStore struct {
	accounts.Store
	away *atomic.Bool
}

func (s absentStore) Read(ctx context.Context, name string, f func(accounts.Reader) error) error {
	if s.away.Load() {
		return &protocol.Error{Code: protocol.CodeUnavailable, Msg: "away"}
	}
	return s.Store.Read(ctx, name, f)
}

func TestSessionIsTheAccounts(t *testing.T) {
	w := newTown(t, 1, nil)
	a := w.register(0, "annie", "")
	url := w.nodes[0].url
	origin := "http" + strings.TrimSuffix(strings.TrimPrefix(url, "ws"), "/ws")
	header := func(kv ...string) client.Options {
		h := http.Header{}
		for i := 0; i < len(kv); i += 2 {
			h.Set(kv[i], kv[i+1])
		}
		return client.Options{Header: h}
	}
	for name, o := range map[string]client.Options{
		"hello": with(a.AccessToken), "header": header("Authorization", "Bearer "+a.AccessToken),
		"cookie": header("Cookie", "rondo="+a.AccessToken, "Origin", origin),
	} {
		wel := joinWith(t, url, o).Welcome()
		if wel.User.ID != a.User.ID || wel.User.Guest || wel.User.Name != "ANNIE" || wel.AuthMS <= 0 || wel.Guest != "" {
			t.Errorf("by %s: %+v", name, wel)
		}
	}
	for name, o := range map[string]client.Options{
		"no cookie": {}, "a cookie that is no token": header("Cookie", "rondo=x", "Origin", origin),
		"the cookie of https on http": header("Cookie", "__Host-rondo="+a.AccessToken, "Origin", origin),
		"two cookies":                 header("Cookie", "rondo="+a.AccessToken+"; rondo="+a.AccessToken, "Origin", origin),
	} {
		if wel := joinWith(t, url, o).Welcome(); !wel.User.Guest || wel.AuthMS != 0 {
			t.Errorf("by %s: %+v", name, wel)
		}
	}
	for name, o := range map[string]client.Options{
		"a forged token": with(a.AccessToken[:len(a.AccessToken)-4] + "AAAA"), "a refresh token": with(a.RefreshToken),
		"a bad header": header("Authorization", "Bearer x"), "a bad hello beside a good cookie": {
			Header: http.Header{"Cookie": {"rondo=" + a.AccessToken}, "Origin": {origin}}, Bearer: func(context.Context) (string, error) { return "x", nil }},
	} {
		_, err := client.Dial(t.Context(), url, o)
		if protocol.CodeOf(err) != protocol.CodeUnauthorized {
			t.Errorf("by %s: %v", name, err)
		}
	}
	for name, o := range map[string]client.Options{
		"another site": header("Cookie", "rondo="+a.AccessToken, "Origin", "https://evil.example"),
		"no origin":    header("Cookie", "rondo="+a.AccessToken),
		"null origin":  header("Cookie", "rondo="+a.AccessToken, "Origin", "null"),
		"other port":   header("Cookie", "rondo="+a.AccessToken, "Origin", "http://127.0.0.1:1"),
	} {
		_, err := client.Dial(t.Context(), url, o)
		if re, ok := errors.AsType[*client.RefusedError](err); !ok || re.Status != http.StatusForbidden {
			t.Errorf("cross-site WebSocket, %s: %v", name, err)
		}
	}
}

func TestRenewalIsForTheOwnAccountOnly(t *testing.T) {
	w := newTown(t, 1, nil)
	a, b := w.register(0, "annie", ""), w.register(0, "bobby", "")
	ann, guest := joinWith(t, w.nodes[0].url, with(a.AccessToken)), join(t, w.nodes[0].url, "Guest")
	_, err := ann.Renew(t.Context(), b.AccessToken)
	wantCode(t, err, protocol.CodeForbidden)
	_, err = guest.Renew(t.Context(), b.AccessToken)
	wantCode(t, err, protocol.CodeForbidden)
	_, err = ann.Renew(t.Context(), "x")
	wantCode(t, err, protocol.CodeUnauthorized)
	if _, err := ann.Renew(t.Context(), a.AccessToken); err != nil {
		t.Error(err)
	}
}

// TestTicket: what page script gets renews an open socket, and nothing else.
func TestTicket(t *testing.T) {
	w := newTown(t, 1, nil)
	w.register(0, "annie", "")
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}
	var a account
	if s := w.send(browser, 0, "POST", "/api/v1/auth/login", "", map[string]any{"login": "annie", "password": secretWords}, &a); s != http.StatusOK {
		t.Fatal(s)
	}
	if a.AccessToken != "" || a.RefreshToken != "" || a.Ticket == "" {
		t.Fatalf("a browser got %+v", a)
	}
	if s := w.send(browser, 0, "GET", "/api/v1/me", "", nil, &struct{}{}); s != http.StatusOK {
		t.Errorf("by cookie: %d", s)
	}
	if s := w.send(nil, 0, "GET", "/api/v1/me", a.Ticket, nil, &struct{}{}); s != http.StatusUnauthorized {
		t.Errorf("REST takes a ticket: %d", s)
	}
	if u := joinWith(t, w.nodes[0].url, with(a.Ticket)).Welcome().User; u.Guest || u.ID != a.User.ID {
		t.Errorf("by ticket: %+v", u)
	}
}

// TestLogoutClosesSocketsEverywhere: within 2 s, also where the bus brings nothing.
func TestLogoutClosesSocketsEverywhere(t *testing.T) {
	for name, deaf := range map[string]bool{"by the bus": false, "by the database": true} {
		t.Run(name, func(t *testing.T) {
			w := newTown(t, 2, func(i int, cfg *server.Config) {
				if deaf && i == 1 {
					cfg.Bus = deafBus{cfg.Bus, "revoke"}
				}
			})
			a := w.register(0, "annie", "")
			other := w.login(0, "annie")
			here, there := joinWith(t, w.nodes[0].url, with(a.AccessToken)), joinWith(t, w.nodes[1].url, with(a.AccessToken))
			stays := joinWith(t, w.nodes[1].url, with(other.AccessToken))
			if s := w.send(nil, 0, "POST", "/api/v1/auth/logout", a.AccessToken, struct{}{}, nil); s != http.StatusNoContent {
				t.Fatal(s)
			}
			wantClosed(t, here, protocol.CloseAuth, 2*time.Second)
			wantClosed(t, there, protocol.CloseAuth, 2*time.Second)
			if _, err := stays.Stats(t.Context()); err != nil {
				t.Error("the account's other session:", err)
			}
			if s := w.send(nil, 1, "GET", "/api/v1/me", a.AccessToken, nil, &struct{}{}); s != http.StatusUnauthorized {
				t.Errorf("the token serves on: %d", s)
			}
			_, err := client.Dial(t.Context(), w.nodes[1].url, with(a.AccessToken))
			wantCode(t, err, protocol.CodeUnauthorized)
			// All the others, from the other node.
			if s := w.send(nil, 1, "POST", "/api/v1/auth/logout", other.AccessToken, map[string]any{"all": true}, nil); s != http.StatusNoContent {
				t.Fatal(s)
			}
			wantClosed(t, stays, protocol.CloseAuth, 2*time.Second)
		})
	}
}

func TestExpiryClosesTheSocketAndAResumeNeedsAToken(t *testing.T) {
	w := newTown(t, 2, func(_ int, cfg *server.Config) { cfg.Accounts.AccessTTL = 3 * time.Second })
	a := w.register(0, "annie", "")
	first := true
	o := client.Options{BackoffMin: time.Millisecond, BackoffMax: 10 * time.Millisecond, Bearer: func(context.Context) (string, error) {
		if first {
			first = false
			return a.AccessToken, nil
		}
		var b account // as a program does that finds its token over
		if s := w.send(nil, 1, "POST", "/api/v1/auth/refresh", "", map[string]any{"refresh_token": a.RefreshToken}, &b); s != http.StatusOK {
			return "", fmt.Errorf("refresh: %d", s)
		}
		return b.AccessToken, nil
	}}
	renewed, lapsed := joinWith(t, w.nodes[0].url, o), joinWith(t, w.nodes[0].url, with(a.AccessToken))
	sid := renewed.Welcome().SID
	down := next[client.Down](renewed)
	if ce, ok := errors.AsType[*client.CloseError](down.Err); !ok || ce.Code != protocol.CloseAuthExpired {
		t.Fatalf("down by %v", down.Err)
	}
	if up := next[client.Up](renewed); up.New || renewed.Welcome().SID != sid {
		t.Errorf("with a new token: %+v", up)
	}
	// The other one comes back with the old token, and is not let in.
	limit := time.After(10 * time.Second)
	for open := true; open; {
		select {
		case _, open = <-lapsed.Events():
		case <-limit:
			t.Fatal("the session goes on with a token that is over")
		}
	}
	wantCode(t, lapsed.Err(), protocol.CodeUnauthorized)
}

func TestANewNameReachesTheRoomAndTheOtherSessions(t *testing.T) {
	w := newTown(t, 2, nil)
	a := w.register(0, "annie", "")
	ann, bo := joinWith(t, w.nodes[0].url, with(a.AccessToken)), join(t, w.nodes[1].url, "Bo")
	second := joinWith(t, w.nodes[1].url, with(a.AccessToken))
	fa, _ := pair(t, ann, bo)
	if u, err := second.Rename(t.Context(), "Ann B"); err != nil || u.Name != "Ann B" || u.Guest {
		t.Fatalf("%+v, %v", u, err)
	}
	if up := next[client.PeerUpdated](bo); up.Peer.Name != "Ann B" || up.Room != fa.Room {
		t.Errorf("updated %+v", up)
	}
	var me struct{ Name string }
	testenv.Eventually(t, 5*time.Second, func() bool {
		w.send(nil, 0, "GET", "/api/v1/me", a.AccessToken, nil, &me)
		return me.Name == "Ann B"
	}, "the profile says %q", me.Name)
}

// TestANewPictureReachesTheRoom: the other one is told of it, and finds it by the
// name that the room gave it, at any node.
func TestANewPictureReachesTheRoom(t *testing.T) {
	w := newTown(t, 2, nil)
	a := w.register(0, "annie", "")
	ann, bo := joinWith(t, w.nodes[0].url, with(a.AccessToken)), join(t, w.nodes[1].url, "Bo")
	fa, fb := pair(t, ann, bo)
	find := func(of protocol.Peer) string {
		var found struct{ Picture string }
		if code := w.send(nil, 1, "GET", "/api/v1/pictures/"+of.Picture, "", nil, &found); code != http.StatusOK {
			t.Fatalf("%q: %d", of.Picture, code)
		}
		return found.Picture
	}
	if fa.Peer.Picture == "" || find(fa.Peer) != "" || find(fb.Peer) != "" {
		t.Fatalf("pictures of %+v and %+v before there are any", fa.Peer, fb.Peer)
	}
	const dot = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAAEUlEQVR4nGJi+M9QDwgAAP//A4sBgWvyvHwAAAAASUVORK5CYII="
	req, err := http.NewRequestWithContext(t.Context(), "PATCH", w.nodes[1].web.URL+"/api/v1/me", strings.NewReader(`{"avatar":"`+dot+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+a.AccessToken)
	req.Header.Set("If-Match", `"1"`)
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("PATCH: %s", resp.Status)
	}
	up := next[client.PeerUpdated](bo)
	if up.Peer.Picture != fb.Peer.Picture || find(up.Peer) != dot {
		t.Errorf("updated %+v, was %+v; %q", up, fb.Peer, find(up.Peer))
	}
}

// TestRevokedDeviceIsOutOnEveryNode: one logs the other out.
func TestRevokedDeviceIsOutOnEveryNode(t *testing.T) {
	w := newTown(t, 2, nil)
	first := w.register(0, "annie", "")
	second := w.login(1, "annie")
	old := joinWith(t, w.nodes[0].url, with(first.AccessToken))
	var list struct {
		Devices []struct {
			ID      string
			Current bool
		}
	}
	w.send(nil, 1, "GET", "/api/v1/me/devices", second.AccessToken, nil, &list)
	if len(list.Devices) != 2 {
		t.Fatalf("devices %+v", list)
	}
	for _, d := range list.Devices {
		if !d.Current {
			if s := w.send(nil, 1, "DELETE", "/api/v1/me/devices/"+d.ID, second.AccessToken, nil, nil); s != http.StatusNoContent {
				t.Fatal(s)
			}
		}
	}
	wantClosed(t, old, protocol.CloseAuth, 2*time.Second)
}
