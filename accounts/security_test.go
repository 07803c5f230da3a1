package accounts_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/mail"
	"github.com/rondo-chat/rondo/protocol"
)

// TestEnumeration: for somebody known and for nobody each call answers the same, hashes as often and
// asks the database for the same.
func TestEnumeration(t *testing.T) {
	d := device("stranger", "203.0.113.5")
	for name, call := range map[string]func(h *house, who string) (any, error){
		"register": func(h *house, who string) (any, error) {
			p, err := h.Register(t.Context(), accounts.Registration{Email: who + "@example.org", Username: "fresh", Password: password, Device: d})
			p.Email = ""
			return p, err
		},
		"resend": func(h *house, who string) (any, error) {
			p, err := h.Resend(t.Context(), who+"@example.org", d)
			p.Email = ""
			return p, err
		},
		"verify": func(h *house, who string) (any, error) {
			return h.Verify(t.Context(), who+"@example.org", "12345678", d)
		},
		"login": func(h *house, who string) (any, error) {
			return h.Login(t.Context(), accounts.LoginRequest{Who: who + "@example.org", Password: "wrong horse", Device: d})
		},
		"login by name": func(h *house, who string) (any, error) {
			return h.Login(t.Context(), accounts.LoginRequest{Who: who, Password: "wrong horse", Code: "123456", Device: d})
		},
		"forgot": func(h *house, who string) (any, error) {
			p, err := h.Forgot(t.Context(), who+"@example.org", d)
			p.Email = ""
			return p, err
		},
		"reset": func(h *house, who string) (any, error) {
			return nil, h.Reset(t.Context(), who+"@example.org", "12345678", "another password", d)
		},
	} {
		for _, stage := range []string{"at first", "after register", "after forgot"} {
			t.Run(name+" "+stage, func(t *testing.T) {
				var answers, works []string
				for _, who := range []string{"ann", "zoe"} {
					h, s := traced(t)
					h.protect(h.join("ann"))
					switch stage {
					case "after register":
						_, err := h.Register(t.Context(), accounts.Registration{Email: who + "@example.org", Username: "taken", Password: password, Device: d})
						wantCode(t, err, "")
					case "after forgot":
						_, err := h.Forgot(t.Context(), who+"@example.org", d)
						wantCode(t, err, "")
					}
					s.start(0)
					hashes, checks := h.words.hashes.Load(), h.words.checks.Load()
					answer, err := call(h, who)
					answers = append(answers, fmt.Sprintf("%+v %v", answer, err))
					works = append(works, fmt.Sprintf("%d hashes, %d checks: %s", h.words.hashes.Load()-hashes, h.words.checks.Load()-checks, s.seen()))
				}
				if answers[0] != answers[1] {
					t.Errorf("answers:\n%s\n%s", answers[0], answers[1])
				}
				if works[0] != works[1] {
					t.Errorf("work:\n%s\n%s", works[0], works[1])
				}
			})
		}
	}
}

// TestAlreadyRegistered: the owner hears of it, and the code that nobody got opens nothing.
func TestAlreadyRegistered(t *testing.T) {
	h := open(t)
	l := h.join("ann")
	d := device("stranger", "203.0.113.5")
	_, err := h.Register(t.Context(), accounts.Registration{Email: "ANN@example.org", Username: "ann2", Password: "another password", Name: "see http://spam.example", Device: d})
	wantCode(t, err, "")
	if m := h.letter(mail.AlreadyRegistered, "ann@example.org"); m.Data != (mail.Data{Username: "ann"}) || m.Name != "ann" {
		t.Errorf("mail %+v", m)
	}
	// Even with the code, which is in no mail.
	h.mu.Lock()
	for _, m := range h.mails {
		if m.Data.Code != "" {
			defer func(code string) {
				_, err := h.Verify(t.Context(), "ann@example.org", code, d)
				wantCode(t, err, protocol.CodeInvalid)
			}(m.Data.Code)
		}
	}
	h.mu.Unlock()
	if again := h.login("ann", device("device-of-ann", "198.51.100.7")); again.User.Identity != l.User.Identity {
		t.Error("the account changed hands")
	}
	// Others may have the username that was not verified, once the registration is over.
	h.advance(2 * time.Hour)
	if b := h.join("ann2"); b.User.Username != "ann2" {
		t.Error(b.User)
	}
}

