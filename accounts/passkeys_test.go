package accounts_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/internal/mail"
	"github.com/rondo-chat/rondo/internal/passkey/passkeytest"
	"github.com/rondo-chat/rondo/protocol"
)

const origin = "http://localhost:8080" // development: the house has no origin of its own

// begun has a user's browser asked for a new passkey.
func (h *house) begun(l accounts.Login) accounts.PasskeyStart {
	h.t.Helper()
	s, err := h.BeginPasskey(h.t.Context(), l.User.Identity, accounts.Proof{Password: password}, origin)
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// finished brings what an authenticator made of it.
func (h *house) finished(l accounts.Login, s accounts.PasskeyStart, credential json.RawMessage, name string) (accounts.PasskeyInfo, error) {
	return h.FinishPasskey(h.t.Context(), l.User.Identity, accounts.PasskeyAnswer{
		State: s.State, Credential: credential, Origin: origin, Name: name, Device: device("device-of-"+l.User.Username, "198.51.100.7"),
	})
}

// passkey gives the user one.
func (h *house) passkey(l accounts.Login) (*passkeytest.Authenticator, accounts.PasskeyInfo) {
	h.t.Helper()
	a, s := passkeytest.New(h.t, origin), h.begun(l)
	info, err := h.finished(l, s, a.Create(s.Options), "")
	if err != nil {
		h.t.Fatal(err)
	}
	h.letter(mail.PasskeyAdded, l.User.Email)
	h.advance(time.Minute)
	return a, info
}

func (h *house) asked() accounts.PasskeyStart {
	h.t.Helper()
	s, err := h.BeginPasskeyLogin(h.t.Context(), origin)
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// shown logs in with what an authenticator says.
func (h *house) shown(s accounts.PasskeyStart, credential json.RawMessage, d accounts.Device) (accounts.Login, error) {
	return h.FinishPasskeyLogin(h.t.Context(), accounts.PasskeyAnswer{State: s.State, Credential: credential, Origin: origin, Device: d})
}

// show is all of a login.
func (h *house) show(a *passkeytest.Authenticator, d accounts.Device) (accounts.Login, error) {
	h.t.Helper()
	s := h.asked()
	return h.shown(s, a.Get(s.Options), d)
}

// events counts the lines of the user's audit log.
func (h *house) events(l accounts.Login) map[accounts.Event]int {
	h.t.Helper()
	e, err := h.Export(h.t.Context(), l.User.Identity)
	if err != nil {
		h.t.Fatal(err)
	}
	n := map[accounts.Event]int{}
	for _, line := range e.Log {
		n[line.Event]++
	}
	return n
}

func TestPasskey(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		ctx, l := t.Context(), h.join("ann")
		h.protect(l) // the second factor is not asked for after a passkey
		id := l.User.Identity
		_, err := h.BeginPasskey(ctx, id, accounts.Proof{Password: "wrong"}, origin)
		wantCode(t, err, protocol.CodeCredentials)
		_, err = h.BeginPasskey(ctx, id, accounts.Proof{Password: password}, origin)
		wantCode(t, err, protocol.CodeNeedsTOTP)
		bob := h.join("bob")
		a, info := h.passkey(bob)
		if info.Name != "Firefox on Linux" || !info.LastUsed.IsZero() {
			t.Errorf("%+v", info)
		}
		again, err := h.show(a, device("", "203.0.113.9"))
		if err != nil || again.User.Identity != bob.User.Identity || !again.NewDevice || again.Refresh == "" {
			t.Fatalf("%+v, %v", again, err)
		}
		h.letter(mail.NewDevice, "bob@example.org")
		if _, err := h.Refresh(ctx, again.Refresh, device(again.Device, "203.0.113.9")); err != nil {
			t.Error(err)
		}
		h.advance(time.Minute)
		renamed, err := h.RenamePasskey(ctx, bob.User.Identity, info.ID, " My phone ")
		if err != nil || renamed.Name != "My phone" {
			t.Errorf("%+v, %v", renamed, err)
		}
		_, err = h.RenamePasskey(ctx, bob.User.Identity, info.ID, " ")
		wantCode(t, err, protocol.CodeBadRequest)
		list, err := h.Passkeys(ctx, bob.User.Identity)
		if err != nil || len(list) != 1 || list[0].Name != "My phone" || list[0].LastUsed.IsZero() {
			t.Errorf("%+v, %v", list, err)
		}
		e, err := h.Export(ctx, bob.User.Identity)
		if err != nil || len(e.Passkeys) != 1 || e.Passkeys[0].Uses != 2 || !slices.Equal(e.Passkeys[0].Credential, a.ID) || len(e.Passkeys[0].Transports) != 2 {
			t.Errorf("%+v, %v", e.Passkeys, err)
		}
		wantCode(t, h.DeletePasskey(ctx, bob.User.Identity, info.ID), "")
		wantCode(t, h.DeletePasskey(ctx, bob.User.Identity, info.ID), protocol.CodeNotFound)
		_, err = h.show(a, device("", "203.0.113.9"))
		wantCode(t, err, protocol.CodeCredentials)
		n := h.events(bob)
		for event, want := range map[accounts.Event]int{
			accounts.EventPasskeyAdded: 1, accounts.EventPasskeyUsed: 1, accounts.EventPasskeyRenamed: 1, accounts.EventPasskeyDeleted: 1, accounts.EventNewDevice: 1,
		} {
			if n[event] != want {
				t.Errorf("%s: %d lines, want %d", event, n[event], want)
			}
		}
	})
}

