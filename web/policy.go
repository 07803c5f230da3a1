package web

import (
	"net/http"
	"regexp"
	"strings"
)

// policy sets the security headers.
type policy struct {
	ancestors string
	sdkOrigin string
}

func newPolicy(cfg Config) policy {
	p := policy{ancestors: "'none'", sdkOrigin: "*"}
	if len(cfg.FrameAncestors) > 0 {
		p.ancestors = strings.Join(cfg.FrameAncestors, " ")
	}
	if cfg.SDKOrigin != "" {
		p.sdkOrigin = cfg.SDKOrigin
	}
	return p
}

// permissions lets the page itself, and nobody it might show, use the devices
// of a call, and switches off what it never needs.
const permissions = "camera=(self), microphone=(self), display-capture=(self), " +
	"picture-in-picture=(self), fullscreen=(self), autoplay=(self), screen-wake-lock=(self), clipboard-write=(self), " +
	"geolocation=(), payment=(), usb=(), serial=(), hid=(), midi=(), accelerometer=(), gyroscope=(), " +
	"magnetometer=(), publickey-credentials-get=(self), publickey-credentials-create=(self), browsing-topics=()"

// common are the headers of every answer. The address of a room is what lets
// people in, so no Referer ever carries it.
func (p policy) common(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
}

// shared lets pages of other sites import what is answered.
func (p policy) shared(h http.Header) {
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Access-Control-Allow-Origin", p.sdkOrigin)
	if p.sdkOrigin != "*" {
		h.Add("Vary", "Origin")
	}
}

// worker is what the service worker may load: the picture of its notifications.
func (p policy) worker(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; img-src 'self'; frame-ancestors 'none'")
}

// hostName is what may stand in a source expression.
var hostName = regexp.MustCompile(`^[A-Za-z0-9.-]+(:[0-9]+)?$|^\[[0-9A-Fa-f:.]+\](:[0-9]+)?$`)

// document are the headers of the page. 'self' covers the WebSocket in browsers
// that know CSP 3; older ones need it by name, so the request's host is added
// where it is a plain one.
func (p policy) document(h http.Header, host string) {
	connect := "'self'"
	if hostName.MatchString(host) {
		connect += " ws://" + host + " wss://" + host
	}
	h.Set("Content-Security-Policy", strings.Join([]string{
		"default-src 'none'",
		"script-src 'self'",
		"style-src 'self'",
		"img-src 'self' data: blob:",
		"font-src 'self'",
		"media-src 'self' blob: mediastream:",
		"connect-src " + connect,
		"manifest-src 'self'",
		"worker-src 'self'",
		"base-uri 'none'",
		"form-action 'none'",
		"frame-ancestors " + p.ancestors,
		"require-trusted-types-for 'script'",
		"trusted-types rondo-worker", // page/notify.js: the address of the service worker, and no other
	}, "; "))
	h.Set("Permissions-Policy", permissions)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	if p.ancestors == "'none'" {
		h.Set("X-Frame-Options", "DENY")
	}
}
