// Package keystoretest holds what every auth.KeyStore must do, as a test suite
// that a driver's tests run.
package keystoretest

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/auth"
)

// Run runs the suite. open returns an empty store; stores of one test may share
// a server, but no keys.
func Run(t *testing.T, open func(testing.TB) auth.KeyStore) {
	t.Run("round trip", func(t *testing.T) { roundTrip(t, open(t)) })
	t.Run("one key for a generation", func(t *testing.T) { oneForEach(t, open(t)) })
	t.Run("retire", func(t *testing.T) { retire(t, open(t)) })
	t.Run("remove", func(t *testing.T) { remove(t, open(t)) })
	t.Run("keyrings", func(t *testing.T) { keyrings(t, open(t)) })
}

func key(generation int64) auth.StoredKey {
	at := time.UnixMicro(1_763_697_600_123_456).UTC().Add(time.Duration(generation) * time.Hour)
	return auth.StoredKey{
		Generation: generation, Kid: auth.Random(16), Alg: auth.AlgEdDSA, Created: at, Begins: at.Add(time.Minute + time.Microsecond),
		Sealed: bytes.Repeat([]byte{0, 0xff, '\'', byte(generation)}, 500),
	}
}

func add(t testing.TB, s auth.KeyStore, k auth.StoredKey) {
	t.Helper()
	if err := s.Add(t.Context(), k); err != nil {
		t.Fatal(err)
	}
}

func keys(t testing.TB, s auth.KeyStore) []auth.StoredKey {
	t.Helper()
	all, err := s.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func same(a, b auth.StoredKey) bool {
	return a.Generation == b.Generation && a.Kid == b.Kid && a.Alg == b.Alg && a.Created.Equal(b.Created) && a.Begins.Equal(b.Begins) &&
		bytes.Equal(a.Sealed, b.Sealed) && a.Retired.Equal(b.Retired) && a.Retired.IsZero() == b.Retired.IsZero()
}

func roundTrip(t *testing.T, s auth.KeyStore) {
	if all := keys(t, s); len(all) != 0 {
		t.Fatalf("%d keys in an empty store", len(all))
	}
	want := []auth.StoredKey{key(1), key(2), key(3), key(10)}
	for _, i := range []int{2, 0, 3, 1} {
		add(t, s, want[i])
	}
	got := keys(t, s)
	if len(got) != len(want) {
		t.Fatalf("%d keys, want %d", len(got), len(want))
	}
	for i, k := range got {
		if !same(k, want[i]) {
			t.Errorf("key %d: %+v, want %+v", i, k, want[i])
		}
	}
}

// oneForEach adds many keys of one generation at once: all succeed, one is there.
func oneForEach(t *testing.T, s auth.KeyStore) {
	var wg sync.WaitGroup
	tried := make([]auth.StoredKey, 8)
	for i := range tried {
		tried[i] = key(7)
		wg.Go(func() {
			if err := s.Add(t.Context(), tried[i]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	first := keys(t, s)
	if len(first) != 1 {
		t.Fatalf("%d keys of one generation", len(first))
	}
	add(t, s, key(7))
	if again := keys(t, s); len(again) != 1 || !same(again[0], first[0]) {
		t.Errorf("a later key took the place: %+v", again)
	}
}

func retire(t *testing.T, s auth.KeyStore) {
	a, b := key(1), key(2)
	add(t, s, a)
	add(t, s, b)
	at := a.Begins.Add(time.Hour)
	for _, step := range []struct {
		kid      string
		at, want time.Time
	}{
		{"unknown", at, time.Time{}}, {strings.ToUpper(a.Kid), at, time.Time{}}, {"' OR 1=1 --", at, time.Time{}},
		{a.Kid, at, at}, {a.Kid, at.Add(time.Hour), at}, {a.Kid, at.Add(-time.Second), at.Add(-time.Second)},
	} {
		if err := s.Retire(t.Context(), step.kid, step.at); err != nil {
			t.Fatalf("%s: %v", step.kid, err)
		}
		a.Retired = step.want
		if all := keys(t, s); len(all) != 2 || !same(all[0], a) || !same(all[1], b) {
			t.Fatalf("after retiring %q at %v: %+v", step.kid, step.at, all)
		}
	}
}

func remove(t *testing.T, s auth.KeyStore) {
	a, b := key(1), key(2)
	add(t, s, a)
	add(t, s, b)
	for _, kid := range []string{"unknown", a.Kid, a.Kid} {
		if err := s.Remove(t.Context(), kid); err != nil {
			t.Fatal(err)
		}
	}
	if all := keys(t, s); len(all) != 1 || !same(all[0], b) {
		t.Errorf("left: %+v", all)
	}
}

// keyrings lets nodes start at once over the store: each verifies what the others
// issue, and a retired key is refused.
func keyrings(t *testing.T, s auth.KeyStore) {
	nodes := make([]*auth.Tokens, 4)
	rings := make([]*auth.Keyring, len(nodes))
	var wg sync.WaitGroup
	for i := range nodes {
		var err error
		if rings[i], err = auth.NewKeyring(auth.KeyringConfig{Store: s, Wrap: bytes.Repeat([]byte("w"), 32)}); err != nil {
			t.Fatal(err)
		}
		if nodes[i], err = auth.NewTokens(auth.TokensConfig{Keyring: rings[i], Issuer: "https://rondo.example"}); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if err := rings[i].Start(t.Context()); err != nil {
				t.Error(err)
			}
		})
		defer rings[i].Close()
	}
	wg.Wait()
	raw, err := nodes[0].Issue(auth.Claims{Identity: auth.NewUserID(), Session: "s"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range nodes {
		if _, err := n.Verify(raw, time.Now()); err != nil {
			t.Errorf("node %d: %v", i, err)
		}
	}
	all := keys(t, s)
	if len(all) != 1 {
		t.Fatalf("%d first keys", len(all))
	}
	if err := rings[1].Retire(t.Context(), all[0].Kid); err != nil {
		t.Fatal(err)
	}
	if _, err := nodes[1].Verify(raw, time.Now()); err == nil {
		t.Error("a retired key's token is accepted")
	}
	if all := keys(t, s); len(all) != 2 {
		t.Errorf("%d keys after one was retired", len(all))
	}
}