// TestHijackedRegistration: whoever registers with somebody's address first, or in between, gets
// nothing verified by that person's code.
func TestHijackedRegistration(t *testing.T) {
	h, _ := traced(t)
	attacker, victim := device("attacker", "203.0.113.5"), device("victim", "198.51.100.7")
	register := func(name, pw string, d accounts.Device) string {
		_, err := h.Register(t.Context(), accounts.Registration{Email: "vic@example.org", Username: name, Password: pw, Device: d})
		wantCode(t, err, "")
		return h.letter(mail.Verify, "vic@example.org").Data.Code
	}
	register("evil_1", "evil password", attacker)
	own := register("vic", password, victim)
	evil := register("evil_2", "evil password", attacker)
	_, err := h.Verify(t.Context(), "vic@example.org", evil, victim)
	wantCode(t, err, protocol.CodeInvalid)
	l, err := h.Verify(t.Context(), "vic@example.org", own, victim)
	if err != nil || l.User.Username != "vic" {
		t.Fatal(l.User, err)
	}
	_, err = h.Verify(t.Context(), "vic@example.org", evil, attacker)
	wantCode(t, err, protocol.CodeInvalid)
	_, err = h.Login(t.Context(), accounts.LoginRequest{Who: "vic", Password: "evil password", Device: attacker})
	wantCode(t, err, protocol.CodeCredentials)
}

// TestCodeGuessing: five tries, whatever is asked for in between; the right code does not count after
// them, nor after its time.
func TestCodeGuessing(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		d := device("laptop", "198.51.100.7")
		_, err := h.Register(t.Context(), accounts.Registration{Email: "ann@example.org", Username: "ann", Password: password, Device: d})
		wantCode(t, err, "")
		code := h.letter(mail.Verify, "ann@example.org").Data.Code
		wrong := func() string {
			for {
				if c := fmt.Sprintf("%08d", rand.IntN(100_000_000)); c != code {
					return c
				}
			}
		}
		for range 5 {
			_, err := h.Verify(t.Context(), "ann@example.org", wrong(), d)
			wantCode(t, err, protocol.CodeInvalid)
		}
		_, err = h.Verify(t.Context(), "ann@example.org", code, d)
		wantCode(t, err, protocol.CodeInvalid)
		_, err = h.Resend(t.Context(), "ann@example.org", d)
		wantCode(t, err, "")
		code = h.letter(mail.Verify, "ann@example.org").Data.Code
		h.advance(10 * time.Minute)
		_, err = h.Verify(t.Context(), "ann@example.org", code, d)
		wantCode(t, err, protocol.CodeInvalid)
	})
}

// TestCodeGuessingForADay: with all addresses of the world, 30 accounts' worth of codes are tried at one address a day at
// most: the chance is below one in 100,000.
func TestCodeGuessingForADay(t *testing.T) {
	h := open(t)
	h.join("ann")
	tries := 0
	for i := range 24 * 60 {
		h.advance(time.Minute)
		d := device("", fmt.Sprintf("203.%d.%d.1", i/250, i%250))
		asked, err := h.Forgot(t.Context(), "ann@example.org", d)
		if err != nil {
			wantCode(t, err, protocol.CodeRateLimited)
			continue
		}
		d.ID = asked.Device
		for range 6 {
			wantCode(t, h.Reset(t.Context(), "ann@example.org", "00000000", "another password", d), protocol.CodeInvalid)
			tries++
		}
	}
	if tries < 500 || tries > 700 {
		t.Errorf("%d guesses, of which five in six count, in a day", tries)
	}
}

// TestTwoTabs: two tabs with one cookie jar refresh 1,000 times each, at once, and nobody is logged out.
func TestTwoTabs(t *testing.T) {
	h := openWith(t, func(cfg *accounts.Config) { cfg.Limits = unlimited() })
	twoTabs(t, h, 250) // e2e does it 1,000 times, over HTTP
}

func TestTwoTabsOnServers(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) { twoTabs(t, h, 60) })
}

func twoTabs(t *testing.T, h *house, times int) {
	l := h.join("ann")
	var jar atomic.Pointer[string]
	jar.Store(&l.Refresh)
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() {
			for range times {
				r, err := h.Refresh(t.Context(), *jar.Load(), device("", "198.51.100.7"))
				if err != nil {
					t.Errorf("logged out: %v", err)
					return
				}
				jar.Store(&r.Refresh)
				h.advance(200 * time.Millisecond)
			}
		})
	}
	wait.Wait()
	if h.isRevoked(l.Session) {
		t.Error("the session was revoked")
	}
	if rows := len(h.dump()["refresh_tokens"]); rows > 2*30*5+10 {
		t.Errorf("%d rows of tokens are kept", rows)
	}
}

