package auth

import (
	"testing"
	"time"
)

var testSecret = []byte("0123456789abcdef0123456789abcdef")

// newTokens makes Tokens over a store, with a Keyring that was started.
func newTokens(t testing.TB, store KeyStore, alg string) *Tokens {
	t.Helper()
	return tokensWith(t, KeyringConfig{Store: store, Alg: alg})
}

func tokensWith(t testing.TB, cfg KeyringConfig) *Tokens {
	t.Helper()
	ring := newKeyring(t, cfg)
	if err := ring.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ring.Close)
	tokens, err := NewTokens(TokensConfig{Keyring: ring, Issuer: "https://rondo.example"})
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func newKeyring(t testing.TB, cfg KeyringConfig) *Keyring {
	t.Helper()
	signer, err := NewSigner(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Wrap == nil {
		cfg.Wrap = signer.Key("jwt keys")
	}
	ring, err := NewKeyring(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func TestTokens(t *testing.T) {
	for _, alg := range []string{AlgEdDSA, AlgRS256} {
		t.Run(alg, func(t *testing.T) {
			tokens, now := newTokens(t, &MemoryKeys{}, alg), time.Now()
			want := Claims{Identity: NewUserID(), Session: "s1", Roles: []Role{RoleUser, RoleAdmin}}
			raw, err := tokens.Issue(want, now)
			if err != nil {
				t.Fatal(err)
			}
			got, err := tokens.Verify(raw, now)
			if err != nil {
				t.Fatal(err)
			}
			if got.Identity != want.Identity || got.Session != "s1" || len(got.Roles) != 2 || got.Roles[1] != RoleAdmin {
				t.Errorf("got %+v", got)
			}
			if got.Issued.After(now) || got.Expires.Sub(got.Issued) != DefaultAccessTTL {
				t.Errorf("times %v %v", got.Issued, got.Expires)
			}
		})
	}
}
