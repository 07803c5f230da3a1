package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/accounts/sqlstore"
	"github.com/rondo-chat/rondo/accounts/storetest"
	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/internal/mail"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// whole is the interface over real accounts in a real database; only passwords
// are hashed faster, and nothing is limited.
type whole struct {
	*bench
	db *database.DB

	mu    sync.Mutex
	codes map[string]string // of the last mail, by address
	over  map[string]bool   // sessions that ended
	log   bytes.Buffer
	seen  string          // the user agent that requests have
	talk  protocol.RoomID // of topic
}

// onDatabases runs a test on all databases.
func onDatabases(t *testing.T, f func(t *testing.T, w *whole)) {
	t.Run("SQLite", func(t *testing.T) { f(t, newWhole(t)) })
	t.Run("PostgreSQL", func(t *testing.T) { f(t, newWholeOn(t, testenv.Postgres(t))) })
	t.Run("MariaDB", func(t *testing.T) { f(t, newWholeOn(t, testenv.MariaDB(t))) })
}

func newWhole(t *testing.T) *whole {
	t.Helper()
	return newWholeOn(t, "sqlite:"+filepath.Join(t.TempDir(), "a.db"))
}

func newWholeOn(t *testing.T, url string) *whole {
	t.Helper()
	w := &whole{codes: map[string]string{}, over: map[string]bool{}, seen: "Mozilla/5.0"}
	log := slog.New(slog.NewJSONHandler(lockedWriter{w}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	db, err := database.Open(t.Context(), database.Config{URL: url, Timeout: 30 * time.Second, SlowQuery: -1, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	w.db = db
	store := sqlstore.New(db)
	if err := store.Migrate(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	sealer, err := mail.NewSealer(make([]byte, mail.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	w.bench = newBench(t, func(c *Config) {
		tokens := c.Tokens.(*auth.Tokens)
		real, err := accounts.New(accounts.Config{
			Store: store, Passwords: quick{}, Mail: postman{w, sealer}, Key: bytes.Repeat([]byte{7}, 32), Limiter: unlimited{}, Logger: log,
			Acceptable: func(string, ...string) *protocol.Error { return nil },
			Issue: func(u accounts.User, session string) (string, time.Time, error) {
				now := time.Now()
				raw, err := tokens.Issue(auth.Claims{Identity: u.Identity, Session: session, Roles: u.Roles}, now)
				return raw, now.Add(tokens.TTL()), err
			},
			OnRevoked: func(_ context.Context, sessions []string) {
				w.mu.Lock()
				defer w.mu.Unlock()
				for _, s := range sessions {
					w.over[s] = true
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		c.Accounts, c.Revoked, c.Logger = real, w, log
		w.converse(t, c, real, nil)
	})
	return w
}

// Revoked implements Revoked.
func (w *whole) Revoked(session string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.over[session]
}

type lockedWriter struct{ w *whole }

func (l lockedWriter) Write(b []byte) (int, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.w.log.Write(b)
}

// quick is a Passwords that costs nothing.
type quick struct{}

func (quick) Hash(_ context.Context, pw string) (string, error) {
	sum := sha256.Sum256([]byte(pw))
	return "hash:" + hex.EncodeToString(sum[:]), nil
}

func (q quick) Check(ctx context.Context, phc, pw string) (ok, rehash bool, err error) {
	want, err := q.Hash(ctx, pw)
	return phc == want, false, err
}

func (quick) CheckNobody(context.Context, string) error { return nil }

// postman remembers the codes of the mails.
type postman struct {
	w *whole
	*mail.Sealer
}

// Seal implements accounts.Mailer.
func (p postman) Seal(m mail.Message, now time.Time) (mail.Row, error) {
	if m.Data.Code != "" {
		p.w.mu.Lock()
		defer p.w.mu.Unlock()
		p.w.codes[m.To] = m.Data.Code
	}
	return p.Sealer.Seal(m, now)
}

func (w *whole) code(address string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.codes[address]
}

// member is somebody with an account, as a program knows them.
type member struct {
	User struct {
		ID    protocol.UserID
		Email string
	}
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	DeviceToken  string `json:"device_token"`

	name, session, device string
}

// send makes a request with a JSON body (nil: none) and returns the answer.
func (w *whole) send(method, path string, body any, as string, header ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	text := ""
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			w.t.Fatal(err)
		}
		text = string(raw)
	}
	r := w.request(method, path, text, as)
	r.Header.Set("User-Agent", w.seen)
	for i := 0; i < len(header); i += 2 {
		r.Header[http.CanonicalHeaderKey(header[i])] = []string{header[i+1]}
	}
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, r)
	return rec
}

// wants is send that must be answered with the status; out, if not nil, is filled.
func (w *whole) wants(status int, out any, method, path string, body any, as string) {
	w.t.Helper()
	rec := w.send(method, path, body, as)
	if rec.Code != status {
		w.t.Fatalf("%s %s: %d, want %d: %s", method, path, rec.Code, status, rec.Body)
	}
	if out != nil {
		if err := json.Unmarshal(rec.Body.Bytes(), out); err != nil {
			w.t.Fatal(err)
		}
	}
}

// join makes an account. Its roles are those of the token too.
func (w *whole) join(name string, roles ...auth.Role) member {
	w.t.Helper()
	m := member{name: name}
	address := name + "@example.org"
	var pending member
	w.wants(http.StatusAccepted, &pending, "POST", "/api/v1/auth/register", object{"email": address, "username": name, "password": password, "name": "Name of " + name, "bearer": true}, "")
	w.wants(http.StatusOK, &m, "POST", "/api/v1/auth/verify", object{"email": address, "code": w.code(address), "bearer": true, "device_token": pending.DeviceToken}, "")
	if len(roles) > 0 {
		if _, err := w.cfg.Accounts.SetRoles(w.t.Context(), m.User.ID, m.User.ID, append(roles, auth.RoleUser)); err != nil {
			w.t.Fatal(err)
		}
		w.wants(http.StatusOK, &m, "POST", "/api/v1/auth/login", object{"login": name, "password": password, "bearer": true, "device_token": m.DeviceToken}, "")
	}
	claims, err := w.tokens.Verify(m.AccessToken, time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	m.session = claims.Session
	var list struct{ Devices []struct{ ID string } }
	w.wants(http.StatusOK, &list, "GET", "/api/v1/me/devices", nil, m.AccessToken)
	m.device = list.Devices[0].ID
	return m
}

func (w *whole) dump() map[string][]string {
	w.t.Helper()
	return storetest.Dump(w.t, w.db)
}

// of is every row of the dump that one of the words is in.
func of(dump map[string][]string, words ...string) string {
	var rows []string
	for table, list := range dump {
		for _, row := range list {
			if slices.ContainsFunc(words, func(word string) bool { return strings.Contains(row, word) }) {
				rows = append(rows, table+": "+row)
			}
		}
	}
	slices.Sort(rows)
	return strings.Join(rows, "\n")
}

// key is the user's id in the database, which nobody is ever shown.
func (w *whole) key(m member) string {
	w.t.Helper()
	for _, row := range w.dump()["users"] {
		if strings.Contains(row, "identity="+string(m.User.ID)+" ") {
			_, rest, _ := strings.Cut(" "+row, " id=")
			id, _, _ := strings.Cut(rest, " ")
			return id
		}
	}
	w.t.Fatalf("%s is not in the database", m.name)
	return ""
}

// rowsOf is all that is stored of somebody.
func (w *whole) rowsOf(m member, key string) string {
	w.t.Helper()
	return of(w.dump(), key, string(m.User.ID), m.name+"@", m.session)
}

func (w *whole) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

// operationOf returns the document's operation of a route.
func (w *whole) operationOf(name string) operation {
	w.t.Helper()
	for _, o := range operations(w.t, w.doc) {
		if o.method+" "+o.path == name {
			return o
		}
	}
	w.t.Fatalf("%s is not in the document", name)
	return operation{}
}

// body is the document's example of a request, with the values given where it has
// such keys; nil if there is none.
func (w *whole) body(o operation, values object) object {
	w.t.Helper()
	_, text := w.example(o)
	if text == "" {
		return nil
	}
	var v object
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		w.t.Fatal(err)
	}
	for k, value := range values {
		if _, there := v[k]; there {
			v[k] = value
		}
	}
	return v
}

func (w *whole) String() string { return fmt.Sprint(w.db.Engine()) }