// TestPasskeyIsBothFactors: whoever shows one is not asked for a code, and wakes an account
// that rests; a disabled one it does not open.
func TestPasskeyIsBothFactors(t *testing.T) {
	h := open(t)
	l := h.join("ann")
	a, _ := h.passkey(l)
	_, recovery := h.protect(l)
	if err := h.Deactivate(t.Context(), l.User.Identity, accounts.Proof{Password: password, Code: recovery[0]}); err != nil {
		t.Fatal(err)
	}
	again, err := h.show(a, device("device-of-ann", "198.51.100.7"))
	if err != nil || !again.User.Active || !again.User.TOTP || again.NewDevice {
		t.Fatalf("%+v, %v", again, err)
	}
	if mails := h.post(); len(mails) > 0 {
		t.Errorf("%+v", mails)
	}
	if _, err := h.SetDisabled(t.Context(), "", l.User.Identity, true); err != nil {
		t.Fatal(err)
	}
	_, err = h.show(a, device("device-of-ann", "198.51.100.7"))
	wantCode(t, err, protocol.CodeForbidden)
}

// TestPasskeyRefused: one thing is wrong, and nobody comes in; who it was is not told.
func TestPasskeyRefused(t *testing.T) {
	h := open(t)
	ann, bob := h.join("ann"), h.join("bob")
	mine, _ := h.passkey(ann)
	others, _ := h.passkey(bob)
	d := device("", "203.0.113.9")
	for name, spoil := range map[string]func(*passkeytest.Authenticator){
		"origin":       func(a *passkeytest.Authenticator) { a.Origin = "https://evil.example" },
		"port":         func(a *passkeytest.Authenticator) { a.Origin = "http://localhost:9090" },
		"party":        func(a *passkeytest.Authenticator) { a.RPID = "evil.example" },
		"not verified": func(a *passkeytest.Authenticator) { a.Flags = passkeytest.UserPresent },
		"handle":       func(a *passkeytest.Authenticator) { a.Handle = []byte(bob.User.Identity) },
		"no handle":    func(a *passkeytest.Authenticator) { a.Handle = nil },
		"another's":    func(a *passkeytest.Authenticator) { a.ID = others.ID },
		"nobody's":     func(a *passkeytest.Authenticator) { a.ID = []byte("nobody's") },
		"challenge":    func(a *passkeytest.Authenticator) { a.Challenge = strings.Repeat("A", 43) },
		"of another":   func(a *passkeytest.Authenticator) { a.Challenge = challenge(t, h.asked()) },
	} {
		a := mine.Clone()
		spoil(a)
		_, err := h.show(a, d)
		wantCode(t, err, protocol.CodeCredentials)
		if err == nil || !strings.Contains(err.Error(), "this passkey does not serve here") {
			t.Errorf("%s: %v", name, err)
		}
		h.advance(time.Minute)
	}
	if n := h.events(ann)[accounts.EventLoginFailed]; n < 8 {
		t.Errorf("%d lines of failed logins", n)
	}
	if _, err := h.show(mine, d); err != nil {
		t.Errorf("the right one: %v", err)
	}
}

