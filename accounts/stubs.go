package accounts

import (
	"context"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/protocol"
)

// Register begins an account: a code goes to the address, which Verify takes from the same device. Whoever
// has the address registered already gets a mail that says so instead; the
// answer is the same. Errors: bad_request, already (the username is taken),
// rate_limited.
func (a *Accounts) Register(ctx context.Context, r Registration) (Pending, error) {
	return Pending{}, errSoon
}

// Verify makes the account that was registered from this device with the address, and logs in.
// Errors: unauthorized (the code is wrong, too old, tried too often, or of nobody), already (the username
// was taken meanwhile), rate_limited.
func (a *Accounts) Verify(ctx context.Context, email, code string, d Device) (Login, error) {
	return Login{}, errSoon
}

// Resend mails a new code for the registration of this device, if there is one;
// the old code is void. Errors: rate_limited.
func (a *Accounts) Resend(ctx context.Context, email string, d Device) (Pending, error) {
	return Pending{}, errSoon
}

// Login opens a session. Errors: unauthorized (whoever is wrong about what), CodeNeedsTOTP (the
// password is right: ask for a code and call again with it), forbidden (the account is disabled; said
// only to who has the password), rate_limited.
func (a *Accounts) Login(ctx context.Context, r LoginRequest) (Login, error) {
	return Login{}, errSoon
}

// Refresh gives the session of the token a new access token and a new refresh token. Errors: unauthorized
// (log in again), rate_limited.
func (a *Accounts) Refresh(ctx context.Context, raw string, d Device) (Login, error) {
	return Login{}, errSoon
}

// Logout ends the session. It is no error if there is none.
func (a *Accounts) Logout(ctx context.Context, session string) error { return errSoon }

// LogoutToken ends the session of the refresh token, for who has no access token any more. It is no error if there is none.
func (a *Accounts) LogoutToken(ctx context.Context, raw string) error { return errSoon }

// LogoutAll ends all sessions of the user except the one given ("": none).
func (a *Accounts) LogoutAll(ctx context.Context, identity protocol.UserID, except string) error {
	return errSoon
}

// Me returns the user. Errors: not_found.
func (a *Accounts) Me(ctx context.Context, identity protocol.UserID) (User, error) {
	return User{}, errSoon
}

// Registered reports whether the identity is a user's. A guest token of such an identity must not serve any more.
func (a *Accounts) Registered(ctx context.Context, identity protocol.UserID) (bool, error) {
	return false, errSoon
}

// UpdateProfile changes the profile if it has the version (0: any). Errors: CodeChanged, bad_request, not_found.
func (a *Accounts) UpdateProfile(ctx context.Context, identity protocol.UserID, version int64, p Patch) (User, error) {
	return User{}, errSoon
}

// ChangePassword sets a new password and ends all sessions but the one given. Errors:
// unauthorized (the proof is wrong), CodeNeedsTOTP, bad_request (the new one is not acceptable), rate_limited.
func (a *Accounts) ChangePassword(ctx context.Context, identity protocol.UserID, session string, p Proof, password string) error {
	return errSoon
}

// Forgot mails a code for Reset to the address if somebody has it. Errors: bad_request (no address), rate_limited.
func (a *Accounts) Forgot(ctx context.Context, email string, d Device) (Pending, error) {
	return Pending{}, errSoon
}

// Reset sets a new password with the code of Forgot and ends all sessions. A second factor
// stays. Errors: unauthorized, bad_request, rate_limited.
func (a *Accounts) Reset(ctx context.Context, email, code, password string, d Device) error {
	return errSoon
}

// Devices lists the devices on which the user is known; session is the one that asks.
func (a *Accounts) Devices(ctx context.Context, identity protocol.UserID, session string) ([]DeviceInfo, error) {
	return nil, errSoon
}

// RenameDevice names the user's device. Errors: not_found (also if it is another's), bad_request.
func (a *Accounts) RenameDevice(ctx context.Context, identity protocol.UserID, device, name string) (DeviceInfo, error) {
	return DeviceInfo{}, errSoon
}

// RevokeDevice ends the device's sessions; it is not known any more. Errors: not_found (also if it is another's).
func (a *Accounts) RevokeDevice(ctx context.Context, identity protocol.UserID, device string) error {
	return errSoon
}

