package auth

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

func issue(t testing.TB, tokens *Tokens) string {
	t.Helper()
	raw, err := tokens.Issue(Claims{Identity: NewUserID(), Session: "s1", Roles: []Role{RoleUser}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func mustVerify(t testing.TB, tokens *Tokens, raw, msg string) {
	t.Helper()
	if _, err := tokens.Verify(raw, time.Now()); err != nil {
		t.Errorf("%s: %v", msg, err)
	}
}

func mustRefuse(t testing.TB, tokens *Tokens, raw, msg string) {
	t.Helper()
	if _, err := tokens.Verify(raw, time.Now()); protocol.CodeOf(err) != protocol.CodeUnauthorized {
		t.Errorf("%s: %v", msg, err)
	}
}

func kidOf(t testing.TB, raw string) string {
	t.Helper()
	header, _, _ := strings.Cut(raw, ".")
	b, err := base64.RawURLEncoding.DecodeString(header)
	var h struct{ Kid string }
	if err = errors.Join(err, json.Unmarshal(b, &h)); err != nil {
		t.Fatal(err)
	}
	return h.Kid
}

// kidsIn returns the kids of a JWKS.
func kidsIn(t testing.TB, jwks []byte) string {
	t.Helper()
	var set struct{ Keys []jwk }
	if err := json.Unmarshal(jwks, &set); err != nil {
		t.Fatal(err)
	}
	kids := make([]string, 0, len(set.Keys))
	for _, k := range set.Keys {
		kids = append(kids, k.Kid)
	}
	return strings.Join(kids, " ")
}

// TestRotatedKeys lives through a hundred days of two nodes: at each moment both verify
// what either issues, tokens verify until they expire, and the store keeps few
// keys.
func TestRotatedKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &MemoryKeys{}
		cfg := KeyringConfig{Store: store, Poll: time.Hour} // half a million polls would take long
		a, b := tokensWith(t, cfg), tokensWith(t, cfg)
		seen := map[string]bool{}
		var last string
		for range 100 * 24 {
			if last != "" {
				mustRefuse(t, a, last, "an hour old")
			}
			raw := issue(t, a)
			kid := kidOf(t, raw)
			seen[kid] = true
			if !strings.Contains(kidsIn(t, b.cfg.Keyring.JWKS()), kid) {
				t.Fatalf("%s signs and is not in JWKS", kid)
			}
			testenv.Elapse(DefaultAccessTTL - time.Second)
			mustVerify(t, b, raw, "nearly ten minutes old")
			mustVerify(t, b, issue(t, a), "new")
			testenv.Elapse(time.Hour - DefaultAccessTTL + time.Second)
			last = raw
		}
		if n := len(seen); n != 4 {
			t.Errorf("%d keys in a hundred days", n)
		}
		if keys, _ := store.Keys(t.Context()); len(keys) > 3 {
			t.Errorf("the store keeps %d keys", len(keys))
		}
	})
}

// TestRotateByHand: the new key signs once all nodes know it; tokens of the old
// one verify until they expire; a day later the old one is gone.
func TestRotateByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &MemoryKeys{}
		a, b := newTokens(t, store, AlgEdDSA), newTokens(t, store, AlgEdDSA)
		old := issue(t, a)
		if err := newKeyring(t, KeyringConfig{Store: store}).Rotate(t.Context()); err != nil { // as a command does
			t.Fatal(err)
		}
		testenv.Elapse(DefaultKeyPoll)
		if kids := strings.Fields(kidsIn(t, a.cfg.Keyring.JWKS())); len(kids) != 2 {
			t.Fatalf("JWKS has %v: the next key is missing", kids)
		}
		if kidOf(t, issue(t, a)) != kidOf(t, old) {
			t.Error("the new key signs before others know it")
		}
		testenv.Elapse(2*DefaultKeyPoll + time.Second)
		raw := issue(t, a)
		if kidOf(t, raw) == kidOf(t, old) {
			t.Error("the old key still signs")
		}
		mustVerify(t, b, raw, "the new key at another node")
		mustVerify(t, b, old, "the old key's token")
		testenv.Elapse(DefaultAccessTTL - 3*DefaultKeyPoll - 3*time.Second)
		mustVerify(t, b, old, "the old key's token before it expires")
		testenv.Elapse(DefaultKeyKeep + time.Minute)
		if kids := kidsIn(t, b.cfg.Keyring.JWKS()); strings.Contains(kids, kidOf(t, old)) {
			t.Errorf("JWKS %s keeps a key that ended", kids)
		}
		testenv.Elapse(25 * time.Hour)
		if keys, _ := store.Keys(t.Context()); len(keys) != 1 {
			t.Errorf("the store keeps %d keys", len(keys))
		}
	})
}

