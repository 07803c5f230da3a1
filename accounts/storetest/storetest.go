// Package storetest is the conformance suite of accounts.Store.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/mail"
	"github.com/rondo-chat/rondo/internal/passkey"
	"github.com/rondo-chat/rondo/protocol"
)

// Run tests a driver. Each call of open returns an empty store.
func Run(t *testing.T, open func(testing.TB) accounts.Store) {
	tests := map[string]func(*testing.T, accounts.Store){
		"Users":         testUsers,
		"Taken":         testTaken,
		"Pages":         testPages,
		"Admins":        testAdmins,
		"Devices":       testDevices,
		"Sessions":      testSessions,
		"Tokens":        testTokens,
		"Registrations": testRegistrations,
		"Codes":         testCodes,
		"SecondFactor":  testSecondFactor,
		"Passkeys":      testPasskeys,
		"Audit":         testAudit,
		"DeleteUser":    testDeleteUser,
		"Departures":    testDepartures,
		"Sweep":         testSweep,
		"Rollback":      testRollback,
		"Serializable":  testSerializable,
		"Missing":       testMissing,
	}
	for name, f := range tests {
		t.Run(name, func(t *testing.T) { f(t, open(t)) })
	}
}

// at is a time of the suite, with microseconds.
func at(minutes int) time.Time {
	return time.Date(2026, 5, 1, 12, 0, 0, 123456000, time.UTC).Add(time.Duration(minutes) * time.Minute)
}