// EnrolTOTP makes a new secret for a second factor; it is on only after ConfirmTOTP. The proof has no
// code, as there is none yet. Errors: unauthorized, already (it is on), rate_limited.
func (a *Accounts) EnrolTOTP(ctx context.Context, identity protocol.UserID, p Proof) (Enrolment, error) {
	return Enrolment{}, errSoon
}

// ConfirmTOTP turns the second factor on if the code is right, and returns the recovery codes, which
// are never shown again. Errors: unauthorized, not_found (there is no enrolment), already, rate_limited.
func (a *Accounts) ConfirmTOTP(ctx context.Context, identity protocol.UserID, code string) (recovery []string, err error) {
	return nil, errSoon
}

// DisableTOTP turns the second factor off. Errors: unauthorized, CodeNeedsTOTP, rate_limited.
func (a *Accounts) DisableTOTP(ctx context.Context, identity protocol.UserID, p Proof) error {
	return errSoon
}

// NewRecoveryCodes replaces the recovery codes. Errors: unauthorized, CodeNeedsTOTP, not_found (the second factor is off), rate_limited.
func (a *Accounts) NewRecoveryCodes(ctx context.Context, identity protocol.UserID, p Proof) (recovery []string, err error) {
	return nil, errSoon
}

// Deactivate lets the account rest: all sessions end, and others do not see it, until its owner logs in again.
// Errors: unauthorized, CodeNeedsTOTP, rate_limited.
func (a *Accounts) Deactivate(ctx context.Context, identity protocol.UserID, p Proof) error {
	return errSoon
}

// Export returns all that is stored of the user, but for secrets.
func (a *Accounts) Export(ctx context.Context, identity protocol.UserID) (Export, error) {
	return Export{}, errSoon
}

// Delete deletes the user for good. A last mail says so. Errors: unauthorized, CodeNeedsTOTP, rate_limited,
// forbidden (the only administrator).
func (a *Accounts) Delete(ctx context.Context, identity protocol.UserID, p Proof) error {
	return errSoon
}

// List returns a page of users, for administrators.
func (a *Accounts) List(ctx context.Context, p Page) ([]User, error) { return nil, errSoon }

// SetRoles sets a user's roles besides RoleUser and ends the user's sessions, whose tokens have the old ones. actor did it;
// "" is the command line. Errors: not_found, bad_request, forbidden (the only administrator would be none).
func (a *Accounts) SetRoles(ctx context.Context, actor, identity protocol.UserID, roles []auth.Role) (User, error) {
	return User{}, errSoon
}

// SetDisabled shuts an account, ending all sessions, or opens it again. Errors: not_found, forbidden
// (the only administrator).
func (a *Accounts) SetDisabled(ctx context.Context, actor, identity protocol.UserID, disabled bool) (User, error) {
	return User{}, errSoon
}

// CreateAdmin makes a user with RoleAdmin whose address counts as verified: for the command line. Errors:
// bad_request, already.
func (a *Accounts) CreateAdmin(ctx context.Context, email, username, password string) (User, error) {
	return User{}, errSoon
}

// Sweep deletes what is over: call it about once an hour, on any number of nodes.
func (a *Accounts) Sweep(ctx context.Context) error { return errSoon }

// Export is all that is stored of a user.
type Export struct {
	User          User          `json:"user"`
	Devices       []DeviceInfo  `json:"devices"`
	Sessions      []SessionInfo `json:"sessions"`
	RecoveryCodes int           `json:"recovery_codes"` // how many are left
	Audit         []AuditInfo   `json:"audit"`
}

// SessionInfo is a session as its owner sees it.
type SessionInfo struct {
	Device   string    `json:"device"`
	Created  time.Time `json:"created"`
	LastUsed time.Time `json:"last_used"`
	Expires  time.Time `json:"expires"`
}

// AuditInfo is a line of the audit log as its owner sees it.
type AuditInfo struct {
	Event  Event     `json:"event"`
	Detail string    `json:"detail,omitempty"`
	Addr   string    `json:"addr,omitempty"`
	At     time.Time `json:"at"`
}

var errSoon = protocol.Errorf(protocol.CodeUnavailable, "not built yet")
