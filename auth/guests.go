package auth

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

const (
	// DefaultGuestTTL is how long a guest token serves unless told otherwise.
	DefaultGuestTTL = 30 * 24 * time.Hour

	guestPurpose = "guest"
	guestPrefix  = "g_"
	guestIDChars = 26 // 128 bits
	guestVersion = 1
)

// Guests issues identities to people without an account. It stores nothing: a
// guest is whoever shows the token. It is safe for concurrent use.
type Guests struct {
	signer *Signer
	ttl    time.Duration
}

// NewGuests makes a Guests whose tokens serve for ttl (0: DefaultGuestTTL).
func NewGuests(s *Signer, ttl time.Duration) *Guests {
	if ttl <= 0 {
		ttl = DefaultGuestTTL
	}
	return &Guests{signer: s, ttl: ttl}
}

// NewID draws a new guest's id: "g_" and 26 base32 characters, 128 random bits.
func (g *Guests) NewID() protocol.UserID {
	return protocol.UserID(guestPrefix + Random(16))
}

// Issue returns a token for the guest that expires a ttl after now.
func (g *Guests) Issue(id protocol.UserID, now time.Time) string {
	payload := make([]byte, 9, 9+len(id))
	payload[0] = guestVersion
	binary.BigEndian.PutUint64(payload[1:], uint64(now.Add(g.ttl).Unix()))
	return g.signer.Sign(guestPurpose, append(payload, id...))
}

// Verify returns whose token it is, else unauthorized.
func (g *Guests) Verify(token string, now time.Time) (protocol.UserID, error) {
	payload, err := g.signer.Verify(guestPurpose, token)
	if err != nil {
		return "", err
	}
	if len(payload) < 9 || payload[0] != guestVersion || !isGuestID(string(payload[9:])) {
		return "", errToken()
	}
	if now.Unix() >= int64(binary.BigEndian.Uint64(payload[1:])) {
		return "", errExpired()
	}
	return protocol.UserID(payload[9:]), nil
}

func isGuestID(id string) bool {
	chars, ok := strings.CutPrefix(id, guestPrefix)
	if !ok || len(chars) != guestIDChars {
		return false
	}
	return strings.Trim(chars, base32Alphabet) == ""
}

const base32Alphabet = "abcdefghijklmnopqrstuvwxyz234567"

// Random returns n random bytes in lower-case base32 without padding: 16 bytes
// are 26 characters. It serves ids and nonces.
func Random(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails (crypto/rand)
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
}
