package accounts

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rondo-chat/rondo/internal/mail"
	"github.com/rondo-chat/rondo/internal/password"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/protocol"
)

// Config is what Accounts works with.
type Config struct {
	Store     Store     // required
	Passwords Passwords // required
	Mail      Mailer    // required
	// Key is the server's key for what is stored of codes and second factors:
	// Signer.Key("accounts"), 32 bytes; required.
	Key []byte
	// Issue makes the access token of a session; required.
	Issue func(user User, session string) (access string, expires time.Time, err error)

	Service string // the name that authenticator apps show; "Rondo"
	// Origin is the page's: passkeys belong to its host ("https://rondo.example"). "": in
	// development; then it is the one that a request says it comes from.
	Origin string
	// Acceptable says why a new password is not taken; hints are what it must not be. password.Acceptable.
	Acceptable func(password string, hints ...string) *protocol.Error

	Limits  Limits            // zero fields have the defaults given there
	Limiter ratelimit.Limiter // counts; by default in this process's memory

	Cache Cache // shared by all nodes; none by default

	// OnRevoked hears of sessions that ended before their time, after the commit. It must
	// not block for long.
	OnRevoked func(ctx context.Context, sessions []string)
	// OnProfile hears of a user whose name or picture others may see changed, after the commit;
	// picture: that one.
	OnProfile func(ctx context.Context, user User, picture bool)
	// OnDeleted hears of a user who is gone, after the commit: what other parts keep of the
	// person must go too. Who has seen to that calls Departed; until then the user is one of
	// the Departures. It must not block for long.
	OnDeleted func(ctx context.Context, identity protocol.UserID)

	// OnMail hears that there is a mail in the outbox, after the commit. It must not block.
	OnMail func()

	Now        func() time.Time      // time.Now
	Logger     *slog.Logger          // discards by default
	Registerer prometheus.Registerer // nil: no metrics
}

// Limits are the bounds of this package. Zero fields have the defaults given.
type Limits struct {
	CodeTTL    time.Duration // of a code; 10 min
	CodeTries  int           // of a code; 5
	RefreshTTL time.Duration // how long a session lasts without being used; 30 d
	SessionMax time.Duration // how long it lasts at all; 180 d
	Grace      time.Duration // how long a refresh token serves after its first use; 30 s
	Devices    int           // of one user; 50, the longest unseen goes
	AuditTTL   time.Duration // how long the audit log remembers; 180 d
	Passkeys   int           // of one user; 10
	PasskeyTTL time.Duration // how long people have to show a passkey; 5 min

	// Rates: of one address (IPv6: /64), one e-mail address or username, one device known to the
	// account, one session.
	RegisterAddr ratelimit.Rate // registrations, resends, resets asked for; 1 in 30 s, 20 at once
	Mail         ratelimit.Rate // mails with a code to one address; 1 in 15 min, 4 at once
	Resend       ratelimit.Rate // codes asked for again, for one address; 1 in 60 s
	GuessAddr    ratelimit.Rate // codes tried; 1 in 5 s, 50 at once
	LoginAddr    ratelimit.Rate // logins from devices that the account does not know; 1 in 5 s, 100 at once
	LoginAccount ratelimit.Rate // the same, to one account; 1 in 60 s, 10 at once
	LoginDevice  ratelimit.Rate // logins from one known device; 1 in 30 s, 10 at once
	LoginPasskey ratelimit.Rate // logins by one passkey from devices that the account does not know; 1 in 60 s, 10 at once
	SecondFactor ratelimit.Rate // codes of the second factor, of one user; 1 in 2 min, 6 at once
	Proof        ratelimit.Rate // passwords asked again, of one user; 1 in 30 s, 10 at once
	Refresh      ratelimit.Rate // of one session; 10 in 1 s, 300 at once
}

// Passwords hashes and checks passwords (internal/password).
type Passwords interface {
	Hash(ctx context.Context, password string) (phc string, err error)
	Check(ctx context.Context, phc, password string) (ok, rehash bool, err error)
	// CheckNobody does the work of Check for somebody who does not exist.
	CheckNobody(ctx context.Context, password string) error
}

// Mailer seals mails for the outbox (mail.Sealer).
type Mailer interface {
	Seal(m mail.Message, now time.Time) (mail.Row, error)
}

func (l *Limits) setDefaults() {
	defaultTo(&l.CodeTTL, 10*time.Minute)
	defaultTo(&l.CodeTries, 5)
	defaultTo(&l.RefreshTTL, 30*24*time.Hour)
	defaultTo(&l.SessionMax, 180*24*time.Hour)
	defaultTo(&l.Grace, 30*time.Second)
	defaultTo(&l.Devices, 50)
	defaultTo(&l.AuditTTL, 180*24*time.Hour)
	defaultTo(&l.Passkeys, 10)
	defaultTo(&l.PasskeyTTL, 5*time.Minute)
	every := func(d time.Duration, burst float64) ratelimit.Rate {
		return ratelimit.Rate{PerSecond: 1 / d.Seconds(), Burst: burst}
	}
	defaultTo(&l.RegisterAddr, every(30*time.Second, 20))
	defaultTo(&l.Mail, every(15*time.Minute, 4))
	defaultTo(&l.Resend, every(time.Minute, 1))
	defaultTo(&l.GuessAddr, every(5*time.Second, 50))
	defaultTo(&l.LoginAddr, every(5*time.Second, 100))
	defaultTo(&l.LoginAccount, every(time.Minute, 10))
	defaultTo(&l.LoginDevice, every(30*time.Second, 10))
	defaultTo(&l.LoginPasskey, every(time.Minute, 10))
	defaultTo(&l.SecondFactor, every(2*time.Minute, 6))
	defaultTo(&l.Proof, every(30*time.Second, 10))
	defaultTo(&l.Refresh, every(100*time.Millisecond, 300))
}

func defaultTo[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func (c *Config) validate() error {
	switch {
	case c.Store == nil, c.Passwords == nil, c.Mail == nil, c.Issue == nil:
		return errors.New("accounts: Store, Passwords, Mail and Issue are required")
	case len(c.Key) != 32:
		return errors.New("accounts: Key must have 32 bytes")
	case c.Limits.CodeTries < 0 || c.Limits.Devices < 0 || c.Limits.Grace < 0 || c.Limits.CodeTTL < 0, c.Limits.Passkeys < 0, c.Limits.PasskeyTTL < 0:
		return errors.New("accounts: a limit is negative")
	}
	c.Limits.setDefaults()
	defaultTo(&c.Service, "Rondo")
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Acceptable == nil {
		c.Acceptable = password.Acceptable
	}
	if c.Limiter == nil {
		c.Limiter = ratelimit.NewMemory(limiterKeys)
	}
	if c.Cache == nil {
		c.Cache = noCache{}
	}
	if c.OnRevoked == nil {
		c.OnRevoked = func(context.Context, []string) {}
	}
	if c.OnProfile == nil {
		c.OnProfile = func(context.Context, User, bool) {}
	}
	if c.OnMail == nil {
		c.OnMail = func() {}
	}
	if c.OnDeleted == nil {
		c.OnDeleted = func(context.Context, protocol.UserID) {}
	}
	return nil
}
