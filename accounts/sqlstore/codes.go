package sqlstore

import (
	"time"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/protocol"
)

const registrationColumns = "id, email, email_key, username, password_hash, name, language, guest, device_id, created_at, expires_at"

func scanRegistration(row database.Scanner) (accounts.RegistrationRow, error) {
	var g accounts.RegistrationRow
	var guest string
	var created, expires int64
	err := row.Scan(&g.ID, &g.Email, &g.EmailKey, &g.Username, &g.Password, &g.Name, &g.Language, &guest, &g.Device, &created, &expires)
	g.Guest, g.Created, g.Expires = protocol.UserID(guest), instant(created), instant(expires)
	return g, err
}

// Registration implements accounts.Reader.
func (r *reader) Registration(email, device string) (accounts.RegistrationRow, error) {
	return one(r.q.QueryRow("SELECT "+registrationColumns+" FROM registrations WHERE email_key = ? AND device_id = ?"+r.lock, email, device),
		scanRegistration)
}

// RegistrationByUsername implements accounts.Reader.
func (r *reader) RegistrationByUsername(username string) (accounts.RegistrationRow, error) {
	return one(r.q.QueryRow("SELECT "+registrationColumns+" FROM registrations WHERE username = ?"+r.lock, username), scanRegistration)
}

// PutRegistration implements accounts.Tx.
func (t *txn) PutRegistration(g accounts.RegistrationRow) error {
	if err := t.exec("DELETE FROM registrations WHERE email_key = ? AND device_id = ?", g.EmailKey, g.Device); err != nil {
		return err
	}
	return t.exec("INSERT INTO registrations ("+registrationColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		g.ID, g.Email, g.EmailKey, g.Username, g.Password, g.Name, g.Language, string(g.Guest), g.Device, micros(g.Created), micros(g.Expires))
}

// DeleteRegistrations implements accounts.Tx.
func (t *txn) DeleteRegistrations(email string) error {
	return t.exec("DELETE FROM registrations WHERE email_key = ?", email)
}

// DeleteRegistration implements accounts.Tx.
func (t *txn) DeleteRegistration(id string) error {
	return t.exec("DELETE FROM registrations WHERE id = ?", id)
}

// Code implements accounts.Reader.
func (r *reader) Code(purpose accounts.Purpose, subject string) (accounts.CodeRow, error) {
	return one(r.q.QueryRow("SELECT hash, tries, created_at, expires_at FROM one_time_codes WHERE purpose = ? AND subject = ?"+r.lock,
		string(purpose), subject),
		func(row database.Scanner) (accounts.CodeRow, error) {
			c := accounts.CodeRow{Purpose: purpose, Subject: subject}
			var created, expires int64
			err := row.Scan(&c.Hash, &c.Tries, &created, &expires)
			c.Created, c.Expires = instant(created), instant(expires)
			return c, err
		})
}

// PutCode implements accounts.Tx.
func (t *txn) PutCode(c accounts.CodeRow) error {
	return t.put("one_time_codes", []string{"purpose", "subject"},
		[]string{"purpose", "subject", "hash", "tries", "created_at", "expires_at"},
		string(c.Purpose), c.Subject, c.Hash, c.Tries, micros(c.Created), micros(c.Expires))
}

// DeleteCode implements accounts.Tx.
func (t *txn) DeleteCode(purpose accounts.Purpose, subject string) error {
	return t.exec("DELETE FROM one_time_codes WHERE purpose = ? AND subject = ?", string(purpose), subject)
}

// TOTP implements accounts.Reader.
func (r *reader) TOTP(user string) (accounts.TOTPRow, error) {
	return one(r.q.QueryRow("SELECT secret, is_confirmed, last_step, created_at FROM totp WHERE user_id = ?"+r.lock, user),
		func(row database.Scanner) (accounts.TOTPRow, error) {
			f := accounts.TOTPRow{User: user}
			var created int64
			err := row.Scan(&f.Secret, &f.Confirmed, &f.LastStep, &created)
			f.Created = instant(created)
			return f, err
		})
}

// PutTOTP implements accounts.Tx.
func (t *txn) PutTOTP(f accounts.TOTPRow) error {
	return t.put("totp", []string{"user_id"}, []string{"user_id", "secret", "is_confirmed", "last_step", "created_at"},
		f.User, f.Secret, f.Confirmed, f.LastStep, micros(f.Created))
}

// DeleteTOTP implements accounts.Tx.
func (t *txn) DeleteTOTP(user string) error {
	if err := t.exec("DELETE FROM recovery_codes WHERE user_id = ?", user); err != nil {
		return err
	}
	return t.exec("DELETE FROM totp WHERE user_id = ?", user)
}

// RecoveryCodes implements accounts.Reader.
func (r *reader) RecoveryCodes(user string) ([]string, error) {
	rows, err := r.q.Query("SELECT hash FROM recovery_codes WHERE user_id = ? ORDER BY hash", user)
	return database.All(rows, err, func(row database.Scanner) (hash string, err error) {
		err = row.Scan(&hash)
		return hash, err
	})
}

// SetRecoveryCodes implements accounts.Tx.
func (t *txn) SetRecoveryCodes(user string, hashes []string) error {
	if err := t.exec("DELETE FROM recovery_codes WHERE user_id = ?", user); err != nil {
		return err
	}
	for _, hash := range hashes {
		if err := t.exec("INSERT INTO recovery_codes (user_id, hash) VALUES (?, ?)", user, hash); err != nil {
			return err
		}
	}
	return nil
}

// UseRecoveryCode implements accounts.Tx.
func (t *txn) UseRecoveryCode(user, hash string) (bool, error) {
	n, err := t.tx.Exec("DELETE FROM recovery_codes WHERE user_id = ? AND hash = ?", user, hash)
	return n == 1, err
}

const auditColumns = "id, user_id, actor_id, event, detail, device_id, addr, happened_at"

// Audit implements accounts.Reader.
func (r *reader) Audit(user string) ([]accounts.AuditRow, error) {
	rows, err := r.q.Query("SELECT "+auditColumns+" FROM audit_log WHERE user_id = ? ORDER BY happened_at, id", user)
	return database.All(rows, err, func(row database.Scanner) (accounts.AuditRow, error) {
		var l accounts.AuditRow
		var event string
		var at int64
		err := row.Scan(&l.ID, &l.User, &l.Actor, &event, &l.Detail, &l.Device, &l.Addr, &at)
		l.Event, l.At = accounts.Event(event), instant(at)
		return l, err
	})
}

// Log implements accounts.Tx.
func (t *txn) Log(l accounts.AuditRow) error {
	return t.exec("INSERT INTO audit_log ("+auditColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		l.ID, l.User, l.Actor, string(l.Event), l.Detail, l.Device, l.Addr, micros(l.At))
}

// Sweep implements accounts.Tx.
func (t *txn) Sweep(now, audit time.Time) error {
	err := t.exec("DELETE FROM refresh_tokens WHERE session_id IN (SELECT id FROM sessions WHERE expires_at <= ?)", micros(now))
	if err != nil {
		return err
	}
	for _, statement := range []string{
		"DELETE FROM sessions WHERE expires_at <= ?",
		"DELETE FROM registrations WHERE expires_at <= ?",
		"DELETE FROM one_time_codes WHERE expires_at <= ?",
		"DELETE FROM revocations WHERE until_at <= ?",
		"DELETE FROM idempotency_keys WHERE expires_at <= ?",
	} {
		if err := t.exec(statement, micros(now)); err != nil {
			return err
		}
	}
	return t.exec("DELETE FROM audit_log WHERE happened_at < ?", micros(audit))
}
