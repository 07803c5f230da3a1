package events

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Names of what travels beside the body: HTTP headers, MQTT user properties, AMQP
// headers. Form and meaning are those of Standard Webhooks (standardwebhooks.com).
const (
	HeaderID        = "webhook-id"
	HeaderTimestamp = "webhook-timestamp" // Unix seconds of this try
	HeaderSignature = "webhook-signature" // "v1,<base64>", one for each secret, spaces between
)

// secretPrefix begins a secret in its text form.
const secretPrefix = "whsec_"

// MinSecret and MaxSecret bound a secret, in bytes.
const (
	MinSecret = 24
	MaxSecret = 64
)

// ErrSignature means that a body is not from whom it should be, or too old.
var ErrSignature = errors.New("events: wrong signature")

// Header is one of the three.
type Header struct{ Name, Value string }

// Signer signs events with the secrets of a sink: several while one follows another.
type Signer struct{ secrets [][]byte }

// NewSigner returns a Signer with at least one secret.
func NewSigner(secrets ...[]byte) (*Signer, error) {
	if len(secrets) == 0 {
		return nil, errors.New("events: a secret is missing")
	}
	for _, s := range secrets {
		if len(s) < MinSecret || len(s) > MaxSecret {
			return nil, fmt.Errorf("events: a secret must have %d to %d bytes", MinSecret, MaxSecret)
		}
	}
	return &Signer{secrets: secrets}, nil
}

// Sign returns the headers of an event that is sent at the time.
func (s *Signer) Sign(e Event, at time.Time) []Header {
	stamp := strconv.FormatInt(at.Unix(), 10)
	signatures := make([]string, len(s.secrets))
	for i, secret := range s.secrets {
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac(secret, e.ID, stamp, e.Body))
	}
	return []Header{{HeaderID, e.ID}, {HeaderTimestamp, stamp}, {HeaderSignature, strings.Join(signatures, " ")}}
}

func mac(secret []byte, id, stamp string, body []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(id + "." + stamp + "."))
	h.Write(body)
	return h.Sum(nil)
}

// Verify is what a receiver does: it takes the values of the headers by name, and
// returns ErrSignature unless one of the signatures is of the secret, and the time of
// sending at most tolerance away from now.
func Verify(secret []byte, header func(name string) string, body []byte, now time.Time, tolerance time.Duration) error {
	id, stamp := header(HeaderID), header(HeaderTimestamp)
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > tolerance {
		return ErrSignature
	}
	want := mac(secret, id, stamp, body)
	for s := range strings.FieldsSeq(header(HeaderSignature)) {
		text, ok := strings.CutPrefix(s, "v1,")
		got, err := base64.StdEncoding.DecodeString(text)
		if ok && err == nil && hmac.Equal(got, want) {
			return nil
		}
	}
	return ErrSignature
}

// FormatSecret writes a secret as text: "whsec_" and base64.
func FormatSecret(secret []byte) string {
	return secretPrefix + base64.StdEncoding.EncodeToString(secret)
}

// ParseSecret reads what FormatSecret wrote. Its error does not repeat it.
func ParseSecret(s string) ([]byte, error) {
	text, ok := strings.CutPrefix(strings.TrimSpace(s), secretPrefix)
	secret, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(secret) < MinSecret || len(secret) > MaxSecret {
		return nil, fmt.Errorf("events: a secret is %s and %d to %d bytes in base64", secretPrefix, MinSecret, MaxSecret)
	}
	return secret, nil
}
