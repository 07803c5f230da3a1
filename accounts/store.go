package accounts

import (
	"context"
	"errors"
	"time"

	"github.com/rondo-chat/rondo/internal/mail"
	"github.com/rondo-chat/rondo/internal/passkey"
	"github.com/rondo-chat/rondo/protocol"
)

// Store keeps what Accounts knows. It is safe for concurrent use, also by
// several nodes. Its times are whole microseconds in UTC; the zero time is stored as
// such. A database that does not answer is unavailable (*protocol.Error).
type Store interface {
	// Write runs f in one serializable transaction and commits it if f returns nil: then
	// it is on disk, else nothing of it is there. f may run more than once. name is a
	// constant of the program.
	Write(ctx context.Context, name string, f func(Tx) error) error
	// Read runs f over one snapshot that has everything committed before. f may run
	// more than once.
	Read(ctx context.Context, name string, f func(Reader) error) error
}

// ErrNotFound means that there is no such row.
var ErrNotFound = errors.New("accounts: not found")

// TakenError means that another row has the value already. After it the transaction
// takes nothing more.
type TakenError struct{ Field Field }

func (e *TakenError) Error() string { return "accounts: taken: " + string(e.Field) }

// Field names a unique value of a user, registration or passkey.
type Field string

// The fields.
const (
	ByID       Field = "id"
	ByIdentity Field = "identity"
	ByEmail    Field = "email" // by EmailKey
	ByUsername Field = "username"
	// ByCredential is the credential's id of a passkey.
	ByCredential Field = "credential"
)

// Reader reads. What is one row is ErrNotFound if it is not there. Lists
// are in the order of creation unless said otherwise.
type Reader interface {
	User(by Field, value string) (UserRow, error)
	Users(p Page) ([]UserRow, error)
	// Admins counts the users with auth.RoleAdmin who are not disabled.
	Admins() (int, error)

	Device(id string) (DeviceRow, error)
	DeviceBySecret(user, secret string) (DeviceRow, error)
	Devices(user string) ([]DeviceRow, error)

	Session(id string) (SessionRow, error)
	SessionByFamily(family string) (SessionRow, error)
	Sessions(user string) ([]SessionRow, error)
	Token(hash string) (TokenRow, error)

	Registration(email, device string) (RegistrationRow, error)
	RegistrationByUsername(username string) (RegistrationRow, error)
	Code(purpose Purpose, subject string) (CodeRow, error)
	TOTP(user string) (TOTPRow, error)
	RecoveryCodes(user string) ([]string, error) // hashes

	Passkey(id string) (PasskeyRow, error)
	PasskeyByCredential(credential []byte) (PasskeyRow, error)
	Passkeys(user string) ([]PasskeyRow, error)

	Audit(user string) ([]AuditRow, error)
	// Departures returns at most limit users who left, the first ones first.
	Departures(limit int) ([]protocol.UserID, error)
}

// Tx reads and writes. A Put makes the row or replaces the one with the same key; a Delete of what is
// not there does nothing. What Tx reads of users, sessions, codes, second factors and passkeys is
// locked against other transactions until the end.
type Tx interface {
	Reader

	// InsertUser is a *TakenError if another user has the identity, e-mail address or username.
	InsertUser(UserRow) error
	// UpdateUser sets everything of the row with this ID; ErrNotFound, *TakenError.
	UpdateUser(UserRow) error
	// DeleteUser deletes the user and every row of any table that belongs to the user.
	DeleteUser(id string) error

	PutDevice(DeviceRow) error
	DeleteDevice(id string) error // its sessions stay

	PutSession(SessionRow) error
	// Revoke deletes the sessions with their tokens, and has them in the list of revocations
	// from at to until.
	Revoke(sessions []string, at, until time.Time) error
	PutToken(TokenRow) error
	// Supersede marks the session's tokens that are not yet superseded, and deletes those that
	// were superseded before the other time.
	Supersede(session string, at, before time.Time) error

	// PutRegistration replaces the registration with the same EmailKey and Device; *TakenError if
	// another one has the username.
	PutRegistration(RegistrationRow) error
	// DeleteRegistrations deletes all of the address.
	DeleteRegistrations(email string) error
	DeleteRegistration(id string) error
	PutCode(CodeRow) error // replaces the code with the same Purpose and Subject
	DeleteCode(purpose Purpose, subject string) error

	PutTOTP(TOTPRow) error
	DeleteTOTP(user string) error // and the recovery codes
	// SetRecoveryCodes replaces all of the user.
	SetRecoveryCodes(user string, hashes []string) error
	// UseRecoveryCode deletes the code and reports whether it was there.
	UseRecoveryCode(user, hash string) (bool, error)

	// PutDeparture notes that a user left and is to be forgotten everywhere;
	// DeleteDeparture that this is done.
	PutDeparture(identity protocol.UserID, at time.Time) error
	DeleteDeparture(identity protocol.UserID) error

	// InsertPasskey is a *TakenError if there is one with that credential's id.
	InsertPasskey(PasskeyRow) error
	// UpdatePasskey sets what changes of the row with this ID: Name, LastUsed, and SignCount and BackedUp of
	// the credential; ErrNotFound.
	UpdatePasskey(PasskeyRow) error
	DeletePasskey(id string) error

	// Enqueue puts a mail into the outbox, unless one with its Key is there.
	Enqueue(mail.Row) error
	Log(AuditRow) error
	// Sweep deletes what is over at now: registrations, codes, sessions, revocations, saved answers; and
	// lines of the audit log from before the other time.
	Sweep(now, audit time.Time) error
}