// TestRefreshReuse: a thief who goes on with a token ends the session as soon as its owner comes back with an
// older one, however long ago and however often the thief has refreshed.
func TestRefreshReuse(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		l := h.join("ann")
		stolen := l.Refresh
		for range 40 {
			h.advance(31 * time.Second)
			r, err := h.Refresh(t.Context(), stolen, device("", "203.0.113.66"))
			if err != nil {
				t.Fatal(err)
			}
			stolen = r.Refresh
		}
		if rows := len(h.dump()["refresh_tokens"]); rows > 3 {
			t.Errorf("%d rows of tokens are kept", rows)
		}
		h.advance(20 * 24 * time.Hour)
		_, err := h.Refresh(t.Context(), l.Refresh, device("", "198.51.100.7"))
		wantCode(t, err, protocol.CodeUnauthorized)
		if !h.isRevoked(l.Session) {
			t.Error("nobody was told")
		}
		_, err = h.Refresh(t.Context(), stolen, device("", "203.0.113.66"))
		wantCode(t, err, protocol.CodeUnauthorized)
		e, err := h.Export(t.Context(), l.User.Identity)
		if err != nil || !slices.ContainsFunc(e.Log, func(a accounts.AuditInfo) bool { return a.Event == accounts.EventRefreshReuse }) {
			t.Errorf("not in the log: %v %+v", err, e.Log)
		}
	})
}

// TestStrangeTokens: what was never a token changes nothing, also if it begins like one.
func TestStrangeTokens(t *testing.T) {
	h := open(t)
	l := h.join("ann")
	before := h.dump()
	for _, raw := range []string{"", "x", l.Refresh + "A", l.Refresh[:42], l.Refresh + "=", "\x00" + l.Refresh[1:], strings.Repeat("A", 43), strings.Repeat("A", 1<<20), l.Session} {
		_, err := h.Refresh(t.Context(), raw, accounts.Device{})
		wantCode(t, err, protocol.CodeUnauthorized)
		wantCode(t, h.LogoutToken(t.Context(), raw), "")
	}
	if diff := equalDumps(before, h.dump()); diff != "" {
		t.Error(diff)
	}
}

// TestFixation: what a client had before it logged in is nothing afterwards.
func TestFixation(t *testing.T) {
	h := open(t)
	h.join("ann")
	d := device("device-of-ann", "198.51.100.7")
	seen := map[string]bool{}
	var last accounts.Login
	for range 5 {
		l := h.login("ann", d)
		for _, s := range []string{l.Session, l.Refresh, l.Access} {
			if seen[s] {
				t.Fatalf("%q twice", s)
			}
			seen[s] = true
		}
		if last.Session != "" && !h.isRevoked(last.Session) {
			t.Error("the device's earlier session goes on")
		}
		last = l
	}
	// A device that an attacker named is not the attacker's: each has its own session.
	other := h.login("ann", device("attackers-choice", "203.0.113.5"))
	mine := h.login("ann", d)
	if h.isRevoked(other.Session) || mine.Session == other.Session {
		t.Error("sessions of two devices touch")
	}
}

// TestStuffing: one address gets through few tries; a known device behind it, or of an account under
// attack, is not held up.
func TestStuffing(t *testing.T) {
	h := open(t)
	for _, n := range []string{"ann", "bob"} {
		h.join(n)
	}
	tried := 0
	for i := range 1000 { // many accounts from one address
		_, err := h.Login(t.Context(), accounts.LoginRequest{Who: fmt.Sprintf("user%d@example.org", i), Password: "123456789", Device: device("", "198.51.100.7")})
		if protocol.CodeOf(err) == protocol.CodeCredentials {
			tried++
		} else {
			wantCode(t, err, protocol.CodeRateLimited)
		}
	}
	if tried > 100 {
		t.Errorf("%d tries at once from one address", tried)
	}
	tried = 0
	for i := range 1000 { // one account from many addresses
		_, err := h.Login(t.Context(), accounts.LoginRequest{Who: []string{"bob", "bob@example.org"}[i%2], Password: "123456789", Device: device("", fmt.Sprintf("203.%d.%d.9", i/250, i%250))})
		if protocol.CodeOf(err) == protocol.CodeCredentials {
			tried++
		}
	}
	if tried > 10 {
		t.Errorf("%d tries at once at one account", tried)
	}
	h.login("ann", device("device-of-ann", "198.51.100.7"))
	h.login("bob", device("device-of-bob", "198.51.100.7"))
	h.advance(10 * time.Minute)
	h.login("bob", device("new phone", "198.51.100.7"))
}

