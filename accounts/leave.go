package accounts

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/mail"
	"github.com/rondo-chat/rondo/protocol"
)

// Deactivate lets the account rest: all sessions end, until its owner logs in again.
// Errors: credentials, needs_totp, code_invalid, not_found, rate_limited.
func (a *Accounts) Deactivate(ctx context.Context, identity protocol.UserID, p Proof) error {
	return a.proven(ctx, "deactivate", identity, p, func(tx Tx, u UserRow, now time.Time) ([]string, error) {
		u.Active = false
		if err := tx.UpdateUser(u); err != nil {
			return nil, err
		}
		if err := a.log(tx, EventDeactivated, u.ID, now, AuditRow{}); err != nil {
			return nil, err
		}
		return a.endSessions(tx, u.ID, now, func(SessionRow) bool { return true })
	})
}

// Delete deletes the user for good. A last mail says so: sealed, until it is sent. Errors:
// credentials, not_found, rate_limited, forbidden (the only administrator).
func (a *Accounts) Delete(ctx context.Context, identity protocol.UserID, p Proof) error {
	err := a.proven(ctx, "delete", identity, p, func(tx Tx, u UserRow, now time.Time) ([]string, error) {
		if err := keepAdmin(tx, u); err != nil {
			return nil, err
		}
		ended, err := a.endSessions(tx, u.ID, now, func(SessionRow) bool { return true })
		if err != nil {
			return nil, err
		}
		if err := tx.DeleteRegistrations(u.EmailKey); err != nil {
			return nil, err
		}
		if err := a.dropResets(tx, u); err != nil {
			return nil, err
		}
		if err := errors.Join(tx.DeleteUser(u.ID), tx.PutDeparture(u.Identity, now)); err != nil {
			return nil, err
		}
		if err := a.log(tx, EventDeleted, "", now, AuditRow{}); err != nil {
			return nil, err
		}
		return ended, a.mail(tx, mail.Message{To: u.Email, Name: u.Name, Language: u.Language, Template: mail.Deleted, Data: mail.Data{At: now}}, now)
	})
	a.uncache(ctx, identity)
	if err == nil {
		a.cfg.OnDeleted(ctx, identity)
	}
	return err
}

// maxDepartures is how many users Departures returns.
const maxDepartures = 100

// Departures returns users who were deleted and are not yet forgotten by what
// else knows them: the longest gone first, some at a time.
func (a *Accounts) Departures(ctx context.Context) (gone []protocol.UserID, err error) {
	err = a.cfg.Store.Read(ctx, "departures", func(r Reader) (err error) {
		gone, err = r.Departures(maxDepartures)
		return err
	})
	return gone, err
}

// Departed notes that a deleted user is forgotten everywhere: with that the last
// that was stored of them goes.
func (a *Accounts) Departed(ctx context.Context, identity protocol.UserID) error {
	return a.write(ctx, "departed", func(tx Tx) error { return tx.DeleteDeparture(identity) })
}

// dropResets deletes the codes that the user's devices asked for. Those of others end by themselves within minutes.
func (a *Accounts) dropResets(tx Tx, u UserRow) error {
	devices, err := tx.Devices(u.ID)
	if err != nil {
		return err
	}
	for _, d := range devices {
		if err := tx.DeleteCode(PurposeReset, a.resetSubject(u.EmailKey, d.Secret)); err != nil {
			return err
		}
	}
	return nil
}

// keepAdmin refuses to take away the only administrator.
func keepAdmin(r Reader, u UserRow) error {
	if !u.Has(auth.RoleAdmin) || u.Disabled {
		return nil
	}
	n, err := r.Admins()
	if err != nil {
		return err
	}
	if n <= 1 {
		return protocol.Errorf(protocol.CodeForbidden, "this is the only administrator")
	}
	return nil
}

