package accounts

import (
	"context"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/mail"
	"github.com/rondo-chat/rondo/protocol"
)

// registrationTTL is how long a registration waits, with as many codes as are asked for.
const registrationTTL = time.Hour

// Register begins an account: a code goes to the address, which Verify takes from the same device. Whoever
// has the address registered already gets a mail that says so instead; the
// answer is the same. Errors: bad_request, taken (the username), rate_limited.
func (a *Accounts) Register(ctx context.Context, r Registration) (Pending, error) {
	r.Device = named(r.Device)
	g, err := a.cleanRegistration(r)
	if err != nil {
		return Pending{}, err
	}
	if err := a.limitAddr(ctx, "register", r.Device.Addr, a.cfg.Limits.RegisterAddr); err != nil {
		return Pending{}, err
	}
	if err := a.limit(ctx, "mail", a.mac("limit", g.EmailKey), a.cfg.Limits.Mail); err != nil {
		return Pending{}, err
	}
	if g.Password, err = a.cfg.Passwords.Hash(ctx, r.Password); err != nil {
		return Pending{}, err
	}
	now, code := a.now(), newCode()
	g.ID, g.Created, g.Expires = newID(now), now, now.Add(registrationTTL)
	err = a.write(ctx, "register", func(tx Tx) error {
		if err := a.reserve(tx, g, now); err != nil {
			return err
		}
		if err := a.dropRegistration(tx, g.EmailKey, g.Device); err != nil {
			return err
		}
		if err := tx.PutRegistration(g); err != nil {
			return err
		}
		return a.sendVerify(tx, g, code, now)
	})
	if err != nil {
		return Pending{}, err
	}
	return a.pending(g.Email, r.Device, now), nil
}

// pending is the answer to who asks for a code, from a device that has an ID.
func (a *Accounts) pending(email string, d Device, now time.Time) Pending {
	return Pending{Email: email, Expires: now.Add(a.cfg.Limits.CodeTTL), Device: d.ID}
}

// named gives a device that has no ID one.
func named(d Device) Device {
	if d.ID == "" || len(d.ID) > maxDeviceID {
		d.ID = NewDeviceID()
	}
	return d
}

// cleanRegistration checks all that can be checked without looking anybody up.
func (a *Accounts) cleanRegistration(r Registration) (g RegistrationRow, err error) {
	if g.Email, g.EmailKey, err = cleanEmail(r.Email); err != nil {
		return g, err
	}
	if g.Username, err = cleanUsername(r.Username); err != nil {
		return g, err
	}
	if g.Name, err = cleanName(r.Name, g.Username); err != nil {
		return g, err
	}
	if g.Language, err = cleanLanguage(r.Language); err != nil {
		return g, err
	}
	if weak := a.cfg.Acceptable(r.Password, g.Email, g.Username, g.Name); weak != nil {
		return g, weak
	}
	if r.Guest != "" && !plainID(string(r.Guest)) {
		return g, protocol.Errorf(protocol.CodeBadRequest, "guest: no such guest")
	}
	g.Guest, g.Device = r.Guest, a.deviceSecret(r.Device)
	return g, nil
}

// reserve sees that the username is free, for users and other registrations. It does not look
// at the address, so its answer says nothing about that.
func (a *Accounts) reserve(tx Tx, g RegistrationRow, now time.Time) error {
	if err := free(tx, g.Username); err != nil {
		return err
	}
	other, err := tx.RegistrationByUsername(g.Username)
	found, err := exists(err)
	if err != nil || !found {
		return err
	}
	if other.EmailKey != g.EmailKey && now.Before(other.Expires) {
		return errTaken()
	}
	if err := tx.DeleteCode(PurposeVerify, other.ID); err != nil {
		return err
	}
	return tx.DeleteRegistration(other.ID)
}

// free sees that no user has the username.
func free(r Reader, username string) error {
	_, err := r.User(ByUsername, username)
	if found, err := exists(err); err != nil || !found {
		return err
	}
	return errTaken()
}

func errTaken() error { return protocol.Errorf(protocol.CodeTaken, "username: somebody has it") }

// dropRegistration deletes the device's earlier registration of the address, with its code.
func (a *Accounts) dropRegistration(tx Tx, email, device string) error {
	old, err := tx.Registration(email, device)
	found, err := exists(err)
	if err != nil || !found {
		return err
	}
	if err := tx.DeleteCode(PurposeVerify, old.ID); err != nil {
		return err
	}
	return tx.DeleteRegistration(old.ID)
}

