package sqlstore

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/protocol"
)

const userColumns = "id, identity, email, email_key, username, password_hash, name, avatar, languages, interests, language, " +
	"roles, is_active, is_disabled, version, created_at, last_login_at"

const selectUser = "SELECT " + userColumns +
	", (SELECT COUNT(*) FROM totp WHERE totp.user_id = users.id AND totp.is_confirmed = TRUE)" +
	", (SELECT COUNT(*) FROM recovery_codes WHERE recovery_codes.user_id = users.id) FROM users"

func scanUser(row database.Scanner) (accounts.UserRow, error) {
	var u accounts.UserRow
	var languages, interests, roles string
	var created, login, totp int64
	err := row.Scan(&u.ID, &u.Identity, &u.Email, &u.EmailKey, &u.Username, &u.Password, &u.Name, &u.Avatar, &languages, &interests,
		&u.Language, &roles, &u.Active, &u.Disabled, &u.Version, &created, &login, &totp, &u.Recovery)
	if err != nil {
		return u, err
	}
	u.Created, u.LastLogin, u.TOTP = instant(created), instant(login), totp > 0
	for role := range strings.FieldsFuncSeq(roles, func(r rune) bool { return r == ',' }) {
		u.Roles = append(u.Roles, auth.Role(role))
	}
	return u, errors.Join(json.Unmarshal([]byte(languages), &u.Languages), json.Unmarshal([]byte(interests), &u.Interests))
}

// userArgs are the values of userColumns.
func userArgs(u accounts.UserRow) ([]any, error) {
	languages, err := words(u.Languages)
	if err != nil {
		return nil, err
	}
	interests, err := words(u.Interests)
	if err != nil {
		return nil, err
	}
	roles := make([]string, len(u.Roles))
	for i, role := range u.Roles {
		roles[i] = string(role)
	}
	return []any{u.ID, string(u.Identity), u.Email, u.EmailKey, u.Username, u.Password, u.Name, u.Avatar, languages, interests, u.Language,
		"," + strings.Join(roles, ",") + ",", u.Active, u.Disabled, u.Version, micros(u.Created), micros(u.LastLogin)}, nil
}

// words writes a list as JSON; nil is [].
func words(list []string) (string, error) {
	if list == nil {
		list = []string{}
	}
	text, err := json.Marshal(list)
	return string(text), err
}

// User implements accounts.Reader.
func (r *reader) User(by accounts.Field, value string) (accounts.UserRow, error) {
	var where string
	switch by {
	case accounts.ByID:
		where = " WHERE id = ?"
	case accounts.ByIdentity:
		where = " WHERE identity = ?"
	case accounts.ByEmail:
		where = " WHERE email_key = ?"
	case accounts.ByUsername:
		where = " WHERE username = ?"
	default:
		return accounts.UserRow{}, errors.New("sqlstore: no such field")
	}
	return one(r.q.QueryRow(selectUser+where+r.lock, value), scanUser)
}

// Users implements accounts.Reader.
func (r *reader) Users(p accounts.Page) ([]accounts.UserRow, error) {
	where, args := " WHERE 1 = 1", []any{}
	if p.After != "" {
		var after int64
		var id string
		err := r.q.QueryRow("SELECT created_at, id FROM users WHERE identity = ?", string(p.After)).Scan(&after, &id)
		if errors.Is(err, database.ErrNotFound) {
			return nil, accounts.ErrNotFound
		}
		if err != nil {
			return nil, err
		}
		where += " AND (created_at > ? OR created_at = ? AND id > ?)"
		args = append(args, after, after, id)
	}
	if p.Search != "" {
		part := escapeLike(strings.ToLower(p.Search)) + "%"
		where += " AND (email_key LIKE ? ESCAPE '!' OR username LIKE ? ESCAPE '!' OR identity LIKE ? ESCAPE '!')"
		args = append(args, part, part, part)
	}
	rows, err := r.q.Query(selectUser+where+" ORDER BY created_at, id LIMIT ?", append(args, p.Limit)...)
	return database.All(rows, err, scanUser)
}

// escapeLike makes text stand for itself in a pattern of LIKE … ESCAPE '!'.
func escapeLike(s string) string {
	return strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(s)
}

// Admins implements accounts.Reader.
func (r *reader) Admins() (int, error) {
	var n int
	err := r.q.QueryRow("SELECT COUNT(*) FROM users WHERE roles LIKE ? AND is_disabled = FALSE", "%,"+string(auth.RoleAdmin)+",%").Scan(&n)
	return n, err
}

// InsertUser implements accounts.Tx.
func (t *txn) InsertUser(u accounts.UserRow) error {
	args, err := userArgs(u)
	if err != nil {
		return err
	}
	return t.exec("INSERT INTO users ("+userColumns+") VALUES ("+database.Marks(len(args))+")", args...)
}

// UpdateUser implements accounts.Tx.
func (t *txn) UpdateUser(u accounts.UserRow) error {
	args, err := userArgs(u)
	if err != nil {
		return err
	}
	n, err := t.tx.Exec("UPDATE users SET "+strings.ReplaceAll(strings.TrimPrefix(userColumns, "id, "), ",", " = ?,")+" = ? WHERE id = ?",
		append(args[1:], u.ID)...)
	if err == nil && n == 0 {
		return accounts.ErrNotFound
	}
	return taken(err)
}

// DeleteUser implements accounts.Tx.
func (t *txn) DeleteUser(id string) error {
	for _, statement := range []string{
		"DELETE FROM refresh_tokens WHERE session_id IN (SELECT id FROM sessions WHERE user_id = ?)",
		"DELETE FROM sessions WHERE user_id = ?",
		"DELETE FROM user_devices WHERE user_id = ?",
		"DELETE FROM totp WHERE user_id = ?",
		"DELETE FROM recovery_codes WHERE user_id = ?",
		"DELETE FROM passkeys WHERE user_id = ?",
		"DELETE FROM audit_log WHERE user_id = ?",
		"DELETE FROM users WHERE id = ?",
	} {
		if err := t.exec(statement, id); err != nil {
			return err
		}
	}
	return t.exec("UPDATE audit_log SET actor_id = '' WHERE actor_id = ?", id)
}

// Departures implements accounts.Reader.
func (r *reader) Departures(limit int) ([]protocol.UserID, error) {
	rows, err := r.q.Query("SELECT identity FROM departures ORDER BY left_at, identity LIMIT ?", limit)
	return database.All(rows, err, func(row database.Scanner) (id protocol.UserID, err error) {
		err = row.Scan(&id)
		return id, err
	})
}

// PutDeparture implements accounts.Tx.
func (t *txn) PutDeparture(identity protocol.UserID, at time.Time) error {
	return t.put("departures", []string{"identity"}, []string{"identity", "left_at"}, string(identity), micros(at))
}

// DeleteDeparture implements accounts.Tx.
func (t *txn) DeleteDeparture(identity protocol.UserID) error {
	return t.exec("DELETE FROM departures WHERE identity = ?", string(identity))
}
