package auth

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/rondo-chat/rondo/protocol"
)

// Origins is an allow-list of web origins (RFC 6454). The zero Origins allows
// only pages from the request's own host. It is immutable.
type Origins struct {
	allowed map[string]bool
}

// ParseOrigins reads origins such as "https://example.org" or
// "http://localhost:8080": scheme, host and perhaps a port, exactly. There are
// no wildcards; international names stand in their ASCII form (xn--…).
func ParseOrigins(list []string) (Origins, error) {
	o := Origins{}
	for _, s := range list {
		u, err := parseOrigin(strings.TrimSuffix(strings.TrimSpace(s), "/"))
		if err != nil {
			return Origins{}, fmt.Errorf("auth: origin %q: %w", s, err)
		}
		if o.allowed == nil {
			o.allowed = map[string]bool{}
		}
		o.allowed[u.String()] = true
	}
	return o, nil
}

// Check returns nil if the request may come from where it says it does, else an
// error with code origin. A request without Origin does not come from a page in
// a browser; it is let through unless it carries cookies, which only browsers
// send unasked.
func (o Origins) Check(r *http.Request) error {
	values := r.Header.Values("Origin")
	if len(values) == 0 {
		if len(r.Header.Values("Cookie")) > 0 {
			return protocol.Errorf(protocol.CodeOrigin, "a request with cookies must carry an Origin")
		}
		return nil
	}
	u, err := parseOrigin(values[0])
	if err != nil || len(values) > 1 || !o.allows(u, r) {
		return protocol.Errorf(protocol.CodeOrigin, "pages of this origin may not connect here")
	}
	return nil
}

func (o Origins) allows(u origin, r *http.Request) bool {
	if o.allowed != nil {
		return o.allowed[u.String()]
	}
	if u.scheme != "https" && (u.scheme != "http" || r.TLS != nil) {
		return false // a plain page on our name may be anybody's, and what is no page too
	}
	host := origin{scheme: u.scheme}
	host.setHost(r.Host)
	return u == host
}

// origin is a web origin in its one spelling: lower case, port always there
// where the scheme has a default.
type origin struct{ scheme, host, port string }

func (o origin) String() string { return o.scheme + "://" + o.host + ":" + o.port }

func (o *origin) setHost(hostport string) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		host, port = strings.Trim(hostport, "[]"), ""
	}
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[o.scheme]
	}
	o.host, o.port = strings.ToLower(host), port
}

func parseOrigin(s string) (origin, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return origin{}, errors.New("not a URL")
	case u.Scheme == "" || strings.Trim(u.Hostname(), "[]") == "":
		return origin{}, errors.New("needs scheme and host")
	case u.User != nil || u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(s, "#"):
		return origin{}, errors.New("must be scheme, host and port only")
	case strings.ContainsFunc(u.Host, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune("*,%\\", c) }),
		strings.ContainsAny(u.Hostname(), "[]"):
		return origin{}, errors.New("host must be one plain ASCII name, without wildcards")
	}
	o := origin{scheme: strings.ToLower(u.Scheme)}
	o.setHost(u.Host)
	return o, nil
}
