package api

import (
	"net/http"
	"time"

	"github.com/rondo-chat/rondo/accounts"
)

const (
	authPath   = "/api/v1/auth"
	deviceTime = 400 * 24 * time.Hour // the longest that browsers keep a cookie
)

// AccessCookie is the name of the cookie with the access token. Names with a
// prefix hold what a browser got over https from this very host; only those count
// there, so that nobody on the way or on a sibling's host can plant another.
func AccessCookie(secure bool) string { return cookieName(secure, "__Host-", "rondo") }

func refreshCookie(secure bool) string { return cookieName(secure, "__Secure-", "rondo-refresh") }

func deviceCookie(secure bool) string { return cookieName(secure, "__Secure-", "rondo-device") }

func cookieName(secure bool, prefix, name string) string {
	if secure {
		return prefix + name
	}
	return name
}

func (c *call) secure() bool { return c.api.cfg.Secure(c.r) }

// cookie returns the value; "" if there is none, or more than one.
func (c *call) cookie(name string) string {
	list := c.r.CookiesNamed(name)
	if len(list) != 1 {
		return ""
	}
	return list[0].Value
}

func (c *call) setCookie(name, value, path string, site http.SameSite, expires time.Time) {
	age := int(expires.Sub(c.now).Seconds())
	if value == "" || age <= 0 {
		value, age = "", -1
	}
	http.SetCookie(c.w, &http.Cookie{
		Name: name, Value: value, Path: path, MaxAge: age, Secure: c.secure(), HttpOnly: true, SameSite: site,
	})
}

// keep gives a browser its tokens.
func (c *call) keep(l accounts.Login) {
	s := c.secure()
	c.setCookie(AccessCookie(s), l.Access, "/", http.SameSiteLaxMode, l.AccessExpires)
	c.setCookie(refreshCookie(s), l.Refresh, authPath, http.SameSiteStrictMode, l.RefreshExpires)
	c.keepDevice(c.api.seal(l.Device))
}

// keepDevice gives a browser its device's secret name, if it got one.
func (c *call) keepDevice(id string) {
	if id != "" {
		c.setCookie(deviceCookie(c.secure()), id, authPath, http.SameSiteStrictMode, c.now.Add(deviceTime))
	}
}

// forget takes the tokens away; the device stays known.
func (c *call) forget() {
	s := c.secure()
	c.setCookie(AccessCookie(s), "", "/", http.SameSiteLaxMode, time.Time{})
	c.setCookie(refreshCookie(s), "", authPath, http.SameSiteStrictMode, time.Time{})
}
