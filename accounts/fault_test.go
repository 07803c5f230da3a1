package accounts_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/accounts/storetest"
	"github.com/rondo-chat/rondo/internal/mail"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/protocol"
)

var errPulled = errors.New("the plug was pulled")

// tracer is a Store that writes down what is asked of it, and aborts the transaction
// at its nth statement.
type tracer struct {
	accounts.Store

	mu    sync.Mutex
	trace []string
	abort int // 0: never
}

func (s *tracer) start(abort int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trace, s.abort = nil, abort
}

func (s *tracer) statement(format string, args ...any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trace = append(s.trace, fmt.Sprintf(format, args...))
	if s.abort > 0 && len(s.trace) >= s.abort {
		return errPulled
	}
	return nil
}

func (s *tracer) seen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.trace, " ")
}

func (s *tracer) Write(ctx context.Context, name string, f func(accounts.Tx) error) error {
	return s.Store.Write(ctx, name, func(tx accounts.Tx) error {
		_ = s.statement("write:%s", name)
		if err := f(&tracedTx{tx, s}); err != nil {
			return err
		}
		return s.statement("commit")
	})
}

func (s *tracer) Read(ctx context.Context, name string, f func(accounts.Reader) error) error {
	_ = s.statement("read:%s", name)
	return s.Store.Read(ctx, name, f)
}

type tracedTx struct {
	accounts.Tx
	s *tracer
}

func (t *tracedTx) User(by accounts.Field, v string) (accounts.UserRow, error) {
	_ = t.s.statement("User")
	return t.Tx.User(by, v)
}
func (t *tracedTx) InsertUser(u accounts.UserRow) error {
	return errors.Join(t.s.statement("InsertUser"), t.Tx.InsertUser(u))
}
func (t *tracedTx) UpdateUser(u accounts.UserRow) error {
	return errors.Join(t.s.statement("UpdateUser"), t.Tx.UpdateUser(u))
}
func (t *tracedTx) DeleteUser(id string) error {
	return errors.Join(t.s.statement("DeleteUser"), t.Tx.DeleteUser(id))
}
func (t *tracedTx) PutDevice(d accounts.DeviceRow) error {
	return errors.Join(t.s.statement("PutDevice"), t.Tx.PutDevice(d))
}
func (t *tracedTx) DeleteDevice(id string) error {
	return errors.Join(t.s.statement("DeleteDevice"), t.Tx.DeleteDevice(id))
}
func (t *tracedTx) PutSession(v accounts.SessionRow) error {
	return errors.Join(t.s.statement("PutSession"), t.Tx.PutSession(v))
}
func (t *tracedTx) Revoke(list []string, at, until time.Time) error {
	return errors.Join(t.s.statement("Revoke"), t.Tx.Revoke(list, at, until))
}
func (t *tracedTx) PutToken(k accounts.TokenRow) error {
	return errors.Join(t.s.statement("PutToken"), t.Tx.PutToken(k))
}
func (t *tracedTx) Supersede(s string, at, before time.Time) error {
	return errors.Join(t.s.statement("Supersede"), t.Tx.Supersede(s, at, before))
}
func (t *tracedTx) PutRegistration(g accounts.RegistrationRow) error {
	return errors.Join(t.s.statement("PutRegistration"), t.Tx.PutRegistration(g))
}
func (t *tracedTx) DeleteRegistrations(email string) error {
	return errors.Join(t.s.statement("DeleteRegistrations"), t.Tx.DeleteRegistrations(email))
}
func (t *tracedTx) DeleteRegistration(id string) error {
	return errors.Join(t.s.statement("DeleteRegistration"), t.Tx.DeleteRegistration(id))
}
func (t *tracedTx) PutCode(c accounts.CodeRow) error {
	return errors.Join(t.s.statement("PutCode"), t.Tx.PutCode(c))
}
func (t *tracedTx) DeleteCode(p accounts.Purpose, subject string) error {
	return errors.Join(t.s.statement("DeleteCode"), t.Tx.DeleteCode(p, subject))
}
func (t *tracedTx) PutTOTP(f accounts.TOTPRow) error {
	return errors.Join(t.s.statement("PutTOTP"), t.Tx.PutTOTP(f))
}
func (t *tracedTx) DeleteTOTP(user string) error {
	return errors.Join(t.s.statement("DeleteTOTP"), t.Tx.DeleteTOTP(user))
}
func (t *tracedTx) SetRecoveryCodes(user string, hashes []string) error {
	return errors.Join(t.s.statement("SetRecoveryCodes"), t.Tx.SetRecoveryCodes(user, hashes))
}
func (t *tracedTx) UseRecoveryCode(user, hash string) (bool, error) {
	if err := t.s.statement("UseRecoveryCode"); err != nil {
		return false, err
	}
	return t.Tx.UseRecoveryCode(user, hash)
}
func (t *tracedTx) Enqueue(r mail.Row) error {
	return errors.Join(t.s.statement("Enqueue"), t.Tx.Enqueue(r))
}
func (t *tracedTx) Log(l accounts.AuditRow) error {
	return errors.Join(t.s.statement("Log"), t.Tx.Log(l))
}

