package accounts

import (
	"context"
	"slices"
	"time"

	"github.com/rondo-chat/rondo/internal/mail"
)

// opened is a session that a transaction opened or renewed.
type opened struct {
	user    UserRow
	session SessionRow
	token   refreshToken
	device  string // Device.ID
	isNew   bool
	ended   []string // sessions that ended for it
}

// open makes a session on the device, which has one at a time.
func (a *Accounts) open(tx Tx, u UserRow, d Device, now time.Time) (*opened, error) {
	d = named(d)
	o := &opened{user: u, device: d.ID, token: newRefreshToken()}
	device, evicted, err := a.seen(tx, u, d, now)
	if err != nil {
		return nil, err
	}
	o.isNew = device.Created.Equal(now)
	o.ended, err = a.endSessions(tx, u.ID, now, func(s SessionRow) bool { return s.Device == device.ID || slices.Contains(evicted, s.Device) })
	if err != nil {
		return nil, err
	}
	o.session = SessionRow{ID: newID(now), User: u.ID, Device: device.ID, Family: o.token.family(), Created: now}
	if err := a.renew(tx, o, now); err != nil {
		return nil, err
	}
	return o, a.log(tx, EventLogin, u.ID, now, AuditRow{Device: device.ID, Addr: short(d.Addr)})
}

// renew stores the session's next token and that it was used.
func (a *Accounts) renew(tx Tx, o *opened, now time.Time) error {
	s := &o.session
	s.LastUsed, s.Expires = now, now.Add(a.cfg.Limits.RefreshTTL)
	if last := s.Created.Add(a.cfg.Limits.SessionMax); s.Expires.After(last) {
		s.Expires = last
	}
	if err := tx.PutSession(*s); err != nil {
		return err
	}
	return tx.PutToken(TokenRow{Hash: o.token.hash(), Session: s.ID, Created: now})
}

// seen notes that the user is at the device. A device that is new is one that
// was Created now; for it others may have been evicted.
func (a *Accounts) seen(tx Tx, u UserRow, d Device, now time.Time) (device DeviceRow, evicted []string, err error) {
	device, err = tx.DeviceBySecret(u.ID, a.deviceSecret(d))
	found, err := exists(err)
	if err != nil {
		return device, nil, err
	}
	if !found {
		device = DeviceRow{ID: newID(now), User: u.ID, Secret: a.deviceSecret(d)}
		if evicted, err = a.evict(tx, u); err != nil {
			return device, nil, err
		}
	}
	if !device.Active {
		device.Created = now
	}
	if name, err := cleanDeviceName(d.Name); err == nil && name != "" {
		device.Name = name
	}
	device.UserAgent, device.Addr, device.LastSeen, device.Active = cleanUserAgent(d.UserAgent), short(d.Addr), now, true
	if err := tx.PutDevice(device); err != nil {
		return device, nil, err
	}
	if device.Created.Equal(now) && !u.Created.Equal(now) {
		err = a.announce(tx, u, device, now)
	}
	return device, evicted, err
}

// announce tells the user of a device that was not seen before.
func (a *Accounts) announce(tx Tx, u UserRow, d DeviceRow, now time.Time) error {
	if err := a.log(tx, EventNewDevice, u.ID, now, AuditRow{Device: d.ID, Addr: d.Addr}); err != nil {
		return err
	}
	return a.mail(tx, mail.Message{To: u.Email, Name: u.Name, Language: u.Language, Template: mail.NewDevice,
		Data: mail.Data{Device: describe(d), Place: d.Addr, At: now}}, now)
}

// evict makes room for one more device and returns those that went: the longest unseen.
func (a *Accounts) evict(tx Tx, u UserRow) ([]string, error) {
	devices, err := tx.Devices(u.ID)
	if err != nil || len(devices) < a.cfg.Limits.Devices {
		return nil, err
	}
	slices.SortFunc(devices, func(x, y DeviceRow) int { return y.LastSeen.Compare(x.LastSeen) })
	var evicted []string
	for _, d := range devices[a.cfg.Limits.Devices-1:] {
		evicted = append(evicted, d.ID)
		if err := tx.DeleteDevice(d.ID); err != nil {
			return nil, err
		}
	}
	return evicted, nil
}

// endSessions ends those of the user's sessions that which names, and returns them.
func (a *Accounts) endSessions(tx Tx, user string, now time.Time, which func(SessionRow) bool) ([]string, error) {
	sessions, err := tx.Sessions(user)
	if err != nil {
		return nil, err
	}
	var ended []string
	for _, s := range sessions {
		if which(s) {
			ended = append(ended, s.ID)
		}
	}
	if len(ended) == 0 {
		return nil, nil
	}
	return ended, tx.Revoke(ended, now, now.Add(RevokedFor))
}

// finish makes the answer for a session that was opened, after the commit; otherwise is the error if none was.
func (a *Accounts) finish(ctx context.Context, o *opened, otherwise error) (Login, error) {
	if o == nil {
		return Login{}, otherwise
	}
	a.revoked(ctx, o.ended)
	access, expires, err := a.cfg.Issue(o.user.User, o.session.ID)
	if err != nil {
		return Login{}, err
	}
	return Login{
		User: o.user.User, Access: access, AccessExpires: expires, Refresh: o.token.String(), RefreshExpires: o.session.Expires,
		Session: o.session.ID, Device: o.device, NewDevice: o.isNew,
	}, nil
}

// revoked tells of sessions that ended, after the commit.
func (a *Accounts) revoked(ctx context.Context, sessions []string) {
	if len(sessions) > 0 {
		a.cfg.OnRevoked(ctx, sessions)
	}
}
