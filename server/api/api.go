package api

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/protocol"
)

// requestTime bounds a request: passwords may wait for their turn.
const requestTime = 20 * time.Second

// Accounts is what the handlers ask for; *accounts.Accounts is one.
type Accounts interface {
	Register(ctx context.Context, r accounts.Registration) (accounts.Pending, error)
	Verify(ctx context.Context, email, code string, d accounts.Device) (accounts.Login, error)
	Resend(ctx context.Context, email string, d accounts.Device) (accounts.Pending, error)
	Login(ctx context.Context, r accounts.LoginRequest) (accounts.Login, error)
	Refresh(ctx context.Context, raw string, d accounts.Device) (accounts.Login, error)
	Logout(ctx context.Context, session string) error
	LogoutToken(ctx context.Context, raw string) error
	LogoutAll(ctx context.Context, identity protocol.UserID, except string) error
	Forgot(ctx context.Context, email string, d accounts.Device) (accounts.Pending, error)
	Reset(ctx context.Context, email, code, password string, d accounts.Device) error
	ChangePassword(ctx context.Context, identity protocol.UserID, session string, p accounts.Proof, password string) error

	Name(ctx context.Context, identity protocol.UserID) (string, error)
	Registered(ctx context.Context, identity protocol.UserID) (bool, error)
	Me(ctx context.Context, identity protocol.UserID) (accounts.User, error)
	UpdateProfile(ctx context.Context, identity protocol.UserID, version int64, p accounts.Patch) (accounts.User, error)
	Export(ctx context.Context, identity protocol.UserID) (accounts.Export, error)
	Deactivate(ctx context.Context, identity protocol.UserID, p accounts.Proof) error
	Delete(ctx context.Context, identity protocol.UserID, p accounts.Proof) error

	Devices(ctx context.Context, identity protocol.UserID, session string) ([]accounts.DeviceInfo, error)
	RenameDevice(ctx context.Context, identity protocol.UserID, device, name string) (accounts.DeviceInfo, error)
	RevokeDevice(ctx context.Context, identity protocol.UserID, device string) error

	EnrolTOTP(ctx context.Context, identity protocol.UserID, p accounts.Proof) (accounts.Enrolment, error)
	ConfirmTOTP(ctx context.Context, identity protocol.UserID, code string) (recovery []string, err error)
	DisableTOTP(ctx context.Context, identity protocol.UserID, p accounts.Proof) error
	NewRecoveryCodes(ctx context.Context, identity protocol.UserID, p accounts.Proof) (recovery []string, err error)

	Passkeys(ctx context.Context, identity protocol.UserID) ([]accounts.PasskeyInfo, error)
	BeginPasskey(ctx context.Context, identity protocol.UserID, p accounts.Proof, origin string) (accounts.PasskeyStart, error)
	FinishPasskey(ctx context.Context, identity protocol.UserID, r accounts.PasskeyAnswer) (accounts.PasskeyInfo, error)
	RenamePasskey(ctx context.Context, identity protocol.UserID, id, name string) (accounts.PasskeyInfo, error)
	DeletePasskey(ctx context.Context, identity protocol.UserID, id string) error
	BeginPasskeyLogin(ctx context.Context, origin string) (accounts.PasskeyStart, error)
	FinishPasskeyLogin(ctx context.Context, r accounts.PasskeyAnswer) (accounts.Login, error)

	List(ctx context.Context, p accounts.Page) ([]accounts.User, error)
	SetRoles(ctx context.Context, actor, identity protocol.UserID, roles []auth.Role) (accounts.User, error)
	SetDisabled(ctx context.Context, actor, identity protocol.UserID, disabled bool) (accounts.User, error)
}

var _ Accounts = (*accounts.Accounts)(nil)

// Tokens verifies access tokens; *auth.Tokens is one.
type Tokens interface {
	Verify(raw string, now time.Time) (auth.Claims, error)
}

