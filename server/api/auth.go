package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/protocol"
)

type registerRequest struct {
	Email       string `json:"email" need:"true" max:"254"`
	Username    string `json:"username" need:"true" max:"32"`
	Password    string `json:"password" need:"true" max:"1024"`
	Name        string `json:"name" max:"1024"`
	Language    string `json:"language" max:"35"`
	Guest       string `json:"guest" max:"4096"`
	Bearer      bool   `json:"bearer"`
	DeviceToken string `json:"device_token" max:"64"`
}

type pendingAnswer struct {
	ExpiresAt   int64  `json:"expires_at"`
	DeviceToken string `json:"device_token,omitempty"`
}

// pending answers a request for a code. id is the device's name, which a browser
// gets as a cookie.
func (c *call) pending(p accounts.Pending, id string, bearer bool) (answer, error) {
	out := pendingAnswer{ExpiresAt: p.Expires.UnixMilli()}
	if c.sealed {
		id = c.api.seal(id)
	}
	if bearer {
		out.DeviceToken = id
	} else {
		c.keepDevice(id)
	}
	return answer{status: http.StatusAccepted, body: out}, nil
}

func register(c *call) (answer, error) {
	in, err := decode[registerRequest](c)
	if err != nil {
		return answer{}, err
	}
	r := accounts.Registration{
		Email: in.Email, Username: in.Username, Password: in.Password, Name: in.Name, Language: in.Language,
		Device: c.nameDevice(in.DeviceToken),
	}
	if r.Language == "" {
		r.Language = primaryLanguage(c.r.Header.Get("Accept-Language"))
	}
	if in.Guest != "" {
		if r.Guest, err = c.api.cfg.Guests.Verify(in.Guest, c.now); err != nil {
			return answer{}, protocol.Errorf(protocol.CodeBadRequest, "guest: the token is not valid any more")
		}
	}
	p, err := c.api.cfg.Accounts.Register(c.r.Context(), r)
	if e := c.mean(err); e != nil {
		if protocol.CodeOf(e) == protocol.CodeAlready {
			e = protocol.Errorf(protocol.CodeTaken, "username: somebody has it")
		}
		return answer{}, e
	}
	return c.pending(p, p.Device, in.Bearer)
}