// sendVerify mails the code. If the address is somebody's, that person gets to know that, and the code,
// which is stored all the same, nobody.
func (a *Accounts) sendVerify(tx Tx, g RegistrationRow, code string, now time.Time) error {
	// Of what the registering person typed nothing goes to an address that may be another's.
	m := mail.Message{To: g.Email, Language: g.Language, Template: mail.Verify, Key: "verify " + newID(now),
		Data: mail.Data{Code: code, Minutes: int(a.cfg.Limits.CodeTTL / time.Minute)}}
	u, err := tx.User(ByEmail, g.EmailKey)
	found, err := exists(err)
	if err != nil {
		return err
	}
	if found {
		m.To, m.Name, m.Language, m.Template, m.Data = u.Email, u.Name, u.Language, mail.AlreadyRegistered, mail.Data{Username: u.Username}
	}
	if err := a.putCode(tx, PurposeVerify, g.ID, code, now); err != nil {
		return err
	}
	return a.mail(tx, m, now)
}

// Resend mails a new code for the registration of this device, if there is one;
// the old code is void. Errors: bad_request, rate_limited.
func (a *Accounts) Resend(ctx context.Context, email string, d Device) (Pending, error) {
	d = named(d)
	email, key, err := cleanEmail(email)
	if err != nil {
		return Pending{}, err
	}
	if err := a.limitCodes(ctx, key, d); err != nil {
		return Pending{}, err
	}
	now, code := a.now(), newCode()
	err = a.write(ctx, "resend", func(tx Tx) error {
		g, err := a.registration(tx, key, d, now)
		if found, err := exists(err); err != nil || !found {
			return err
		}
		return a.sendVerify(tx, g, code, now)
	})
	if err != nil {
		return Pending{}, err
	}
	return a.pending(email, d, now), nil
}

// limitCodes limits how often a code is asked for again.
func (a *Accounts) limitCodes(ctx context.Context, email string, d Device) error {
	if err := a.limitAddr(ctx, "register", d.Addr, a.cfg.Limits.RegisterAddr); err != nil {
		return err
	}
	if err := a.limit(ctx, "resend", a.mac("limit", email), a.cfg.Limits.Resend); err != nil {
		return err
	}
	return a.limit(ctx, "mail", a.mac("limit", email), a.cfg.Limits.Mail)
}

// registration finds what the device may verify: its own.
func (a *Accounts) registration(tx Tx, email string, d Device, now time.Time) (RegistrationRow, error) {
	g, err := tx.Registration(email, a.deviceSecret(d))
	if err == nil && !now.Before(g.Expires) {
		err = ErrNotFound
	}
	return g, err
}

// Verify makes the account that was registered from this device with the address, and logs in.
// Errors: code_invalid (the code is wrong, too old, tried too often, or of nobody), taken (the username, meanwhile), bad_request, rate_limited.
func (a *Accounts) Verify(ctx context.Context, email, code string, d Device) (Login, error) {
	_, key, err := cleanEmail(email)
	if err != nil {
		return Login{}, err
	}
	if err := a.limitAddr(ctx, "guess", d.Addr, a.cfg.Limits.GuessAddr); err != nil {
		return Login{}, err
	}
	now := a.now()
	var opened *opened
	err = a.write(ctx, "verify", func(tx Tx) error {
		opened = nil
		g, err := a.registration(tx, key, d, now)
		if found, err := exists(err); err != nil || !found {
			return err
		}
		ok, err := a.takeCode(tx, PurposeVerify, g.ID, code, now)
		if err != nil || !ok {
			return err
		}
		opened, err = a.settle(tx, g, d, now)
		return err
	})
	if opened != nil { // also if it is not known whether that is committed
		a.uncache(ctx, opened.user.Identity)
	}
	if err != nil {
		return Login{}, err
	}
	return a.finish(ctx, opened, errCode())
}

// settle turns a verified registration into a user who is logged in; nil if somebody else has
// the address by now.
func (a *Accounts) settle(tx Tx, g RegistrationRow, d Device, now time.Time) (*opened, error) {
	if err := tx.DeleteRegistrations(g.EmailKey); err != nil {
		return nil, err
	}
	_, err := tx.User(ByEmail, g.EmailKey)
	if found, err := exists(err); err != nil || found {
		return nil, err
	}
	u, err := a.newUser(tx, g, now)
	if err != nil {
		return nil, err
	}
	if err := a.log(tx, EventRegistered, u.ID, now, AuditRow{Addr: short(d.Addr)}); err != nil {
		return nil, err
	}
	return a.open(tx, u, d, now)
}

// newUser inserts the user. A guest who became a user meanwhile is nobody's guest any more.
func (a *Accounts) newUser(tx Tx, g RegistrationRow, now time.Time) (UserRow, error) {
	u := UserRow{EmailKey: g.EmailKey, Password: g.Password, User: User{
		ID: newID(now), Identity: newIdentity(), Email: g.Email, Username: g.Username, Name: g.Name, Language: g.Language,
		Roles: []auth.Role{auth.RoleUser}, Active: true, Version: 1, Created: now, LastLogin: now,
	}}
	if g.Guest != "" {
		_, err := tx.User(ByIdentity, string(g.Guest))
		found, err := exists(err)
		if err != nil {
			return u, err
		}
		if !found {
			u.Identity = g.Guest
		}
	}
	if err := free(tx, u.Username); err != nil {
		return u, err
	}
	return u, tx.InsertUser(u)
}