// TestRetiredKey: a key that leaked.
func TestRetiredKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &MemoryKeys{}
		a, b := newTokens(t, store, AlgEdDSA), newTokens(t, store, AlgEdDSA)
		old := issue(t, a)
		mustVerify(t, b, old, "before")
		if err := a.cfg.Keyring.Retire(t.Context(), kidOf(t, old)); err != nil {
			t.Fatal(err)
		}
		mustRefuse(t, a, old, "retired, at this node")
		raw := issue(t, a)
		if kidOf(t, raw) == kidOf(t, old) {
			t.Fatal("a retired key signs")
		}
		testenv.Elapse(DefaultKeyPoll/10 + time.Millisecond)
		mustRefuse(t, b, raw, "a kid that is not known yet")
		synctest.Wait()
		mustVerify(t, b, raw, "after the look at the store that it asked for")
		mustRefuse(t, b, old, "retired, at another node")
		if kids := kidsIn(t, b.cfg.Keyring.JWKS()); strings.Contains(kids, kidOf(t, old)) {
			t.Error("a retired key is in JWKS")
		}
		if err := a.cfg.Keyring.Retire(t.Context(), "unknown"); err != nil {
			t.Errorf("a kid that is not there: %v", err)
		}
	})
}

// TestRetiredNextKey: it never signs, and the one before goes on.
func TestRetiredNextKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &MemoryKeys{}
		tokens := newTokens(t, store, AlgEdDSA)
		ring, kid := tokens.cfg.Keyring, kidOf(t, issue(t, tokens))
		if err := ring.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := ring.Retire(t.Context(), ring.keys.Load().keys[0].kid); err != nil {
			t.Fatal(err)
		}
		testenv.Elapse(DefaultKeyKeep * 2)
		if now := kidOf(t, issue(t, tokens)); now != kid {
			t.Errorf("%s signs, want %s", now, kid)
		}
	})
}

// TestManyNodesStart: of twenty nodes one makes the first key.
func TestManyNodesStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &MemoryKeys{}
		done := make(chan *Tokens)
		for range 20 {
			go func() { done <- newTokens(t, store, AlgEdDSA) }()
		}
		var nodes []*Tokens
		for range 20 {
			nodes = append(nodes, <-done)
		}
		raw := issue(t, nodes[0])
		for _, n := range nodes {
			mustVerify(t, n, raw, "a node")
		}
		if keys, _ := store.Keys(t.Context()); len(keys) != 1 {
			t.Errorf("%d first keys", len(keys))
		}
	})
}

// TestEndedKey: what is signed with a key after it ended, by whoever has it, is
// refused also by a node that cannot read the store.
func TestEndedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &counted{}
		tokens := newTokens(t, store, AlgEdDSA)
		first := tokens.cfg.Keyring.keys.Load().keys[0]
		if err := tokens.cfg.Keyring.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		store.fails.Store(true)
		testenv.Elapse(2*DefaultKeyPoll + DefaultKeyKeep - time.Second)
		f := &forge{t: t, tokens: tokens, key: first, now: time.Now()}
		mustVerify(t, tokens, f.signed(f.claims(nil)), "before it ends")
		testenv.Elapse(time.Second)
		f.now = time.Now()
		f.refused("after it ended", f.signed(f.claims(nil)))
	})
}

// counted counts the reads of a KeyStore, which may fail.
type counted struct {
	MemoryKeys
	reads atomic.Int64
	fails atomic.Bool
}

func (c *counted) Keys(ctx context.Context) ([]StoredKey, error) {
	c.reads.Add(1)
	if c.fails.Load() {
		return nil, errors.New("the store is away")
	}
	return c.MemoryKeys.Keys(ctx)
}