// Revoked knows which sessions are over; *auth.Revocations is one.
type Revoked interface{ Revoked(session string) bool }

// Guests verifies guest tokens; *auth.Guests is one.
type Guests interface {
	Verify(token string, now time.Time) (protocol.UserID, error)
}

// Limiter counts by key; ratelimit.Limiter is one.
type Limiter interface {
	Take(ctx context.Context, key string, n float64, rate ratelimit.Rate) (ok bool, retry time.Duration, err error)
}

// Config is what an API is made of. Fields without a default are required.
type Config struct {
	Accounts Accounts
	Tokens   Tokens
	Revoked  Revoked
	Guests   Guests
	Tickets  *Tickets
	Pictures *Pictures
	JWKS     func() []byte
	// Key makes device names that can be made again: 32 bytes of its own.
	Key []byte

	Conversations Conversations // nil: there are none
	Files         Files         // nil: nothing can be uploaded
	Translate     Translate     // nil: nothing is translated
	PushKey       string        // what notifications are signed with, in base64url; "": there are none; needs Conversations

	Answers Answers // default: in this process's memory
	Limiter Limiter // default: in this process's memory
	// Secure reports whether the client came by https; nil: looks at the connection.
	Secure func(*http.Request) bool
	// RemoteAddr finds the client's address; nil: takes the connection's.
	RemoteAddr func(*http.Request) netip.Addr

	Now        func() time.Time // default: time.Now
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

func (c *Config) setDefaults() error {
	switch {
	case c.Accounts == nil, c.Tokens == nil, c.Revoked == nil, c.Guests == nil, c.Tickets == nil, c.Pictures == nil, c.JWKS == nil:
		return errors.New("api: Accounts, Tokens, Revoked, Guests, Tickets, Pictures and JWKS are required")
	case c.PushKey != "" && c.Conversations == nil:
		return errors.New("api: PushKey needs Conversations")
	case len(c.Key) != 32:
		return errors.New("api: Key must have 32 bytes")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Answers == nil {
		c.Answers = NewMemoryAnswers(c.Now)
	}
	if c.Limiter == nil {
		c.Limiter = ratelimit.NewMemory(10_000)
	}
	if c.Secure == nil {
		c.Secure = func(r *http.Request) bool { return r.TLS != nil }
	}
	if c.RemoteAddr == nil {
		c.RemoteAddr = func(r *http.Request) netip.Addr {
			ap, _ := netip.ParseAddrPort(r.RemoteAddr)
			return ap.Addr().Unmap()
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// API serves the interface. It is safe for concurrent use.
type API struct {
	cfg      Config
	document []byte
	cross    *http.CrossOriginProtection
	requests *prometheus.CounterVec
	mux      *http.ServeMux
}

// New makes an API.
func New(cfg Config) (*API, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	a := &API{cfg: cfg, cross: http.NewCrossOriginProtection(), mux: http.NewServeMux()}
	var err error
	if a.document, err = documentJSON(); err != nil {
		return nil, err
	}
	a.requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "rondo_api_requests_total", Help: "Requests to the REST interface, by route and code of the answer.",
	}, []string{"route", "code"})
	if cfg.Registerer != nil {
		if err := cfg.Registerer.Register(a.requests); err != nil {
			return nil, err
		}
	}
	a.route()
	return a, nil
}

// route makes the mux of the table: nothing else is served.
func (a *API) route() {
	allow := map[string][]string{}
	for _, r := range Routes() {
		a.mux.HandleFunc(r.Method+" "+r.Path, func(w http.ResponseWriter, req *http.Request) { a.serve(w, req, &r) })
		allow[r.Path] = append(allow[r.Path], r.Method)
	}
	for path, methods := range allow {
		a.mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Allow", strings.Join(methods, ", "))
			a.headers(w)
			write(w, problemWith(http.StatusMethodNotAllowed, protocol.Errorf(protocol.CodeBadRequest, "this method does not exist here")), http.StatusMethodNotAllowed)
		})
	}
	a.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		a.headers(w)
		a.fail(w, protocol.Errorf(protocol.CodeNotFound, "there is nothing here"))
	})
}

