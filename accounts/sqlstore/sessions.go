package sqlstore

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"time"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/database"
)

// deviceInfo is what the column device_info holds.
type deviceInfo struct {
	Name      string `json:"name"`
	UserAgent string `json:"user_agent"`
	Addr      string `json:"addr"`
}

const selectDevice = "SELECT id, user_id, device_id, device_info, created_at, last_seen_at, is_active FROM user_devices"

func scanDevice(row database.Scanner) (accounts.DeviceRow, error) {
	var d accounts.DeviceRow
	var text string
	var created, seen int64
	if err := row.Scan(&d.ID, &d.User, &d.Secret, &text, &created, &seen, &d.Active); err != nil {
		return d, err
	}
	var info deviceInfo
	err := json.Unmarshal([]byte(text), &info)
	d.Name, d.UserAgent, d.Addr = info.Name, info.UserAgent, info.Addr
	d.Created, d.LastSeen = instant(created), instant(seen)
	return d, err
}

// Device implements accounts.Reader.
func (r *reader) Device(id string) (accounts.DeviceRow, error) {
	return one(r.q.QueryRow(selectDevice+" WHERE id = ?"+r.lock, id), scanDevice)
}

// DeviceBySecret implements accounts.Reader.
func (r *reader) DeviceBySecret(user, secret string) (accounts.DeviceRow, error) {
	return one(r.q.QueryRow(selectDevice+" WHERE user_id = ? AND device_id = ?"+r.lock, user, secret), scanDevice)
}

// Devices implements accounts.Reader.
func (r *reader) Devices(user string) ([]accounts.DeviceRow, error) {
	rows, err := r.q.Query(selectDevice+" WHERE user_id = ? ORDER BY created_at, id", user)
	return database.All(rows, err, scanDevice)
}

// PutDevice implements accounts.Tx.
func (t *txn) PutDevice(d accounts.DeviceRow) error {
	info, err := json.Marshal(deviceInfo{Name: d.Name, UserAgent: d.UserAgent, Addr: d.Addr})
	if err != nil {
		return err
	}
	return t.put("user_devices", []string{"id"},
		[]string{"id", "user_id", "device_id", "device_info", "created_at", "last_seen_at", "is_active"},
		d.ID, d.User, d.Secret, string(info), micros(d.Created), micros(d.LastSeen), d.Active)
}

// DeleteDevice implements accounts.Tx.
func (t *txn) DeleteDevice(id string) error {
	return t.exec("DELETE FROM user_devices WHERE id = ?", id)
}

const selectSession = "SELECT id, user_id, device_id, family, created_at, last_used_at, expires_at FROM sessions"

func scanSession(row database.Scanner) (accounts.SessionRow, error) {
	var s accounts.SessionRow
	var created, used, expires int64
	err := row.Scan(&s.ID, &s.User, &s.Device, &s.Family, &created, &used, &expires)
	s.Created, s.LastUsed, s.Expires = instant(created), instant(used), instant(expires)
	return s, err
}

// Session implements accounts.Reader.
func (r *reader) Session(id string) (accounts.SessionRow, error) {
	return one(r.q.QueryRow(selectSession+" WHERE id = ?"+r.lock, id), scanSession)
}

// SessionByFamily implements accounts.Reader.
func (r *reader) SessionByFamily(family string) (accounts.SessionRow, error) {
	return one(r.q.QueryRow(selectSession+" WHERE family = ?"+r.lock, family), scanSession)
}

// Sessions implements accounts.Reader.
func (r *reader) Sessions(user string) ([]accounts.SessionRow, error) {
	rows, err := r.q.Query(selectSession+" WHERE user_id = ? ORDER BY created_at, id"+r.lock, user)
	return database.All(rows, err, scanSession)
}

// PutSession implements accounts.Tx.
func (t *txn) PutSession(s accounts.SessionRow) error {
	return t.put("sessions", []string{"id"},
		[]string{"id", "user_id", "device_id", "family", "created_at", "last_used_at", "expires_at"},
		s.ID, s.User, s.Device, s.Family, micros(s.Created), micros(s.LastUsed), micros(s.Expires))
}

// Revoke implements accounts.Tx.
func (t *txn) Revoke(sessions []string, at, until time.Time) error {
	for _, table := range []string{"DELETE FROM refresh_tokens WHERE session_id", "DELETE FROM sessions WHERE id"} {
		if err := t.exec(table+" IN ("+database.Marks(len(sessions))+")", list(sessions)...); err != nil {
			return err
		}
	}
	first := sequence(at)
	for i, s := range sessions { // with one number for two, a page that ends between them would lose one
		err := t.put("revocations", []string{"session_id"}, []string{"session_id", "sequence", "until_at"}, s, first+int64(i), micros(until))
		if err != nil {
			return err
		}
	}
	return nil
}

// sequence is a number for something that happens now. Nodes draw theirs without asking
// one another: it is the time, and random bits for those who draw in the same microsecond.
func sequence(at time.Time) int64 { return micros(at)<<10 | rand.Int64N(1<<10) }

// Revocations implements auth.RevocationSource.
func (s *Store) Revocations(ctx context.Context, after int64, limit int) ([]auth.Revocation, error) {
	var list []auth.Revocation
	err := s.db.Read(ctx, "revocations", func(q database.Queryer) error {
		rows, err := q.Query("SELECT sequence, session_id, until_at FROM revocations WHERE sequence > ? ORDER BY sequence LIMIT ?", after, limit)
		list, err = database.All(rows, err, func(row database.Scanner) (auth.Revocation, error) {
			var r auth.Revocation
			var until int64
			err := row.Scan(&r.Sequence, &r.Session, &until)
			r.Until = instant(until)
			return r, err
		})
		return err
	})
	return list, err
}

// Token implements accounts.Reader.
func (r *reader) Token(hash string) (accounts.TokenRow, error) {
	return one(r.q.QueryRow("SELECT hash, session_id, created_at, superseded_at FROM refresh_tokens WHERE hash = ?"+r.lock, hash),
		func(row database.Scanner) (accounts.TokenRow, error) {
			var k accounts.TokenRow
			var created, superseded int64
			err := row.Scan(&k.Hash, &k.Session, &created, &superseded)
			k.Created, k.Superseded = instant(created), instant(superseded)
			return k, err
		})
}

// PutToken implements accounts.Tx.
func (t *txn) PutToken(k accounts.TokenRow) error {
	return t.put("refresh_tokens", []string{"hash"}, []string{"hash", "session_id", "created_at", "superseded_at"},
		k.Hash, k.Session, micros(k.Created), micros(k.Superseded))
}

// Supersede implements accounts.Tx.
func (t *txn) Supersede(session string, at, before time.Time) error {
	err := t.exec("DELETE FROM refresh_tokens WHERE session_id = ? AND superseded_at <> 0 AND superseded_at < ?", session, micros(before))
	if err != nil {
		return err
	}
	return t.exec("UPDATE refresh_tokens SET superseded_at = ? WHERE session_id = ? AND superseded_at = 0", micros(at), session)
}
