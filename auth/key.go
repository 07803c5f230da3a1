package auth

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// The signature algorithms of access tokens (RFC 8037, RFC 7518).
const (
	AlgEdDSA = "EdDSA"
	AlgRS256 = "RS256"

	rsaBits   = 2048 // a key signs for about a month
	tokenType = "at+jwt"
)

// signingKey is a StoredKey that was opened.
type signingKey struct {
	generation int64
	kid, alg   string
	begins     time.Time // signs from then on
	closes     time.Time // signs no more: a later key begins; zero: not known yet
	ends       time.Time // its tokens are refused; zero: not known yet
	header     string    // the only first part that its tokens may have
	private    crypto.Signer
	method     jwt.SigningMethod
}

func (k *signingKey) ended(now time.Time) bool { return reached(k.ends, now) }

// usable reports whether the key signs now, or will.
func (k *signingKey) usable(now time.Time) bool { return !k.ended(now) && !reached(k.closes, now) }

// succeeded sets what follows from the begin of the first later key.
func (k *signingKey) succeeded(at time.Time, keep time.Duration) {
	k.closes = at
	if end := at.Add(keep); k.ends.IsZero() || end.Before(k.ends) {
		k.ends = end
	}
}

func reached(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

// newStoredKey draws a key and seals it under wrap.
func newStoredKey(wrap cipher.AEAD, alg string, generation int64, now, begins time.Time) (StoredKey, error) {
	private, err := newPrivate(alg)
	if err != nil {
		return StoredKey{}, fmt.Errorf("auth: new key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return StoredKey{}, fmt.Errorf("auth: new key: %w", err)
	}
	k := StoredKey{
		Generation: generation, Kid: Random(16), Alg: alg,
		Created: now.UTC().Truncate(time.Microsecond), Begins: begins.UTC().Truncate(time.Microsecond),
	}
	k.Sealed = wrap.Seal(nil, nil, der, k.bound())
	return k, nil
}

func newPrivate(alg string) (crypto.Signer, error) {
	if alg == AlgRS256 {
		return rsa.GenerateKey(rand.Reader, rsaBits)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	return private, err
}

// bound is what the seal vouches for besides the key: a row that was made of the
// parts of others does not open.
func (k *StoredKey) bound() []byte {
	b := binary.BigEndian.AppendUint64([]byte("rondo jwt key 1\x00"), uint64(k.Generation))
	b = binary.BigEndian.AppendUint64(b, uint64(k.Begins.UnixMicro()))
	return append(b, k.Kid+"\x00"+k.Alg...)
}

// open returns the key, whose public half is that of the sealed private one:
// whoever can only write the store cannot bring in a key of theirs.
func (k *StoredKey) open(wrap cipher.AEAD) (*signingKey, error) {
	der, err := wrap.Open(nil, nil, k.Sealed, k.bound())
	if err != nil {
		return nil, errors.New("auth: the key was sealed under another secret, or changed")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("auth: sealed key: %w", err)
	}
	header, err := json.Marshal(map[string]string{"alg": k.Alg, "kid": k.Kid, "typ": tokenType})
	if err != nil {
		return nil, fmt.Errorf("auth: sealed key: %w", err)
	}
	o := &signingKey{
		generation: k.Generation, kid: k.Kid, alg: k.Alg, begins: k.Begins, ends: k.Retired,
		header: base64.RawURLEncoding.EncodeToString(header),
	}
	switch private := parsed.(type) {
	case ed25519.PrivateKey:
		o.private, o.method = private, jwt.SigningMethodEdDSA
	case *rsa.PrivateKey:
		o.private, o.method = private, jwt.SigningMethodRS256
	default:
		return nil, fmt.Errorf("auth: sealed key: %T is of no use", parsed)
	}
	if o.method.Alg() != k.Alg {
		return nil, fmt.Errorf("auth: sealed key: a key for %s says %q", o.method.Alg(), k.Alg)
	}
	return o, nil
}

// jwk is a public key as others read it (RFC 7517, RFC 7518 6.3.1, RFC 8037 2).
type jwk struct {
	Kty string `json:"kty"`
	Use string `json:"use"`
	Alg string `json:"alg"`
	Kid string `json:"kid"`
	Crv string `json:"crv,omitempty"`
	X   string `json:"x,omitempty"`
	N   string `json:"n,omitempty"`
	E   string `json:"e,omitempty"`
}

func (k *signingKey) jwk() jwk {
	j := jwk{Use: "sig", Alg: k.alg, Kid: k.kid}
	switch public := k.private.Public().(type) {
	case ed25519.PublicKey:
		j.Kty, j.Crv, j.X = "OKP", "Ed25519", base64.RawURLEncoding.EncodeToString(public)
	case *rsa.PublicKey:
		j.Kty = "RSA"
		j.N = base64.RawURLEncoding.EncodeToString(public.N.Bytes())
		j.E = base64.RawURLEncoding.EncodeToString(big.NewInt(int64(public.E)).Bytes())
	}
	return j
}

// newWrap makes the cipher that seals keys: AES-256-GCM with random nonces.
func newWrap(key []byte) (cipher.AEAD, error) {
	if len(key) != 32 {
		return nil, fmt.Errorf("auth: KeyringConfig.Wrap has %d bytes, need 32", len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}
