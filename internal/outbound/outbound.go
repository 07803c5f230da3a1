// Package outbound makes connections to addresses that the operator or, for some, a
// user named: translators, webhooks, brokers, push services. It promises that none of
// them reaches inside:
//
//   - An address is judged when it is dialled, after the name was resolved: it must be
//     of the public Internet and none of this machine's own. So a name that resolves
//     to something else at the second look (DNS rebinding), a redirect, and odd ways to
//     write an address come to nothing. Loopback, private, link-local, CGNAT,
//     multicast and reserved ranges, clouds' metadata services, and IPv4 of these
//     inside IPv6 are refused unless Config.Allow names them.
//   - The client takes no proxy from the environment, keeps no cookies, follows no
//     redirects unless told to, and speaks http and https only.
//   - Whatever the other side does, a request ends after Config.Timeout, its answer after
//     Config.MaxBody.
//
// It cannot know which public addresses belong to the operator: those are the firewall's.
package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"github.com/rondo-chat/rondo/internal/address"
)

// ErrRefused is what dialling a forbidden address, or asking for a forbidden URL, ends with.
var ErrRefused = errors.New("outbound: not allowed to be reached")

// ErrTooLarge is what reading an answer ends with that is longer than Config.MaxBody.
var ErrTooLarge = errors.New("outbound: the answer is too large")

// Config says what may be reached, and how long it may take. Zero fields have the defaults given.
type Config struct {
	Allow       []netip.Prefix // reachable although not public, or this machine's own
	DialTimeout time.Duration  // for resolving and connecting; 5 s
	Timeout     time.Duration  // for a request to the end of its answer; 10 s
	MaxBody     int64          // bytes of an answer; 1 MiB
	Redirects   int            // how many are followed; 0: none, the answer is the redirect
	HTTPSOnly   bool           // plain http is refused; for URLs of users
	TLS         *tls.Config    // of https; the system's roots
	Resolver    *net.Resolver  // the system's

	own func() ([]netip.Addr, error) // for tests of this package
}

// Dialer dials what may be reached. It is safe for concurrent use and holds no connection.
type Dialer struct {
	cfg    Config
	dialer net.Dialer
}

// New makes a Dialer.
func New(cfg Config) (*Dialer, error) {
	if cfg.DialTimeout < 0 || cfg.Timeout < 0 || cfg.MaxBody < 0 || cfg.Redirects < 0 || cfg.Redirects > 10 {
		return nil, errors.New("outbound: a limit of the Config is negative, or Redirects is over 10")
	}
	allow := make([]netip.Prefix, 0, len(cfg.Allow))
	for _, p := range cfg.Allow {
		if !p.IsValid() {
			return nil, errors.New("outbound: Config.Allow holds an invalid range")
		}
		allow = append(allow, address.UnmapPrefix(p))
	}
	cfg.Allow = allow
	setDefault(&cfg.DialTimeout, 5*time.Second)
	setDefault(&cfg.Timeout, 10*time.Second)
	setDefault(&cfg.MaxBody, 1<<20)
	if cfg.own == nil {
		cfg.own = address.Own
	}
	d := &Dialer{cfg: cfg}
	d.dialer = net.Dialer{Timeout: cfg.DialTimeout, Resolver: cfg.Resolver, ControlContext: d.control}
	return d, nil
}

func setDefault[T ~int64](v *T, to T) {
	if *v == 0 {
		*v = to
	}
}

// DialContext connects by TCP ("tcp", "tcp4", "tcp6") to host:port. The error is
// ErrRefused for what may not be reached.
func (d *Dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return nil, fmt.Errorf("%w: network %q", ErrRefused, network)
	}
	if to, err := netip.ParseAddrPort(addr); err == nil { // control would say so too, where this machine speaks that IP
		if err := d.judge(to.Addr()); err != nil {
			return nil, err
		}
	}
	return d.dialer.DialContext(ctx, network, addr)
}

// control is called between resolving and connecting, for each address that is tried.
func (d *Dialer) control(_ context.Context, network, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || network != "tcp4" && network != "tcp6" {
		return fmt.Errorf("%w: %s %q", ErrRefused, network, address)
	}
	return d.judge(to.Addr())
}

// Check reports ErrRefused for a URL that the client would not ask for whatever its host
// resolves to: for telling whoever enters one. That it passes says nothing of the host.
func (d *Dialer) Check(u *url.URL) error {
	if err := d.checkURL(u); err != nil {
		return err
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		return d.judge(a)
	}
	return nil
}

func (d *Dialer) checkURL(u *url.URL) error {
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || d.cfg.HTTPSOnly):
		return fmt.Errorf("%w: scheme %q", ErrRefused, u.Scheme)
	case u.Hostname() == "":
		return fmt.Errorf("%w: a URL without a host", ErrRefused)
	case !webPort(u.Port()):
		return fmt.Errorf("%w: port %s", ErrRefused, u.Port())
	}
	return nil
}

// Client makes a client. Its idle connections are closed by CloseIdleConnections.
func (d *Dialer) Client() *http.Client {
	t := &http.Transport{
		Proxy:                  nil, // also not the environment's
		DialContext:            d.DialContext,
		TLSClientConfig:        d.cfg.TLS.Clone(),
		TLSHandshakeTimeout:    d.cfg.DialTimeout,
		ResponseHeaderTimeout:  d.cfg.Timeout,
		MaxResponseHeaderBytes: 64 << 10,
		MaxConnsPerHost:        32,
		MaxIdleConns:           32,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        time.Minute,
		DisableCompression:     true, // nothing is inflated
		ForceAttemptHTTP2:      true,
	}
	return &http.Client{Transport: &guard{d, t}, Timeout: d.cfg.Timeout, CheckRedirect: d.redirect}
}

// redirect is asked before a redirect is followed; the guard judges its URL.
func (d *Dialer) redirect(next *http.Request, via []*http.Request) error {
	first, last := via[0], via[len(via)-1]
	if d.cfg.Redirects == 0 {
		return http.ErrUseLastResponse
	}
	if len(via) > d.cfg.Redirects {
		return fmt.Errorf("%w: more than %d redirects", ErrRefused, d.cfg.Redirects)
	}
	if last.URL.Scheme == "https" && next.URL.Scheme != "https" {
		return fmt.Errorf("%w: a redirect from https to %s", ErrRefused, next.URL.Scheme)
	}
	if next.URL.Host != first.URL.Host { // what was meant for one host is no other's
		for name := range next.Header {
			switch name {
			case "Accept", "Content-Type", "User-Agent":
			default:
				next.Header.Del(name)
			}
		}
	}
	return nil
}

// guard is the transport of a client: it looks at URLs and bounds answers.
type guard struct {
	d *Dialer
	t *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := g.d.checkURL(r.URL); err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	resp, err := g.t.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if resp.ContentLength > g.d.cfg.MaxBody && r.Method != http.MethodHead {
		_ = resp.Body.Close()
		return nil, ErrTooLarge
	}
	resp.Body = &bounded{resp.Body, g.d.cfg.MaxBody}
	return resp, nil
}

// CloseIdleConnections is for http.Client's.
func (g *guard) CloseIdleConnections() { g.t.CloseIdleConnections() }

// Cause is what went wrong with a request, without its URL, in which there may be a secret.
func Cause(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