// traced is a house whose store is a tracer, without limits.
func traced(t testing.TB) (*house, *tracer) {
	var s *tracer
	h := openWith(t, func(cfg *accounts.Config) {
		s = &tracer{Store: cfg.Store}
		cfg.Store, cfg.Limits = s, unlimited()
	})
	return h, s
}

func unlimited() accounts.Limits {
	no := ratelimit.Rate{PerSecond: -1}
	return accounts.Limits{RegisterAddr: no, Mail: no, Resend: no, GuessAddr: no, LoginAddr: no, LoginAccount: no, LoginDevice: no,
		SecondFactor: no, Proof: no, Refresh: no}
}

// dump is everything in all tables.
func (h *house) dump() map[string][]string {
	h.t.Helper()
	return storetest.Dump(h.t, h.db)
}

func equalDumps(a, b map[string][]string) string {
	for _, table := range slices.Sorted(maps.Keys(a)) {
		if !slices.Equal(a[table], b[table]) {
			return fmt.Sprintf("%s:\n%s\n--\n%s", table, strings.Join(a[table], "\n"), strings.Join(b[table], "\n"))
		}
	}
	return ""
}

// TestPulledPlug: a transaction aborted at any of its statements, or before its commit, leaves
// everything as it was, tells nobody, and the same call succeeds afterwards.
func TestPulledPlug(t *testing.T) {
	for name, prepare := range operations() {
		t.Run(name, func(t *testing.T) {
			h, s := traced(t)
			run := prepare(t, h)
			h.post()
			before := h.dump()
			told := 0
			h.revoked.Range(func(any, any) bool { told++; return true })
			for n := 1; ; n++ {
				s.start(n)
				err := run()
				if err == nil {
					if n < 4 {
						t.Fatalf("done after %d statements: %s", n, s.seen())
					}
					break
				}
				if !errors.Is(err, errPulled) {
					t.Fatalf("at %d: %v (%s)", n, err, s.seen())
				}
				if diff := equalDumps(before, h.dump()); diff != "" {
					t.Fatalf("half of it at %d (%s): %s", n, s.seen(), diff)
				}
				now := 0
				h.revoked.Range(func(any, any) bool { now++; return true })
				if now != told {
					t.Fatalf("somebody was told at %d", n)
				}
			}
			if equalDumps(before, h.dump()) == "" {
				t.Fatal("it changed nothing at all")
			}
		})
	}
}

