package mail

import (
	"errors"
	"slices"
	"time"
)

// Template names a text. Its value is stored: it never changes its meaning.
type Template string

// The templates, and what of Data they show. Codes must be there; what else is
// missing is left out.
const (
	Verify            Template = "verify"             // Code, Minutes: the address is to be confirmed
	AlreadyRegistered Template = "already_registered" // Username: somebody registered with an address that has an account
	Reset             Template = "reset"              // Code, Minutes: the password was forgotten
	NewDevice         Template = "new_device"         // Device, Place, At: a log-in from a device not seen before
	PasswordChanged   Template = "password_changed"   // Place, At
	PasskeyAdded      Template = "passkey_added"      // Device, Place, At: one more way to log in
	Deleted           Template = "deleted"            // At: the account is gone
)

// Templates returns all templates.
func Templates() []Template {
	return []Template{Verify, AlreadyRegistered, Reset, NewDevice, PasswordChanged, PasskeyAdded, Deleted}
}

// Languages returns the languages that the templates are written in; mails to
// people of another one are in the first.
func Languages() []string { return []string{"en", "de", "es"} }

// Message is a mail to one person.
type Message struct {
	To       string   `json:"to"`       // address, as its owner typed it
	Name     string   `json:"name"`     // of the person, for the greeting; may be ""
	Language string   `json:"language"` // BCP 47, "de" or "de-AT"; may be ""
	Template Template `json:"template"`
	Data     Data     `json:"data"`
	// Decoy: not to be sent. It is work and traffic of the database for somebody who
	// does not exist, so that they cannot be told from others by time.
	Decoy bool `json:"decoy,omitempty"`

	// Key names the cause: while a row waits in the outbox, another one with the
	// same key is not added. It is stored in the clear, so it holds neither an
	// address nor a code. Empty: each message is its own cause.
	Key string `json:"-"`
	// Expires is when the mail is no longer worth sending. Zero: for mails with a
	// code after Data.Minutes, for others after 3 days.
	Expires time.Time `json:"-"`
}

// Data is what a template says.
type Data struct {
	Code     string    `json:"code,omitempty"`
	Minutes  int       `json:"minutes,omitempty"` // how long Code is good
	Username string    `json:"username,omitempty"`
	Device   string    `json:"device,omitempty"` // "Firefox on Linux"
	Place    string    `json:"place,omitempty"`  // the shortened network address
	At       time.Time `json:"at,omitzero"`
}

// expires returns when m, made now, is no longer worth sending.
func (m *Message) expires(now time.Time) time.Time {
	switch {
	case !m.Expires.IsZero():
		return m.Expires
	case m.Data.Code != "":
		return now.Add(time.Duration(m.Data.Minutes) * time.Minute)
	}
	return now.Add(72 * time.Hour)
}

// validate returns what of a message is missing: a mistake of the program.
func (m *Message) validate() error {
	code := m.Template == Verify || m.Template == Reset
	switch {
	case !slices.Contains(Templates(), m.Template):
		return errors.New("mail: no such template")
	case m.To == "":
		return errors.New("mail: no recipient")
	case code && (m.Data.Code == "" || m.Data.Minutes <= 0):
		return errors.New("mail: the template " + string(m.Template) + " lacks its code")
	}
	return nil
}
