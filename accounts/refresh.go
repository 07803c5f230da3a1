package accounts

import (
	"context"
	"errors"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// Refresh gives the session of the token a new access token and a new refresh token.
// A token that was used serves again for Limits.Grace, so that two tabs that refresh at once both go
// on; after that its session ends, for somebody else has it. Errors: unauthorized
// (log in again), rate_limited.
func (a *Accounts) Refresh(ctx context.Context, raw string, d Device) (Login, error) {
	token, ok := parseRefreshToken(raw)
	if !ok {
		return Login{}, errUnauthorized()
	}
	if err := a.limit(ctx, "refresh", token.family(), a.cfg.Limits.Refresh); err != nil {
		return Login{}, err
	}
	now := a.now()
	var o *opened
	var ended []string
	err := a.write(ctx, "refresh", func(tx Tx) (err error) {
		o, ended, err = a.rotate(tx, token, d, now)
		return err
	})
	if err != nil {
		return Login{}, err
	}
	a.revoked(ctx, ended)
	return a.finish(ctx, o, errUnauthorized())
}

// rotate exchanges the token for the next one. No session and no error: it is not
// good; ended is the session that ended because of it.
func (a *Accounts) rotate(tx Tx, token refreshToken, d Device, now time.Time) (o *opened, ended []string, err error) {
	s, err := tx.SessionByFamily(token.family())
	if found, err := exists(err); err != nil || !found || !now.Before(s.Expires) {
		return nil, nil, err
	}
	row, err := tx.Token(token.hash())
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, nil, err
	}
	if err != nil || row.Session != s.ID || a.stale(row, now) {
		return nil, []string{s.ID}, a.reused(tx, s, d, now)
	}
	u, err := tx.User(ByID, s.User)
	if found, err := exists(err); err != nil || !found || u.Disabled || !u.Active {
		return nil, nil, err
	}
	if row.Superseded.IsZero() {
		if err := tx.Supersede(s.ID, now, now.Add(-a.cfg.Limits.Grace)); err != nil {
			return nil, nil, err
		}
	}
	o = &opened{user: u, session: s, token: token.next()}
	if err := a.renew(tx, o, now); err != nil {
		return nil, nil, err
	}
	return o, nil, a.touch(tx, s.Device, d, now)
}

// stale reports whether the token was superseded too long ago to be another tab's.
func (a *Accounts) stale(row TokenRow, now time.Time) bool {
	return !row.Superseded.IsZero() && now.Sub(row.Superseded) > a.cfg.Limits.Grace
}

// reused ends a session whose token somebody has twice.
func (a *Accounts) reused(tx Tx, s SessionRow, d Device, now time.Time) error {
	if err := tx.Revoke([]string{s.ID}, now, now.Add(RevokedFor)); err != nil {
		return err
	}
	return a.log(tx, EventRefreshReuse, s.User, now, AuditRow{Device: s.Device, Addr: short(d.Addr)})
}

// touch notes where the session's device is.
func (a *Accounts) touch(tx Tx, id string, d Device, now time.Time) error {
	device, err := tx.Device(id)
	if found, err := exists(err); err != nil || !found {
		return err
	}
	device.LastSeen = now
	if d.UserAgent != "" {
		device.UserAgent = cleanUserAgent(d.UserAgent)
	}
	if d.Addr.IsValid() {
		device.Addr = short(d.Addr)
	}
	return tx.PutDevice(device)
}

// Logout ends the session. It is no error if there is none.
func (a *Accounts) Logout(ctx context.Context, session string) error {
	if !plainID(session) {
		return nil
	}
	return a.logout(ctx, func(tx Tx) (SessionRow, error) { return tx.Session(session) })
}

// LogoutToken ends the session of the refresh token, for who has no access token any more. It is
// no error if there is none.
func (a *Accounts) LogoutToken(ctx context.Context, raw string) error {
	token, ok := parseRefreshToken(raw)
	if !ok {
		return nil
	}
	return a.logout(ctx, func(tx Tx) (SessionRow, error) { return tx.SessionByFamily(token.family()) })
}

func (a *Accounts) logout(ctx context.Context, find func(Tx) (SessionRow, error)) error {
	now := a.now()
	var ended []string
	err := a.write(ctx, "logout", func(tx Tx) error {
		ended = nil
		s, err := find(tx)
		if found, err := exists(err); err != nil || !found {
			return err
		}
		ended = []string{s.ID}
		if err := tx.Revoke(ended, now, now.Add(RevokedFor)); err != nil {
			return err
		}
		return a.log(tx, EventLogout, s.User, now, AuditRow{Device: s.Device})
	})
	if err == nil {
		a.revoked(ctx, ended)
	}
	return err
}

// LogoutAll ends all sessions of the user except the one given ("": none). Errors: not_found.
func (a *Accounts) LogoutAll(ctx context.Context, identity protocol.UserID, except string) error {
	return a.change(ctx, "logout_all", identity, func(tx Tx, u UserRow, now time.Time) (ended []string, err error) {
		if err := a.log(tx, EventLogoutAll, u.ID, now, AuditRow{}); err != nil {
			return nil, err
		}
		return a.endSessions(tx, u.ID, now, func(s SessionRow) bool { return s.ID != except })
	})
}

// change runs f in a transaction for a user, and tells of the sessions that it
// ended.
func (a *Accounts) change(ctx context.Context, name string, identity protocol.UserID,
	f func(tx Tx, u UserRow, now time.Time) (ended []string, err error)) error {
	now := a.now()
	var ended []string
	err := a.write(ctx, name, func(tx Tx) error {
		u, err := a.user(tx, identity)
		if err == nil {
			ended, err = f(tx, u, now)
		}
		return err
	})
	if err == nil {
		a.revoked(ctx, ended)
	}
	return err
}