// TestUnknownKidCostsLittle: tokens with invented kids are no way to make a node
// ask its database.
func TestUnknownKidCostsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &counted{}
		tokens := newTokens(t, store, AlgEdDSA)
		before := store.reads.Load()
		for range 60 * 100 {
			mustRefuse(t, tokens, "x.y.z", "nonsense")
			testenv.Elapse(10 * time.Millisecond)
		}
		if n := store.reads.Load() - before; n < 2 || n > 22 {
			t.Errorf("%d reads in a minute", n)
		}
	})
}

func TestStoreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &counted{}
		store.fails.Store(true)
		ring := newKeyring(t, KeyringConfig{Store: store})
		tokens, err := NewTokens(TokensConfig{Keyring: ring, Issuer: "https://rondo.example"})
		if err != nil {
			t.Fatal(err)
		}
		if err := ring.Start(t.Context()); err == nil {
			t.Fatal("started without a store")
		}
		if _, err := tokens.Issue(Claims{Identity: NewUserID(), Session: "s"}, time.Now()); protocol.CodeOf(err) != protocol.CodeUnavailable {
			t.Errorf("without a key: %v", err)
		}
		ring.Close()
		store.fails.Store(false)
		tokens = tokensWith(t, KeyringConfig{Store: store, Poll: time.Hour})
		store.fails.Store(true)
		testenv.Elapse(40 * 24 * time.Hour)
		mustVerify(t, tokens, issue(t, tokens), "forty days without the store")
	})
}

// TestSecretsAtRest: what the store holds does not open without the secret, and
// nothing that somebody writes there signs or verifies.
func TestSecretsAtRest(t *testing.T) {
	for _, alg := range []string{AlgEdDSA, AlgRS256} {
		t.Run(alg, func(t *testing.T) {
			store := &MemoryKeys{}
			tokens := newTokens(t, store, alg)
			private := tokens.cfg.Keyring.keys.Load().keys[0].private
			var secret []byte
			switch p := private.(type) {
			case ed25519.PrivateKey:
				secret = p.Seed()
			case *rsa.PrivateKey:
				secret = p.Primes[0].Bytes()
			}
			row := store.keys[0]
			if bytes.Contains(row.Sealed, secret[:16]) || bytes.Contains(tokens.cfg.Keyring.JWKS(), []byte(base64.RawURLEncoding.EncodeToString(secret))) {
				t.Error("a private key is readable")
			}
			if len(row.Sealed) > 4<<10 {
				t.Errorf("%d bytes sealed", len(row.Sealed))
			}
			wrap := tokens.cfg.Keyring.wrap
			for name, change := range map[string]func(*StoredKey){
				"kid": func(k *StoredKey) { k.Kid = Random(16) }, "alg": func(k *StoredKey) { k.Alg = "HS256" }, "generation": func(k *StoredKey) { k.Generation++ },
				"begins": func(k *StoredKey) { k.Begins = k.Begins.Add(time.Second) }, "sealed": func(k *StoredKey) { k.Sealed = bytes.Clone(k.Sealed); k.Sealed[20] ^= 1 },
				"short": func(k *StoredKey) { k.Sealed = k.Sealed[:5] }, "empty": func(k *StoredKey) { k.Sealed = nil },
			} {
				changed := row
				change(&changed)
				if _, err := changed.open(wrap); err == nil {
					t.Errorf("%s changed: opens", name)
				}
			}
			if _, err := row.open(wrap); err != nil {
				t.Errorf("as stored: %v", err)
			}
		})
	}
}

// TestStrangersKeyInTheStore: who can write the store, but has not the secret,
// can add rows that nobody uses.
func TestStrangersKeyInTheStore(t *testing.T) {
	store := &MemoryKeys{}
	strange := newKeyring(t, KeyringConfig{Store: store, Wrap: bytes.Repeat([]byte("x"), 32)})
	if err := strange.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer strange.Close()
	theirs, err := NewTokens(TokensConfig{Keyring: strange, Issuer: "https://rondo.example"})
	if err != nil {
		t.Fatal(err)
	}
	ours := newTokens(t, store, AlgEdDSA)
	mustRefuse(t, ours, issue(t, theirs), "a stranger's token")
	mustVerify(t, ours, issue(t, ours), "our own")
	if kids := strings.Fields(kidsIn(t, ours.cfg.Keyring.JWKS())); len(kids) != 1 {
		t.Errorf("JWKS has %v", kids)
	}
}

