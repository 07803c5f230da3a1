package webpush

import (
	"crypto/ecdh"
	"net/url"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// Seal is seal.
func Seal(padded []byte, to protocol.PushKeys, own *ecdh.PrivateKey, salt []byte) ([]byte, error) {
	return seal(padded, to, own, salt)
}

// Encrypt is encrypt.
func Encrypt(plain []byte, to protocol.PushKeys) ([]byte, error) { return encrypt(plain, to) }

// MaxPlain is maxPlain.
const MaxPlain = maxPlain

// Authorization is Key.authorization.
func (k *Key) Authorization(endpoint *url.URL, contact string, now time.Time) (string, error) {
	return k.authorization(endpoint, contact, now)
}
