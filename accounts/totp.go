package accounts

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/protocol"
)

// recoveryCodes is how many a user gets.
const recoveryCodes = 10

// EnrolTOTP makes a new secret for a second factor; it is on only after ConfirmTOTP. Errors:
// credentials, already (it is on), not_found, rate_limited.
func (a *Accounts) EnrolTOTP(ctx context.Context, identity protocol.UserID, p Proof) (Enrolment, error) {
	key := make([]byte, totpKeySize)
	_, _ = rand.Read(key) // never fails
	var e Enrolment
	err := a.proven(ctx, "totp_enrol", identity, p, func(tx Tx, u UserRow, now time.Time) ([]string, error) {
		if u.TOTP {
			return nil, protocol.Errorf(protocol.CodeAlready, "an authenticator is in use")
		}
		sealed, err := a.seal(u.ID, key)
		if err != nil {
			return nil, err
		}
		e = Enrolment{Secret: totpSecret(key), URL: totpURL(a.cfg.Service, u.Email, key)}
		return nil, tx.PutTOTP(TOTPRow{User: u.ID, Secret: sealed, Created: now})
	})
	if err != nil {
		return Enrolment{}, err
	}
	return e, nil
}

// ConfirmTOTP turns the second factor on if the code is right, and returns the recovery codes, which
// are never shown again. Errors: code_invalid (also if there is no enrolment), already, not_found, rate_limited.
func (a *Accounts) ConfirmTOTP(ctx context.Context, identity protocol.UserID, code string) (recovery []string, err error) {
	if err := a.limit(ctx, "second_factor", a.mac("limit", string(identity)), a.cfg.Limits.SecondFactor); err != nil {
		return nil, err
	}
	codes := newRecoveryCodes()
	err = a.change(ctx, "totp_confirm", identity, func(tx Tx, u UserRow, now time.Time) ([]string, error) {
		if u.TOTP {
			return nil, protocol.Errorf(protocol.CodeAlready, "an authenticator is in use")
		}
		ok, err := a.takeTOTP(tx, u, code, now)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, errCode()
		}
		if err := a.log(tx, EventTOTPEnabled, u.ID, now, AuditRow{}); err != nil {
			return nil, err
		}
		return nil, tx.SetRecoveryCodes(u.ID, a.hashRecovery(u.ID, codes))
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

// takeTOTP reports whether the code is right now, and that it does not serve again. The first right
// one confirms an enrolment.
func (a *Accounts) takeTOTP(tx Tx, u UserRow, code string, now time.Time) (bool, error) {
	row, err := tx.TOTP(u.ID)
	if found, err := exists(err); err != nil || !found {
		return false, err
	}
	key, err := a.unseal(u.ID, row.Secret)
	if err != nil {
		return false, err
	}
	step, ok := matchTOTP(key, cleanDigits(code), now, row.LastStep)
	if !ok {
		return false, nil
	}
	row.LastStep, row.Confirmed = step, true
	return true, tx.PutTOTP(row)
}

// secondFactor reports whether the code is the authenticator's or one of the recovery codes, and
// uses it up.
func (a *Accounts) secondFactor(tx Tx, u UserRow, code string, now time.Time) (bool, error) {
	if len(code) > 64 {
		return false, nil
	}
	if ok, err := a.takeTOTP(tx, u, code, now); err != nil || ok {
		return ok, err
	}
	ok, err := tx.UseRecoveryCode(u.ID, a.hashRecovery(u.ID, []string{code})[0])
	if err != nil || !ok {
		return false, err
	}
	return true, a.log(tx, EventRecoveryUsed, u.ID, now, AuditRow{})
}

// DisableTOTP turns the second factor off, which may be so already. Errors: credentials, not_found,
// rate_limited.
func (a *Accounts) DisableTOTP(ctx context.Context, identity protocol.UserID, p Proof) error {
	return a.proven(ctx, "totp_disable", identity, p, func(tx Tx, u UserRow, now time.Time) ([]string, error) {
		if err := tx.DeleteTOTP(u.ID); err != nil {
			return nil, err
		}
		return nil, a.log(tx, EventTOTPDisabled, u.ID, now, AuditRow{})
	})
}

// NewRecoveryCodes replaces the recovery codes. Errors: credentials, already (the second factor is off:
// there is nothing to recover), not_found, rate_limited.
func (a *Accounts) NewRecoveryCodes(ctx context.Context, identity protocol.UserID, p Proof) (recovery []string, err error) {
	codes := newRecoveryCodes()
	err = a.proven(ctx, "recovery_codes", identity, p, func(tx Tx, u UserRow, now time.Time) ([]string, error) {
		if !u.TOTP {
			return nil, protocol.Errorf(protocol.CodeAlready, "there is no authenticator in use")
		}
		if err := a.log(tx, EventRecoveryNew, u.ID, now, AuditRow{}); err != nil {
			return nil, err
		}
		return nil, tx.SetRecoveryCodes(u.ID, a.hashRecovery(u.ID, codes))
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

// newRecoveryCodes draws codes of 50 bits: "abcde-fghij".
func newRecoveryCodes() []string {
	codes := make([]string, recoveryCodes)
	for i := range codes {
		c := auth.Random(10)
		codes[i] = c[:5] + "-" + c[5:10]
	}
	return codes
}

// hashRecovery is how the user's recovery codes are stored, whatever people put between the letters.
func (a *Accounts) hashRecovery(user string, codes []string) []string {
	hashes := make([]string, len(codes))
	for i, c := range codes {
		hashes[i] = a.mac("recovery", user, strings.ToLower(cleanDigits(c)))
	}
	return hashes
}
