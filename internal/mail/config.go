package mail

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	netmail "net/mail"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Security is how the connection to the mail server is encrypted.
type Security string

// The ways.
const (
	StartTLS Security = "starttls" // the server must offer it; the default
	TLS      Security = "tls"      // from the first byte
	Plain    Security = "none"     // for a server on this machine
)

// Config says how mails are sent. Zero fields have the defaults given. The
// program's flags for the first six: smtp, smtp-security, smtp-user,
// smtp-password-file, smtp-ca (a file), smtp-from.
type Config struct {
	// Server is the mail server, host:port or host (port 587, 465 with TLS, 25 with
	// Plain). Empty: mails are written to the log, codes included, which is for
	// development alone.
	Server   string
	Security Security // StartTLS
	Username string   // empty: no log-in
	Password string
	CA       []byte // PEM of what the server's certificate must be signed by; empty: the system's
	From     string // "Rondo <rondo@example.org>" or the address alone; needed with Server

	Service string // what the texts call the service; "Rondo"
	URL     string // of the page, at the foot of mails; may be ""

	Store  Store
	Sealer *Sealer

	Timeout  time.Duration // for one mail, from dialling on; 30 s
	Senders  int           // mails that this node sends at the same time; 4
	Poll     time.Duration // how long after another node's mail was due it is looked for; 2 s
	KeepDead time.Duration // how long dead letters are kept; 7 days

	Logger     *slog.Logger          // discards by default
	Registerer prometheus.Registerer // nil: no metrics
}

// validate fills in the defaults.
func (c *Config) validate() error {
	switch {
	case c.Store == nil || c.Sealer == nil:
		return errors.New("mail: Config.Store or Sealer is missing")
	case c.Timeout < 0 || c.Senders < 0 || c.Poll < 0 || c.KeepDead < 0:
		return errors.New("mail: Config.Timeout, Senders, Poll or KeepDead is negative")
	}
	if c.Service = clean(c.Service, 64); c.Service == "" {
		c.Service = "Rondo"
	}
	defaultTo(&c.Timeout, 30*time.Second)
	defaultTo(&c.Senders, 4)
	defaultTo(&c.Poll, 2*time.Second)
	defaultTo(&c.KeepDead, 7*24*time.Hour)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Server == "" {
		return nil
	}
	return c.validateServer()
}

func defaultTo[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

func (c *Config) validateServer() error {
	if c.Security == "" {
		c.Security = StartTLS
	}
	port := map[Security]string{StartTLS: "587", TLS: "465", Plain: "25"}[c.Security]
	if port == "" {
		return fmt.Errorf("mail: the security %q is none of starttls, tls, none", c.Security)
	}
	if _, _, err := net.SplitHostPort(c.Server); err != nil {
		c.Server = net.JoinHostPort(strings.Trim(c.Server, "[]"), port)
	}
	host, _, err := net.SplitHostPort(c.Server)
	if err != nil || host == "" || strings.Contains(host, ":") && net.ParseIP(host) == nil {
		return errors.New("mail: Config.Server must be host or host:port")
	}
	if c.Security == Plain && c.Username != "" && !loopback(host) {
		return errors.New("mail: a password is not sent without encryption, but to this machine")
	}
	if len(c.CA) > 0 && !x509.NewCertPool().AppendCertsFromPEM(c.CA) {
		return errors.New("mail: Config.CA holds no certificate (PEM)")
	}
	if _, err := sender(c.From); err != nil {
		return fmt.Errorf("mail: Config.From: %w", err)
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// sender reads the From address.
func sender(s string) (*netmail.Address, error) {
	a, err := netmail.ParseAddress(s)
	if err != nil {
		return nil, errors.New("not an address, as in Rondo <rondo@example.org>")
	}
	if a.Address, err = Address(a.Address); err != nil {
		return nil, err
	}
	a.Name = clean(a.Name, 64)
	return a, nil
}
