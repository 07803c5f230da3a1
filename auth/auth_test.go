package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

func signer(t testing.TB, b byte) *Signer {
	t.Helper()
	s, err := NewSigner(bytes.Repeat([]byte{b}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSigner(t *testing.T) {
	s := signer(t, 1)
	for _, payload := range []string{"", "x", "hello", strings.Repeat("p", 2000), "\x00\xff"} {
		token := s.Sign("a", []byte(payload))
		got, err := s.Verify("a", token)
		if err != nil || string(got) != payload {
			t.Errorf("%q came back as %q, %v", payload, got, err)
		}
		if strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Errorf("token %q is not base64url", token)
		}
	}
}

func TestSignerRefuses(t *testing.T) {
	s := signer(t, 1)
	token := s.Sign("a", []byte("hello"))
	refused := func(what, purpose, token string, s *Signer) {
		t.Helper()
		if got, err := s.Verify(purpose, token); protocol.CodeOf(err) != protocol.CodeUnauthorized || got != nil {
			t.Errorf("%s: %q, %v, want unauthorized", what, got, err)
		}
	}
	refused("other purpose", "b", token, s)
	refused("no purpose", "", token, s)
	refused("other key", "a", token, signer(t, 2))
	refused("empty", "a", "", s)
	refused("padding", "a", token+"=", s)
	refused("line break", "a", token[:10]+"\n"+token[10:], s)
	refused("line break at the end", "a", token+"\n", s)
	refused("too long", "a", s.Sign("a", make([]byte, MaxTokenBytes)), s)
	refused("mac alone", "a", base64.RawURLEncoding.EncodeToString(make([]byte, 32)), s)
	for i := range token {
		refused("truncated", "a", token[:i], s)
	}
	raw, _ := base64.RawURLEncoding.DecodeString(token)
	for i := range len(raw) * 8 {
		bad := bytes.Clone(raw)
		bad[i/8] ^= 1 << (i % 8)
		refused("a flipped bit", "a", base64.RawURLEncoding.EncodeToString(bad), s)
	}
	for i := range token { // one spelling only
		for _, c := range "Aaz09-_" {
			if other := token[:i] + string(c) + token[i+1:]; other != token {
				refused("a changed character", "a", other, s)
			}
		}
	}
}

func TestSignerKeys(t *testing.T) {
	s := signer(t, 1)
	a, b := s.Key("a"), s.Key("b")
	if len(a) != 32 || bytes.Equal(a, b) || !bytes.Equal(a, s.Key("a")) || bytes.Equal(a, signer(t, 2).Key("a")) {
		t.Error("keys must be 32 bytes, differ by purpose and secret, and be the same each time")
	}
	a[0]++
	if bytes.Equal(a, s.Key("a")) {
		t.Error("a caller can change a key")
	}
	if f := s.Fingerprint(); len(f) != 16 || f == signer(t, 2).Fingerprint() || f != signer(t, 1).Fingerprint() || strings.Contains(hex.EncodeToString(s.secret), f) {
		t.Errorf("fingerprint %q", f)
	}
	secret := bytes.Repeat([]byte{1}, 32)
	own, _ := NewSigner(secret)
	secret[0] = 9
	if own.Fingerprint() != s.Fingerprint() {
		t.Error("the signer shares its caller's secret")
	}
	if _, err := NewSigner(make([]byte, 31)); err == nil {
		t.Error("a short secret is accepted")
	}
	// Pinned: nodes of different versions must agree.
	if got := hex.EncodeToString(s.Key("pin")[:8]); got != pinnedKey {
		t.Errorf("key of purpose pin begins with %s, want %s", got, pinnedKey)
	}
}

const pinnedKey = "1c97536324729829" // computed apart from this program

func TestGuests(t *testing.T) {
	s := signer(t, 1)
	g, now := NewGuests(s, time.Hour), time.Unix(1763697600, 0)
	id := g.NewID()
	if !isGuestID(string(id)) || id == g.NewID() {
		t.Fatalf("id %q", id)
	}
	token := g.Issue(id, now)
	for _, at := range []time.Duration{-time.Hour, 0, time.Hour - time.Second} {
		if got, err := g.Verify(token, now.Add(at)); err != nil || got != id {
			t.Errorf("after %v: %q, %v", at, got, err)
		}
	}
	refused := func(what, token string, at time.Time) {
		t.Helper()
		if got, err := g.Verify(token, at); protocol.CodeOf(err) != protocol.CodeUnauthorized || got != "" {
			t.Errorf("%s: %q, %v, want unauthorized", what, got, err)
		}
	}
	refused("expired", token, now.Add(time.Hour))
	refused("long expired", token, now.Add(1000*time.Hour))
	refused("other key", NewGuests(signer(t, 2), 0).Issue(id, now), now)
	refused("tampered", "B"+token[1:], now)
	refused("other purpose", s.Sign("resume", []byte("\x01\x00\x00\x00\x00\xff\xff\xff\xff"+id)), now)
	for what, payload := range map[string]string{
		"empty":           "",
		"short":           "\x01\x00\x00\x00",
		"no id":           "\x01\x00\x00\x00\x00\xff\xff\xff\xff",
		"other version":   "\x02\x00\x00\x00\x00\xff\xff\xff\xff" + string(id),
		"strange id":      "\x01\x00\x00\x00\x00\xff\xff\xff\xffg_ABCDEFGHIJKLMNOPQRSTUVWXYZ",
		"user id":         "\x01\x00\x00\x00\x00\xff\xff\xff\xffu_" + string(id[2:]),
		"more after id":   "\x01\x00\x00\x00\x00\xff\xff\xff\xff" + string(id) + "a",
		"negative expiry": "\x01\xff\xff\xff\xff\xff\xff\xff\xff" + string(id),
	} {
		refused(what, s.Sign(guestPurpose, []byte(payload)), now)
	}
	if got, err := NewGuests(s, 0).Verify(NewGuests(s, 0).Issue(id, now), now.Add(29*24*time.Hour)); err != nil || got != id {
		t.Errorf("default ttl: %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	s := signer(f, 1)
	g, now := NewGuests(s, time.Hour), time.Unix(1763697600, 0)
	good := g.Issue("g_abcdefghijklmnopqrstuvwxyz", now)
	for _, seed := range []string{"", "A", good, good[:40], good + "=", s.Sign("b", nil), s.Sign(guestPurpose, []byte("x")), "\n", "ÿ"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		payload, err := s.Verify(guestPurpose, token)
		if err == nil && s.Sign(guestPurpose, payload) != token {
			t.Errorf("%q verifies, but is not how its payload is signed", token)
		}
		if id, err := g.Verify(token, now); err == nil && !isGuestID(string(id)) {
			t.Errorf("%q gives guest %q", token, id)
		}
	})
}

// FuzzGuestPayload signs arbitrary payloads: what a signed but strange token may
// hold.
func FuzzGuestPayload(f *testing.F) {
	s := signer(f, 1)
	g, now := NewGuests(s, time.Hour), time.Unix(1763697600, 0)
	f.Add([]byte{})
	f.Add([]byte("\x01\x00\x00\x00\x00\xff\xff\xff\xffg_abcdefghijklmnopqrstuvwxyz"))
	f.Add([]byte("\x01\xff\xff\xff\xff\xff\xff\xff\xffg_abcdefghijklmnopqrstuvwxyz"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		id, err := g.Verify(s.Sign(guestPurpose, payload), now)
		if err == nil && (!isGuestID(string(id)) || len(payload) != 9+len(id)) {
			t.Errorf("payload %q gives guest %q", payload, id)
		}
	})
}

func TestSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	secret, created, err := LoadOrCreateSecret(path)
	if err != nil || !created || len(secret) != 32 {
		t.Fatalf("%x, %v, %v", secret, created, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v, want mode 0600", info.Mode(), err)
	}
	again, created, err := LoadOrCreateSecret(path)
	if err != nil || created || !bytes.Equal(again, secret) {
		t.Fatalf("the second time: %x, %v, %v", again, created, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".secret-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestSecretModes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	text := hex.EncodeToString(bytes.Repeat([]byte{7}, 32))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, ok := range map[fs.FileMode]bool{
		0o600: true, 0o400: true, 0o700: true,
		0o640: false, 0o604: false, 0o620: false, 0o602: false, 0o644: false, 0o666: false, 0o610: false, 0o777: false,
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		secret, created, err := LoadOrCreateSecret(path)
		if (err == nil) != ok || created || ok != (secret != nil) {
			t.Errorf("mode %#o: %v, %v", mode, created, err)
		}
		if err != nil && strings.Contains(err.Error(), text[:8]) {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	link := path + ".link" // as orchestrators mount secrets
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if secret, _, err := LoadOrCreateSecret(link); err != nil || len(secret) != 32 {
		t.Errorf("a link to a good file: %v", err)
	}
}

func TestSecretContent(t *testing.T) {
	good := strings.Repeat("0a", 32)
	for text, ok := range map[string]bool{
		good: true, good + "\n": true, " " + good + "\r\n": true, good + good: true, strings.ToUpper(good): true,
		"": false, "\n": false, good[:62]: false, good + "0": false, good[:63] + "g": false, good + "\n" + good: false,
		strings.Repeat("0a", 4000): false, // cut, and longer than anything sane
	} {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, created, err := LoadOrCreateSecret(path); (err == nil) != ok || created {
			t.Errorf("%.80q: %v, %v", text, created, err)
		}
		if now, _ := os.ReadFile(path); string(now) != text {
			t.Errorf("%.80q was overwritten", text)
		}
	}
	if _, _, err := LoadOrCreateSecret(t.TempDir()); err == nil {
		t.Error("a directory is accepted")
	}
	if _, _, err := LoadOrCreateSecret(filepath.Join(t.TempDir(), "no", "dir")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

func TestSecretRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	var wg sync.WaitGroup
	secrets, made := make([][]byte, 16), make([]bool, 16)
	for i := range secrets {
		wg.Go(func() {
			var err error
			if secrets[i], made[i], err = LoadOrCreateSecret(path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	makers := 0
	for i := range secrets {
		if !bytes.Equal(secrets[i], secrets[0]) {
			t.Error("two secrets")
		}
		if made[i] {
			makers++
		}
	}
	if makers != 1 {
		t.Errorf("%d made it", makers)
	}
}
