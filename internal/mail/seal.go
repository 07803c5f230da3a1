package mail

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// KeySize is the length in bytes of the key that seals mails.
const KeySize = 32

// Sealer turns messages into rows of the outbox, and back. It may be used by
// several goroutines.
type Sealer struct{ aead cipher.AEAD }

// NewSealer returns a Sealer; all nodes that share an outbox use the same key.
func NewSealer(key []byte) (*Sealer, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("mail: the key has %d bytes, not %d", len(key), KeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &Sealer{aead: aead}, nil
}

// Seal makes the row of m. It reports a message that lacks what its template needs, or
// whose address cannot be written to.
func (s *Sealer) Seal(m Message, now time.Time) (Row, error) {
	if err := m.validate(); err != nil {
		return Row{}, err
	}
	if _, err := Address(m.To); err != nil {
		return Row{}, err
	}
	text, err := json.Marshal(m)
	if err != nil {
		return Row{}, errors.New("mail: the message cannot be encoded")
	}
	r := Row{ID: rand.Text(), Key: m.Key, Template: m.Template, Created: now, Due: now, Expires: m.expires(now)}
	if r.Key == "" {
		r.Key = r.ID
	}
	r.Body = s.aead.Seal(nil, nil, text, r.bound())
	return r, nil
}

// open returns what Seal made r of.
func (s *Sealer) open(r Row) (Message, error) {
	var m Message
	text, err := s.aead.Open(nil, nil, r.Body, r.bound())
	if err != nil {
		return m, errors.New("mail: the row was not sealed with this key")
	}
	if err := json.Unmarshal(text, &m); err != nil || m.Template != r.Template {
		return m, errors.New("mail: the row holds no message")
	}
	return m, nil
}

// bound is what of the row besides Body cannot be exchanged.
func (r *Row) bound() []byte { return []byte("rondo mail 1\x00" + r.ID + "\x00" + string(r.Template)) }