// TestMassAssignment: a patch has the profile's fields and no others, and changes nothing else.
func TestMassAssignment(t *testing.T) {
	var fields []string
	for f := range reflect.TypeFor[accounts.Patch]().Fields() {
		fields = append(fields, f.Name)
	}
	if want := []string{"Name", "Avatar", "Languages", "Interests", "Language"}; !slices.Equal(fields, want) {
		t.Errorf("a patch has %v: see that each may be changed by its owner", fields)
	}
	h := open(t)
	l := h.join("ann")
	name, none, languages, interests := "Ann ✿", "", []string{"de-AT", "en"}, []string{"Jazz", "jazz", "Go"}
	u, err := h.UpdateProfile(t.Context(), l.User.Identity, 1, accounts.Patch{Name: &name, Avatar: &none, Languages: &languages, Interests: &interests})
	if err != nil {
		t.Fatal(err)
	}
	want := l.User
	want.Name, want.Languages, want.Interests, want.Version = "Ann ✿", []string{"de", "en"}, []string{"jazz", "go"}, 2
	want.LastLogin = u.LastLogin
	if !reflect.DeepEqual(u, want) {
		t.Errorf("%+v\nwant %+v", u, want)
	}
	if told := h.told.Load(); told == nil || told.Name != "Ann ✿" {
		t.Error("rooms were not told")
	}
	_, err = h.UpdateProfile(t.Context(), l.User.Identity, 1, accounts.Patch{Name: &none})
	wantCode(t, err, protocol.CodeBadRequest)
	_, err = h.UpdateProfile(t.Context(), l.User.Identity, 1, accounts.Patch{Name: &name})
	wantCode(t, err, protocol.CodeChanged)
	me, err := h.Me(t.Context(), l.User.Identity)
	if err != nil || !reflect.DeepEqual(me, u) {
		t.Errorf("%+v, %v", me, err)
	}
}

// TestAvatars: a picture is what it says, and what is kept of it are its pixels.
func TestAvatars(t *testing.T) {
	h := open(t)
	l := h.join("ann")
	png := "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
	for avatar, want := range map[string]protocol.Code{
		"": "", png: "",
		strings.Replace(png, "png", "jpeg", 1):       protocol.CodeBadRequest,
		"data:image/svg+xml;base64,PHN2Zz48L3N2Zz4=": protocol.CodeBadRequest,
		"data:text/html;base64,PGh0bWw+":             protocol.CodeBadRequest,
		"https://example.org/a.png":                  protocol.CodeBadRequest,
		"javascript:alert(1)":                        protocol.CodeBadRequest,
		png + strings.Repeat("A", 100_000):           protocol.CodeBadRequest,
		png[:60]:                                     protocol.CodeBadRequest, "data:image/png;base64,iVBORw0KGgo=": protocol.CodeBadRequest, "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs=": protocol.CodeBadRequest,
		strings.Replace(png, "AAEAAAAB", "AAEAAQAA", 1): protocol.CodeBadRequest, // 256 times as wide as it has pixels
		strings.Replace(png, ";base64", "\n;base64", 1): protocol.CodeBadRequest,
	} {
		_, err := h.UpdateProfile(t.Context(), l.User.Identity, 0, accounts.Patch{Avatar: &avatar})
		if protocol.CodeOf(err) != want {
			t.Errorf("%.60q: %v", avatar, err)
		}
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(png, "data:image/png;base64,"))
	if err != nil {
		t.Fatal(err)
	}
	place := []byte("\x00\x00\x00\x0dtEXtGPS\x0052.5 13.4") // and its sum
	place = binary.BigEndian.AppendUint32(place, crc32.ChecksumIEEE(place[4:]))
	avatar := "data:image/png;base64," + base64.StdEncoding.EncodeToString(slices.Concat(raw[:33], place, raw[33:], []byte("and a file behind it")))
	u, err := h.UpdateProfile(t.Context(), l.User.Identity, 0, accounts.Patch{Avatar: &avatar})
	kept, bad := base64.StdEncoding.DecodeString(strings.TrimPrefix(u.Avatar, "data:image/png;base64,"))
	if err != nil || bad != nil || len(kept) == 0 || bytes.Contains(kept, []byte("GPS")) || bytes.Contains(kept, []byte("behind")) {
		t.Errorf("kept %q, %v, %v", kept, err, bad)
	}
}

