package auth

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/rondo-chat/rondo/protocol"
)

const (
	// DefaultAccessTTL is how long an access token serves unless told otherwise.
	DefaultAccessTTL = 10 * time.Minute
	// Audience is who access tokens are for ("aud").
	Audience = "rondo"

	userPrefix      = "u_"
	maxSessionBytes = 64
	maxRoles        = 8
	clockSkew       = time.Minute // that a token may come from the future of another node
)

// Claims are what an access token says of who shows it.
type Claims struct {
	Identity protocol.UserID // what others see: "u_…", or "g_…" of a guest who became a user
	Session  string          // the session (refresh family) that the token belongs to; 1 to 64 bytes
	Roles    []Role          // at most 8
	Issued   time.Time       // set by Issue, to the second
	Expires  time.Time       // set by Issue, to the second
}

// TokensConfig configures Tokens. Zero fields have the defaults given.
type TokensConfig struct {
	Keyring *Keyring      // required
	Issuer  string        // required: "iss", the service's public URL; the same on all nodes
	TTL     time.Duration // of an access token, at least a second; DefaultAccessTTL
}

// Tokens issues and verifies access tokens: JWTs (RFC 7519) of the type "at+jwt"
// (RFC 9068), signed by a Keyring. It is safe for concurrent use.
type Tokens struct {
	cfg TokensConfig
}

// NewTokens makes a Tokens.
func NewTokens(cfg TokensConfig) (*Tokens, error) {
	cfg.TTL = cmp.Or(cfg.TTL, DefaultAccessTTL)
	switch {
	case cfg.Keyring == nil:
		return nil, errors.New("auth: TokensConfig.Keyring is missing")
	case cfg.Issuer == "":
		return nil, errors.New("auth: TokensConfig.Issuer is missing")
	case cfg.TTL < time.Second:
		return nil, errors.New("auth: TokensConfig.TTL is below a second")
	case cfg.TTL > cfg.Keyring.cfg.Keep:
		return nil, errors.New("auth: TokensConfig.TTL is longer than KeyringConfig.Keep: tokens would not outlive their key")
	}
	return &Tokens{cfg: cfg}, nil
}

// TTL is how long a token serves.
func (t *Tokens) TTL() time.Duration { return t.cfg.TTL }

// NewUserID draws the identity of a user who was no guest before: "u_" and 26
// base32 characters, 128 random bits.
func NewUserID() protocol.UserID { return protocol.UserID(userPrefix + Random(16)) }

// IsUserID reports whether id has the form of an identity: a guest's or a
// user's.
func IsUserID(id protocol.UserID) bool {
	return isGuestID(strings.Replace(string(id), userPrefix, guestPrefix, 1))
}

// payload is the second part of a token.
type payload struct {
	jwt.RegisteredClaims
	Session string `json:"sid"`
	Roles   []Role `json:"roles"`
}

// Validate is asked by the parser, after what its options ask for.
func (p *payload) Validate() error {
	switch {
	case !IsUserID(protocol.UserID(p.Subject)):
		return errors.New("no subject")
	case p.Session == "" || len(p.Session) > maxSessionBytes || len(p.Roles) > maxRoles:
		return errors.New("no session, or too many roles")
	case p.IssuedAt == nil || p.ExpiresAt == nil || p.IssuedAt.After(p.ExpiresAt.Time):
		return errors.New("no time of issue")
	}
	return nil
}

// Issue returns a token for the claims that expires a TTL after now. Issued and
// Expires of the claims are not looked at. It fails as unavailable before the
// Keyring has a key, and for claims that Verify would refuse.
func (t *Tokens) Issue(c Claims, now time.Time) (string, error) {
	issued := now.Truncate(time.Second)
	p := &payload{Session: c.Session, Roles: c.Roles, RegisteredClaims: jwt.RegisteredClaims{
		Issuer: t.cfg.Issuer, Subject: string(c.Identity), Audience: jwt.ClaimStrings{Audience}, ID: Random(16),
		IssuedAt: jwt.NewNumericDate(issued), ExpiresAt: jwt.NewNumericDate(issued.Add(t.cfg.TTL)),
	}}
	if err := p.Validate(); err != nil {
		return "", fmt.Errorf("auth: issue token: %w", err)
	}
	key, err := t.cfg.Keyring.signer(now)
	if err != nil {
		return "", err
	}
	token := jwt.NewWithClaims(key.method, p)
	token.Header["kid"], token.Header["typ"] = key.kid, tokenType
	raw, err := token.SignedString(key.private)
	if err != nil {
		return "", fmt.Errorf("auth: issue token: %w", err)
	}
	if len(raw) > MaxTokenBytes {
		return "", errors.New("auth: issue token: longer than Verify reads")
	}
	return raw, nil
}

// Verify returns what a token says that Issue made, on any node, and that has not
// expired, else unauthorized. Whether its session was revoked is for
// [Revocations].
//
// The first part must be, byte by byte, what Issue writes for a key that is in
// the Keyring: nothing in it is parsed before that is known, and no algorithm,
// key or extension is taken from it.
func (t *Tokens) Verify(raw string, now time.Time) (Claims, error) {
	if len(raw) > MaxTokenBytes || strings.ContainsAny(raw, "\r\n") { // base64 would skip line breaks
		return Claims{}, errToken()
	}
	header, _, _ := strings.Cut(raw, ".")
	key, ok := t.cfg.Keyring.verifier(header, now)
	if !ok {
		return Claims{}, errToken()
	}
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{key.alg}), jwt.WithStrictDecoding(), jwt.WithIssuer(t.cfg.Issuer), jwt.WithAudience(Audience),
		jwt.WithExpirationRequired(), jwt.WithTimeFunc(func() time.Time { return now }),
	)
	var p payload
	_, err := parser.ParseWithClaims(raw, &p, func(*jwt.Token) (any, error) { return key.private.Public(), nil })
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return Claims{}, errExpired()
	case err != nil, p.IssuedAt.After(now.Add(clockSkew)):
		return Claims{}, errToken()
	}
	return Claims{
		Identity: protocol.UserID(p.Subject), Session: p.Session, Roles: p.Roles,
		Issued: p.IssuedAt.Time, Expires: p.ExpiresAt.Time,
	}, nil
}
