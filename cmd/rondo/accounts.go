package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/accounts/rediscache"
	"github.com/rondo-chat/rondo/accounts/sqlstore"
	"github.com/rondo-chat/rondo/auth/redisrevocations"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/internal/mail"
	"github.com/rondo-chat/rondo/internal/password"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/internal/ratelimit/redisratelimit"
	"github.com/rondo-chat/rondo/internal/rediscall"
	"github.com/rondo-chat/rondo/server"
	"github.com/rondo-chat/rondo/server/api"
)

// limitKeys is how many addresses and accounts are counted in memory.
const limitKeys = 50_000

// hasAccounts reports whether this process is to know accounts. Several nodes
// need one database: they have none with a file each.
func (c *config) hasAccounts() bool {
	return c.Accounts && c.Roles.signaling() && (c.Redis == "" || c.Database != "")
}

// databaseURL is where the accounts are kept.
func (c *config) databaseURL() string {
	return cmp.Or(c.Database, "sqlite:"+filepath.Join(c.DataDir, "rondo.db"))
}

// development reports whether people elsewhere are not meant to come here.
func (c *config) development() bool {
	u, err := url.Parse(c.PublicURL)
	if err != nil {
		return false
	}
	host := u.Hostname()
	a, err := netip.ParseAddr(host)
	return c.PublicURL == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && a.IsLoopback()
}

// origin is that of the page, which passkeys belong to; "" while developing: then any port will do.
func (c *config) origin() string {
	u, err := url.Parse(c.PublicURL)
	if err != nil || c.development() {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// validateAccounts finds what cannot work.
func (c *config) validateAccounts() error {
	switch {
	case !c.hasAccounts():
		return nil
	case c.Mail.Server == "" && !c.development():
		return fmt.Errorf("%w: smtp: accounts send mails: name a mail server, or switch them off with accounts: false", errUsage)
	case c.Mail.Server != "" && c.Mail.From == "":
		return fmt.Errorf("%w: smtp-from: the sender's address is missing", errUsage)
	}
	return nil
}

// openAccounts opens the database and the mail, and adds the accounts to sc.
func (n *node) openAccounts(ctx context.Context, sc *server.Config, limiter ratelimit.Limiter) error {
	if !n.cfg.hasAccounts() {
		if n.cfg.Accounts {
			n.log.Warn("accounts are off: several nodes need one database, see the setting database")
		}
		return nil
	}
	secret, err := readSecret("database-password-file", n.cfg.DatabasePasswordFile)
	if err != nil {
		return err
	}
	db, err := database.Open(ctx, database.Config{
		URL: n.cfg.databaseURL(), Password: secret, Replicas: n.cfg.DatabaseReplicas, Logger: n.log, Registerer: n.metrics.Registerer(),
	})
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	n.onClose(func() { _ = db.Close() })
	store := sqlstore.New(db)
	if err := store.Migrate(ctx); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	hasher, err := password.New(password.Config{})
	if err != nil {
		return err
	}
	sealer, err := mail.NewSealer(n.signer.Key("mail"))
	if err != nil {
		return err
	}
	worker, err := n.openMail(store, sealer)
	if err != nil {
		return err
	}
	sc.Secure = cameSecurely(n.cfg.TrustedProxies)
	sc.Accounts = &server.Accounts{
		Store: store, Keys: store, Revocations: store, Answers: answers{store},
		Passwords: hasher, Acceptable: password.Acceptable, Mail: sealer, OnMail: worker.Wake,
		Limiter: limiter, Issuer: cmp.Or(n.cfg.PublicURL, "rondo"), Origin: n.cfg.origin(), Secure: sc.Secure,
	}
	return n.openConversations(ctx, db, sc, limiter)
}

// openAccountCaches keeps in Redis what each handshake would ask of the database.
func (n *node) openAccountCaches(client redis.UniversalClient, a *server.Accounts) (err error) {
	common := rediscall.Config{Client: client, Prefix: n.cfg.RedisPrefix}
	if a.Cache, err = rediscache.New(common); err != nil {
		return err
	}
	common.Timeout = redisTimeout
	a.Revoked, err = redisrevocations.New(common)
	return err
}

// openMail makes the worker that sends what the accounts write; run starts it.
func (n *node) openMail(store *sqlstore.Store, sealer *mail.Sealer) (*mail.Worker, error) {
	secret, err := readSecret("smtp-password-file", n.cfg.Mail.PasswordFile)
	if err != nil {
		return nil, err
	}
	var ca []byte
	if path := n.cfg.Mail.CA; path != "" {
		if ca, err = os.ReadFile(path); err != nil {
			return nil, fmt.Errorf("smtp-ca: %w", err)
		}
	}
	worker, err := mail.New(mail.Config{
		Server: n.cfg.Mail.Server, Security: mail.Security(n.cfg.Mail.Security), Username: n.cfg.Mail.Username, Password: secret, CA: ca,
		From: n.cfg.Mail.From, URL: n.cfg.PublicURL, Store: store, Sealer: sealer, Logger: n.log, Registerer: n.metrics.Registerer(),
	})
	if err != nil {
		return nil, fmt.Errorf("%w: smtp: %w", errUsage, err)
	}
	worker.Start()
	n.onClose(worker.Close)
	return worker, nil
}

// openLimiter counts for all nodes where there is Redis.
func (n *node) openLimiter(client redis.UniversalClient) (ratelimit.Limiter, error) {
	memory := ratelimit.NewMemory(limitKeys)
	if client == nil {
		return memory, nil
	}
	return redisratelimit.New(redisratelimit.Config{
		Config:   rediscall.Config{Client: client, Prefix: n.cfg.RedisPrefix, Timeout: redisTimeout},
		Fallback: memory, Logger: n.log,
	})
}

// readSecret reads a password from a file; "" if none is named.
func readSecret(setting, path string) (string, error) {
	if path == "" {
		return "", nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", setting, err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

// cameSecurely returns a function that tells whether a request came by https, to
// here or to a trusted proxy.
func cameSecurely(trusted []netip.Prefix) func(*http.Request) bool {
	return func(r *http.Request) bool {
		if r.TLS != nil {
			return true
		}
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil {
			return false
		}
		for _, p := range trusted {
			if p.Contains(peer.Addr().Unmap()) {
				return r.Header.Get("X-Forwarded-Proto") == "https"
			}
		}
		return false
	}
}

// answers is an api.Answers in the database.
type answers struct{ store *sqlstore.Store }

// Claim implements api.Answers.
func (a answers) Claim(ctx context.Context, key, request string, until time.Time) (*api.SavedAnswer, error) {
	found, err := a.store.ClaimAnswer(ctx, key, request, time.Now(), until)
	if found == nil || err != nil {
		return nil, err
	}
	return &api.SavedAnswer{Request: found.Request, Status: found.Status, Body: found.Body}, nil
}

// Save implements api.Answers.
func (a answers) Save(ctx context.Context, key string, s api.SavedAnswer, until time.Time) error {
	return a.store.SaveAnswer(ctx, key, sqlstore.Answer{Request: s.Request, Status: s.Status, Body: s.Body}, until)
}

// Drop implements api.Answers.
func (a answers) Drop(ctx context.Context, key string) error { return a.store.DropAnswer(ctx, key) }
