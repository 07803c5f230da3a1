package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/netip"
	"strings"
	"time"

	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/protocol"
)

// limit counts the request against its address. Where that has had its share, who
// is vouched for goes on in a bucket of their own: people share addresses, and
// somebody else's flood must not keep them out.
func (c *call) limit() error {
	l := c.route.limit
	err := c.take(l.name+":"+network(c.addr()), l.rate)
	if protocol.CodeOf(err) != protocol.CodeRateLimited {
		return err
	}
	if who := c.vouched(); who != "" {
		return c.take(l.name+":"+who, ratelimit.Rate{PerSecond: l.rate.PerSecond / 2, Burst: l.rate.Burst / 5})
	}
	return err
}

func (c *call) take(key string, rate ratelimit.Rate) error {
	allowed, retry, err := c.api.cfg.Limiter.Take(c.r.Context(), "api:"+key, 1, rate)
	if err == nil && !allowed {
		err = &protocol.Error{Code: protocol.CodeRateLimited, Msg: "too many requests", Retry: max(retry, time.Millisecond)}
	}
	return err
}

// vouched names who asks by what cannot be made up: the seal of a device that
// has logged in, or an access token. It is "" for all others.
func (c *call) vouched() string {
	if id := c.sealedDevice(); id != "" {
		return "device:" + sum(id)
	}
	raw, err := c.accessToken()
	if err != nil || raw == "" {
		return ""
	}
	who, err := c.api.principal(raw, c.now)
	if err != nil {
		return ""
	}
	return "session:" + who.Session
}

// sealedDevice returns the name of the device that asks, if it is sealed.
func (c *call) sealedDevice() string {
	token := c.cookie(deviceCookie(c.secure()))
	if token == "" && c.read() == nil && strings.HasPrefix(c.route.Path, authPath) {
		var in struct {
			DeviceToken string `json:"device_token"`
		}
		_ = json.Unmarshal(c.body, &in) // no JSON: no device; the handler says so
		token = in.DeviceToken
	}
	if id, sealed := c.api.unseal(token); sealed {
		return id
	}
	return ""
}

const (
	sealSize       = 1 + 16 // with its dot
	maxDeviceToken = 64
)

// seal makes the token of a device that has logged in: its name, and a proof that
// it has.
func (a *API) seal(id string) string {
	if id == "" || len(id)+sealSize > maxDeviceToken {
		return id
	}
	m := hmac.New(sha256.New, a.cfg.Key)
	m.Write([]byte("device that has logged in\x00" + id))
	return id + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil)[:12])
}

// unseal returns the name of the device, without its seal if that is good.
func (a *API) unseal(token string) (id string, sealed bool) {
	if n := len(token) - sealSize; n > 0 && hmac.Equal([]byte(a.seal(token[:n])), []byte(token)) {
		return token[:n], true
	}
	return token, false
}

// network is what one subscriber has: an IPv4 address, or an IPv6 /64.
func network(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return a.String()
	}
	p, _ := a.Prefix(64)
	return p.String()
}
