package sqlstore

import (
	"strings"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/internal/database"
)

const passkeyColumns = "id, user_id, credential_id, public_key, sign_count, transports, aaguid, is_backup_eligible, is_backed_up, name, created_at, last_used_at"

func scanPasskey(row database.Scanner) (accounts.PasskeyRow, error) {
	var k accounts.PasskeyRow
	var transports string
	var created, used int64
	err := row.Scan(&k.ID, &k.User, &k.Credential.ID, &k.Credential.PublicKey, &k.Credential.SignCount, &transports, &k.Credential.AAGUID,
		&k.Credential.BackupEligible, &k.Credential.BackedUp, &k.Name, &created, &used)
	if transports != "" {
		k.Credential.Transports = strings.Split(transports, ",")
	}
	k.Created, k.LastUsed = instant(created), instant(used)
	return k, err
}

func passkeyArgs(k accounts.PasskeyRow) []any {
	c := k.Credential
	return []any{k.ID, k.User, c.ID, c.PublicKey, int64(c.SignCount), strings.Join(c.Transports, ","), c.AAGUID, c.BackupEligible, c.BackedUp,
		k.Name, micros(k.Created), micros(k.LastUsed)}
}

// Passkey implements accounts.Reader.
func (r *reader) Passkey(id string) (accounts.PasskeyRow, error) {
	return one(r.q.QueryRow("SELECT "+passkeyColumns+" FROM passkeys WHERE id = ?"+r.lock, id), scanPasskey)
}

// PasskeyByCredential implements accounts.Reader.
func (r *reader) PasskeyByCredential(credential []byte) (accounts.PasskeyRow, error) {
	return one(r.q.QueryRow("SELECT "+passkeyColumns+" FROM passkeys WHERE credential_id = ?"+r.lock, credential), scanPasskey)
}

// Passkeys implements accounts.Reader.
func (r *reader) Passkeys(user string) ([]accounts.PasskeyRow, error) {
	rows, err := r.q.Query("SELECT "+passkeyColumns+" FROM passkeys WHERE user_id = ? ORDER BY created_at, id"+r.lock, user)
	return database.All(rows, err, scanPasskey)
}

// InsertPasskey implements accounts.Tx.
func (t *txn) InsertPasskey(k accounts.PasskeyRow) error {
	args := passkeyArgs(k)
	return t.exec("INSERT INTO passkeys ("+passkeyColumns+") VALUES ("+database.Marks(len(args))+")", args...)
}

// UpdatePasskey implements accounts.Tx.
func (t *txn) UpdatePasskey(k accounts.PasskeyRow) error {
	n, err := t.tx.Exec("UPDATE passkeys SET name = ?, sign_count = ?, is_backed_up = ?, last_used_at = ? WHERE id = ?",
		k.Name, int64(k.Credential.SignCount), k.Credential.BackedUp, micros(k.LastUsed), k.ID)
	if err == nil && n == 0 {
		return accounts.ErrNotFound
	}
	return err
}

// DeletePasskey implements accounts.Tx.
func (t *txn) DeletePasskey(id string) error {
	return t.exec("DELETE FROM passkeys WHERE id = ?", id)
}
