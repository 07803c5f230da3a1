package accounts

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/protocol"
)

// NewDeviceID makes a Device.ID: 128 random bits.
func NewDeviceID() string { return auth.Random(16) }

// newIdentity makes the identity of somebody who was no guest before.
func newIdentity() protocol.UserID { return protocol.UserID("u_" + auth.Random(16)) }

// newID makes a UUID of version 7 (RFC 9562, section 5.7): ids sort by time.
func newID(now time.Time) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	for i, ms := 5, now.UnixMilli(); i >= 0; i, ms = i-1, ms>>8 {
		b[i] = byte(ms)
	}
	b[6] = b[6]&0x0f | 0x70
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// newCode draws a code of 8 digits.
func newCode() string {
	n, err := rand.Int(rand.Reader, big.NewInt(100_000_000))
	if err != nil {
		panic(err) // the source of randomness never fails
	}
	return fmt.Sprintf("%08d", n)
}

// mac is how secrets of few bits are stored: who has the database alone cannot try
// them out. Parts are told apart by their lengths.
func (a *Accounts) mac(purpose string, parts ...string) string {
	m := hmac.New(sha256.New, a.cfg.Key)
	fmt.Fprintf(m, "%d:%s", len(purpose), purpose)
	for _, p := range parts {
		fmt.Fprintf(m, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(m.Sum(nil))
}

// same compares two MACs in constant time.
func same(a, b string) bool { return hmac.Equal([]byte(a), []byte(b)) }

// maxDeviceID is the length of the longest Device.ID.
const maxDeviceID = 64

// deviceSecret is how a Device.ID is stored; "" for none.
func (a *Accounts) deviceSecret(d Device) string {
	if d.ID == "" || len(d.ID) > maxDeviceID {
		return ""
	}
	return a.mac("device", d.ID)
}

// refreshToken is a token in the form that the client has. Its first half is what
// all tokens of a session have in common, so that one of them is recognised long after its row is gone.
type refreshToken [32]byte

// next draws the session's next token.
func (t refreshToken) next() refreshToken {
	_, _ = rand.Read(t[16:]) // never fails
	return t
}

func newRefreshToken() refreshToken {
	var t refreshToken
	_, _ = rand.Read(t[:16]) // never fails
	return t.next()
}

func parseRefreshToken(raw string) (t refreshToken, ok bool) {
	if len(raw) != base64.RawURLEncoding.EncodedLen(len(t)) {
		return t, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(raw)
	if err != nil || len(b) != len(t) {
		return t, false
	}
	return refreshToken(b), true
}

func (t refreshToken) String() string { return base64.RawURLEncoding.EncodeToString(t[:]) }

func (t refreshToken) family() string {
	sum := sha256.Sum256(t[:16])
	return hex.EncodeToString(sum[:])
}

func (t refreshToken) hash() string {
	sum := sha256.Sum256(t[:])
	return hex.EncodeToString(sum[:])
}

// seal encrypts a secret that the server must read again, bound to the user.
func (a *Accounts) seal(user string, secret []byte) (string, error) {
	aead, err := a.aead()
	if err != nil {
		return "", err
	}
	return base64.RawStdEncoding.EncodeToString(aead.Seal(nil, nil, secret, []byte(user))), nil
}

// unseal returns what seal was given.
func (a *Accounts) unseal(user, sealed string) ([]byte, error) {
	aead, err := a.aead()
	if err != nil {
		return nil, err
	}
	b, err := base64.RawStdEncoding.DecodeString(sealed)
	if err != nil {
		return nil, fmt.Errorf("accounts: a sealed secret: %w", err)
	}
	secret, err := aead.Open(nil, nil, b, []byte(user))
	if err != nil {
		return nil, fmt.Errorf("accounts: a sealed secret: %w", err)
	}
	return secret, nil
}

func (a *Accounts) aead() (cipher.AEAD, error) {
	m := hmac.New(sha256.New, a.cfg.Key)
	m.Write([]byte("seal"))
	block, err := aes.NewCipher(m.Sum(nil))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
