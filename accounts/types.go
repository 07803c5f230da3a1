package accounts

import (
	"net/netip"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/protocol"
)

// User is a person with an account. Of it others may see Identity, Username, Name,
// Avatar, Languages and Interests; the rest is the user's own.
type User struct {
	ID        string          `json:"-"`        // the database's key, a UUID; never shown
	Identity  protocol.UserID `json:"identity"` // "u_…", or the "g_…" of a guest who registered
	Email     string          `json:"email"`    // as typed
	Username  string          `json:"username"`
	Name      string          `json:"name"`
	Avatar    string          `json:"avatar"`         // "" or a data: URL of a PNG, JPEG or WebP image, at most 100,000 bytes
	Languages []string        `json:"languages"`      // spoken, at most protocol.MaxLanguages
	Interests []string        `json:"interests"`      // tags, at most MaxInterests
	Language  string          `json:"language"`       // of mails
	Roles     []auth.Role     `json:"roles"`          // sorted; RoleUser always
	TOTP      bool            `json:"totp"`           // a second factor is on
	Recovery  int             `json:"recovery_codes"` // how many are left
	Active    bool            `json:"active"`         // false: the person rests, until the next login
	Disabled  bool            `json:"disabled"`       // true: an administrator has shut the account
	Version   int64           `json:"version"`        // rises with each change of the profile
	Created   time.Time       `json:"created"`
	LastLogin time.Time       `json:"last_login"`
}

// Has reports whether the user has the role.
func (u User) Has(role auth.Role) bool {
	for _, r := range u.Roles {
		if r == role {
			return true
		}
	}
	return false
}

// Device is what a request says of where it comes from.
type Device struct {
	// ID is the secret name that the device keeps (a cookie; NewDeviceID makes one, Login.Device returns
	// it): whoever shows it is that device. "" is a device that has none yet. At most 64 bytes; longer ones
	// count as "".
	ID        string
	Name      string // chosen by its owner, or ""
	UserAgent string
	Addr      netip.Addr
}

// Registration asks for an account.
type Registration struct {
	Email    string
	Username string // 3 to 32 of a-z, 0-9 and _; upper case is taken as lower
	Password string
	Name     string          // shown to others; "": the username
	Language string          // of mails; "": English
	Guest    protocol.UserID // verified by the caller: the guest who becomes a user; "": nobody
	Device   Device
}

// Pending says what a registration waits for. It is the same for an address that is
// registered already.
type Pending struct {
	Email   string    `json:"email"`
	Expires time.Time `json:"expires"` // of the code
	Device  string    `json:"-"`       // for Device.ID of what follows: the code counts from this device only
}

// Login is what a device has after logging in or refreshing.
type Login struct {
	User           User
	Access         string // JWT
	AccessExpires  time.Time
	Refresh        string
	RefreshExpires time.Time
	Session        string // the claim "sid"
	Device         string // for Device.ID from now on; "" after Refresh
	NewDevice      bool
}

// LoginRequest is an attempt to log in. Who is an e-mail address or a username.
type LoginRequest struct {
	Who      string
	Password string
	Code     string // of the second factor: six digits, or a recovery code; "": none yet
	Device   Device
}

// Proof shows once more who one is, before what a stolen session alone must not do.
type Proof struct {
	Password string
	Code     string // if the second factor is on
}

// Patch is a change of the profile: what is nil stays. There are no other
// fields, so there is nothing else that a client could change.
type Patch struct {
	Name      *string   `json:"name"`
	Avatar    *string   `json:"avatar"`
	Languages *[]string `json:"languages"`
	Interests *[]string `json:"interests"`
	Language  *string   `json:"language"`
}

// DeviceInfo is a device as its owner sees it.
type DeviceInfo struct {
	ID        string    `json:"id"` // not Device.ID: it is no secret
	Name      string    `json:"name"`
	UserAgent string    `json:"user_agent"`
	Addr      string    `json:"addr"` // shortened: /24, /48
	Created   time.Time `json:"created"`
	LastSeen  time.Time `json:"last_seen"`
	Current   bool      `json:"current"` // the one that asks
}

// Enrolment is a second factor that waits for its first code.
type Enrolment struct {
	Secret string `json:"secret"` // base32
	URL    string `json:"url"`    // otpauth://, for a QR code
}

// Page asks for a page of users, in the order of their creation.
type Page struct {
	After  protocol.UserID // the last one of the page before; "" at the start
	Search string          // the beginning of the e-mail address, username or identity; "": all
	Limit  int             // 1 to 200; 0 is 50
}

// MaxInterests bounds User.Interests.
const MaxInterests = 10

// RevokedFor is how long the list of revocations keeps a session: longer than any access
// token lasts.
const RevokedFor = time.Hour
