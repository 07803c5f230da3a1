package accounts

import (
	"context"
	"time"

	"github.com/rondo-chat/rondo/internal/mail"
	"github.com/rondo-chat/rondo/protocol"
)

// prove checks the password of an open session's user again.
func (a *Accounts) prove(ctx context.Context, identity protocol.UserID, p Proof) (UserRow, error) {
	var u UserRow
	err := a.cfg.Store.Read(ctx, "prove", func(r Reader) (err error) {
		u, err = a.user(r, identity)
		return err
	})
	if err != nil {
		return u, err
	}
	if err := a.limit(ctx, "proof", a.mac("limit", u.ID), a.cfg.Limits.Proof); err != nil {
		return u, err
	}
	ok, _, err := a.cfg.Passwords.Check(ctx, u.Password, p.Password)
	switch {
	case err != nil:
		return u, err
	case !ok:
		return u, errPassword()
	case u.TOTP && p.Code == "":
		return u, errNeedsTOTP()
	case u.TOTP:
		return u, a.limit(ctx, "second_factor", a.mac("limit", u.ID), a.cfg.Limits.SecondFactor)
	}
	return u, nil
}

func errPassword() error { return protocol.Errorf(protocol.CodeCredentials, "the password is wrong") }

// proven is change for what needs a proof: f gets the user as it is now, whose password is still the
// one that was checked, and whose code was right.
func (a *Accounts) proven(ctx context.Context, name string, identity protocol.UserID, p Proof,
	f func(tx Tx, u UserRow, now time.Time) (ended []string, err error)) error {
	checked, err := a.prove(ctx, identity, p)
	if err != nil {
		return err
	}
	wrong := false
	err = a.change(ctx, name, identity, func(tx Tx, u UserRow, now time.Time) ([]string, error) {
		wrong = false
		if u.ID != checked.ID || u.Password != checked.Password || u.TOTP != checked.TOTP {
			return nil, errPassword()
		}
		if u.TOTP {
			ok, err := a.secondFactor(tx, u, p.Code, now)
			if err != nil {
				return nil, err
			}
			if wrong = !ok; wrong {
				return nil, a.log(tx, EventLoginFailed, u.ID, now, AuditRow{Detail: "code"})
			}
		}
		return f(tx, u, now)
	})
	if err == nil && wrong {
		err = errCode()
	}
	return err
}

// ChangePassword sets a new password and ends all sessions but the one given. Errors:
// credentials (the proof is wrong), bad_request, not_found, rate_limited.
func (a *Accounts) ChangePassword(ctx context.Context, identity protocol.UserID, session string, p Proof, password string) error {
	var u UserRow
	err := a.cfg.Store.Read(ctx, "password", func(r Reader) (err error) {
		u, err = a.user(r, identity)
		return err
	})
	if err != nil {
		return err
	}
	if weak := a.cfg.Acceptable(password, u.Email, u.Username, u.Name); weak != nil {
		return weak
	}
	phc, err := a.cfg.Passwords.Hash(ctx, password)
	if err != nil {
		return err
	}
	return a.proven(ctx, "password", identity, p, func(tx Tx, u UserRow, now time.Time) ([]string, error) {
		return a.setPassword(tx, u, phc, EventPasswordChanged, session, now)
	})
}

// setPassword stores a new password, tells the user by mail, and ends all
// sessions but one.
func (a *Accounts) setPassword(tx Tx, u UserRow, phc string, event Event, except string, now time.Time) ([]string, error) {
	u.Password = phc
	if err := tx.UpdateUser(u); err != nil {
		return nil, err
	}
	if err := a.log(tx, event, u.ID, now, AuditRow{}); err != nil {
		return nil, err
	}
	err := a.mail(tx, mail.Message{To: u.Email, Name: u.Name, Language: u.Language, Template: mail.PasswordChanged, Data: mail.Data{At: now}}, now)
	if err != nil {
		return nil, err
	}
	return a.endSessions(tx, u.ID, now, func(s SessionRow) bool { return s.ID != except })
}

// Forgot mails a code for Reset to the address if somebody has it. The answer, and the
// rows written, are the same if nobody has. Errors: bad_request (no address), rate_limited.
func (a *Accounts) Forgot(ctx context.Context, email string, d Device) (Pending, error) {
	d = named(d)
	email, key, err := cleanEmail(email)
	if err != nil {
		return Pending{}, err
	}
	if err := a.limitCodes(ctx, key, d); err != nil {
		return Pending{}, err
	}
	now, code := a.now(), newCode()
	err = a.write(ctx, "forgot", func(tx Tx) error {
		u, err := tx.User(ByEmail, key)
		found, err := exists(err)
		if err != nil {
			return err
		}
		if !found || u.Disabled {
			u = UserRow{User: User{Email: email}}
		}
		if err := a.putCode(tx, PurposeReset, a.resetSubject(key, a.deviceSecret(d)), code, now); err != nil {
			return err
		}
		if err := a.log(tx, EventResetAsked, u.ID, now, AuditRow{Addr: short(d.Addr)}); err != nil {
			return err
		}
		return a.sendReset(tx, u, code, now)
	})
	if err != nil {
		return Pending{}, err
	}
	return a.pending(email, d, now), nil
}

// resetSubject names an address and the device that asked among the codes without naming either. Other devices
// can neither use the code nor its tries up.
func (a *Accounts) resetSubject(email, deviceSecret string) string {
	return a.mac("reset", email, deviceSecret)
}

// sendReset mails the code; to nobody a decoy.
func (a *Accounts) sendReset(tx Tx, u UserRow, code string, now time.Time) error {
	return a.mail(tx, mail.Message{To: u.Email, Name: u.Name, Language: u.Language, Template: mail.Reset, Decoy: u.ID == "",
		Data: mail.Data{Code: code, Minutes: int(a.cfg.Limits.CodeTTL / time.Minute)}}, now)
}

// Reset sets a new password with the code of Forgot, at the device that asked for it, and ends all
// sessions. A second factor stays. Errors: code_invalid, bad_request, rate_limited.
func (a *Accounts) Reset(ctx context.Context, email, code, password string, d Device) error {
	email, key, err := cleanEmail(email)
	if err != nil {
		return err
	}
	if weak := a.cfg.Acceptable(password, email); weak != nil {
		return weak
	}
	if err := a.limitAddr(ctx, "guess", d.Addr, a.cfg.Limits.GuessAddr); err != nil {
		return err
	}
	phc, err := a.cfg.Passwords.Hash(ctx, password)
	if err != nil {
		return err
	}
	now := a.now()
	var done bool
	var ended []string
	err = a.write(ctx, "reset", func(tx Tx) error {
		done, ended = false, nil
		ok, err := a.takeCode(tx, PurposeReset, a.resetSubject(key, a.deviceSecret(d)), code, now)
		if err != nil || !ok {
			return err
		}
		u, err := tx.User(ByEmail, key)
		if found, err := exists(err); err != nil || !found || u.Disabled {
			return err
		}
		done = true
		ended, err = a.setPassword(tx, u, phc, EventPasswordReset, "", now)
		return err
	})
	if err != nil {
		return err
	}
	a.revoked(ctx, ended)
	if !done {
		return errCode()
	}
	return nil
}
