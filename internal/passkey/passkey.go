// Package passkey is the relying party's side of Web Authentication (WebAuthn level 3,
// www.w3.org/TR/webauthn-3): it writes what a browser is asked for and checks what it
// brings back. It keeps nothing.
//
// What it takes is discoverable, has verified its user (by finger, face or PIN) and
// signs for one origin. Who made the authenticator is not asked for.
package passkey

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
)

// maxID is the length of the longest credential id (WebAuthn, section 7.1, step 25).
const maxID = 1023

// Party is who asks a browser for a passkey: an origin, and the host that the passkeys
// belong to.
type Party struct{ ID, Origin string }

// PartyOf returns the party of an origin ("https://rondo.example"). Browsers want a name, not an
// address, and https, except for localhost.
func PartyOf(origin string) (Party, error) {
	u, err := url.Parse(origin)
	if err != nil {
		return Party{}, fmt.Errorf("passkey: origin: %w", err)
	}
	host := strings.ToLower(u.Hostname())
	local := host == "localhost" || strings.HasSuffix(host, ".localhost")
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || !local), u.User != nil, u.Path != "", u.RawQuery != "", u.Fragment != "":
		return Party{}, errors.New("passkey: origin: https and a host is what is needed")
	case protocol.ValidateRPID(host) != nil:
		return Party{}, errors.New("passkey: origin: the host has no name")
	}
	return Party{ID: host, Origin: origin}, nil
}

// Credential is a passkey as a service knows it.
type Credential struct {
	ID             []byte
	PublicKey      []byte // COSE
	SignCount      uint32
	Transports     []string // how its authenticator is reached: "internal", "hybrid", "usb", …
	AAGUID         []byte   // the model of the authenticator, 16 bytes; all zero: not told
	BackupEligible bool     // may be on several devices
	BackedUp       bool     // is
}

// User is whose a passkey is to be. Handle is what the passkey remembers: no name of a person, at
// most 64 bytes.
type User struct {
	Handle      []byte
	Name        string
	DisplayName string
	Credentials []Credential // that there are
}

// Request is what a browser is asked for.
type Request struct {
	Options   json.RawMessage // publicKey of navigator.credentials.create or get
	Challenge string          // that the answer must be for
}

// Create asks for a new passkey, on none of the authenticators that have one. timeout is what people
// are given.
func (p Party) Create(service string, u User, timeout time.Duration) (Request, error) {
	w, err := p.library(service, timeout)
	if err != nil {
		return Request{}, err
	}
	all := webauthn.Credentials(person{u}.WebAuthnCredentials())
	options, session, err := w.BeginRegistration(person{u}, webauthn.WithExclusions(all.CredentialDescriptors()))
	if err != nil {
		return Request{}, fmt.Errorf("passkey: %w", err)
	}
	raw, err := json.Marshal(options.Response)
	return Request{raw, session.Challenge}, err
}

// Created returns the passkey that a browser made for a challenge. response is PublicKeyCredential.toJSON().
func (p Party) Created(u User, challenge string, response []byte) (Credential, error) {
	w, err := p.library("-", 0)
	if err != nil {
		return Credential{}, err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(response)
	if err != nil {
		return Credential{}, explain(err)
	}
	session := p.session(challenge)
	session.UserID, session.CredParams = u.Handle, webauthn.CredentialParametersDefault()
	c, err := w.CreateCredential(person{u}, session, parsed)
	if err != nil {
		return Credential{}, explain(err)
	}
	if len(c.ID) == 0 || len(c.ID) > maxID || len(c.Authenticator.AAGUID) != 16 {
		return Credential{}, errors.New("passkey: the credential's id is of no good length")
	}
	return fromLibrary(c), nil
}

// Get asks for a passkey of whomever.
func (p Party) Get(timeout time.Duration) (Request, error) {
	w, err := p.library("-", timeout)
	if err != nil {
		return Request{}, err
	}
	options, session, err := w.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return Request{}, fmt.Errorf("passkey: %w", err)
	}
	raw, err := json.Marshal(options.Response)
	return Request{raw, session.Challenge}, err
}

// Assertion is what a browser brings back from Get; nothing of it is proven.
type Assertion struct {
	ID     []byte // of the credential
	parsed *protocol.ParsedCredentialAssertionData
}