// nameDevice is the device, with a name if it has none: one that comes of the
// Idempotency-Key, so that the answer, when it is asked for again, can name it
// without having been kept.
func (c *call) nameDevice(token string) accounts.Device {
	d := c.device("", token)
	if key := c.r.Header.Get("Idempotency-Key"); d.ID == "" && key != "" {
		mac := hmac.New(sha256.New, c.api.cfg.Key)
		sum := sha256.Sum256(c.body)
		mac.Write(sum[:])
		mac.Write([]byte(key))
		d.ID = base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	return d
}

type verifyRequest struct {
	Email       string `json:"email" need:"true" max:"254"`
	Code        string `json:"code" need:"true" max:"64"`
	Device      string `json:"device" max:"1024"`
	Bearer      bool   `json:"bearer"`
	DeviceToken string `json:"device_token" max:"64"`
}

func verify(c *call) (answer, error) {
	in, err := decode[verifyRequest](c)
	if err != nil {
		return answer{}, err
	}
	l, err := c.api.cfg.Accounts.Verify(c.r.Context(), in.Email, in.Code, c.device(in.Device, in.DeviceToken))
	if protocol.CodeOf(err) == protocol.CodeAlready {
		err = protocol.Errorf(protocol.CodeTaken, "username: somebody has taken it meanwhile")
	}
	return c.loggedIn(l, in.Bearer, err)
}

type addressRequest struct {
	Email       string `json:"email" need:"true" max:"254"`
	Bearer      bool   `json:"bearer"`
	DeviceToken string `json:"device_token" max:"64"`
}

func resend(c *call) (answer, error) {
	in, err := decode[addressRequest](c)
	if err != nil {
		return answer{}, err
	}
	p, err := c.api.cfg.Accounts.Resend(c.r.Context(), in.Email, c.nameDevice(in.DeviceToken))
	if err != nil {
		return answer{}, err
	}
	return c.pending(p, p.Device, in.Bearer)
}

func forgot(c *call) (answer, error) {
	in, err := decode[addressRequest](c)
	if err != nil {
		return answer{}, err
	}
	p, err := c.api.cfg.Accounts.Forgot(c.r.Context(), in.Email, c.nameDevice(in.DeviceToken))
	if err != nil {
		return answer{}, err
	}
	return c.pending(p, p.Device, in.Bearer)
}

type resetRequest struct {
	Email       string `json:"email" need:"true" max:"254"`
	Code        string `json:"code" need:"true" max:"64"`
	Password    string `json:"password" need:"true" max:"1024"`
	DeviceToken string `json:"device_token" max:"64"`
}

func reset(c *call) (answer, error) {
	in, err := decode[resetRequest](c)
	if err != nil {
		return answer{}, err
	}
	return c.done(c.api.cfg.Accounts.Reset(c.r.Context(), in.Email, in.Code, in.Password, c.device("", in.DeviceToken)))
}

type loginRequest struct {
	Login       string `json:"login" need:"true" max:"254"`
	Password    string `json:"password" need:"true" max:"1024"`
	Code        string `json:"code" max:"64"`
	Device      string `json:"device" max:"1024"`
	Bearer      bool   `json:"bearer"`
	DeviceToken string `json:"device_token" max:"64"`
}

func login(c *call) (answer, error) {
	in, err := decode[loginRequest](c)
	if err != nil {
		return answer{}, err
	}
	l, err := c.api.cfg.Accounts.Login(c.r.Context(), accounts.LoginRequest{
		Who: in.Login, Password: in.Password, Code: in.Code, Device: c.device(in.Device, in.DeviceToken),
	})
	return c.loggedIn(l, in.Bearer, err)
}

type loginAnswer struct {
	User             userAnswer `json:"user"`
	AccessToken      string     `json:"access_token,omitempty"`
	AccessExpiresAt  int64      `json:"access_expires_at"`
	RefreshToken     string     `json:"refresh_token,omitempty"`
	RefreshExpiresAt int64      `json:"refresh_expires_at"`
	DeviceToken      string     `json:"device_token,omitempty"`
	Ticket           string     `json:"ticket,omitempty"`
}

// loggedIn gives the tokens to a program in the answer, to a browser as cookies.
func (c *call) loggedIn(l accounts.Login, bearer bool, err error) (answer, error) {
	if err != nil {
		return answer{}, c.mean(err)
	}
	out := loginAnswer{
		User: userOf(l.User), AccessExpiresAt: l.AccessExpires.UnixMilli(), RefreshExpiresAt: l.RefreshExpires.UnixMilli(),
	}
	if bearer {
		out.AccessToken, out.RefreshToken, out.DeviceToken = l.Access, l.Refresh, c.api.seal(l.Device)
		return ok(out)
	}
	c.keep(l)
	out.Ticket = c.api.cfg.Tickets.Issue(auth.Claims{
		Identity: l.User.Identity, Session: l.Session, Roles: l.User.Roles, Expires: l.AccessExpires,
	}, c.now)
	return ok(out)
}

type refreshRequest struct {
	RefreshToken string `json:"refresh_token" max:"256"`
}

// refresh answers in kind: page script must not be able to turn a cookie into a
// token that it can read.
func refresh(c *call) (answer, error) {
	in, err := decode[refreshRequest](c)
	if err != nil {
		return answer{}, err
	}
	raw, bearer := in.RefreshToken, true
	if raw == "" {
		raw, bearer = c.cookie(refreshCookie(c.secure())), false
	}
	if raw == "" {
		return answer{}, protocol.Errorf(protocol.CodeUnauthorized, "log in first")
	}
	l, err := c.api.cfg.Accounts.Refresh(c.r.Context(), raw, c.device("", ""))
	if !bearer && protocol.CodeOf(err) == protocol.CodeUnauthorized {
		c.forget()
	}
	return c.loggedIn(l, bearer, err)
}

type logoutRequest struct {
	All          bool   `json:"all"`
	RefreshToken string `json:"refresh_token" max:"256"`
}

func logout(c *call) (answer, error) {
	in, err := decode[logoutRequest](c)
	if err != nil {
		return answer{}, err
	}
	ctx, a := c.r.Context(), c.api.cfg.Accounts
	raw := in.RefreshToken
	if raw == "" {
		raw = c.cookie(refreshCookie(c.secure()))
	}
	switch {
	case in.All:
		if err = auth.Allowed(c.who, auth.ActionAccount, auth.Resource{Owner: c.who.Identity}); err == nil {
			err = a.LogoutAll(ctx, c.who.Identity, "")
		}
	case c.who.Session != "":
		err = a.Logout(ctx, c.who.Session)
	case raw != "":
		err = a.LogoutToken(ctx, raw)
	}
	if err == nil {
		c.forget()
	}
	return c.done(err)
}

type passwordRequest struct {
	Current  string `json:"current" need:"true" max:"1024"`
	Code     string `json:"code" max:"64"`
	Password string `json:"password" need:"true" max:"1024"`
}

func changePassword(c *call) (answer, error) {
	in, err := decode[passwordRequest](c)
	if err != nil {
		return answer{}, err
	}
	proof := accounts.Proof{Password: in.Current, Code: in.Code}
	return c.done(c.api.cfg.Accounts.ChangePassword(c.r.Context(), c.who.Identity, c.who.Session, proof, in.Password))
}