func user(n int) accounts.UserRow {
	return accounts.UserRow{
		EmailKey: fmt.Sprintf("user%d@example.org", n), Password: "$argon2id$v=19",
		User: accounts.User{
			ID: fmt.Sprintf("00000000-0000-7000-8000-%012d", n), Identity: protocol.UserID(fmt.Sprintf("u_%026d", n)), Email: fmt.Sprintf("User%d@example.org", n),
			Username: fmt.Sprintf("user_%d", n), Name: "Ünal 👩‍👩‍👧‍👦 '\"\\%", Avatar: "data:image/png;base64," + strings.Repeat("A", 90_000),
			Languages: []string{"de", "en"}, Interests: []string{"jazz", `"quoted", \`}, Language: "de", Roles: []auth.Role{auth.RoleAdmin, auth.RoleUser},
			Active: true, Version: 1 << 40, Created: at(n), LastLogin: time.Time{},
		},
	}
}

func write(t testing.TB, s accounts.Store, f func(accounts.Tx) error) {
	t.Helper()
	if err := s.Write(t.Context(), "test", f); err != nil {
		t.Fatal(err)
	}
}

// read returns what f reads, outside of any transaction that writes.
func read[T any](t testing.TB, s accounts.Store, f func(accounts.Reader) (T, error)) (T, error) {
	t.Helper()
	var v T
	err := s.Read(t.Context(), "test", func(r accounts.Reader) (err error) {
		v, err = f(r)
		return err
	})
	return v, err
}

// wants compares what f reads, both in a Read and within a Write.
func wants[T any](t testing.TB, s accounts.Store, want T, f func(accounts.Reader) (T, error)) {
	t.Helper()
	got, err := read(t, s, f)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, %v\nwant %+v", got, err, want)
	}
	write(t, s, func(tx accounts.Tx) error {
		if got, err = f(tx); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("in a transaction: read %+v, %v\nwant %+v", got, err, want)
		}
		return nil
	})
}

func testUsers(t *testing.T, s accounts.Store) {
	u := user(1)
	write(t, s, func(tx accounts.Tx) error { return tx.InsertUser(u) })
	for by, value := range map[accounts.Field]string{accounts.ByID: u.ID, accounts.ByIdentity: string(u.Identity), accounts.ByEmail: u.EmailKey, accounts.ByUsername: u.Username} {
		wants(t, s, u, func(r accounts.Reader) (accounts.UserRow, error) { return r.User(by, value) })
	}
	u.Name, u.Avatar, u.Languages, u.Interests, u.Roles = "x", "", []string{}, []string{}, []auth.Role{auth.RoleUser}
	u.Active, u.Disabled, u.Version, u.LastLogin, u.Password, u.Email, u.EmailKey = false, true, 2, at(9), "$other", "n@example.org", "n@example.org"
	write(t, s, func(tx accounts.Tx) error { return tx.UpdateUser(u) })
	wants(t, s, u, func(r accounts.Reader) (accounts.UserRow, error) { return r.User(accounts.ByID, u.ID) })
	err := s.Write(t.Context(), "test", func(tx accounts.Tx) error { return tx.UpdateUser(user(2)) })
	if !errors.Is(err, accounts.ErrNotFound) {
		t.Errorf("update of nobody: %v", err)
	}
}

func testTaken(t *testing.T, s accounts.Store) {
	write(t, s, func(tx accounts.Tx) error { return errors.Join(tx.InsertUser(user(1)), tx.InsertUser(user(3))) })
	for field, change := range map[accounts.Field]func(*accounts.UserRow){
		accounts.ByIdentity: func(u *accounts.UserRow) { u.Identity = user(1).Identity },
		accounts.ByEmail:    func(u *accounts.UserRow) { u.EmailKey = user(1).EmailKey },
		accounts.ByUsername: func(u *accounts.UserRow) { u.Username = user(1).Username },
	} {
		insert, update := user(2), user(3)
		change(&insert)
		change(&update)
		for what, f := range map[string]func(accounts.Tx) error{
			"insert": func(tx accounts.Tx) error { return tx.InsertUser(insert) },
			"update": func(tx accounts.Tx) error { return tx.UpdateUser(update) },
		} {
			err := s.Write(t.Context(), "test", f)
			if taken, ok := errors.AsType[*accounts.TakenError](err); !ok || taken.Field != field {
				t.Errorf("%s, %s: %v", what, field, err)
			}
		}
	}
}

func testPages(t *testing.T, s accounts.Store) {
	write(t, s, func(tx accounts.Tx) error {
		for n := range 12 {
			u := user(n)
			u.Created = at(n / 4) // some at the same time
			if err := tx.InsertUser(u); err != nil {
				return err
			}
		}
		return nil
	})
	var seen []string
	p := accounts.Page{Limit: 5}
	for {
		list, err := read(t, s, func(r accounts.Reader) ([]accounts.UserRow, error) { return r.Users(p) })
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range list {
			seen = append(seen, u.ID)
		}
		if len(list) < 5 {
			break
		}
		p.After = list[4].Identity
	}
	if len(seen) != 12 || !slices.IsSorted(seen) {
		t.Errorf("%v", seen)
	}
	for search, want := range map[string]int{"user1": 3, "user_1": 3, "user%": 0, "u_": 12, "_": 0, "!": 0, "é": 0, "nobody": 0} {
		list, err := read(t, s, func(r accounts.Reader) ([]accounts.UserRow, error) {
			return r.Users(accounts.Page{Search: search, Limit: 50})
		})
		if err != nil || len(list) != want {
			t.Errorf("%q: %d users, %v", search, len(list), err)
		}
	}
	_, err := read(t, s, func(r accounts.Reader) ([]accounts.UserRow, error) {
		return r.Users(accounts.Page{After: "u_nobody", Limit: 5})
	})
	if !errors.Is(err, accounts.ErrNotFound) {
		t.Errorf("after nobody: %v", err)
	}
}

func testAdmins(t *testing.T, s accounts.Store) {
	write(t, s, func(tx accounts.Tx) error {
		disabled, plain := user(2), user(3)
		disabled.Disabled, plain.Roles = true, []auth.Role{auth.RoleModerator, auth.RoleUser}
		return errors.Join(tx.InsertUser(user(1)), tx.InsertUser(disabled), tx.InsertUser(plain))
	})
	wants(t, s, 1, accounts.Reader.Admins)
}

func testDevices(t *testing.T, s accounts.Store) {
	d := accounts.DeviceRow{ID: "d1", User: "u1", Secret: "hash", Name: "tél 👩‍👩‍👧‍👦", UserAgent: `"\`, Addr: "203.0.113.0/24", Created: at(1), LastSeen: at(2), Active: true}
	other := accounts.DeviceRow{ID: "d2", User: "u1", Secret: "hash2", Created: at(0), LastSeen: at(0)}
	write(t, s, func(tx accounts.Tx) error { return errors.Join(tx.PutDevice(d), tx.PutDevice(other)) })
	wants(t, s, d, func(r accounts.Reader) (accounts.DeviceRow, error) { return r.Device("d1") })
	wants(t, s, d, func(r accounts.Reader) (accounts.DeviceRow, error) { return r.DeviceBySecret("u1", "hash") })
	wants(t, s, []accounts.DeviceRow{other, d}, func(r accounts.Reader) ([]accounts.DeviceRow, error) { return r.Devices("u1") })
	d.Name, d.Active, d.LastSeen = "", false, at(5)
	write(t, s, func(tx accounts.Tx) error {
		return errors.Join(tx.PutDevice(d), tx.DeleteDevice("d2"), tx.DeleteDevice("d3"))
	})
	wants(t, s, []accounts.DeviceRow{d}, func(r accounts.Reader) ([]accounts.DeviceRow, error) { return r.Devices("u1") })
}

func testSessions(t *testing.T, s accounts.Store) {
	session := func(n int, user string) accounts.SessionRow {
		id := fmt.Sprint("s", n)
		return accounts.SessionRow{ID: id, User: user, Device: "d1", Family: "f" + id, Created: at(n), LastUsed: at(n), Expires: at(100)}
	}
	one, two, other := session(1, "u1"), session(2, "u1"), session(3, "u2")
	write(t, s, func(tx accounts.Tx) error {
		return errors.Join(tx.PutSession(two), tx.PutSession(one), tx.PutSession(other), tx.PutToken(accounts.TokenRow{Hash: "t1", Session: "s1", Created: at(1)}))
	})
	wants(t, s, one, func(r accounts.Reader) (accounts.SessionRow, error) { return r.Session("s1") })
	wants(t, s, two, func(r accounts.Reader) (accounts.SessionRow, error) { return r.SessionByFamily("fs2") })
	wants(t, s, []accounts.SessionRow{one, two}, func(r accounts.Reader) ([]accounts.SessionRow, error) { return r.Sessions("u1") })
	one.LastUsed = at(7)
	write(t, s, func(tx accounts.Tx) error { return tx.PutSession(one) })
	wants(t, s, one, func(r accounts.Reader) (accounts.SessionRow, error) { return r.Session("s1") })
	write(t, s, func(tx accounts.Tx) error {
		return errors.Join(tx.Revoke([]string{"s1", "s3"}, at(8), at(90)), tx.Revoke([]string{"s1"}, at(8), at(90)), tx.Revoke(nil, at(8), at(90)))
	})
	wants(t, s, []accounts.SessionRow{two}, func(r accounts.Reader) ([]accounts.SessionRow, error) { return r.Sessions("u1") })
	if _, err := read(t, s, func(r accounts.Reader) (accounts.TokenRow, error) { return r.Token("t1") }); !errors.Is(err, accounts.ErrNotFound) {
		t.Errorf("the token of a revoked session: %v", err)
	}
}

func testTokens(t *testing.T, s accounts.Store) {
	token := func(hash, session string, superseded time.Time) accounts.TokenRow {
		return accounts.TokenRow{Hash: hash, Session: session, Created: at(0), Superseded: superseded}
	}
	write(t, s, func(tx accounts.Tx) error {
		return errors.Join(tx.PutToken(token("old", "s1", at(1))), tx.PutToken(token("grace", "s1", at(5))), tx.PutToken(token("new", "s1", time.Time{})),
			tx.PutToken(token("sibling", "s1", time.Time{})), tx.PutToken(token("other", "s2", time.Time{})))
	})
	write(t, s, func(tx accounts.Tx) error { return tx.Supersede("s1", at(9), at(5)) })
	for hash, want := range map[string]accounts.TokenRow{
		"grace": token("grace", "s1", at(5)), "new": token("new", "s1", at(9)), "sibling": token("sibling", "s1", at(9)), "other": token("other", "s2", time.Time{}),
	} {
		wants(t, s, want, func(r accounts.Reader) (accounts.TokenRow, error) { return r.Token(hash) })
	}
	if _, err := read(t, s, func(r accounts.Reader) (accounts.TokenRow, error) { return r.Token("old") }); !errors.Is(err, accounts.ErrNotFound) {
		t.Errorf("an old token: %v", err)
	}
}

func registration(id, email, device, username string) accounts.RegistrationRow {
	return accounts.RegistrationRow{ID: id, Email: "Ä" + email, EmailKey: email, Username: username, Password: "$x", Name: "n'", Language: "de", Guest: "g_x",
		Device: device, Created: at(0), Expires: at(60)}
}

func testRegistrations(t *testing.T, s accounts.Store) {
	first, second := registration("1", "a@example.org", "d1", "a_1"), registration("2", "a@example.org", "d2", "a_2")
	write(t, s, func(tx accounts.Tx) error { return errors.Join(tx.PutRegistration(first), tx.PutRegistration(second)) })
	wants(t, s, first, func(r accounts.Reader) (accounts.RegistrationRow, error) {
		return r.Registration("a@example.org", "d1")
	})
	wants(t, s, second, func(r accounts.Reader) (accounts.RegistrationRow, error) { return r.RegistrationByUsername("a_2") })
	third := registration("3", "a@example.org", "d1", "a_1")
	write(t, s, func(tx accounts.Tx) error { return tx.PutRegistration(third) })
	wants(t, s, third, func(r accounts.Reader) (accounts.RegistrationRow, error) {
		return r.Registration("a@example.org", "d1")
	})
	err := s.Write(t.Context(), "test", func(tx accounts.Tx) error { return tx.PutRegistration(registration("4", "b@example.org", "d1", "a_1")) })
	if taken, ok := errors.AsType[*accounts.TakenError](err); !ok || taken.Field != accounts.ByUsername {
		t.Errorf("a username that is taken: %v", err)
	}
	write(t, s, func(tx accounts.Tx) error { return tx.DeleteRegistration("2") })
	wants(t, s, third, func(r accounts.Reader) (accounts.RegistrationRow, error) {
		return r.Registration("a@example.org", "d1")
	})
	write(t, s, func(tx accounts.Tx) error {
		return errors.Join(tx.PutRegistration(second), tx.DeleteRegistrations("a@example.org"))
	})
	for _, d := range []string{"d1", "d2"} {
		if _, err := read(t, s, func(r accounts.Reader) (accounts.RegistrationRow, error) { return r.Registration("a@example.org", d) }); !errors.Is(err, accounts.ErrNotFound) {
			t.Errorf("%s: %v", d, err)
		}
	}
}

func testCodes(t *testing.T, s accounts.Store) {
	c := accounts.CodeRow{Purpose: accounts.PurposeReset, Subject: "s", Hash: "h", Tries: 4, Created: at(0), Expires: at(10)}
	other := c
	other.Purpose, other.Tries = accounts.PurposeVerify, 0
	write(t, s, func(tx accounts.Tx) error { return errors.Join(tx.PutCode(c), tx.PutCode(other)) })
	c.Hash, c.Tries = "h2", 0
	write(t, s, func(tx accounts.Tx) error { return tx.PutCode(c) })
	wants(t, s, c, func(r accounts.Reader) (accounts.CodeRow, error) { return r.Code(accounts.PurposeReset, "s") })
	write(t, s, func(tx accounts.Tx) error { return tx.DeleteCode(accounts.PurposeReset, "s") })
	wants(t, s, other, func(r accounts.Reader) (accounts.CodeRow, error) { return r.Code(accounts.PurposeVerify, "s") })
	if _, err := read(t, s, func(r accounts.Reader) (accounts.CodeRow, error) { return r.Code(accounts.PurposeReset, "s") }); !errors.Is(err, accounts.ErrNotFound) {
		t.Errorf("a used code: %v", err)
	}
}

func testSecondFactor(t *testing.T, s accounts.Store) {
	u := user(1)
	f := accounts.TOTPRow{User: u.ID, Secret: "sealed", Created: at(0)}
	write(t, s, func(tx accounts.Tx) error {
		return errors.Join(tx.InsertUser(u), tx.PutTOTP(f), tx.SetRecoveryCodes(u.ID, []string{"b", "a", "c"}), tx.SetRecoveryCodes("other", []string{"a"}))
	})
	wants(t, s, f, func(r accounts.Reader) (accounts.TOTPRow, error) { return r.TOTP(u.ID) })
	wants(t, s, []string{"a", "b", "c"}, func(r accounts.Reader) ([]string, error) { return r.RecoveryCodes(u.ID) })
	got, err := read(t, s, func(r accounts.Reader) (accounts.UserRow, error) { return r.User(accounts.ByID, u.ID) })
	if err != nil || got.TOTP || got.Recovery != 3 {
		t.Errorf("not confirmed: %t, %d, %v", got.TOTP, got.Recovery, err)
	}
	f.Confirmed, f.LastStep = true, 59_000_000
	write(t, s, func(tx accounts.Tx) error {
		if err := tx.PutTOTP(f); err != nil {
			return err
		}
		for code, want := range map[string]bool{"a": true, "x": false} {
			if ok, err := tx.UseRecoveryCode(u.ID, code); ok != want || err != nil {
				t.Errorf("%s: %t, %v", code, ok, err)
			}
		}
		ok, err := tx.UseRecoveryCode(u.ID, "a")
		if ok {
			t.Error("a code served twice")
		}
		return err
	})
	wants(t, s, f, func(r accounts.Reader) (accounts.TOTPRow, error) { return r.TOTP(u.ID) })
	got, err = read(t, s, func(r accounts.Reader) (accounts.UserRow, error) { return r.User(accounts.ByID, u.ID) })
	if err != nil || !got.TOTP || got.Recovery != 2 {
		t.Errorf("confirmed: %t, %d, %v", got.TOTP, got.Recovery, err)
	}
	write(t, s, func(tx accounts.Tx) error { return tx.DeleteTOTP(u.ID) })
	wants(t, s, []string{"a"}, func(r accounts.Reader) ([]string, error) { return r.RecoveryCodes("other") })
	wants(t, s, nil, func(r accounts.Reader) ([]string, error) { return r.RecoveryCodes(u.ID) })
}

// passkeyOf has a credential's id of the greatest length, whose last byte alone tells it from others.
func passkeyOf(user string, n int) accounts.PasskeyRow {
	id := append(bytes.Repeat([]byte{0, 255, '\'', 0x80}, 255), 0, 0, byte(n))
	return accounts.PasskeyRow{ID: fmt.Sprint("k", n), User: user, Name: "Ünal's 👩‍👩‍👧‍👦", Created: at(n), Credential: passkey.Credential{
		ID: id, PublicKey: []byte{0xa5, 0, 1, byte(n)}, SignCount: 1<<32 - 1, Transports: []string{"internal", "hybrid"}, AAGUID: make([]byte, 16),
		BackupEligible: true,
	}}
}

func testPasskeys(t *testing.T, s accounts.Store) {
	one, two, other := passkeyOf("u1", 1), passkeyOf("u1", 2), passkeyOf("u2", 3)
	two.Credential.Transports, two.Credential.BackedUp, two.LastUsed = nil, true, at(5)
	write(t, s, func(tx accounts.Tx) error {
		return errors.Join(tx.InsertPasskey(two), tx.InsertPasskey(one), tx.InsertPasskey(other))
	})
	wants(t, s, []accounts.PasskeyRow{one, two}, func(r accounts.Reader) ([]accounts.PasskeyRow, error) { return r.Passkeys("u1") })
	wants(t, s, two, func(r accounts.Reader) (accounts.PasskeyRow, error) { return r.Passkey("k2") })
	wants(t, s, other, func(r accounts.Reader) (accounts.PasskeyRow, error) {
		return r.PasskeyByCredential(other.Credential.ID)
	})
	stolen := passkeyOf("u2", 1)
	stolen.ID = "k9"
	err := s.Write(t.Context(), "test", func(tx accounts.Tx) error { return tx.InsertPasskey(stolen) })
	if taken, ok := errors.AsType[*accounts.TakenError](err); !ok || taken.Field != accounts.ByCredential {
		t.Errorf("a credential that another has: %v", err)
	}
	one.Name, one.LastUsed, one.Credential.SignCount, one.Credential.BackedUp = "x", at(9), 7, true
	changed := one
	changed.User, changed.Created, changed.Credential.PublicKey = "u2", at(60), []byte{1} // what never changes
	write(t, s, func(tx accounts.Tx) error { return tx.UpdatePasskey(changed) })
	wants(t, s, one, func(r accounts.Reader) (accounts.PasskeyRow, error) { return r.Passkey("k1") })
	err = s.Write(t.Context(), "test", func(tx accounts.Tx) error { return tx.UpdatePasskey(passkeyOf("u1", 8)) })
	if !errors.Is(err, accounts.ErrNotFound) {
		t.Errorf("update of none: %v", err)
	}
	write(t, s, func(tx accounts.Tx) error { return errors.Join(tx.DeletePasskey("k1"), tx.DeletePasskey("none")) })
	wants(t, s, []accounts.PasskeyRow{two}, func(r accounts.Reader) ([]accounts.PasskeyRow, error) { return r.Passkeys("u1") })
}

func line(n int, user, actor string) accounts.AuditRow {
	return accounts.AuditRow{ID: fmt.Sprint("l", n), User: user, Actor: actor, Event: accounts.EventLogin, Detail: "d", Device: "dev", Addr: "2001:db8::/48", At: at(n)}
}

func testAudit(t *testing.T, s accounts.Store) {
	write(t, s, func(tx accounts.Tx) error {
		return errors.Join(tx.Log(line(2, "u1", "")), tx.Log(line(1, "u1", "u2")), tx.Log(line(3, "", "")))
	})
	wants(t, s, []accounts.AuditRow{line(1, "u1", "u2"), line(2, "u1", "")}, func(r accounts.Reader) ([]accounts.AuditRow, error) { return r.Audit("u1") })
}

func testDeleteUser(t *testing.T, s accounts.Store) {
	for n := 1; n <= 2; n++ {
		u := user(n)
		session := accounts.SessionRow{ID: fmt.Sprint("s", n), User: u.ID, Device: fmt.Sprint("d", n), Family: fmt.Sprint("f", n), Created: at(0), Expires: at(9)}
		write(t, s, func(tx accounts.Tx) error {
			return errors.Join(tx.InsertUser(u), tx.PutSession(session), tx.PutToken(accounts.TokenRow{Hash: fmt.Sprint("t", n), Session: session.ID}),
				tx.PutDevice(accounts.DeviceRow{ID: fmt.Sprint("d", n), User: u.ID, Secret: "x"}), tx.PutTOTP(accounts.TOTPRow{User: u.ID, Secret: "x", Confirmed: true}),
				tx.SetRecoveryCodes(u.ID, []string{"x"}), tx.InsertPasskey(passkeyOf(u.ID, n)), tx.Log(line(n, u.ID, user(1).ID)))
		})
	}
	write(t, s, func(tx accounts.Tx) error { return tx.DeleteUser(user(1).ID) })
	for n, want := range map[int]error{1: accounts.ErrNotFound, 2: nil} {
		id := user(n).ID
		for what, f := range map[string]func(r accounts.Reader) error{
			"user":    func(r accounts.Reader) error { _, err := r.User(accounts.ByID, id); return err },
			"session": func(r accounts.Reader) error { _, err := r.Session(fmt.Sprint("s", n)); return err },
			"token":   func(r accounts.Reader) error { _, err := r.Token(fmt.Sprint("t", n)); return err },
			"device":  func(r accounts.Reader) error { _, err := r.Device(fmt.Sprint("d", n)); return err },
			"totp":    func(r accounts.Reader) error { _, err := r.TOTP(id); return err },
			"passkey": func(r accounts.Reader) error { _, err := r.Passkey(fmt.Sprint("k", n)); return err },
		} {
			if _, err := read(t, s, func(r accounts.Reader) (int, error) { return 0, f(r) }); !errors.Is(err, want) {
				t.Errorf("user %d, %s: %v", n, what, err)
			}
		}
	}
	wants(t, s, nil, func(r accounts.Reader) ([]accounts.AuditRow, error) { return r.Audit(user(1).ID) })
	wants(t, s, []accounts.AuditRow{line(2, user(2).ID, "")}, func(r accounts.Reader) ([]accounts.AuditRow, error) { return r.Audit(user(2).ID) })
}

func testDepartures(t *testing.T, s accounts.Store) {
	gone := func(r accounts.Reader) ([]protocol.UserID, error) { return r.Departures(2) }
	wants(t, s, nil, gone)
	write(t, s, func(tx accounts.Tx) error {
		return errors.Join(tx.PutDeparture("u_c", at(3)), tx.PutDeparture("u_b", at(1)), tx.PutDeparture("u_a", at(2)), tx.PutDeparture("u_a", at(2)))
	})
	wants(t, s, []protocol.UserID{"u_b", "u_a"}, gone)
	write(t, s, func(tx accounts.Tx) error { return errors.Join(tx.DeleteDeparture("u_b"), tx.DeleteDeparture("none")) })
	wants(t, s, []protocol.UserID{"u_a", "u_c"}, gone)
}

func testSweep(t *testing.T, s accounts.Store) {
	session := func(n int) accounts.SessionRow {
		return accounts.SessionRow{ID: fmt.Sprint("s", n), User: "u", Device: "d", Family: fmt.Sprint("f", n), Created: at(0), Expires: at(n)}
	}
	write(t, s, func(tx accounts.Tx) error {
		early, late := registration("1", "a@example.org", "d1", "a_1"), registration("2", "b@example.org", "d1", "b_1")
		early.Expires, late.Expires = at(5), at(6)
		return errors.Join(tx.PutSession(session(5)), tx.PutSession(session(6)), tx.PutToken(accounts.TokenRow{Hash: "t5", Session: "s5"}),
			tx.PutToken(accounts.TokenRow{Hash: "t6", Session: "s6"}), tx.PutRegistration(early), tx.PutRegistration(late),
			tx.PutCode(accounts.CodeRow{Purpose: accounts.PurposeReset, Subject: "5", Expires: at(5)}), tx.PutCode(accounts.CodeRow{Purpose: accounts.PurposeReset, Subject: "6", Expires: at(6)}),
			tx.Log(line(1, "u", "")), tx.Log(line(2, "u", "")))
	})
	write(t, s, func(tx accounts.Tx) error { return tx.Sweep(at(5), at(2)) })
	for what, f := range map[string]func(r accounts.Reader, n int) error{
		"session": func(r accounts.Reader, n int) error { _, err := r.Session(fmt.Sprint("s", n)); return err },
		"token":   func(r accounts.Reader, n int) error { _, err := r.Token(fmt.Sprint("t", n)); return err },
		"code": func(r accounts.Reader, n int) error {
			_, err := r.Code(accounts.PurposeReset, fmt.Sprint(n))
			return err
		},
		"registration": func(r accounts.Reader, n int) error {
			_, err := r.RegistrationByUsername(map[int]string{5: "a_1", 6: "b_1"}[n])
			return err
		},
	} {
		for n, want := range map[int]error{5: accounts.ErrNotFound, 6: nil} {
			if _, err := read(t, s, func(r accounts.Reader) (int, error) { return 0, f(r, n) }); !errors.Is(err, want) {
				t.Errorf("%s %d: %v", what, n, err)
			}
		}
	}
	wants(t, s, []accounts.AuditRow{line(2, "u", "")}, func(r accounts.Reader) ([]accounts.AuditRow, error) { return r.Audit("u") })
}

func testRollback(t *testing.T, s accounts.Store) {
	stop := errors.New("stop")
	err := s.Write(t.Context(), "test", func(tx accounts.Tx) error {
		row := mail.Row{ID: "m", Key: "k", Template: mail.Verify, Body: []byte("x"), Created: at(0), Due: at(0), Expires: at(9)}
		if err := errors.Join(tx.InsertUser(user(1)), tx.Enqueue(row), tx.Log(line(1, "u1", ""))); err != nil {
			return err
		}
		return stop
	})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	if _, err := read(t, s, func(r accounts.Reader) (accounts.UserRow, error) { return r.User(accounts.ByID, user(1).ID) }); !errors.Is(err, accounts.ErrNotFound) {
		t.Errorf("user: %v", err)
	}
	wants(t, s, nil, func(r accounts.Reader) ([]accounts.AuditRow, error) { return r.Audit("u1") })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Write(ctx, "test", func(accounts.Tx) error { return nil }); err == nil {
		t.Error("a write whose caller is gone: no error")
	}
}

// testSerializable: each of many that read a row and write it anew sees all before.
func testSerializable(t *testing.T, s accounts.Store) {
	write(t, s, func(tx accounts.Tx) error { return tx.InsertUser(user(1)) })
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 10 {
				err := s.Write(t.Context(), "test", func(tx accounts.Tx) error {
					u, err := tx.User(accounts.ByID, user(1).ID)
					if err != nil {
						return err
					}
					u.Version++
					return tx.UpdateUser(u)
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	u, err := read(t, s, func(r accounts.Reader) (accounts.UserRow, error) { return r.User(accounts.ByID, user(1).ID) })
	if want := user(1).Version + 40; err != nil || u.Version != want {
		t.Errorf("version %d, want %d, %v", u.Version, want, err)
	}
}

// testMissing: what is not there is ErrNotFound, whatever the key looks like.
func testMissing(t *testing.T, s accounts.Store) {
	for _, key := range []string{"", "x", "' OR 1=1 --", "ü", "👩‍👩‍👧‍👦", strings.Repeat("x", 10_000)} {
		for what, f := range map[string]func(r accounts.Reader) error{
			"user by id":       func(r accounts.Reader) error { _, err := r.User(accounts.ByID, key); return err },
			"user by identity": func(r accounts.Reader) error { _, err := r.User(accounts.ByIdentity, key); return err },
			"user by email":    func(r accounts.Reader) error { _, err := r.User(accounts.ByEmail, key); return err },
			"user by username": func(r accounts.Reader) error { _, err := r.User(accounts.ByUsername, key); return err },
			"device":           func(r accounts.Reader) error { _, err := r.Device(key); return err },
			"secret":           func(r accounts.Reader) error { _, err := r.DeviceBySecret(key, key); return err },
			"session":          func(r accounts.Reader) error { _, err := r.Session(key); return err },
			"family":           func(r accounts.Reader) error { _, err := r.SessionByFamily(key); return err },
			"token":            func(r accounts.Reader) error { _, err := r.Token(key); return err },
			"registration":     func(r accounts.Reader) error { _, err := r.Registration(key, key); return err },
			"username":         func(r accounts.Reader) error { _, err := r.RegistrationByUsername(key); return err },
			"code":             func(r accounts.Reader) error { _, err := r.Code(accounts.PurposeReset, key); return err },
			"totp":             func(r accounts.Reader) error { _, err := r.TOTP(key); return err },
			"passkey":          func(r accounts.Reader) error { _, err := r.Passkey(key); return err },
			"credential":       func(r accounts.Reader) error { _, err := r.PasskeyByCredential([]byte(key)); return err },
		} {
			if _, err := read(t, s, func(r accounts.Reader) (int, error) { return 0, f(r) }); !errors.Is(err, accounts.ErrNotFound) {
				t.Errorf("%s %.20q: %v", what, key, err)
			}
		}
	}
}
