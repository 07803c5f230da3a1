package webpush

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"

	"github.com/rondo-chat/rondo/protocol"
)

const (
	recordSize = 4096 // RFC 8291, section 4: what every push service takes
	padTo      = 256
	// maxPlain is how long a plaintext may be: a record less its header, the padding's delimiter and the tag.
	maxPlain = recordSize - (16 + 4 + 1 + 65) - 1 - 16
)

var errKeys = errors.New("webpush: the keys of a device are not valid")

// encrypt makes the body of a push message for a device.
func encrypt(plain []byte, to protocol.PushKeys) ([]byte, error) {
	own, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails
	padded := make([]byte, min((len(plain)/padTo+1)*padTo, maxPlain+1))
	if len(plain) > maxPlain {
		return nil, errors.New("webpush: too long")
	}
	copy(padded, plain)
	padded[len(plain)] = 2 // the last record (RFC 8188, section 2)
	return seal(padded, to, own, salt)
}

// seal encrypts a padded plaintext: RFC 8291, section 3.4, and RFC 8188, section 2, with one record.
func seal(padded []byte, to protocol.PushKeys, own *ecdh.PrivateKey, salt []byte) ([]byte, error) {
	point, err := base64.RawURLEncoding.DecodeString(to.P256dh)
	if err != nil {
		return nil, errKeys
	}
	theirs, err := ecdh.P256().NewPublicKey(point)
	if err != nil {
		return nil, errKeys
	}
	secret, err := base64.RawURLEncoding.DecodeString(to.Auth)
	if err != nil || len(secret) != 16 {
		return nil, errKeys
	}
	shared, err := own.ECDH(theirs)
	if err != nil {
		return nil, errKeys
	}
	public := own.PublicKey().Bytes()
	material, err := hkdf.Key(sha256.New, shared, secret, "WebPush: info\x00"+string(point)+string(public), 32)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, material, salt, "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return nil, err
	}
	nonce, err := hkdf.Key(sha256.New, material, salt, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	body := append([]byte(nil), salt...)
	body = binary.BigEndian.AppendUint32(body, recordSize)
	body = append(body, byte(len(public)))
	body = append(body, public...)
	return gcm.Seal(body, nonce, padded, nil), nil
}