// Export is all that is stored of a user, but for secrets.
type Export struct {
	User     User            `json:"user"`
	TOTP     *FactorInfo     `json:"totp,omitempty"`
	Passkeys []PasskeyRecord `json:"passkeys"`
	Devices  []DeviceInfo    `json:"devices"`
	Sessions []SessionInfo   `json:"sessions"`
	Log      []AuditInfo     `json:"log"`
	// Chat is what other parts know of the person: theirs to fill.
	Chat any `json:"chat,omitempty"`
}

// FactorInfo is what is stored of a second factor besides its secret.
type FactorInfo struct {
	Confirmed bool      `json:"confirmed"`
	Created   time.Time `json:"created"`
}

// PasskeyRecord is all that is stored of a passkey. What is secret of it never leaves the authenticator.
type PasskeyRecord struct {
	PasskeyInfo
	Credential []byte   `json:"credential_id"` // base64
	PublicKey  []byte   `json:"public_key"`    // COSE, base64
	Uses       uint32   `json:"sign_count"`
	Transports []string `json:"transports,omitempty"`
	Model      string   `json:"aaguid"` // of the authenticator
}

// SessionInfo is a session as its owner sees it.
type SessionInfo struct {
	ID       string    `json:"id"`
	Device   string    `json:"device"`
	Created  time.Time `json:"created"`
	LastUsed time.Time `json:"last_used"`
	Expires  time.Time `json:"expires"`
}

// AuditInfo is a line of the audit log as its owner sees it.
type AuditInfo struct {
	Event  Event     `json:"event"`
	Detail string    `json:"detail,omitempty"`
	Device string    `json:"device,omitempty"`
	Addr   string    `json:"addr,omitempty"`
	At     time.Time `json:"at"`
}

// Export returns all that is stored of the user, but for secrets. Errors: not_found.
func (a *Accounts) Export(ctx context.Context, identity protocol.UserID) (Export, error) {
	var e Export
	err := a.change(ctx, "export", identity, func(tx Tx, u UserRow, now time.Time) ([]string, error) {
		if err := a.log(tx, EventExported, u.ID, now, AuditRow{}); err != nil {
			return nil, err
		}
		var err error
		e, err = collect(tx, u)
		return nil, err
	})
	return e, err
}

func collect(r Reader, u UserRow) (Export, error) {
	e := Export{User: u.User, Passkeys: []PasskeyRecord{}, Devices: []DeviceInfo{}, Sessions: []SessionInfo{}, Log: []AuditInfo{}}
	devices, err := r.Devices(u.ID)
	if err != nil {
		return e, err
	}
	for _, d := range devices {
		e.Devices = append(e.Devices, info(d, false))
	}
	sessions, err := r.Sessions(u.ID)
	if err != nil {
		return e, err
	}
	for _, s := range sessions {
		e.Sessions = append(e.Sessions, SessionInfo{ID: s.ID, Device: s.Device, Created: s.Created, LastUsed: s.LastUsed, Expires: s.Expires})
	}
	factor, err := r.TOTP(u.ID)
	switch {
	case err == nil:
		e.TOTP = &FactorInfo{Confirmed: factor.Confirmed, Created: factor.Created}
	case !errors.Is(err, ErrNotFound):
		return e, err
	}
	passkeys, err := r.Passkeys(u.ID)
	if err != nil {
		return e, err
	}
	for _, k := range passkeys {
		c := k.Credential
		e.Passkeys = append(e.Passkeys, PasskeyRecord{
			PasskeyInfo: passkeyInfo(k), Credential: c.ID, PublicKey: c.PublicKey, Uses: c.SignCount, Transports: c.Transports, Model: hex.EncodeToString(c.AAGUID),
		})
	}
	lines, err := r.Audit(u.ID)
	for _, l := range lines {
		e.Log = append(e.Log, AuditInfo{Event: l.Event, Detail: l.Detail, Device: l.Device, Addr: l.Addr, At: l.At})
	}
	return e, err
}

// Sweep deletes what is over: call it about once an hour, on any number of nodes.
func (a *Accounts) Sweep(ctx context.Context) error {
	now := a.now()
	return a.write(ctx, "sweep", func(tx Tx) error { return tx.Sweep(now, now.Add(-a.cfg.Limits.AuditTTL)) })
}
