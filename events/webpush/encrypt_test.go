package webpush_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/events/webpush"
	"github.com/rondo-chat/rondo/protocol"
)

func raw(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func private(t testing.TB, s string) *ecdh.PrivateKey {
	t.Helper()
	k, err := ecdh.P256().NewPrivateKey(raw(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The example of RFC 8291, section 5 and appendix A.
const (
	rfcPlain  = "When I grow up, I want to be a watermelon"
	rfcOwn    = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
	rfcTheirs = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
	rfcPublic = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
	rfcAuth   = "BTBZMqHH6r4Tts7J_aSIgg"
	rfcSalt   = "DGv6ra1nlYgDCS1FRnbzlw"
	rfcBody   = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)

func TestRFC8291(t *testing.T) {
	keys := protocol.PushKeys{P256dh: rfcPublic, Auth: rfcAuth}
	got, err := webpush.Seal([]byte(rfcPlain+"\x02"), keys, private(t, rfcOwn), raw(t, rfcSalt))
	if err != nil || base64.RawURLEncoding.EncodeToString(got) != rfcBody {
		t.Errorf("got %s, %v", base64.RawURLEncoding.EncodeToString(got), err)
	}
	plain, err := decrypt(raw(t, rfcBody), private(t, rfcTheirs), raw(t, rfcAuth))
	if err != nil || string(plain) != rfcPlain {
		t.Errorf("the tests' own receiver reads %q, %v", plain, err)
	}
}

// decrypt is what a browser does, written from the RFCs with HMAC alone.
func decrypt(body []byte, own *ecdh.PrivateKey, secret []byte) ([]byte, error) {
	if len(body) < 86+17 || body[20] != 65 || !bytes.Equal(body[16:20], []byte{0, 0, 16, 0}) || len(body) > 4096 {
		return nil, errors.New("no header of one record")
	}
	salt, theirs, data := body[:16], body[21:86], body[86:]
	point, err := ecdh.P256().NewPublicKey(theirs)
	if err != nil {
		return nil, err
	}
	shared, err := own.ECDH(point)
	if err != nil {
		return nil, err
	}
	mac := func(key []byte, parts ...string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(strings.Join(parts, "")))
		return h.Sum(nil)
	}
	material := mac(mac(secret, string(shared)), "WebPush: info\x00", string(own.PublicKey().Bytes()), string(theirs), "\x01")
	prk := mac(salt, string(material))
	block, err := aes.NewCipher(mac(prk, "Content-Encoding: aes128gcm\x00\x01")[:16])
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	plain, err := gcm.Open(nil, mac(prk, "Content-Encoding: nonce\x00\x01")[:12], data, nil)
	if err != nil {
		return nil, err
	}
	plain = bytes.TrimRight(plain, "\x00")
	if !bytes.HasSuffix(plain, []byte{2}) {
		return nil, errors.New("no delimiter")
	}
	return plain[:len(plain)-1], nil
}

// TestEncrypt: all lengths fit into one record, tell little of themselves, and no two are alike.
func TestEncrypt(t *testing.T) {
	own, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := protocol.PushKeys{P256dh: base64.RawURLEncoding.EncodeToString(own.PublicKey().Bytes()), Auth: rfcAuth}
	seen := map[string]bool{}
	for _, n := range []int{0, 1, 254, 255, 256, 257, 1000, webpush.MaxPlain - 1, webpush.MaxPlain} {
		plain := bytes.Repeat([]byte("x"), n)
		body, err := webpush.Encrypt(plain, keys)
		if err != nil {
			t.Fatal(n, err)
		}
		got, err := decrypt(body, own, raw(t, rfcAuth))
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d: %q, %v", n, got, err)
		}
		if size := len(body) - 86 - 16; size%256 != 0 && len(body) != 4096 {
			t.Errorf("%d: a length of %d", n, size)
		}
		for _, part := range []string{string(body[:16]), string(body[21:86])} { // salt, key
			if seen[part] {
				t.Errorf("%d: seen before", n)
			}
			seen[part] = true
		}
	}
	if _, err := webpush.Encrypt(make([]byte, webpush.MaxPlain+1), keys); err == nil {
		t.Error("too long and encrypted")
	}
	for _, bad := range []protocol.PushKeys{{}, {P256dh: keys.P256dh}, {P256dh: keys.P256dh, Auth: "AAAA"}, {P256dh: "B" + strings.Repeat("A", 86), Auth: rfcAuth}, {P256dh: "!", Auth: rfcAuth}, {P256dh: keys.P256dh, Auth: "!"}} {
		if _, err := webpush.Encrypt(nil, bad); err == nil {
			t.Errorf("encrypted for %+v", bad)
		}
	}
}

// signed checks an Authorization header as a push service does (RFC 8292) and returns the key and the claims.
func signed(header string) (key string, claims map[string]any, err error) {
	rest, ok := strings.CutPrefix(header, "vapid t=")
	token, key, found := strings.Cut(rest, ", k=")
	parts := strings.Split(token, ".")
	if !ok || !found || len(parts) != 3 {
		return "", nil, errors.New("no vapid")
	}
	var all [4][]byte
	for i, s := range append(parts, key) {
		if all[i], err = base64.RawURLEncoding.DecodeString(s); err != nil {
			return "", nil, err
		}
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), all[3])
	if err != nil {
		return "", nil, err
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if len(all[2]) != 64 || !ecdsa.Verify(public, sum[:], new(big.Int).SetBytes(all[2][:32]), new(big.Int).SetBytes(all[2][32:])) {
		return "", nil, errors.New("wrong signature")
	}
	var head map[string]string
	err = errors.Join(json.Unmarshal(all[0], &head), json.Unmarshal(all[1], &claims))
	if head["alg"] != "ES256" || head["typ"] != "JWT" {
		err = errors.Join(err, errors.New("wrong head"))
	}
	return key, claims, err
}

func key(t testing.TB, secret string) *webpush.Key {
	t.Helper()
	k, err := webpush.NewKey([]byte(strings.Repeat(secret, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKey(t *testing.T) {
	a, again, b := key(t, "a"), key(t, "a"), key(t, "b")
	if a.Public() != again.Public() || a.Public() == b.Public() || len(raw(t, a.Public())) != 65 {
		t.Errorf("keys %s, %s, %s", a.Public(), again.Public(), b.Public())
	}
	if _, err := webpush.NewKey(make([]byte, 31)); err == nil {
		t.Error("a short secret")
	}
	now := time.Unix(1_790_000_000, 0)
	endpoint, _ := url.Parse("https://push.example:8443/secret/path?x=y")
	header, err := a.Authorization(endpoint, "mailto:ops@example.org", now)
	if err != nil {
		t.Fatal(err)
	}
	k, claims, err := signed(header)
	if err != nil || k != a.Public() || claims["aud"] != "https://push.example:8443" || claims["sub"] != "mailto:ops@example.org" || claims["exp"] != float64(now.Add(12*time.Hour).Unix()) {
		t.Errorf("%s: %v, %v", header, claims, err)
	}
	if header, err = a.Authorization(endpoint, "", now); err != nil {
		t.Fatal(err)
	}
	if _, claims, err = signed(header); err != nil || len(claims) != 2 {
		t.Errorf("without a contact: %v, %v", claims, err)
	}
	if _, _, err = signed(strings.Replace(header, "vapid t=ey", "vapid t=ez", 1)); err == nil {
		t.Error("the tests' own receiver takes everything")
	}
}
