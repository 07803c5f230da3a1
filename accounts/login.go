package accounts

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// Login opens a session, and wakes an account that rested. Errors: credentials (whoever is wrong about
// what), needs_totp (the password is right: call again with Code), code_invalid, forbidden (the account
// is disabled; said only to who has the password), rate_limited.
func (a *Accounts) Login(ctx context.Context, r LoginRequest) (Login, error) {
	by, key := who(r.Who)
	found, err := a.lookUp(ctx, by, key, r.Device)
	if err != nil {
		return Login{}, err
	}
	if err := a.limitLogin(ctx, found, key, r.Device); err != nil {
		return Login{}, err
	}
	ok, rehash, err := a.checkPassword(ctx, found, r.Password)
	if err != nil {
		return Login{}, err
	}
	if !ok {
		return Login{}, a.refuse(ctx, found.user, r.Device, "password", errCredentials())
	}
	if err := a.mayLogin(ctx, found.user, r); err != nil {
		return Login{}, err
	}
	return a.enter(ctx, found.user, r, rehash)
}

// lookedUp is who wants to log in; nobody has an empty ID.
type lookedUp struct {
	user  UserRow
	known bool // the device is known to the account
}

// who tells addresses from usernames. What is neither is nobody's.
func who(s string) (by Field, key string) {
	if strings.Contains(s, "@") {
		if _, key, err := cleanEmail(s); err == nil {
			return ByEmail, key
		}
		return ByEmail, "@"
	}
	if name, err := cleanUsername(s); err == nil && name != "" {
		return ByUsername, name
	}
	return ByUsername, "-"
}

// lookUp reads the user and whether the device is known, with the same statements for nobody.
func (a *Accounts) lookUp(ctx context.Context, by Field, key string, d Device) (lookedUp, error) {
	var found lookedUp
	err := a.cfg.Store.Read(ctx, "login", func(r Reader) error {
		found = lookedUp{}
		u, err := r.User(by, key)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		found, err = a.lookedUp(r, u, d)
		return err
	})
	return found, err
}

// lookedUp tells whether the user, who may be nobody, knows the device.
func (a *Accounts) lookedUp(r Reader, u UserRow, d Device) (lookedUp, error) {
	device, err := r.DeviceBySecret(u.ID, a.deviceSecret(d))
	known, err := exists(err)
	return lookedUp{user: u, known: known && device.Active}, err
}

// limitLogin lets known devices pass whatever others do: neither who shares their
// address nor who attacks their account locks them out.
func (a *Accounts) limitLogin(ctx context.Context, found lookedUp, key string, d Device) error {
	l := a.cfg.Limits
	if found.known {
		return a.limit(ctx, "login_device", a.mac("limit", found.user.ID, d.ID), l.LoginDevice)
	}
	if err := a.limitAddr(ctx, "login_addr", d.Addr, l.LoginAddr); err != nil {
		return err
	}
	account := found.user.ID // an account has an address and a username: they share a bucket
	if account == "" {
		account = key
	}
	return a.limit(ctx, "login_account", a.mac("limit", account), l.LoginAccount)
}

// checkPassword does the same work for nobody.
func (a *Accounts) checkPassword(ctx context.Context, found lookedUp, password string) (ok, rehash bool, err error) {
	if found.user.ID == "" {
		return false, false, a.cfg.Passwords.CheckNobody(ctx, password)
	}
	return a.cfg.Passwords.Check(ctx, found.user.Password, password)
}

// refuse writes down an attempt that failed, also of nobody, and returns why.
func (a *Accounts) refuse(ctx context.Context, u UserRow, d Device, detail string, why error) error {
	now := a.now()
	err := a.write(ctx, "login_failed", func(tx Tx) error {
		return a.log(tx, EventLoginFailed, u.ID, now, AuditRow{Detail: detail, Addr: short(d.Addr)})
	})
	if err != nil {
		return err
	}
	return why
}

// mayLogin is what stands between the right password and a session.
func (a *Accounts) mayLogin(ctx context.Context, u UserRow, r LoginRequest) error {
	switch {
	case u.Disabled:
		return a.refuse(ctx, u, r.Device, "disabled", protocol.Errorf(protocol.CodeForbidden, "this account is disabled"))
	case u.TOTP && r.Code == "":
		return errNeedsTOTP()
	case u.TOTP:
		return a.limit(ctx, "second_factor", a.mac("limit", u.ID), a.cfg.Limits.SecondFactor)
	}
	return nil
}

// enter opens the session, unless the account changed since its password was checked.
func (a *Accounts) enter(ctx context.Context, checked UserRow, r LoginRequest, rehash bool) (Login, error) {
	phc := checked.Password
	if rehash {
		var err error
		if phc, err = a.cfg.Passwords.Hash(ctx, r.Password); err != nil {
			return Login{}, err
		}
	}
	now := a.now()
	var o *opened
	var why error
	err := a.write(ctx, "login", func(tx Tx) error {
		o, why = nil, errCredentials()
		u, err := tx.User(ByID, checked.ID)
		if found, err := exists(err); err != nil || !found || u.Password != checked.Password || u.Disabled {
			return err
		}
		if u.TOTP {
			ok, err := a.secondFactor(tx, u, r.Code, now)
			if err != nil {
				return err
			}
			if !ok {
				why = errCode()
				return a.log(tx, EventLoginFailed, u.ID, now, AuditRow{Detail: "code", Addr: short(r.Device.Addr)})
			}
		}
		o, err = a.admit(tx, u, phc, r.Device, now)
		return err
	})
	if err != nil {
		return Login{}, err
	}
	return a.finish(ctx, o, why)
}

// admit lets a user in who has shown everything.
func (a *Accounts) admit(tx Tx, u UserRow, phc string, d Device, now time.Time) (*opened, error) {
	if !u.Active {
		u.Active = true
		if err := a.log(tx, EventReactivated, u.ID, now, AuditRow{Addr: short(d.Addr)}); err != nil {
			return nil, err
		}
	}
	u.Password, u.LastLogin = phc, now
	if err := tx.UpdateUser(u); err != nil {
		return nil, err
	}
	return a.open(tx, u, d, now)
}
