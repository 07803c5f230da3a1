package auth

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"github.com/rondo-chat/rondo/protocol"
)

const (
	// MinSecretBytes is the least length of a secret.
	MinSecretBytes = 32
	// MaxTokenBytes is the greatest length of a token that Verify looks at.
	MaxTokenBytes = 4 << 10

	macBytes  = sha256.Size
	keyPrefix = "rondo/v1/"
)

// Signer makes and checks tokens under one secret. It is immutable and safe for
// concurrent use.
type Signer struct {
	secret []byte
}

// NewSigner makes a Signer. The secret must have at least MinSecretBytes bytes
// from a good source of randomness; nothing here makes a weak one stronger.
func NewSigner(secret []byte) (*Signer, error) {
	if len(secret) < MinSecretBytes {
		return nil, fmt.Errorf("auth: the secret has %d bytes, need at least %d", len(secret), MinSecretBytes)
	}
	return &Signer{secret: append([]byte(nil), secret...)}, nil
}

// Key returns the purpose's own 32-byte key (HKDF with SHA-256, RFC 5869). From
// one purpose's key neither the secret nor another purpose's key can be found.
func (s *Signer) Key(purpose string) []byte {
	key, err := hkdf.Key(sha256.New, s.secret, nil, keyPrefix+purpose, sha256.Size)
	if err != nil { // only for lengths over 255 hashes
		panic("auth: " + err.Error())
	}
	return key
}

// Fingerprint returns 16 hexadecimal digits that are equal on nodes with equal
// secrets. They reveal nothing of the secret.
func (s *Signer) Fingerprint() string {
	return hex.EncodeToString(s.Key("fingerprint")[:8])
}

// Sign returns a token that carries the payload (readable by anyone) and a MAC
// over it: unpadded base64url of payload and HMAC-SHA256 under the purpose's key.
func (s *Signer) Sign(purpose string, payload []byte) string {
	token := make([]byte, 0, len(payload)+macBytes)
	token = append(token, payload...)
	return base64.RawURLEncoding.EncodeToString(append(token, s.mac(purpose, payload)...))
}

// Verify returns the payload of a token that Sign made for the purpose, else
// unauthorized. MACs are compared in constant time. There is one spelling of
// each token: stray bits, padding and line breaks are refused.
func (s *Signer) Verify(purpose, token string) ([]byte, error) {
	if len(token) > MaxTokenBytes {
		return nil, errToken()
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < macBytes || base64.RawURLEncoding.EncodedLen(len(raw)) != len(token) {
		return nil, errToken()
	}
	payload, mac := raw[:len(raw)-macBytes], raw[len(raw)-macBytes:]
	if !hmac.Equal(mac, s.mac(purpose, payload)) {
		return nil, errToken()
	}
	return payload[:len(payload):len(payload)], nil
}

func (s *Signer) mac(purpose string, payload []byte) []byte {
	h := hmac.New(sha256.New, s.Key(purpose))
	h.Write(payload)
	return h.Sum(nil)
}

func errToken() error   { return protocol.Errorf(protocol.CodeUnauthorized, "the token is not valid") }
func errExpired() error { return protocol.Errorf(protocol.CodeUnauthorized, "the token has expired") }