// ServeHTTP implements http.Handler for /api/ and /.well-known/jwks.json.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// headers are those of every answer.
func (a *API) headers(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
}

// serve answers one request to one route.
func (a *API) serve(w http.ResponseWriter, r *http.Request, route *Route) {
	a.headers(w)
	ctx, cancel := context.WithTimeout(r.Context(), allowTime(w, route))
	defer cancel()
	c := &call{api: a, w: w, r: r.WithContext(ctx), route: route, now: a.cfg.Now()}
	defer func() {
		if v := recover(); v != nil {
			if v == http.ErrAbortHandler {
				panic(v)
			}
			ref := reference()
			a.cfg.Logger.Error("api: panic", "route", route.Name(), "ref", ref, "panic", v)
			a.finish(c, answer{}, internal(ref))
		}
	}()
	out, err := a.answer(c)
	a.finish(c, out, err)
}

// allowTime returns how long a request to the route may take, and has the connection wait for it.
func allowTime(w http.ResponseWriter, route *Route) time.Duration {
	if route.time == 0 {
		return requestTime
	}
	conn, end := http.NewResponseController(w), time.Now().Add(route.time)
	_ = conn.SetReadDeadline(end) // of a connection that has none nothing must be said
	_ = conn.SetWriteDeadline(end.Add(requestTime))
	return route.time
}

// answer does what must be done before a handler, in this order, and runs it.
func (a *API) answer(c *call) (answer, error) {
	if err := c.limit(); err != nil {
		return answer{}, err
	}
	if err := a.cross.Check(c.r); err != nil {
		return answer{}, protocol.Errorf(protocol.CodeOrigin, "the request comes from another site")
	}
	if err := c.identify(); err != nil {
		return answer{}, err
	}
	// What the routes of this interface name is the caller's own, or a role's.
	if err := auth.Allowed(c.who, c.route.Action, auth.Resource{Owner: c.who.Identity}); err != nil {
		return answer{}, err
	}
	if err := c.read(); err != nil {
		return answer{}, err
	}
	if c.route.once {
		return a.once(c)
	}
	return c.route.serve(c)
}

// finish writes the answer and counts it.
func (a *API) finish(c *call, out answer, err error) {
	code := "ok"
	if err != nil {
		e := a.wireError(c, err)
		code = string(e.Code)
		if e.Code == protocol.CodeUnauthorized {
			c.w.Header().Set("WWW-Authenticate", "Bearer")
		}
		a.fail(c.w, e)
	} else {
		for k, v := range out.header {
			c.w.Header().Set(k, v)
		}
		out.write(c)
	}
	a.requests.WithLabelValues(c.route.Name(), code).Inc()
}

// wireError is the one place where errors become what clients see.
func (a *API) wireError(c *call, err error) *protocol.Error {
	if e, ok := errors.AsType[*protocol.Error](err); ok && e != nil {
		if e.Code == protocol.CodeInternal {
			a.cfg.Logger.Error("api: request failed", "route", c.route.Name(), "err", err)
		}
		return e
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return &protocol.Error{Code: protocol.CodeUnavailable, Msg: "that took too long", Retry: 5 * time.Second}
	}
	ref := reference()
	a.cfg.Logger.Error("api: request failed", "route", c.route.Name(), "ref", ref, "err", err)
	return internal(ref)
}

func (a *API) fail(w http.ResponseWriter, e *protocol.Error) {
	status := statusOf(e.Code)
	write(w, problemWith(status, e), status)
}

func internal(ref string) *protocol.Error {
	return protocol.Errorf(protocol.CodeInternal, "something went wrong here; reference %s", ref)
}

func reference() string { return strings.ToLower(rand.Text()[:10]) }