// ParseAssertion reads PublicKeyCredential.toJSON().
func ParseAssertion(response []byte) (Assertion, error) {
	parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil {
		return Assertion{}, explain(err)
	}
	if len(parsed.RawID) > maxID {
		return Assertion{}, errors.New("passkey: the credential's id is too long")
	}
	return Assertion{parsed.RawID, parsed}, nil
}

// ErrCloned means that everything is right but the counter, which has not risen: two authenticators
// have the key.
var ErrCloned = errors.New("passkey: the counter went back")

// Verify checks that the assertion is for the challenge, by the user's passkey with that id,
// and returns that passkey as it now is. ErrCloned.
func (p Party) Verify(challenge string, a Assertion, u User) (Credential, error) {
	w, err := p.library("-", 0)
	if err != nil {
		return Credential{}, err
	}
	_, c, err := w.ValidatePasskeyLogin(func([]byte, []byte) (webauthn.User, error) { return person{u}, nil }, p.session(challenge), a.parsed)
	switch {
	case err != nil:
		return Credential{}, explain(err)
	case c.Authenticator.CloneWarning:
		return Credential{}, ErrCloned
	}
	return fromLibrary(c), nil
}

// session is what the library keeps between a request and its answer; when it is over is the caller's matter.
func (p Party) session(challenge string) webauthn.SessionData {
	return webauthn.SessionData{
		Challenge: challenge, RelyingPartyID: p.ID, Origin: p.Origin, UserVerification: protocol.VerificationRequired,
	}
}

func (p Party) library(service string, timeout time.Duration) (*webauthn.WebAuthn, error) {
	limit := webauthn.TimeoutConfig{Timeout: timeout, TimeoutUVD: timeout}
	w, err := webauthn.New(&webauthn.Config{
		RPID: p.ID, RPDisplayName: service, RPOrigins: []string{p.Origin}, AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			RequireResidentKey: protocol.ResidentKeyRequired(), ResidentKey: protocol.ResidentKeyRequirementRequired,
			UserVerification: protocol.VerificationRequired,
		},
		Timeouts: webauthn.TimeoutsConfig{Login: limit, Registration: limit},
		// None is asked for; what some clients add is not looked at.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
	if err != nil {
		return nil, fmt.Errorf("passkey: %w", err)
	}
	return w, nil
}

// explain has what the library tells of an error besides its text.
func explain(err error) error {
	if e, ok := errors.AsType[*protocol.Error](err); ok {
		return fmt.Errorf("passkey: %s: %s", e.Details, e.DevInfo)
	}
	return fmt.Errorf("passkey: %w", err)
}

func fromLibrary(c *webauthn.Credential) Credential {
	own := Credential{
		ID: c.ID, PublicKey: c.PublicKey, SignCount: c.Authenticator.SignCount, AAGUID: c.Authenticator.AAGUID,
		BackupEligible: c.Flags.BackupEligible, BackedUp: c.Flags.BackupState,
	}
	for _, t := range c.Transport {
		if s := string(t); slices.Contains(transports(), s) && !slices.Contains(own.Transports, s) {
			own.Transports = append(own.Transports, s)
		}
	}
	return own
}

// transports are those that are known (WebAuthn, section 5.8.4): a browser may say anything.
func transports() []string { return []string{"ble", "hybrid", "internal", "nfc", "smart-card", "usb"} }

// person is a User as the library wants one.
type person struct{ u User }

func (p person) WebAuthnID() []byte          { return p.u.Handle }
func (p person) WebAuthnName() string        { return p.u.Name }
func (p person) WebAuthnDisplayName() string { return p.u.DisplayName }

func (p person) WebAuthnCredentials() []webauthn.Credential {
	list := make([]webauthn.Credential, len(p.u.Credentials))
	for i, c := range p.u.Credentials {
		flags := protocol.FlagUserPresent | protocol.FlagUserVerified
		if c.BackupEligible {
			flags |= protocol.FlagBackupEligible
		}
		if c.BackedUp {
			flags |= protocol.FlagBackupState
		}
		list[i] = webauthn.Credential{
			ID: c.ID, PublicKey: c.PublicKey, Flags: webauthn.NewCredentialFlags(flags),
			Authenticator: webauthn.Authenticator{AAGUID: c.AAGUID, SignCount: c.SignCount},
		}
		for _, t := range c.Transports {
			list[i].Transport = append(list[i].Transport, protocol.AuthenticatorTransport(t))
		}
	}
	return list
}