// operations are calls that write, each prepared and ready to run.
func operations() map[string]func(t *testing.T, h *house) func() error {
	proof := accounts.Proof{Password: password}
	laptop := device("device-of-ann", "198.51.100.7")
	return map[string]func(t *testing.T, h *house) func() error{
		"register": func(t *testing.T, h *house) func() error {
			return func() error {
				_, err := h.Register(t.Context(), accounts.Registration{Email: "bob@example.org", Username: "bob", Password: password, Device: laptop})
				return err
			}
		},
		"verify": func(t *testing.T, h *house) func() error {
			_, err := h.Register(t.Context(), accounts.Registration{Email: "bob@example.org", Username: "bob", Password: password, Device: laptop})
			if err != nil {
				t.Fatal(err)
			}
			code := h.letter(mail.Verify, "bob@example.org").Data.Code
			return func() error {
				_, err := h.Verify(t.Context(), "bob@example.org", code, laptop)
				return err
			}
		},
		"login": func(t *testing.T, h *house) func() error {
			h.join("ann")
			return func() error {
				_, err := h.Login(t.Context(), accounts.LoginRequest{Who: "ann", Password: password, Device: device("phone", "203.0.113.1")})
				return err
			}
		},
		"login again": func(t *testing.T, h *house) func() error {
			h.join("ann")
			return func() error {
				_, err := h.Login(t.Context(), accounts.LoginRequest{Who: "ann", Password: password, Device: laptop})
				return err
			}
		},
		"login with recovery code": func(t *testing.T, h *house) func() error {
			l := h.join("ann")
			_, recovery := h.protect(l)
			return func() error {
				_, err := h.Login(t.Context(), accounts.LoginRequest{Who: "ann", Password: password, Code: recovery[0], Device: laptop})
				return err
			}
		},
		"refresh": func(t *testing.T, h *house) func() error {
			l := h.join("ann")
			return func() error {
				_, err := h.Refresh(t.Context(), l.Refresh, laptop)
				return err
			}
		},
		"refresh reused": func(t *testing.T, h *house) func() error {
			l := h.join("ann")
			if _, err := h.Refresh(t.Context(), l.Refresh, laptop); err != nil {
				t.Fatal(err)
			}
			h.advance(time.Minute)
			return func() error {
				_, err := h.Refresh(t.Context(), l.Refresh, laptop)
				if protocol.CodeOf(err) == protocol.CodeUnauthorized {
					return nil
				}
				return err
			}
		},
		"logout all": func(t *testing.T, h *house) func() error {
			l := h.join("ann")
			return func() error { return h.LogoutAll(t.Context(), l.User.Identity, "") }
		},
		"change password": func(t *testing.T, h *house) func() error {
			l := h.join("ann")
			return func() error { return h.ChangePassword(t.Context(), l.User.Identity, "", proof, "a new password") }
		},
		"forgot": func(t *testing.T, h *house) func() error {
			h.join("ann")
			return func() error {
				_, err := h.Forgot(t.Context(), "ann@example.org", laptop)
				return err
			}
		},
		"reset": func(t *testing.T, h *house) func() error {
			h.join("ann")
			if _, err := h.Forgot(t.Context(), "ann@example.org", laptop); err != nil {
				t.Fatal(err)
			}
			code := h.letter(mail.Reset, "ann@example.org").Data.Code
			return func() error { return h.Reset(t.Context(), "ann@example.org", code, "a new password", laptop) }
		},
		"revoke device": func(t *testing.T, h *house) func() error {
			l := h.join("ann")
			list, err := h.Devices(t.Context(), l.User.Identity, l.Session)
			if err != nil {
				t.Fatal(err)
			}
			return func() error { return h.RevokeDevice(t.Context(), l.User.Identity, list[0].ID) }
		},
		"confirm totp": func(t *testing.T, h *house) func() error {
			l := h.join("ann")
			e, err := h.EnrolTOTP(t.Context(), l.User.Identity, proof)
			if err != nil {
				t.Fatal(err)
			}
			return func() error {
				_, err := h.ConfirmTOTP(t.Context(), l.User.Identity, h.totp(e.Secret))
				return err
			}
		},
		"deactivate": func(t *testing.T, h *house) func() error {
			l := h.join("ann")
			return func() error { return h.Deactivate(t.Context(), l.User.Identity, proof) }
		},
		"delete": func(t *testing.T, h *house) func() error {
			l := h.join("ann")
			return func() error { return h.Delete(t.Context(), l.User.Identity, proof) }
		},
		"disable": func(t *testing.T, h *house) func() error {
			l := h.join("ann")
			return func() error {
				_, err := h.SetDisabled(t.Context(), "", l.User.Identity, true)
				return err
			}
		},
	}
}
