package accounts

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// Devices lists the devices on which the user is logged in, the last seen first; session is the one that
// asks. Errors: not_found.
func (a *Accounts) Devices(ctx context.Context, identity protocol.UserID, session string) ([]DeviceInfo, error) {
	var list []DeviceInfo
	err := a.cfg.Store.Read(ctx, "devices", func(r Reader) error {
		u, err := a.user(r, identity)
		if err != nil {
			return err
		}
		devices, err := r.Devices(u.ID)
		if err != nil {
			return err
		}
		sessions, err := r.Sessions(u.ID)
		list = loggedIn(devices, sessions, session, a.now())
		return err
	})
	return list, err
}

// loggedIn are the devices that have a session.
func loggedIn(devices []DeviceRow, sessions []SessionRow, current string, now time.Time) []DeviceInfo {
	open := map[string]bool{} // by device; true: the current one
	for _, s := range sessions {
		if now.Before(s.Expires) {
			open[s.Device] = open[s.Device] || s.ID == current
		}
	}
	list := []DeviceInfo{}
	for _, d := range devices {
		if isCurrent, ok := open[d.ID]; ok {
			list = append(list, info(d, isCurrent))
		}
	}
	slices.SortStableFunc(list, func(x, y DeviceInfo) int { return y.LastSeen.Compare(x.LastSeen) })
	return list
}

func info(d DeviceRow, current bool) DeviceInfo {
	return DeviceInfo{ID: d.ID, Name: describe(d), UserAgent: d.UserAgent, Addr: d.Addr, Created: d.Created, LastSeen: d.LastSeen, Current: current}
}

// ownDevice returns the user's device. Another's does not exist.
func ownDevice(r Reader, u UserRow, id string) (DeviceRow, error) {
	missing := protocol.Errorf(protocol.CodeNotFound, "there is no such device")
	if !plainID(id) {
		return DeviceRow{}, missing
	}
	d, err := r.Device(id)
	if errors.Is(err, ErrNotFound) || err == nil && (d.User != u.ID || !d.Active) {
		return DeviceRow{}, missing
	}
	return d, err
}

// RenameDevice names the user's device. Errors: not_found (also if it is another's), bad_request.
func (a *Accounts) RenameDevice(ctx context.Context, identity protocol.UserID, device, name string) (DeviceInfo, error) {
	name, err := cleanDeviceName(name)
	if err == nil && name == "" {
		err = protocol.Errorf(protocol.CodeBadRequest, "name: empty")
	}
	if err != nil {
		return DeviceInfo{}, err
	}
	var renamed DeviceInfo
	err = a.change(ctx, "device_rename", identity, func(tx Tx, u UserRow, now time.Time) ([]string, error) {
		d, err := ownDevice(tx, u, device)
		if err != nil {
			return nil, err
		}
		d.Name = name
		renamed = info(d, false)
		if err := tx.PutDevice(d); err != nil {
			return nil, err
		}
		return nil, a.log(tx, EventDeviceRenamed, u.ID, now, AuditRow{Device: d.ID})
	})
	return renamed, err
}

// RevokeDevice ends the device's session; it is not known any more. Errors: not_found (also if it is
// another's).
func (a *Accounts) RevokeDevice(ctx context.Context, identity protocol.UserID, device string) error {
	return a.change(ctx, "device_revoke", identity, func(tx Tx, u UserRow, now time.Time) ([]string, error) {
		d, err := ownDevice(tx, u, device)
		if err != nil {
			return nil, err
		}
		d.Active = false
		if err := tx.PutDevice(d); err != nil {
			return nil, err
		}
		if err := a.log(tx, EventDeviceRevoked, u.ID, now, AuditRow{Device: d.ID}); err != nil {
			return nil, err
		}
		return a.endSessions(tx, u.ID, now, func(s SessionRow) bool { return s.Device == d.ID })
	})
}

// describe is the device's name, or what its user agent says in words of our own: "Firefox on Linux".
func describe(d DeviceRow) string {
	if d.Name != "" {
		return d.Name
	}
	browser := firstOf(d.UserAgent, "a browser", [][2]string{
		{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"Chromium/", "Chromium"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"},
		{"curl/", "curl"}, {"Go-http-client/", "a program"},
	})
	system := firstOf(d.UserAgent, "", [][2]string{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"},
	})
	if system == "" {
		return browser
	}
	return browser + " on " + system
}

// firstOf returns the word of the first sign that is in s.
func firstOf(s, otherwise string, signs [][2]string) string {
	for _, sign := range signs {
		if strings.Contains(s, sign[0]) {
			return sign[1]
		}
	}
	return otherwise
}
