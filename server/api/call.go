package api

import (
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/protocol"
)

const maxUserAgent = 256

// call is one request on its way.
type call struct {
	api   *API
	w     http.ResponseWriter
	r     *http.Request
	route *Route
	now   time.Time
	who   auth.Principal
	body  []byte

	sealed bool // the device that asks has logged in before
}

// answer is what a handler has to say.
type answer struct {
	status int
	header map[string]string
	body   any               // nil: none
	file   io.ReadSeekCloser // instead of a body
	kept   string            // what Route.again needs
}

func (a answer) write(c *call) {
	if a.file == nil {
		write(c.w, a.body, a.status)
		return
	}
	http.ServeContent(c.w, c.r, "", time.Time{}, a.file)
	_ = a.file.Close()
}

func ok(body any) (answer, error) { return answer{status: http.StatusOK, body: body}, nil }

// done answers 204, or what went wrong.
func (c *call) done(err error) (answer, error) {
	return answer{status: http.StatusNoContent}, c.mean(err)
}

// mean gives an error of the accounts the meaning that it has on this route.
func (c *call) mean(err error) error {
	e, ok := errors.AsType[*protocol.Error](err)
	if !ok || c.route.wrong == "" || e.Code != protocol.CodeUnauthorized {
		return err
	}
	return &protocol.Error{Code: c.route.wrong, Msg: e.Msg, Retry: e.Retry}
}

func (c *call) addr() netip.Addr { return c.api.cfg.RemoteAddr(c.r) }

// identify finds out who asks. Where anybody may ask, a token that is not good
// does not matter.
func (c *call) identify() error {
	raw, err := c.accessToken()
	if err == nil && raw != "" {
		c.who, err = c.api.principal(raw, c.now)
	}
	if err == nil || auth.Allowed(auth.Principal{}, c.route.Action, auth.Resource{}) == nil {
		return nil
	}
	if raw != "" && auth.Allowed(auth.Principal{Identity: "g", Guest: true}, c.route.Action, auth.Resource{}) == nil {
		return c.guest(raw, err)
	}
	return err
}

// guest looks whether the token is a guest's, where these may ask. One who has an account by now comes with the
// account's tokens: the identity is the account's.
func (c *call) guest(raw string, otherwise error) error {
	id, err := c.api.cfg.Guests.Verify(raw, c.now)
	if err != nil {
		return otherwise
	}
	registered, err := c.api.cfg.Accounts.Registered(c.r.Context(), id)
	switch {
	case err != nil:
		return err
	case registered:
		return otherwise
	}
	c.who = auth.Principal{Identity: id, Guest: true}
	return nil
}

// principal returns whose access token it is, unless that has ended.
func (a *API) principal(raw string, now time.Time) (auth.Principal, error) {
	claims, err := a.cfg.Tokens.Verify(raw, now)
	if err != nil {
		return auth.Principal{}, err
	}
	if a.cfg.Revoked.Revoked(claims.Session) {
		return auth.Principal{}, protocol.Errorf(protocol.CodeUnauthorized, "this session is over: log in again")
	}
	return claims.Principal(), nil
}

// accessToken returns the token of the header, which counts, or of the cookie.
func (c *call) accessToken() (string, error) {
	if list := c.r.Header.Values("Authorization"); len(list) > 0 {
		scheme, token, _ := strings.Cut(list[0], " ")
		if len(list) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" {
			return "", protocol.Errorf(protocol.CodeUnauthorized, "Authorization: Bearer and the token is what is understood here")
		}
		return token, nil
	}
	return c.cookie(AccessCookie(c.secure())), nil
}

// device is where the request comes from.
func (c *call) device(name, token string) accounts.Device {
	if token == "" {
		token = c.cookie(deviceCookie(c.secure()))
	}
	id, sealed := c.api.unseal(token)
	if !plain(id, 1, maxDeviceToken) {
		id = "" // not a name that this server gave, and nothing to put into a cookie
	}
	c.sealed = sealed
	return accounts.Device{ID: id, Name: name, UserAgent: c.userAgent(), Addr: c.addr()}
}

// userAgent is the header without what does not belong into a text.
func (c *call) userAgent() string {
	ua := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return -1
		}
		return r
	}, c.r.UserAgent())
	if len(ua) > maxUserAgent {
		ua = strings.ToValidUTF8(ua[:maxUserAgent], "")
	}
	return ua
}
