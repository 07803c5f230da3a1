package accounts

import "time"

// putCode stores a code, in place of the subject's earlier one.
func (a *Accounts) putCode(tx Tx, purpose Purpose, subject, code string, now time.Time) error {
	return tx.PutCode(CodeRow{
		Purpose: purpose, Subject: subject, Hash: a.mac("code", string(purpose), subject, code),
		Created: now, Expires: now.Add(a.cfg.Limits.CodeTTL),
	})
}

// takeCode reports whether the code is right, and uses it up. A wrong one counts, so the
// transaction must be committed in either case.
func (a *Accounts) takeCode(tx Tx, purpose Purpose, subject, code string, now time.Time) (bool, error) {
	row, err := tx.Code(purpose, subject)
	if found, err := exists(err); err != nil || !found {
		return false, err
	}
	if !now.Before(row.Expires) || row.Tries >= a.cfg.Limits.CodeTries {
		return false, nil
	}
	if same(row.Hash, a.mac("code", string(purpose), subject, cleanDigits(code))) {
		return true, tx.DeleteCode(purpose, subject)
	}
	row.Tries++
	return false, tx.PutCode(row)
}