func challenge(t *testing.T, s accounts.PasskeyStart) string {
	t.Helper()
	var o struct{ Challenge string }
	if err := json.Unmarshal(s.Options, &o); err != nil {
		t.Fatal(err)
	}
	return o.Challenge
}

// TestPasskeyReplayed: an answer serves once, whoever of many is first, also of an authenticator without a
// counter, which would tell.
func TestPasskeyReplayed(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		l := h.join("ann")
		a, begun := passkeytest.New(t, origin), h.begun(l)
		a.Counter = 0
		made := a.Create(begun.Options)
		if _, err := h.finished(l, begun, made, ""); err != nil {
			t.Fatal(err)
		}
		_, err := h.finished(l, begun, made, "")
		wantCode(t, err, protocol.CodeInvalid)
		s := h.asked()
		answer := a.Get(s.Options)
		var mu sync.Mutex
		codes := map[protocol.Code]int{}
		var wait sync.WaitGroup
		for i := range 4 {
			wait.Go(func() {
				_, err := h.shown(s, answer, device("", fmt.Sprintf("203.0.113.%d", i)))
				mu.Lock()
				defer mu.Unlock()
				codes[protocol.CodeOf(err)]++
			})
		}
		wait.Wait()
		if codes[""] != 1 || codes[protocol.CodeInvalid] != 3 {
			t.Errorf("%v", codes)
		}
	})
}

// TestPasskeyTriedOnce: a challenge whose answer was wrong is used up too.
func TestPasskeyTriedOnce(t *testing.T) {
	h := open(t)
	a, _ := h.passkey(h.join("ann"))
	s, wrong := h.asked(), a.Clone()
	wrong.Flags = passkeytest.UserPresent
	_, err := h.shown(s, wrong.Get(s.Options), device("", "203.0.113.9"))
	wantCode(t, err, protocol.CodeCredentials)
	_, err = h.shown(s, a.Get(s.Options), device("", "203.0.113.9"))
	wantCode(t, err, protocol.CodeInvalid)
}

// TestPasskeyOver: a challenge is over after five minutes, also when its rows were swept.
func TestPasskeyOver(t *testing.T) {
	h := open(t)
	l := h.join("ann")
	a, _ := h.passkey(l)
	begun, s := h.begun(l), h.asked()
	answer, made := a.Get(s.Options), passkeytest.New(t, origin).Create(begun.Options)
	used := h.asked()
	usedAnswer := a.Get(used.Options)
	if _, err := h.shown(used, usedAnswer, device("", "203.0.113.9")); err != nil {
		t.Fatal(err)
	}
	h.advance(5 * time.Minute)
	if err := h.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := h.shown(s, answer, device("", "203.0.113.9"))
	wantCode(t, err, protocol.CodeInvalid)
	_, err = h.shown(used, usedAnswer, device("", "203.0.113.9"))
	wantCode(t, err, protocol.CodeInvalid)
	_, err = h.finished(l, begun, made, "")
	wantCode(t, err, protocol.CodeInvalid)
}

