package turnserver

import (
	"crypto/hmac"
	"crypto/md5"  //nolint:gosec // RFC 8489 section 9.2.2 prescribes MD5
	"crypto/sha1" //nolint:gosec // draft-uberti-behave-turn-rest-00 prescribes HMAC-SHA1
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// Secret is a key from which passwords of users are derived.
type Secret struct {
	// ID stands in user names, so that several secrets can be alive at once. It
	// is 1 to 16 letters and digits. A Secret without ID is a static-auth-secret
	// as coturn has it: it verifies any name "<expiry>:<anything>", so other
	// services that hold it can mint too.
	ID string
	// Key is at least 16 bytes. For a static-auth-secret it is the text of the
	// secret itself.
	Key []byte
}

// String names the secret without telling it.
func (s Secret) String() string { return "secret " + strconv.Quote(s.ID) }

// GoString keeps the key out of %#v.
func (s Secret) GoString() string { return s.String() }

const (
	minSecretBytes = 16
	maxSecretID    = 16
	maxUsername    = 508 // RFC 8489 section 14.3 allows 508 bytes
)

func (s Secret) validate() error {
	if len(s.Key) < minSecretBytes {
		return fmt.Errorf("%v is shorter than %d bytes", s, minSecretBytes)
	}
	if len(s.ID) > maxSecretID || strings.Trim(s.ID, alphanumeric) != "" {
		return fmt.Errorf("%v: an id is at most %d letters and digits", s, maxSecretID)
	}
	return nil
}

const alphanumeric = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

func validateSecrets(list []Secret) error {
	if len(list) == 0 {
		return errors.New("no secret")
	}
	seen := map[string]bool{}
	for _, s := range list {
		if err := s.validate(); err != nil {
			return err
		}
		if s.ID != "" && seen[s.ID] {
			return fmt.Errorf("two secrets have the id %q", s.ID)
		}
		seen[s.ID] = true
	}
	return nil
}

// password is draft-uberti-behave-turn-rest-00's, which coturn's
// static-auth-secret verifies as well.
func (s Secret) password(username string) string {
	h := hmac.New(sha1.New, s.Key)
	h.Write([]byte(username))
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// mint makes a user name and its password, valid until expiry.
func (s Secret) mint(session protocol.SessionID, expiry time.Time) (username, password string) {
	username = strconv.FormatInt(expiry.Unix(), 10) + ":"
	if s.ID != "" {
		username += s.ID + "."
	}
	username += string(session)
	return username, s.password(username)
}

// longTermKey is the key of MESSAGE-INTEGRITY (RFC 8489 section 9.2.2).
func longTermKey(username, realm, password string) []byte {
	sum := md5.Sum([]byte(username + ":" + realm + ":" + password))
	return sum[:]
}

// identity is what a user name says.
type identity struct {
	username string
	user     string // without expiry and key id: whom quotas and Revoke mean
	expiry   time.Time
	kid      string
}

var errUsername = errors.New("malformed username")

// parseUsername takes "<expiry>:<rest>" apart. The rest may be "<kid>.<session>".
func parseUsername(name string) (identity, error) {
	stamp, rest, ok := strings.Cut(name, ":")
	if !ok || rest == "" || len(name) > maxUsername || stamp == "" || len(stamp) > 12 || strings.Trim(stamp, "0123456789") != "" {
		return identity{}, errUsername
	}
	sec, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return identity{}, errUsername
	}
	id := identity{username: name, user: rest, expiry: time.Unix(sec, 0)}
	if kid, _, ok := strings.Cut(rest, "."); ok && len(kid) <= maxSecretID {
		id.kid = kid
	}
	return id, nil
}

// keyring verifies users. It is never changed, only replaced.
type keyring struct {
	realm   string
	secrets []Secret
}

// authenticate finds the secret under which m, sent by the named user, is
// authentic. It costs the same for a user that does not exist.
func (k *keyring) authenticate(m *message, name []byte) (id identity, key []byte, ok bool) {
	id, err := parseUsername(string(name))
	for _, s := range k.secrets {
		if s.ID != "" && s.ID != id.kid {
			continue
		}
		key = longTermKey(id.username, k.realm, s.password(id.username))
		if m.authentic(key) && err == nil {
			if s.ID != "" {
				id.user = id.user[len(s.ID)+1:]
			}
			return id, key, true
		}
	}
	if key == nil { // no secret fits the name: take as long as if one did
		m.authentic(longTermKey(string(name), k.realm, k.secrets[0].password(string(name))))
	}
	return identity{}, nil, false
}