// corpus is what breaks statements, patterns, names and logs.
func corpus() []string {
	return []string{
		"' OR '1'='1", "'; DROP TABLE users; --", "\" OR \"\"=\"", "admin'--", "1; SELECT pg_sleep(10)", "' UNION SELECT password_hash FROM users --", "\\' OR 1=1 #",
		"?", "$1", "${jndi:ldap://x}", "{{7*7}}", "%", "_%", "!%", "%00", "\\", "`", "/*", "*/", "ann\x00", "ann\r\nBcc: x@example.org", "\x1b[31m",
		"ann@example.org' --", "ann@example.org, bob@example.org", "<ann@example.org>", "\"a b\"@example.org", "ann@[127.0.0.1]", "@", "a@b@c.org", "ann@example.org.", "ann@-.org",
		"Ａnn", "аnn", "ann ", " ann", "ann\u00a0", "ANN", "aNn", "ann\u200d", "ann\u202e", "\ufeffann", "a\u0301nn", "İ", "ß", "ﬀ", "👩‍👩‍👧‍👦", "\U0010ffff", "\xff\xfe", "\xed\xa0\x80", strings.Repeat("a\u0301", 5000), strings.Repeat("x", 1<<20), strings.Repeat("z͑ͫ̓ͪ̂ͫ̽͏", 40),
		"null", "true", "-1", "1e309", "../../etc/passwd", "\u0000", "u_" + strings.Repeat("a", 26),
	}
}

// TestHostileText: every parameter of every call, with every text of the corpus: it is refused with an error to
// show, or taken as it is; nothing but what was asked for changes.
func TestHostileText(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		l := h.join("ann")
		id, ctx := l.User.Identity, t.Context()
		proof := accounts.Proof{Password: password}
		list, err := h.Devices(ctx, id, l.Session)
		wantCode(t, err, "")
		calls := map[string]func(s string) error{
			"email": func(s string) error {
				_, err := h.Register(ctx, accounts.Registration{Email: s, Username: "fresh", Password: password})
				return err
			},
			"username": func(s string) error {
				_, err := h.Register(ctx, accounts.Registration{Email: "new@example.org", Username: s, Password: password})
				return err
			},
			"name": func(s string) error {
				_, err := h.Register(ctx, accounts.Registration{Email: "new@example.org", Username: "fresh", Password: password, Name: s})
				return err
			},
			"language": func(s string) error {
				_, err := h.Register(ctx, accounts.Registration{Email: "new@example.org", Username: "fresh", Password: password, Language: s})
				return err
			},
			"guest": func(s string) error {
				_, err := h.Register(ctx, accounts.Registration{Email: "new@example.org", Username: "fresh", Password: password, Guest: protocol.UserID(s)})
				return err
			},
			"password": func(s string) error {
				_, err := h.Register(ctx, accounts.Registration{Email: "new@example.org", Username: "fresh", Password: s})
				return err
			},
			"device": func(s string) error {
				_, err := h.Login(ctx, accounts.LoginRequest{Who: "ann", Password: password, Device: accounts.Device{ID: s, Name: s, UserAgent: s}})
				return err
			},
			"who": func(s string) error {
				_, err := h.Login(ctx, accounts.LoginRequest{Who: s, Password: "wrong horse"})
				return err
			},
			"secret": func(s string) error {
				_, err := h.Login(ctx, accounts.LoginRequest{Who: "ann", Password: s})
				return err
			},
			"code": func(s string) error {
				_, err := h.Verify(ctx, "ann@example.org", s, accounts.Device{ID: s})
				return err
			},
			"verify":  func(s string) error { _, err := h.Verify(ctx, s, s, accounts.Device{ID: s}); return err },
			"resend":  func(s string) error { _, err := h.Resend(ctx, s, accounts.Device{ID: s}); return err },
			"forgot":  func(s string) error { _, err := h.Forgot(ctx, s, accounts.Device{ID: s}); return err },
			"reset":   func(s string) error { return h.Reset(ctx, s, s, "another password", accounts.Device{ID: s}) },
			"refresh": func(s string) error { _, err := h.Refresh(ctx, s, accounts.Device{UserAgent: s}); return err },
			"logout":  func(s string) error { return h.Logout(ctx, s) },
			"me":      func(s string) error { _, err := h.Me(ctx, protocol.UserID(s)); return err },
			"rename":  func(s string) error { _, err := h.RenameDevice(ctx, id, s, "x"); return err },
			"devname": func(s string) error { _, err := h.RenameDevice(ctx, id, list[0].ID, s); return err },
			"revoke":  func(s string) error { return h.RevokeDevice(ctx, id, s) },
			"profile": func(s string) error { _, err := h.UpdateProfile(ctx, id, 0, accounts.Patch{Name: &s}); return err },
			"spoken": func(s string) error {
				_, err := h.UpdateProfile(ctx, id, 0, accounts.Patch{Languages: &[]string{s}})
				return err
			},
			"likes": func(s string) error {
				_, err := h.UpdateProfile(ctx, id, 0, accounts.Patch{Interests: &[]string{s}})
				return err
			},
			"proof": func(s string) error {
				return h.ChangePassword(ctx, id, s, accounts.Proof{Password: s, Code: s}, "another password")
			},
			"confirm": func(s string) error { _, err := h.ConfirmTOTP(ctx, id, s); return err },
			"search":  func(s string) error { _, err := h.List(ctx, accounts.Page{Search: s}); return err },
			"after":   func(s string) error { _, err := h.List(ctx, accounts.Page{After: protocol.UserID(s)}); return err },
			"roles":   func(s string) error { _, err := h.SetRoles(ctx, "", id, []auth.Role{auth.Role(s)}); return err },
			"actor": func(s string) error {
				_, err := h.SetDisabled(ctx, protocol.UserID(s), protocol.UserID(s), true)
				return err
			},
			"except": func(s string) error { return h.LogoutAll(ctx, "u_nobody", s) },
		}
		for _, name := range slices.Sorted(maps.Keys(calls)) {
			for _, s := range corpus() {
				h.advance(time.Hour)
				if err := calls[name](s); protocol.CodeOf(err) == protocol.CodeInternal || protocol.CodeOf(err) == protocol.CodeUnavailable {
					t.Errorf("%s %.40q: %v", name, s, err)
				}
			}
		}
		h.advance(time.Hour)
		if u := h.login("ann", device("device-of-ann", "198.51.100.7")).User; u.Identity != id || !slices.Equal(u.Roles, []auth.Role{auth.RoleUser}) || u.Disabled {
			t.Errorf("%+v", u)
		}
		if users, err := h.List(ctx, accounts.Page{}); err != nil || len(users) != 1 {
			t.Errorf("%d users, %v", len(users), err)
		}
		if users, err := h.List(ctx, accounts.Page{Search: "%"}); err != nil || len(users) != 0 {
			t.Errorf("%d users are called %%, %v", len(users), err)
		}
		wantCode(t, h.DisableTOTP(ctx, id, proof), "")
	})
}

