package accounts_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/accounts/sqlstore"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/internal/mail"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is Accounts over a real database, with a clock of its own.
type house struct {
	*accounts.Accounts
	t     testing.TB
	db    *database.DB
	store *sqlstore.Store
	words *plainPasswords

	clock   atomic.Int64 // microseconds
	revoked sync.Map     // session → true
	deleted sync.Map     // identity → true
	told    atomic.Pointer[accounts.User]

	mu    sync.Mutex
	mails map[string]mail.Message // by row id
	sent  map[string]bool
}

const password = "correct horse battery"

// engines are where a test runs that all engines must pass.
func onEngines(t *testing.T, f func(t *testing.T, h *house)) {
	testenv.Databases(t, func(t *testing.T, url func(testing.TB) string) { f(t, newHouse(t, url(t), nil)) })
}

func open(t testing.TB) *house {
	return newHouse(t, "sqlite:"+filepath.Join(t.TempDir(), "a.db"), nil)
}

func openWith(t testing.TB, change func(*accounts.Config)) *house {
	return newHouse(t, "sqlite:"+filepath.Join(t.TempDir(), "a.db"), change)
}

func newHouse(t testing.TB, url string, change func(*accounts.Config)) *house {
	t.Helper()
	db, err := database.Open(t.Context(), database.Config{URL: url, Timeout: 30 * time.Second, SlowQuery: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	h := &house{t: t, db: db, store: sqlstore.New(db), words: &plainPasswords{}, mails: map[string]mail.Message{}, sent: map[string]bool{}}
	if err := h.store.Migrate(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	h.clock.Store(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC).UnixMicro())
	sealer, err := mail.NewSealer(make([]byte, mail.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	cfg := accounts.Config{
		Store: h.store, Passwords: h.words, Mail: recorder{h, sealer}, Key: []byte(strings.Repeat("k", 32)), Now: h.now,
		Issue: func(u accounts.User, session string) (string, time.Time, error) {
			return "access of " + session, h.now().Add(10 * time.Minute), nil
		},
		Acceptable: func(pw string, hints ...string) *protocol.Error {
			if len(pw) < 8 || slices.Contains(hints, pw) {
				return protocol.Errorf(protocol.CodeBadRequest, "the password is bad")
			}
			return nil
		},
		OnRevoked: func(_ context.Context, sessions []string) {
			for _, s := range sessions {
				h.revoked.Store(s, true)
			}
		},
		OnDeleted: func(_ context.Context, id protocol.UserID) { h.deleted.Store(id, true) },
		OnProfile: func(_ context.Context, u accounts.User, _ bool) { h.told.Store(&u) },
	}
	cfg.Limiter = ratelimit.NewMemoryAt(10_000, h.now)
	if change != nil {
		change(&cfg)
	}
	if h.Accounts, err = accounts.New(cfg); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *house) now() time.Time          { return time.UnixMicro(h.clock.Load()).UTC() }
func (h *house) advance(d time.Duration) { h.clock.Add(d.Microseconds()) }

// recorder remembers what was sealed; what counts is what then is in the outbox.
type recorder struct {
	h      *house
	sealer *mail.Sealer
}

func (r recorder) Seal(m mail.Message, now time.Time) (mail.Row, error) {
	row, err := r.sealer.Seal(m, now)
	r.h.mu.Lock()
	defer r.h.mu.Unlock()
	r.h.mails[row.ID] = m
	return row, err
}

// post takes what is in the outbox and was not taken before.
func (h *house) post() []mail.Message {
	h.t.Helper()
	rows, err := h.store.Lease(h.t.Context(), accounts.NewDeviceID(), h.now(), h.now().Add(time.Microsecond), 10_000)
	if err != nil {
		h.t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []mail.Message
	for _, r := range rows {
		if !h.sent[r.ID] {
			h.sent[r.ID] = true
			if m := h.mails[r.ID]; !m.Decoy {
				list = append(list, m)
			}
		}
	}
	return list
}

// letter is the one mail that must be there.
func (h *house) letter(want mail.Template, to string) mail.Message {
	h.t.Helper()
	list := h.post()
	if len(list) != 1 || list[0].Template != want || list[0].To != to {
		h.t.Fatalf("mails %+v, want one %s to %s", list, want, to)
	}
	return list[0]
}

// plainPasswords does no work, and counts what it would have done.
type plainPasswords struct{ hashes, checks atomic.Int64 }

func (p *plainPasswords) Hash(_ context.Context, pw string) (string, error) {
	p.hashes.Add(1)
	return hashed(pw), nil
}

func (p *plainPasswords) Check(_ context.Context, phc, pw string) (bool, bool, error) {
	p.checks.Add(1)
	return phc == hashed(pw), false, nil
}

func (p *plainPasswords) CheckNobody(context.Context, string) error {
	p.checks.Add(1)
	return nil
}

func hashed(pw string) string {
	sum := sha256.Sum256([]byte(pw))
	return "plain:" + hex.EncodeToString(sum[:])
}

// device is a device of the network.
func device(id, addr string) accounts.Device {
	return accounts.Device{ID: id, UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", Addr: netip.MustParseAddr(addr)}
}

// join registers and verifies somebody.
func (h *house) join(name string) accounts.Login {
	h.t.Helper()
	d := device("device-of-"+name, "198.51.100.7")
	_, err := h.Register(h.t.Context(), accounts.Registration{Email: name + "@example.org", Username: name, Password: password, Device: d})
	if err != nil {
		h.t.Fatal(err)
	}
	l, err := h.Verify(h.t.Context(), name+"@example.org", h.letter(mail.Verify, name+"@example.org").Data.Code, d)
	if err != nil {
		h.t.Fatal(err)
	}
	h.advance(time.Minute)
	return l
}

func (h *house) login(who string, d accounts.Device) accounts.Login {
	h.t.Helper()
	l, err := h.Login(h.t.Context(), accounts.LoginRequest{Who: who, Password: password, Device: d})
	if err != nil {
		h.t.Fatal(err)
	}
	return l
}

func wantCode(t testing.TB, err error, want protocol.Code) {
	t.Helper()
	if _, ok := errors.AsType[*protocol.Error](err); err != nil && !ok {
		t.Fatalf("not an error to show: %v", err)
	}
	if got := protocol.CodeOf(err); got != want {
		t.Fatalf("error %v, want %q", err, want)
	}
}

func (h *house) isRevoked(session string) bool {
	_, ok := h.revoked.Load(session)
	return ok
}