// TestPasskeyStates: a state serves who it was made for, for what, and where; and it cannot be made up.
func TestPasskeyStates(t *testing.T) {
	h := open(t)
	ann, bob := h.join("ann"), h.join("bob")
	a, _ := h.passkey(ann)
	begun, fresh := h.begun(ann), passkeytest.New(t, origin)
	made := fresh.Create(begun.Options)
	_, err := h.finished(bob, begun, made, "")
	wantCode(t, err, protocol.CodeInvalid)
	asked := h.asked()
	_, err = h.shown(begun, a.Get(begun.Options), device("", "203.0.113.9")) // a registration's state for a login
	wantCode(t, err, protocol.CodeInvalid)
	_, err = h.finished(ann, asked, made, "")
	wantCode(t, err, protocol.CodeInvalid)
	for _, state := range []string{"", "x", asked.State + "A", asked.State[:len(asked.State)-2], strings.ToUpper(asked.State)} {
		_, err = h.shown(accounts.PasskeyStart{State: state}, a.Get(asked.Options), device("", "203.0.113.9"))
		wantCode(t, err, protocol.CodeInvalid)
	}
	for _, where := range []string{"http://localhost:9090", "https://localhost:8080", "https://rondo.example"} {
		_, err = h.FinishPasskeyLogin(t.Context(), accounts.PasskeyAnswer{State: asked.State, Credential: a.Get(asked.Options), Origin: where})
		wantCode(t, err, protocol.CodeInvalid)
	}
	for _, where := range []string{"", "null", "http://127.0.0.1:8080", "http://rondo.example", "https://192.0.2.1"} {
		_, err = h.BeginPasskeyLogin(t.Context(), where)
		wantCode(t, err, protocol.CodeNotFound)
	}
	for _, credential := range []string{"", "{}", "null", "[]", `{"id":"AA","type":"public-key"}`, strings.Repeat("[", 10_000)} {
		_, err = h.shown(asked, json.RawMessage(credential), device("", "203.0.113.9"))
		wantCode(t, err, protocol.CodeBadRequest)
		s := h.begun(ann)
		_, err = h.finished(ann, s, json.RawMessage(credential), "")
		wantCode(t, err, protocol.CodeBadRequest)
		h.advance(time.Minute / 2)
	}
	if _, err := h.finished(ann, begun, made, "x"); err != nil {
		t.Errorf("the right one: %v", err)
	}
}

// TestPasskeyOrigin: where the service's origin is known, the request's does not count.
func TestPasskeyOrigin(t *testing.T) {
	h := openWith(t, func(c *accounts.Config) { c.Origin = "https://rondo.example:8443" })
	l := h.join("ann")
	s, err := h.BeginPasskey(t.Context(), l.User.Identity, accounts.Proof{Password: password}, "https://evil.example")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(s.Options), `"id":"rondo.example"`) {
		t.Errorf("%s", s.Options)
	}
	_, err = h.FinishPasskey(t.Context(), l.User.Identity, accounts.PasskeyAnswer{State: s.State, Credential: passkeytest.New(t, "https://evil.example").Create(s.Options)})
	wantCode(t, err, protocol.CodeBadRequest)
	if s, err = h.BeginPasskey(t.Context(), l.User.Identity, accounts.Proof{Password: password}, ""); err != nil {
		t.Fatal(err)
	}
	_, err = h.FinishPasskey(t.Context(), l.User.Identity, accounts.PasskeyAnswer{State: s.State, Credential: passkeytest.New(t, "https://rondo.example:8443").Create(s.Options)})
	wantCode(t, err, "")
}

// TestPasskeyNodes: any node finishes what another began, and knows what another has seen answered.
func TestPasskeyNodes(t *testing.T) {
	var cfg accounts.Config
	h := openWith(t, func(c *accounts.Config) { cfg = *c })
	other, err := accounts.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l := h.join("ann")
	begun, a := h.begun(l), passkeytest.New(t, origin)
	_, err = other.FinishPasskey(t.Context(), l.User.Identity, accounts.PasskeyAnswer{State: begun.State, Credential: a.Create(begun.Options), Origin: origin})
	wantCode(t, err, "")
	asked, err := other.BeginPasskeyLogin(t.Context(), origin)
	if err != nil {
		t.Fatal(err)
	}
	answer := a.Get(asked.Options)
	_, err = h.shown(asked, answer, device("", "203.0.113.9"))
	wantCode(t, err, "")
	_, err = other.FinishPasskeyLogin(t.Context(), accounts.PasskeyAnswer{State: asked.State, Credential: answer, Origin: origin, Device: device("", "203.0.113.9")})
	wantCode(t, err, protocol.CodeInvalid)
}

