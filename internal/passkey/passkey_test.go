package passkey_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/internal/passkey"
	"github.com/rondo-chat/rondo/internal/passkey/passkeytest"
)

func TestPartyOf(t *testing.T) {
	for origin, id := range map[string]string{
		"https://rondo.example": "rondo.example", "https://Rondo.example:8443": "rondo.example", "http://localhost:8080": "localhost",
		"http://a.localhost": "a.localhost", "https://localhost": "localhost",
		"http://rondo.example": "", "https://192.0.2.1": "", "https://[2001:db8::1]:8443": "", "http://127.0.0.1:8080": "", "": "", "null": "",
		"https://": "", "https://rondo.example/": "", "https://u@rondo.example": "", "file:///etc": "", "https://rondo.example?x": "",
	} {
		p, err := passkey.PartyOf(origin)
		if (err == nil) != (id != "") || p.ID != id {
			t.Errorf("%q: %+v, %v", origin, p, err)
		}
	}
}

const origin = "https://rondo.example"

var service = passkey.Party{ID: "rondo.example", Origin: origin}

// registered is a person with a passkey.
func registered(t testing.TB) (passkey.User, *passkeytest.Authenticator) {
	t.Helper()
	u, a := passkey.User{Handle: []byte("u_ann"), Name: "ann"}, passkeytest.New(t, origin)
	r, err := service.Create("Rondo", u, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	c, err := service.Created(u, r.Challenge, a.Create(r.Options))
	if err != nil {
		t.Fatal(err)
	}
	u.Credentials = []passkey.Credential{c}
	return u, a
}

func request(t testing.TB) passkey.Request {
	t.Helper()
	r, err := service.Get(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestOptions: what browsers are asked for is what the decisions say.
func TestOptions(t *testing.T) {
	u, _ := registered(t)
	r, err := service.Create("Rondo", u, 5*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		`"residentKey":"required"`, `"userVerification":"required"`, `"rp":{"name":"Rondo","id":"rondo.example"}`, `"timeout":300000`,
		`"excludeCredentials":[{"type":"public-key"`, `"alg":-7`, `"alg":-257`, `"alg":-8`, r.Challenge,
	} {
		if !strings.Contains(string(r.Options), part) {
			t.Errorf("no %s in %s", part, r.Options)
		}
	}
	get := request(t)
	if strings.Contains(string(get.Options), "allowCredentials") || !strings.Contains(string(get.Options), `"userVerification":"required"`) {
		t.Errorf("%s", get.Options)
	}
	if other := request(t); other.Challenge == get.Challenge || len(get.Challenge) < 40 {
		t.Errorf("challenges %q, %q", get.Challenge, other.Challenge)
	}
}

// TestCreated: one thing wrong, and there is no passkey.
func TestCreated(t *testing.T) {
	for name, spoil := range map[string]func(*passkeytest.Authenticator){
		"origin":        func(a *passkeytest.Authenticator) { a.Origin = "https://evil.example" },
		"other port":    func(a *passkeytest.Authenticator) { a.Origin = origin + ":8443" },
		"party":         func(a *passkeytest.Authenticator) { a.RPID = "evil.example" },
		"challenge":     func(a *passkeytest.Authenticator) { a.Challenge = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" },
		"not verified":  func(a *passkeytest.Authenticator) { a.Flags = passkeytest.UserPresent },
		"nobody there":  func(a *passkeytest.Authenticator) { a.Flags = passkeytest.UserVerified },
		"backed up not": func(a *passkeytest.Authenticator) { a.Flags |= passkeytest.BackedUp },
	} {
		u, a := passkey.User{Handle: []byte("u_ann"), Name: "ann"}, passkeytest.New(t, origin)
		r, err := service.Create("Rondo", u, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		spoil(a)
		if c, err := service.Created(u, r.Challenge, a.Create(r.Options)); err == nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

// TestVerify: one thing wrong, and it is nobody.
func TestVerify(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(*passkeytest.Authenticator)
		want  error // nil: any
		good  bool
	}{
		"nothing":      {spoil: func(*passkeytest.Authenticator) {}, good: true},
		"no counter":   {spoil: func(a *passkeytest.Authenticator) { a.Counter = 0 }, want: passkey.ErrCloned},
		"counter":      {spoil: func(a *passkeytest.Authenticator) { a.Counter -= 1 }, want: passkey.ErrCloned},
		"origin":       {spoil: func(a *passkeytest.Authenticator) { a.Origin = "https://evil.example" }},
		"scheme":       {spoil: func(a *passkeytest.Authenticator) { a.Origin = "http://rondo.example" }},
		"party":        {spoil: func(a *passkeytest.Authenticator) { a.RPID = "evil.example" }},
		"challenge":    {spoil: func(a *passkeytest.Authenticator) { a.Challenge = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" }},
		"not verified": {spoil: func(a *passkeytest.Authenticator) { a.Flags = passkeytest.UserPresent }},
		"nobody there": {spoil: func(a *passkeytest.Authenticator) { a.Flags = passkeytest.UserVerified }},
		"handle":       {spoil: func(a *passkeytest.Authenticator) { a.Handle = []byte("u_bob") }},
		"no handle":    {spoil: func(a *passkeytest.Authenticator) { a.Handle = nil }},
		"eligible now": {spoil: func(a *passkeytest.Authenticator) { a.Flags |= passkeytest.BackupEligible }},
		"other key": {spoil: func(a *passkeytest.Authenticator) {
			_, b := registered(t)
			id := a.ID
			*a = *b
			a.ID = id
		}},
	} {
		u, a := registered(t)
		tc.spoil(a)
		r := request(t)
		given, err := passkey.ParseAssertion(a.Get(r.Options))
		if err != nil {
			t.Fatal(err)
		}
		c, err := service.Verify(r.Challenge, given, u)
		switch {
		case tc.good && (err != nil || c.SignCount != 2 || !bytes.Equal(c.PublicKey, u.Credentials[0].PublicKey)):
			t.Errorf("%s: %+v, %v", name, c, err)
		case !tc.good && err == nil, tc.want != nil && !errors.Is(err, tc.want), tc.want == nil && errors.Is(err, passkey.ErrCloned):
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

// TestTransports: what a browser says of them is not kept unless it is known.
func TestTransports(t *testing.T) {
	u, a := passkey.User{Handle: []byte("u_ann"), Name: "ann"}, passkeytest.New(t, origin)
	a.Transports = []string{"usb", strings.Repeat("x", 1000), "a,b", "usb", ""}
	r, err := service.Create("Rondo", u, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	c, err := service.Created(u, r.Challenge, a.Create(r.Options))
	if err != nil || !slices.Equal(c.Transports, []string{"usb"}) {
		t.Errorf("%q, %v", c.Transports, err)
	}
}

// TestCounters: some authenticators have none.
func TestCounters(t *testing.T) {
	u, a := registered(t)
	u.Credentials[0].SignCount, a.Counter = 0, 0
	for range 2 {
		r := request(t)
		given, err := passkey.ParseAssertion(a.Get(r.Options))
		if err != nil {
			t.Fatal(err)
		}
		c, err := service.Verify(r.Challenge, given, u)
		if err != nil || c.SignCount != 0 {
			t.Fatalf("%+v, %v", c, err)
		}
		u.Credentials[0] = c
	}
}

// FuzzAnswers: whatever a browser brings is taken or refused, and what was not signed is not taken.
func FuzzAnswers(f *testing.F) {
	u, a := registered(f)
	r := request(f)
	good := a.Get(r.Options)
	f.Add([]byte(good))
	f.Add([]byte(passkeytest.New(f, origin).Create(json.RawMessage(`{"user":{"id":"YQ"}}`))))
	for i := 0; i < len(good); i += 97 {
		f.Add([]byte(good[:i]))
	}
	f.Add([]byte(`{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"e30","attestationObject":"o2NmbXRkbm9uZQ"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = service.Created(u, r.Challenge, b)
		if given, err := passkey.ParseAssertion(b); err == nil {
			_, _ = service.Verify(r.Challenge, given, u)
		}
	})
}
