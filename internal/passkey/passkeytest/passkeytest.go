// Package passkeytest is an authenticator and its browser, in software: for tests of who
// relies on passkeys. What it signs can be made wrong, one thing at a time.
package passkeytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"
)

// The flags of authenticator data (WebAuthn, section 6.1).
const (
	UserPresent    = 0x01
	UserVerified   = 0x04
	BackupEligible = 0x08
	BackedUp       = 0x10
	attested       = 0x40
)

// Authenticator has one passkey. Its fields are what the next answer says.
type Authenticator struct {
	t testing.TB

	Origin  string // that the browser says it is at
	RPID    string // "": what it was asked for
	Flags   byte
	Counter uint32
	Handle  []byte // of the user; Create sets it
	// Challenge is what is signed instead of what was asked; "": nothing
	Challenge string

	Transports []string // what Create says of them
	FixedID    []byte   // of the passkey that Create makes; nil: drawn
	ID         []byte
	key        *ecdsa.PrivateKey
}

// New returns an authenticator without a passkey, at an origin.
func New(t testing.TB, origin string) *Authenticator {
	return &Authenticator{t: t, Origin: origin, Flags: UserPresent | UserVerified, Counter: 1, Transports: []string{"internal", "hybrid"}}
}

// Clone is an authenticator with the same passkey.
func (a *Authenticator) Clone() *Authenticator {
	c := *a
	return &c
}

type options struct {
	Challenge string `json:"challenge"`
	RP        struct {
		ID string `json:"id"`
	} `json:"rp"`
	RPID string `json:"rpId"`
	User struct {
		ID string `json:"id"`
	} `json:"user"`
}

func (a *Authenticator) read(raw json.RawMessage) options {
	a.t.Helper()
	var o options
	if err := json.Unmarshal(raw, &o); err != nil {
		a.t.Fatal(err)
	}
	if a.Challenge != "" {
		o.Challenge = a.Challenge
	}
	if a.RPID != "" {
		o.RP.ID, o.RPID = a.RPID, a.RPID
	}
	return o
}

// Create makes the passkey that is asked for and returns PublicKeyCredential.toJSON().
func (a *Authenticator) Create(publicKey json.RawMessage) json.RawMessage {
	a.t.Helper()
	o := a.read(publicKey)
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		a.t.Fatal(err)
	}
	a.ID = make([]byte, 32)
	_, _ = rand.Read(a.ID) // never fails
	if a.FixedID != nil {
		a.ID = a.FixedID
	}
	if a.Handle, err = base64.RawURLEncoding.DecodeString(o.User.ID); err != nil {
		a.t.Fatal(err)
	}
	data := a.data(o.RP.ID, a.Flags|attested)
	data = append(data, make([]byte, 16)...) // AAGUID: not told
	data = binary.BigEndian.AppendUint16(data, uint16(len(a.ID)))
	data = append(append(data, a.ID...), a.cose()...)
	object := []byte{0xa3}
	object = append(append(object, text("fmt")...), text("none")...)
	object = append(append(object, text("attStmt")...), 0xa0)
	object = append(append(object, text("authData")...), blob(data)...)
	return a.json(map[string]any{
		"clientDataJSON": encode(a.client("webauthn.create", o.Challenge)), "attestationObject": encode(object),
		"transports": a.Transports,
	})
}

// Get signs what is asked for, with a counter one higher than before, and returns
// PublicKeyCredential.toJSON().
func (a *Authenticator) Get(publicKey json.RawMessage) json.RawMessage {
	a.t.Helper()
	o := a.read(publicKey)
	if a.Counter > 0 {
		a.Counter++
	}
	data, client := a.data(o.RPID, a.Flags), a.client("webauthn.get", o.Challenge)
	hash := sha256.Sum256(client)
	digest := sha256.Sum256(append(append([]byte{}, data...), hash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, a.key, digest[:])
	if err != nil {
		a.t.Fatal(err)
	}
	return a.json(map[string]any{
		"clientDataJSON": encode(client), "authenticatorData": encode(data), "signature": encode(signature), "userHandle": encode(a.Handle),
	})
}

func (a *Authenticator) json(response map[string]any) json.RawMessage {
	b, err := json.Marshal(map[string]any{
		"id": encode(a.ID), "rawId": encode(a.ID), "type": "public-key", "response": response, "clientExtensionResults": map[string]any{},
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return b
}

// client is what the browser says.
func (a *Authenticator) client(kind, challenge string) []byte {
	b, err := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": a.Origin, "crossOrigin": false})
	if err != nil {
		a.t.Fatal(err)
	}
	return b
}

// data is what the authenticator says.
func (a *Authenticator) data(rpID string, flags byte) []byte {
	hash := sha256.Sum256([]byte(rpID))
	return binary.BigEndian.AppendUint32(append(hash[:], flags), a.Counter)
}

// cose is the public key: an EC2 key for ES256 (RFC 9053).
func (a *Authenticator) cose() []byte {
	point, err := a.key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		a.t.Fatal(err)
	}
	b := []byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21}
	b = append(append(b, blob(point[1:33])...), 0x22)
	return append(b, blob(point[33:])...)
}

// text and blob are strings of CBOR (RFC 8949).
func text(s string) []byte { return append([]byte{0x60 | byte(len(s))}, s...) } // up to 23

func blob(b []byte) []byte {
	if len(b) < 256 {
		return append([]byte{0x58, byte(len(b))}, b...)
	}
	return append(binary.BigEndian.AppendUint16([]byte{0x59}, uint16(len(b))), b...)
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
