package auth

import (
	"crypto"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// forge writes tokens without the library that reads them.
type forge struct {
	t      testing.TB
	tokens *Tokens
	key    *signingKey
	now    time.Time
}

func newForge(t testing.TB, alg string) *forge {
	tokens, now := newTokens(t, &MemoryKeys{}, alg), time.Now()
	key, err := tokens.cfg.Keyring.signer(now)
	if err != nil {
		t.Fatal(err)
	}
	f := &forge{t: t, tokens: tokens, key: key, now: now}
	if _, err := tokens.Verify(f.signed(f.claims(nil)), now); err != nil {
		t.Fatalf("a token as it should be is refused: %v", err)
	}
	return f
}

// claims returns the JSON of good claims with some changed; nil removes one.
func (f *forge) claims(change map[string]any) string {
	all := map[string]any{
		"iss": "https://rondo.example", "aud": []string{Audience}, "sub": string(NewUserID()), "sid": "s1", "roles": []string{"user"},
		"iat": f.now.Unix(), "exp": f.now.Unix() + 600, "jti": "x",
	}
	maps.Copy(all, change)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return f.json(all)
}

func (f *forge) json(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(b)
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func (f *forge) header() string {
	return fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":"at+jwt"}`, f.key.alg, f.key.kid)
}

// signed is a token with the right header and a right signature.
func (f *forge) signed(claims string) string { return f.signedAs(f.header(), claims) }

// signedAs has any header and a right signature over it.
func (f *forge) signedAs(header, claims string) string {
	text := b64(header) + "." + b64(claims)
	return text + "." + b64(string(f.sign(f.key.private, text)))
}

func (f *forge) sign(private crypto.Signer, text string) []byte {
	digest, hash := []byte(text), crypto.Hash(0)
	if _, ok := private.(*rsa.PrivateKey); ok {
		sum := sha256.Sum256(digest)
		digest, hash = sum[:], crypto.SHA256
	}
	sig, err := private.Sign(rand.Reader, digest, hash)
	if err != nil {
		f.t.Fatal(err)
	}
	return sig
}

func (f *forge) refused(name, raw string) {
	f.t.Helper()
	claims, err := f.tokens.Verify(raw, f.now)
	if protocol.CodeOf(err) != protocol.CodeUnauthorized {
		f.t.Errorf("%s: got %+v, %v", name, claims, err)
	} else if err.Error() != errToken().Error() && err.Error() != errExpired().Error() {
		f.t.Errorf("%s: says why: %v", name, err)
	}
}

func eachAlg(t *testing.T, test func(t *testing.T, f *forge)) {
	for _, alg := range []string{AlgEdDSA, AlgRS256} {
		t.Run(alg, func(t *testing.T) { test(t, newForge(t, alg)) })
	}
}

func TestAlgNone(t *testing.T) {
	eachAlg(t, func(t *testing.T, f *forge) {
		claims := b64(f.claims(nil))
		good := f.signed(f.claims(nil))
		for _, alg := range []string{"none", "None", "NONE", "nOnE", "", "null"} {
			for _, header := range []string{
				fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":"at+jwt"}`, alg, f.key.kid), fmt.Sprintf(`{"alg":%q,"typ":"at+jwt"}`, alg), fmt.Sprintf(`{"alg":%q}`, alg),
			} {
				f.refused(header+" without signature", b64(header)+"."+claims+".")
				f.refused(header+" with signature", f.signedAs(header, f.claims(nil)))
			}
		}
		f.refused("alg null", f.signedAs(fmt.Sprintf(`{"alg":null,"kid":%q,"typ":"at+jwt"}`, f.key.kid), f.claims(nil)))
		f.refused("no alg", f.signedAs(fmt.Sprintf(`{"kid":%q,"typ":"at+jwt"}`, f.key.kid), f.claims(nil)))
		f.refused("right header, signature left out", good[:strings.LastIndexByte(good, '.')+1])
		f.refused("right header, two parts", good[:strings.LastIndexByte(good, '.')])
	})
}

// TestAlgConfusion: a MAC made with the public key, which everybody knows.
func TestAlgConfusion(t *testing.T) {
	eachAlg(t, func(t *testing.T, f *forge) {
		der, err := x509.MarshalPKIXPublicKey(f.key.private.Public())
		if err != nil {
			t.Fatal(err)
		}
		secrets := map[string][]byte{
			"DER": der, "PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), "JWK": []byte(f.json(f.key.jwk())), "JWKS": f.tokens.cfg.Keyring.JWKS(), "empty": nil,
		}
		switch public := f.key.private.Public().(type) {
		case ed25519.PublicKey:
			secrets["raw"] = public
		case *rsa.PublicKey:
			secrets["PKCS1"] = x509.MarshalPKCS1PublicKey(public)
		}
		headers := map[string]string{"HS256": strings.Replace(f.header(), f.key.alg, "HS256", 1), "as it should be": f.header()}
		for form, secret := range secrets {
			for name, header := range headers {
				text := b64(header) + "." + b64(f.claims(nil))
				mac := hmac.New(sha256.New, secret)
				mac.Write([]byte(text))
				f.refused(form+" under "+name, text+"."+b64(string(mac.Sum(nil))))
			}
		}
		for _, alg := range []string{"HS256", "HS512", "ES256", "PS256", "RS512", "Ed25519", "eddsa", "EdDSA ", "RS256", "EdDSA"} {
			if alg != f.key.alg {
				f.refused(alg, f.signedAs(strings.Replace(f.header(), f.key.alg, alg, 1), f.claims(nil)))
			}
		}
	})
}

func TestKidTricks(t *testing.T) {
	eachAlg(t, func(t *testing.T, f *forge) {
		for _, kid := range []any{
			"", "../../../../../../dev/null", "/dev/null", "file:///etc/passwd", "' OR '1'='1", "x' UNION SELECT 'secret", "; DROP TABLE signing_keys", "http://evil.example/key",
			Random(16), strings.ToUpper(f.key.kid), f.key.kid + "\x00", f.key.kid + " ", " " + f.key.kid, f.key.kid[:25], strings.Repeat(f.key.kid, 100), nil, 0, 1.5, true,
			[]string{f.key.kid}, map[string]string{"kid": f.key.kid},
		} {
			f.refused(fmt.Sprint(kid), f.signedAs(f.json(map[string]any{"alg": f.key.alg, "kid": kid, "typ": tokenType}), f.claims(nil)))
		}
		f.refused("no kid", f.signedAs(f.json(map[string]any{"alg": f.key.alg, "typ": tokenType}), f.claims(nil)))
	})
}

// TestOtherKeysKid: a key that is in the ring vouches for its own kid only.
func TestOtherKeysKid(t *testing.T) {
	eachAlg(t, func(t *testing.T, f *forge) {
		ring := f.tokens.cfg.Keyring
		if err := ring.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		keys := ring.keys.Load().keys
		if len(keys) != 2 {
			t.Fatalf("%d keys", len(keys))
		}
		next, first := keys[0], keys[1]
		f.key = next
		if _, err := f.tokens.Verify(f.signed(f.claims(nil)), f.now); err != nil {
			t.Fatalf("the next key's token (of a node whose clock is ahead): %v", err)
		}
		f.key = first
		text := b64(f.header()) + "." + b64(f.claims(nil))
		f.refused("another key's signature", text+"."+b64(string(f.sign(next.private, text))))
		strange, err := newPrivate(first.alg)
		if err != nil {
			t.Fatal(err)
		}
		f.refused("a stranger's signature", text+"."+b64(string(f.sign(strange, text))))
	})
}

func TestWrongAudience(t *testing.T) {
	eachAlg(t, func(t *testing.T, f *forge) {
		for _, aud := range []any{nil, "", "other", "Rondo", "rondo ", []string{}, []string{"other"}, []any{1}, map[string]string{"rondo": "rondo"}, true} {
			f.refused(fmt.Sprint(aud), f.signed(f.claims(map[string]any{"aud": aud})))
		}
	})
}

func TestWrongIssuer(t *testing.T) {
	eachAlg(t, func(t *testing.T, f *forge) {
		for _, iss := range []any{nil, "", "https://evil.example", "https://rondo.example/", "http://rondo.example", "https://RONDO.example", []string{"https://rondo.example"}} {
			f.refused(fmt.Sprint(iss), f.signed(f.claims(map[string]any{"iss": iss})))
		}
	})
}

// TestWrongType: a token that was signed by the same key for another purpose
// (RFC 8725, 3.11).
func TestWrongType(t *testing.T) {
	eachAlg(t, func(t *testing.T, f *forge) {
		for _, typ := range []any{nil, "", "JWT", "jwt", "AT+JWT", "application/at+jwt", "id+jwt", "refresh", 1} {
			f.refused(fmt.Sprint(typ), f.signedAs(f.json(map[string]any{"alg": f.key.alg, "kid": f.key.kid, "typ": typ}), f.claims(nil)))
		}
		f.refused("none", f.signedAs(f.json(map[string]any{"alg": f.key.alg, "kid": f.key.kid}), f.claims(nil)))
	})
	// Nor is what the Signer makes an access token, and the other way round.
	f := newForge(t, AlgEdDSA)
	signer, err := NewSigner(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	guests := NewGuests(signer, 0)
	f.refused("a guest's token", guests.Issue(guests.NewID(), f.now))
	if _, err := guests.Verify(f.signed(f.claims(nil)), f.now); err == nil {
		t.Error("an access token is a guest's token")
	}
}

func TestExpired(t *testing.T) {
	eachAlg(t, func(t *testing.T, f *forge) {
		raw, err := f.tokens.Issue(Claims{Identity: NewUserID(), Session: "s1"}, f.now)
		if err != nil {
			t.Fatal(err)
		}
		ends := f.now.Truncate(time.Second).Add(DefaultAccessTTL)
		if _, err := f.tokens.Verify(raw, ends.Add(-time.Nanosecond)); err != nil {
			t.Errorf("before it ends: %v", err)
		}
		for _, at := range []time.Time{ends, ends.Add(time.Second), ends.Add(100 * 365 * 24 * time.Hour)} {
			if _, err := f.tokens.Verify(raw, at); err == nil || err.Error() != errExpired().Error() {
				t.Errorf("at %v: %v", at, err)
			}
		}
		for _, exp := range []any{nil, 0, -1, f.now.Unix(), f.now.Unix() - 1, "never", true, []int64{f.now.Unix() + 600}} {
			f.refused(fmt.Sprint("exp ", exp), f.signed(f.claims(map[string]any{"exp": exp})))
		}
		f.refused("exp beyond numbers", f.signed(strings.Replace(f.claims(nil), fmt.Sprint(f.now.Unix()+600), "1e999", 1)))
	})
}

func TestNotYetValid(t *testing.T) {
	eachAlg(t, func(t *testing.T, f *forge) {
		now := f.now.Unix()
		f.refused("nbf", f.signed(f.claims(map[string]any{"nbf": now + 120})))
		f.refused("iat", f.signed(f.claims(map[string]any{"iat": now + 120})))
		f.refused("iat after exp", f.signed(f.claims(map[string]any{"iat": now + 30, "exp": now + 20})))
		for _, iat := range []any{nil, "now", true} {
			f.refused(fmt.Sprint("iat ", iat), f.signed(f.claims(map[string]any{"iat": iat})))
		}
		if _, err := f.tokens.Verify(f.signed(f.claims(map[string]any{"iat": now + 30})), f.now); err != nil {
			t.Errorf("of a node whose clock is ahead: %v", err)
		}
	})
}

func TestWrongSubject(t *testing.T) {
	eachAlg(t, func(t *testing.T, f *forge) {
		for _, sub := range []any{nil, "", "u_", "admin", "u_" + strings.Repeat("A", 26), "u_" + strings.Repeat("a", 27), "x_" + strings.Repeat("a", 26), "u_g_" + strings.Repeat("a", 24), 7} {
			f.refused(fmt.Sprint("sub ", sub), f.signed(f.claims(map[string]any{"sub": sub})))
		}
		for _, sid := range []any{nil, "", strings.Repeat("s", 65), 7} {
			f.refused(fmt.Sprint("sid ", sid), f.signed(f.claims(map[string]any{"sid": sid})))
		}
		for _, roles := range []any{"admin", map[string]bool{"admin": true}, []int{1}, make([]string, 9)} {
			f.refused(fmt.Sprint("roles ", roles), f.signed(f.claims(map[string]any{"roles": roles})))
		}
	})
}

func TestOversized(t *testing.T) {
	eachAlg(t, func(t *testing.T, f *forge) {
		f.refused("claims", f.signed(f.claims(map[string]any{"x": strings.Repeat("x", MaxTokenBytes)})))
		f.refused("header", f.signedAs(f.json(map[string]any{"alg": f.key.alg, "kid": f.key.kid, "typ": tokenType, "x": strings.Repeat("x", MaxTokenBytes)}), f.claims(nil)))
		f.refused("much", strings.Repeat("a", 64<<20))
		f.refused("dots", strings.Repeat(".", MaxTokenBytes))
		if _, err := f.tokens.Issue(Claims{Identity: NewUserID(), Session: "s", Roles: []Role{Role(strings.Repeat("r", MaxTokenBytes))}}, f.now); err == nil {
			t.Error("Issue makes what Verify refuses")
		}
	})
}

func TestDuplicatedHeaderFields(t *testing.T) {
	eachAlg(t, func(t *testing.T, f *forge) {
		in := strings.TrimSuffix(strings.TrimPrefix(f.header(), "{"), "}")
		for _, more := range []string{`"alg":"none"`, `"kid":"x"`, `"typ":"at+jwt"`, `"ALG":"none"`, `"Kid":"x"`, `"alg":"HS256"`} {
			f.refused("after: "+more, f.signedAs("{"+in+","+more+"}", f.claims(nil)))
			f.refused("before: "+more, f.signedAs("{"+more+","+in+"}", f.claims(nil)))
		}
	})
}

// TestCrit: an extension that must be understood is not (RFC 7515, 4.1.11).
func TestCrit(t *testing.T) {
	eachAlg(t, func(t *testing.T, f *forge) {
		for _, crit := range []any{[]string{"b64"}, []string{"exp"}, []string{}, []string{"x"}, "exp", nil} {
			f.refused(fmt.Sprint(crit), f.signedAs(f.json(map[string]any{"alg": f.key.alg, "kid": f.key.kid, "typ": tokenType, "crit": crit, "b64": false, "x": 1}), f.claims(nil)))
		}
	})
}

// TestEmbeddedKey: a token that brings the key that it is to be verified with,
// or says where to fetch it.
func TestEmbeddedKey(t *testing.T) {
	eachAlg(t, func(t *testing.T, f *forge) {
		private, err := newPrivate(f.key.alg)
		if err != nil {
			t.Fatal(err)
		}
		own := signingKey{kid: f.key.kid, alg: f.key.alg, private: private}
		for field, value := range map[string]any{
			"jwk": own.jwk(), "jku": "https://evil.example/jwks.json", "x5u": "https://evil.example/cert.pem", "x5c": []string{"MIIB"}, "x5t": "AAAA",
		} {
			header := f.json(map[string]any{"alg": f.key.alg, "kid": f.key.kid, "typ": tokenType, field: value})
			text := b64(header) + "." + b64(f.claims(nil))
			f.refused(field+" signed by it", text+"."+b64(string(f.sign(private, text))))
			f.refused(field+" signed by us", f.signedAs(header, f.claims(nil)))
		}
	})
}

// TestOneSpelling: whoever changes a character has no token any more.
func TestOneSpelling(t *testing.T) {
	eachAlg(t, func(t *testing.T, f *forge) {
		good := f.signed(f.claims(nil))
		for i := range good {
			for _, c := range []byte("A_.= \n") {
				if changed := good[:i] + string(c) + good[i+1:]; changed != good {
					f.refused(fmt.Sprintf("%q at %d", c, i), changed)
				}
			}
		}
		parts := strings.Split(good, ".")
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		for _, c := range alphabet { // the last character has bits to spare
			if changed := good[:len(good)-1] + string(c); changed != good {
				f.refused("at the end: "+string(c), changed)
			}
		}
		for _, raw := range []string{
			good + ".", "." + good, good + "=", good + "\n", good + "\r", good[:len(good)-9] + "\n" + good[len(good)-9:], " " + good, "Bearer " + good, good + good, strings.Join(parts, ".."), parts[0] + "." + parts[1] + ".." + parts[2],
			parts[1] + "." + parts[0] + "." + parts[2], strings.ToLower(good), "", ".", "..", "...", parts[0], parts[0] + "..", parts[0] + "." + parts[1] + "." + parts[2] + "." + parts[2],
		} {
			f.refused(raw, raw)
		}
		f.refused("spaces in the header", f.signedAs(" "+f.header(), f.claims(nil)))
		f.refused("claims are no object", f.signed(`["x"]`))
		f.refused("claims are null", f.signed("null"))
		f.refused("two claims", f.signed(f.claims(nil)+f.claims(nil)))
	})
}

// TestHeaderAsPromised: others who read JWTs and JWKS rely on these.
func TestHeaderAsPromised(t *testing.T) {
	eachAlg(t, func(t *testing.T, f *forge) {
		raw, err := f.tokens.Issue(Claims{Identity: NewUserID(), Session: "s1", Roles: []Role{RoleUser}}, f.now)
		if err != nil {
			t.Fatal(err)
		}
		header, claims, _ := strings.Cut(raw, ".")
		if want := b64(f.header()); header != want {
			t.Errorf("header %s, want %s", header, want)
		}
		claims, _, _ = strings.Cut(claims, ".")
		text, err := base64.RawURLEncoding.DecodeString(claims)
		if err != nil {
			t.Fatal(err)
		}
		var p map[string]any
		if err := json.Unmarshal(text, &p); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"iss", "aud", "sub", "sid", "roles", "iat", "exp", "jti"} {
			if p[name] == nil {
				t.Errorf("%s is missing: %s", name, text)
			}
		}
		if len(p) != 8 || len(p["jti"].(string)) != 26 {
			t.Errorf("claims %s", text)
		}
	})
}

func FuzzTokensVerify(f *testing.F) {
	store, now := &MemoryKeys{}, time.Now()
	tokens := newTokens(f, store, AlgEdDSA)
	for range 3 {
		raw, err := tokens.Issue(Claims{Identity: NewUserID(), Session: "s1", Roles: []Role{RoleUser}}, now)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	own, err := tokens.Issue(Claims{Identity: NewUserID(), Session: "own"}, now)
	if err != nil {
		f.Fatal(err)
	}
	forged := newForge(f, AlgEdDSA)
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add(strings.Repeat(".", 100))
	header, _, _ := strings.Cut(own, ".")
	f.Fuzz(func(t *testing.T, raw string) {
		for _, s := range []string{raw, header + "." + raw} {
			if _, err := tokens.Verify(s, now); err == nil {
				// Seeds verify; nothing that the fuzzer writes can, as it has no key.
				if _, again := tokens.Verify(s, now.Add(time.Hour)); again == nil {
					t.Errorf("%q verifies for ever", s)
				}
			} else if protocol.CodeOf(err) != protocol.CodeUnauthorized {
				t.Errorf("%q: %v", s, err)
			}
		}
		// Any claims under a right signature: no panic, and nothing without its parts.
		claims, err := forged.tokens.Verify(forged.signed(raw), forged.now)
		if err == nil && (!IsUserID(claims.Identity) || claims.Session == "" || !claims.Expires.After(forged.now)) {
			t.Errorf("%q gives %+v", raw, claims)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, alg := range []string{AlgEdDSA, AlgRS256} {
		tokens, now := newTokens(b, &MemoryKeys{}, alg), time.Now()
		raw, err := tokens.Issue(Claims{Identity: NewUserID(), Session: Random(16), Roles: []Role{RoleUser}}, now)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tokens.Verify(raw, now); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(alg+"/unknown", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tokens.Verify(raw[1:], now); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
}

// BenchmarkVerifyRatio takes turns with the bare signature check of the same
// token, so that what else the machine does counts for both; medians of all turns.
func BenchmarkVerifyRatio(b *testing.B) {
	for _, alg := range []string{AlgEdDSA, AlgRS256} {
		b.Run(alg, func(b *testing.B) {
			tokens, now := newTokens(b, &MemoryKeys{}, alg), time.Now()
			raw := issue(b, tokens)
			bare := bareVerify(b, tokens.cfg.Keyring.keys.Load().keys[0], raw)
			var whole, floor []float64
			for b.Loop() {
				began := time.Now()
				if !bare() {
					b.Fatal("refused")
				}
				middle := time.Now()
				if _, err := tokens.Verify(raw, now); err != nil {
					b.Fatal(err)
				}
				floor, whole = append(floor, float64(middle.Sub(began))), append(whole, float64(time.Since(middle)))
			}
			slices.Sort(floor)
			slices.Sort(whole)
			mid := len(floor) / 2
			b.ReportMetric(floor[mid], "bare-ns")
			b.ReportMetric(whole[mid], "verify-ns")
			b.ReportMetric(whole[mid]/floor[mid], "verify/bare")
		})
	}
}

// bareVerify returns the least that verifying the token can be.
func bareVerify(b *testing.B, key *signingKey, raw string) func() bool {
	at := strings.LastIndexByte(raw, '.')
	text := []byte(raw[:at])
	sig, err := base64.RawURLEncoding.DecodeString(raw[at+1:])
	if err != nil {
		b.Fatal(err)
	}
	if public, ok := key.private.Public().(*rsa.PublicKey); ok {
		return func() bool {
			sum := sha256.Sum256(text)
			return rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], sig) == nil
		}
	}
	public := key.private.Public().(ed25519.PublicKey)
	return func() bool { return ed25519.Verify(public, text, sig) }
}

func BenchmarkIssue(b *testing.B) {
	for _, alg := range []string{AlgEdDSA, AlgRS256} {
		tokens, now := newTokens(b, &MemoryKeys{}, alg), time.Now()
		b.Run(alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tokens.Issue(Claims{Identity: "u_aaaaaaaaaaaaaaaaaaaaaaaaaa", Session: "s"}, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAllowed(b *testing.B) {
	who := Principal{Identity: "u_x", Session: "s", Roles: []Role{RoleUser}}
	b.ReportAllocs()
	for b.Loop() {
		if err := Allowed(who, ActionTalk, Resource{Room: RoomMember}); err != nil {
			b.Fatal(err)
		}
	}
}
