package accounts

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	"github.com/rondo-chat/rondo/internal/passkey"
	"github.com/rondo-chat/rondo/protocol"
)

// BeginPasskeyLogin asks for a passkey of whomever: the answer is the same for everybody, and nothing is
// stored. Errors: not_found (passkeys do not work here).
func (a *Accounts) BeginPasskeyLogin(_ context.Context, origin string) (PasskeyStart, error) {
	party, err := a.party(origin)
	if err != nil {
		return PasskeyStart{}, err
	}
	r, err := party.Get(a.cfg.Limits.PasskeyTTL)
	if err != nil {
		return PasskeyStart{}, err
	}
	return a.begin(passkeyGet, party, "", r, a.now())
}

// FinishPasskeyLogin opens a session for the passkey's owner, and wakes an account that rested. Its user
// was verified by the authenticator, so a second factor is not asked for. Errors: credentials (whatever is wrong
// about the passkey), code_invalid (the state is over or was answered), bad_request, forbidden (the account is disabled; said
// only to who has the passkey), rate_limited.
func (a *Accounts) FinishPasskeyLogin(ctx context.Context, r PasskeyAnswer) (Login, error) {
	now := a.now()
	c, party, err := a.resume(passkeyGet, r.State, r.Origin, now)
	if err != nil {
		return Login{}, err
	}
	given, err := passkey.ParseAssertion(r.Credential)
	if err != nil {
		return Login{}, protocol.Errorf(protocol.CodeBadRequest, "credential: this is no answer of a passkey")
	}
	if err := a.limitPasskey(ctx, given, r.Device); err != nil {
		return Login{}, err
	}
	var o *opened
	var why error
	err = a.write(ctx, "passkey_login", func(tx Tx) error {
		o, why = nil, errPasskey()
		fresh, err := a.spend(tx, c, now)
		if err != nil {
			return err
		}
		if !fresh {
			why = errCeremony()
			return nil
		}
		u, k, err := passkeyOwner(tx, given)
		if err != nil {
			return err
		}
		used, err := party.Verify(c.Challenge, given, holder(u, []PasskeyRow{k}))
		if u.ID == "" || err != nil {
			return a.refusePasskey(tx, u, r.Device, err, now)
		}
		if u.Disabled {
			why = protocol.Errorf(protocol.CodeForbidden, "this account is disabled")
			return a.log(tx, EventLoginFailed, u.ID, now, AuditRow{Detail: "disabled", Addr: short(r.Device.Addr)})
		}
		k.Credential, k.LastUsed = used, now
		if err := tx.UpdatePasskey(k); err != nil {
			return err
		}
		if err := a.log(tx, EventPasskeyUsed, u.ID, now, AuditRow{Addr: short(r.Device.Addr)}); err != nil {
			return err
		}
		o, err = a.admit(tx, u, u.Password, r.Device, now)
		return err
	})
	if err != nil {
		return Login{}, err
	}
	return a.finish(ctx, o, why)
}

// passkeyOwner returns the passkey that an assertion says it is by, and its user; nobody has an empty ID.
func passkeyOwner(r Reader, given passkey.Assertion) (UserRow, PasskeyRow, error) {
	k, err := r.PasskeyByCredential(given.ID)
	if found, err := exists(err); err != nil || !found {
		return UserRow{}, PasskeyRow{}, err
	}
	u, err := r.User(ByID, k.User)
	if found, err := exists(err); err != nil || !found {
		return UserRow{}, PasskeyRow{}, err
	}
	return u, k, nil
}

// limitPasskey counts as a login does. A passkey has a bucket of its own, so that who guesses an account's
// password does not lock it out.
func (a *Accounts) limitPasskey(ctx context.Context, given passkey.Assertion, d Device) error {
	var found lookedUp
	err := a.cfg.Store.Read(ctx, "passkey_login", func(r Reader) error {
		found = lookedUp{}
		u, _, err := passkeyOwner(r, given)
		if err != nil {
			return err
		}
		found, err = a.lookedUp(r, u, d)
		return err
	})
	if err != nil {
		return err
	}
	l := a.cfg.Limits
	if found.known {
		return a.limit(ctx, "login_device", a.mac("limit", found.user.ID, d.ID), l.LoginDevice)
	}
	if err := a.limitAddr(ctx, "login_addr", d.Addr, l.LoginAddr); err != nil {
		return err
	}
	return a.limit(ctx, "login_passkey", a.mac("limit", hex.EncodeToString(given.ID)), l.LoginPasskey)
}

// refusePasskey writes down a passkey that was refused, also of nobody.
func (a *Accounts) refusePasskey(tx Tx, u UserRow, d Device, why error, now time.Time) error {
	if why != nil {
		a.cfg.Logger.Debug("accounts: a passkey was refused", "err", why)
	}
	line := AuditRow{Detail: "passkey", Addr: short(d.Addr)}
	if errors.Is(why, passkey.ErrCloned) {
		if err := a.log(tx, EventPasskeyCloned, u.ID, now, AuditRow{Addr: line.Addr}); err != nil {
			return err
		}
	}
	return a.log(tx, EventLoginFailed, u.ID, now, line)
}