// TestPasskeyCloned: of two authenticators with one key the one that is behind is refused, and it is written down.
func TestPasskeyCloned(t *testing.T) {
	h := open(t)
	l := h.join("ann")
	a, _ := h.passkey(l)
	clone := a.Clone()
	d := device("device-of-ann", "198.51.100.7")
	for range 3 {
		if _, err := h.show(a, d); err != nil {
			t.Fatal(err)
		}
		h.advance(time.Minute)
	}
	_, err := h.show(clone, d)
	wantCode(t, err, protocol.CodeCredentials)
	if n := h.events(l); n[accounts.EventPasskeyCloned] != 1 || n[accounts.EventLoginFailed] != 1 {
		t.Errorf("%v", n)
	}
	if _, err := h.show(a, d); err != nil {
		t.Errorf("the one that is ahead: %v", err)
	}
}

// TestPasskeyOfAnother: nobody sees, names or deletes another's, or takes it over.
func TestPasskeyOfAnother(t *testing.T) {
	h := open(t)
	ctx, ann, bob := t.Context(), h.join("ann"), h.join("bob")
	a, info := h.passkey(ann)
	wantCode(t, h.DeletePasskey(ctx, bob.User.Identity, info.ID), protocol.CodeNotFound)
	_, err := h.RenamePasskey(ctx, bob.User.Identity, info.ID, "mine")
	wantCode(t, err, protocol.CodeNotFound)
	for _, id := range []string{"", "'", "ü", strings.Repeat("x", 100)} {
		wantCode(t, h.DeletePasskey(ctx, ann.User.Identity, id), protocol.CodeNotFound)
	}
	if list, err := h.Passkeys(ctx, bob.User.Identity); err != nil || list == nil || len(list) > 0 {
		t.Errorf("%v, %v", list, err)
	}
	s := h.begun(bob)
	thief := passkeytest.New(t, origin)
	thief.FixedID = a.ID
	_, err = h.finished(bob, s, thief.Create(s.Options), "")
	wantCode(t, err, protocol.CodeAlready)
	if l, err := h.show(a, device("", "203.0.113.9")); err != nil || l.User.Identity != ann.User.Identity {
		t.Errorf("%+v, %v", l.User, err)
	}
}

// TestPasskeyLimits: ten of a user, and as many logins as by a password.
func TestPasskeyLimits(t *testing.T) {
	h := openWith(t, func(c *accounts.Config) { c.Limits.Passkeys = 2 })
	l := h.join("ann")
	a, info := h.passkey(l)
	late := h.begun(l)
	h.passkey(l)
	_, err := h.BeginPasskey(t.Context(), l.User.Identity, accounts.Proof{Password: password}, origin)
	wantCode(t, err, protocol.CodeAlready)
	made := passkeytest.New(t, origin).Create(late.Options)
	_, err = h.finished(l, late, made, "")
	wantCode(t, err, protocol.CodeAlready)
	for i := range 11 { // from ever new places
		s := h.asked()
		_, err = h.shown(s, a.Get(s.Options), device("", fmt.Sprintf("203.0.%d.1", i)))
		if want := map[bool]protocol.Code{true: protocol.CodeRateLimited}[i == 10]; protocol.CodeOf(err) != want {
			t.Fatalf("login %d: %v", i, err)
		}
	}
	if _, err := h.show(a, device("device-of-ann", "198.51.100.7")); err != nil {
		t.Errorf("from a known device: %v", err)
	}
	h.login("ann", device("", "203.0.200.1")) // a password has a bucket of its own
	wantCode(t, h.DeletePasskey(t.Context(), l.User.Identity, info.ID), "")
}

// TestPasskeyAfterDelete: an account takes its passkeys with it.
func TestPasskeyAfterDelete(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		l := h.join("ann")
		a, _ := h.passkey(l)
		if err := h.Delete(t.Context(), l.User.Identity, accounts.Proof{Password: password}); err != nil {
			t.Fatal(err)
		}
		_, err := h.show(a, device("device-of-ann", "198.51.100.7"))
		wantCode(t, err, protocol.CodeCredentials)
		err = h.store.Read(t.Context(), "test", func(r accounts.Reader) error {
			k, err := r.PasskeyByCredential(a.ID)
			if err == nil {
				t.Errorf("%+v", k)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