// TestRotateWithAnotherSecret: a command that has not the nodes' secret would make a key that none of them can use.
func TestRotateWithAnotherSecret(t *testing.T) {
	store := &MemoryKeys{}
	if err := newKeyring(t, KeyringConfig{Store: store}).Rotate(t.Context()); err != nil { // before the first start
		t.Fatal(err)
	}
	err := newKeyring(t, KeyringConfig{Store: store, Wrap: bytes.Repeat([]byte("x"), 32)}).Rotate(t.Context())
	if keys, _ := store.Keys(t.Context()); err == nil || len(keys) != 1 {
		t.Errorf("%v, %d keys", err, len(keys))
	}
}

// TestAlgChanges: after a change of Alg, the next key has it; both verify.
func TestAlgChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &MemoryKeys{}
		old := issue(t, newTokens(t, store, AlgEdDSA))
		tokens := newTokens(t, store, AlgRS256)
		mustVerify(t, tokens, old, "EdDSA")
		if err := tokens.cfg.Keyring.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		testenv.Elapse(2 * DefaultKeyPoll)
		raw := issue(t, tokens)
		if kidOf(t, raw) == kidOf(t, old) || len(raw) < len(old)+200 {
			t.Error("the new key is no RSA key")
		}
		mustVerify(t, tokens, raw, "RS256")
		mustVerify(t, tokens, old, "EdDSA, rotated")
	})
}

// TestJWKS verifies tokens as somebody else would: with JWKS alone.
func TestJWKS(t *testing.T) {
	for _, alg := range []string{AlgEdDSA, AlgRS256} {
		t.Run(alg, func(t *testing.T) {
			tokens := newTokens(t, &MemoryKeys{}, alg)
			raw := issue(t, tokens)
			var set struct{ Keys []map[string]string }
			if err := json.Unmarshal(tokens.cfg.Keyring.JWKS(), &set); err != nil {
				t.Fatal(err)
			}
			key := set.Keys[0]
			for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "k"} {
				if _, ok := key[private]; ok {
					t.Errorf("JWKS has %q", private)
				}
			}
			if key["kid"] != kidOf(t, raw) || key["use"] != "sig" || key["alg"] != alg {
				t.Errorf("key %v", key)
			}
			dec := func(s string) []byte {
				b, err := base64.RawURLEncoding.DecodeString(s)
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			at := strings.LastIndexByte(raw, '.')
			text, sig := []byte(raw[:at]), dec(raw[at+1:])
			if alg == AlgEdDSA {
				if key["kty"] != "OKP" || key["crv"] != "Ed25519" || !ed25519.Verify(dec(key["x"]), text, sig) {
					t.Errorf("does not verify with %v", key)
				}
				return
			}
			public := &rsa.PublicKey{N: new(big.Int).SetBytes(dec(key["n"])), E: int(new(big.Int).SetBytes(dec(key["e"])).Int64())}
			sum := sha256.Sum256(text)
			if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], sig); err != nil || key["kty"] != "RSA" {
				t.Errorf("does not verify with %v: %v", key, err)
			}
		})
	}
}

func TestKeyringConfig(t *testing.T) {
	good := KeyringConfig{Store: &MemoryKeys{}, Wrap: make([]byte, 32)}
	for name, change := range map[string]func(*KeyringConfig){
		"no store": func(c *KeyringConfig) { c.Store = nil }, "no wrap": func(c *KeyringConfig) { c.Wrap = nil }, "short wrap": func(c *KeyringConfig) { c.Wrap = c.Wrap[:16] },
		"HS256": func(c *KeyringConfig) { c.Alg = "HS256" }, "none": func(c *KeyringConfig) { c.Alg = "none" }, "short rotate": func(c *KeyringConfig) { c.Rotate = time.Second },
		"negative": func(c *KeyringConfig) { c.Keep = -1 },
	} {
		cfg := good
		change(&cfg)
		if _, err := NewKeyring(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	ring := newKeyring(t, good)
	for name, cfg := range map[string]TokensConfig{
		"no ring": {Issuer: "x"}, "no issuer": {Keyring: ring}, "long": {Keyring: ring, Issuer: "x", TTL: 2 * time.Hour}, "short": {Keyring: ring, Issuer: "x", TTL: 1},
	} {
		if _, err := NewTokens(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