// TestSecretsAtRest: nothing that opens anything is in the tables as it is.
func TestSecretsAtRest(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		l := h.join("ann")
		secret, recovery := h.protect(l)
		other, err := h.Login(t.Context(), accounts.LoginRequest{Who: "ann", Password: password, Code: recovery[0], Device: device("phone-secret-name", "203.0.113.9")})
		wantCode(t, err, "")
		_, err = h.Forgot(t.Context(), "ann@example.org", device("", "203.0.113.9"))
		wantCode(t, err, "")
		_, err = h.Register(t.Context(), accounts.Registration{Email: "bob@example.org", Username: "bob", Password: "bobs own password", Device: device("bob-secret-name", "203.0.113.9")})
		wantCode(t, err, "")
		secrets := []string{password, "bobs own password", secret, l.Refresh, other.Refresh, other.Refresh[:21], "phone-secret-name", "bob-secret-name", "device-of-ann", "203.0.113.9", "198.51.100.7"}
		secrets = append(secrets, recovery...)
		for _, m := range h.post() {
			if m.Data.Code != "" {
				secrets = append(secrets, m.Data.Code)
			}
		}
		if len(secrets) < 23 {
			t.Fatalf("too few secrets: %q", secrets)
		}
		h.mustLack(secrets)
	})
}

// mustLack scans every column of every table.
func (h *house) mustLack(words []string) {
	h.t.Helper()
	for table, rows := range h.dump() {
		for _, row := range rows {
			for _, w := range words {
				if strings.Contains(strings.ToLower(row), strings.ToLower(w)) {
					h.t.Errorf("%q is in %s: %s", w, table, row)
				}
			}
		}
	}
}