// UserRow is a user as stored.
type UserRow struct {
	User            // TOTP is filled by the store
	EmailKey string // what makes addresses equal
	Password string // PHC string
}

// DeviceRow is a device that a user logged in on.
type DeviceRow struct {
	ID, User  string
	Secret    string // hash of Device.ID; unique for the user
	Name      string
	UserAgent string
	Addr      string // shortened
	Created   time.Time
	LastSeen  time.Time
	Active    bool // false: logged out by the owner; not known any more
}

// SessionRow is a family of refresh tokens.
type SessionRow struct {
	ID, User, Device string
	Family           string // hash of what its tokens have in common
	Created          time.Time
	LastUsed         time.Time
	Expires          time.Time
}

// TokenRow is a refresh token.
type TokenRow struct {
	Hash, Session string
	Created       time.Time
	Superseded    time.Time // zero: it is the newest, or one of several newest
}

// RegistrationRow is a registration that waits for its code.
type RegistrationRow struct {
	ID       string
	Email    string
	EmailKey string
	Username string
	Password string
	Name     string
	Language string
	Guest    protocol.UserID
	Device   string // hash of Device.ID
	Created  time.Time
	Expires  time.Time
}

// PasskeyRow is a passkey of a user.
type PasskeyRow struct {
	ID, User   string
	Credential passkey.Credential
	Name       string
	Created    time.Time
	LastUsed   time.Time // zero: never
}

// Purpose is what a code is for.
type Purpose string

// The purposes.
const (
	PurposeVerify Purpose = "verify" // subject: the registration's ID
	PurposeReset  Purpose = "reset"  // subject: a hash of the e-mail address and the device
	// PurposePasskey is a challenge that was answered, and serves no more; subject: a hash of it.
	PurposePasskey Purpose = "passkey"
)

// CodeRow is a code that was mailed, or what else counts once.
type CodeRow struct {
	Purpose Purpose
	Subject string
	Hash    string
	Tries   int
	Created time.Time
	Expires time.Time
}

// TOTPRow is a user's second factor.
type TOTPRow struct {
	User      string
	Secret    string // sealed
	Confirmed bool
	LastStep  int64 // of the newest code that was taken: none serves twice
	Created   time.Time
}

// AuditRow is a line of the audit log.
type AuditRow struct {
	ID     string
	User   string // "": nobody known
	Actor  string // the user who did it, if another
	Event  Event
	Detail string // enumerated words; no secret, no text of a client
	Device string // DeviceRow.ID, or ""
	Addr   string // shortened
	At     time.Time
}

// Event is what happened.
type Event string

// The events.
const (
	EventRegistered      Event = "registered"
	EventLogin           Event = "login"
	EventLoginFailed     Event = "login_failed" // detail: password, code, disabled, passkey
	EventLogout          Event = "logout"
	EventLogoutAll       Event = "logout_all"
	EventRefreshReuse    Event = "refresh_reuse"
	EventNewDevice       Event = "new_device"
	EventDeviceRenamed   Event = "device_renamed"
	EventDeviceRevoked   Event = "device_revoked"
	EventPasswordChanged Event = "password_changed"
	EventPasswordReset   Event = "password_reset"
	EventResetAsked      Event = "reset_asked"
	EventTOTPEnabled     Event = "totp_enabled"
	EventTOTPDisabled    Event = "totp_disabled"
	EventRecoveryUsed    Event = "recovery_code_used"
	EventRecoveryNew     Event = "recovery_codes_new"
	EventPasskeyAdded    Event = "passkey_added"
	EventPasskeyUsed     Event = "passkey_used"
	EventPasskeyRenamed  Event = "passkey_renamed"
	EventPasskeyDeleted  Event = "passkey_deleted"
	EventPasskeyCloned   Event = "passkey_cloned" // refused: its counter went back
	EventProfile         Event = "profile_changed"
	EventDeactivated     Event = "deactivated"
	EventReactivated     Event = "reactivated"
	EventExported        Event = "exported"
	EventDeleted         Event = "deleted" // of nobody known any more
	EventRoles           Event = "roles_changed"
	EventDisabled        Event = "disabled"
	EventEnabled         Event = "enabled"
	EventAdminCreated    Event = "admin_created"
)
