package webpush

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// tokenTime is how long a signature holds; RFC 8292 allows a day.
const tokenTime = 12 * time.Hour

// Key is what push services and browsers know the service by (VAPID, RFC 8292).
type Key struct {
	private *ecdsa.PrivateKey
	public  string
}

// NewKey makes the key of a secret of at least 32 bytes: the same one of the same secret.
func NewKey(secret []byte) (*Key, error) {
	if len(secret) < 32 {
		return nil, errors.New("webpush: the key's secret must have at least 32 bytes")
	}
	for n := range 8 { // one in 2^32 is no number below the curve's order
		raw, err := hkdf.Key(sha256.New, secret, nil, "vapid "+strconv.Itoa(n), 32)
		if err != nil {
			return nil, err
		}
		private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), raw)
		if err != nil {
			continue
		}
		public, err := private.PublicKey.Bytes()
		if err != nil {
			return nil, err
		}
		return &Key{private, base64.RawURLEncoding.EncodeToString(public)}, nil
	}
	return nil, errors.New("webpush: no key can be made of this secret")
}

// Public is the public key, an uncompressed point in base64url: a browser's applicationServerKey.
func (k *Key) Public() string { return k.public }

// authorization is the header of a request to the endpoint: it says that this service sends it.
func (k *Key) authorization(endpoint *url.URL, contact string, now time.Time) (string, error) {
	claims, err := json.Marshal(struct {
		Audience string `json:"aud"`
		Expires  int64  `json:"exp"`
		Contact  string `json:"sub,omitempty"`
	}{endpoint.Scheme + "://" + endpoint.Host, now.Add(tokenTime).Unix(), contact})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	token := encode([]byte(`{"typ":"JWT","alg":"ES256"}`)) + "." + encode(claims)
	sum := sha256.Sum256([]byte(token))
	r, s, err := ecdsa.Sign(rand.Reader, k.private, sum[:])
	if err != nil {
		return "", err
	}
	var signature [64]byte // RFC 7518, section 3.4
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return "vapid t=" + token + "." + encode(signature[:]) + ", k=" + k.public, nil
}

// checkContact reports whether s may stand as sub: who runs the service, for those who run push services.
func checkContact(s string) error {
	if u, err := url.Parse(s); s != "" && (err != nil || !(u.Scheme == "https" && u.Host != "" || u.Scheme == "mailto" && strings.Contains(u.Opaque, "@"))) {
		return errors.New("webpush: the contact must be mailto:… or https://…")
	}
	return nil
}
