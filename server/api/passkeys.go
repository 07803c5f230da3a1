package api

import (
	"encoding/json"

	"github.com/rondo-chat/rondo/accounts"
)

type passkeyAnswer struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	BackedUp   bool   `json:"backed_up"`
	CreatedAt  int64  `json:"created_at"`
	LastUsedAt int64  `json:"last_used_at,omitempty"`
}

func passkeyOf(k accounts.PasskeyInfo) passkeyAnswer {
	return passkeyAnswer{ID: k.ID, Name: k.Name, BackedUp: k.BackedUp, CreatedAt: millis(k.Created), LastUsedAt: millis(k.LastUsed)}
}

type passkeysAnswer struct {
	Passkeys []passkeyAnswer `json:"passkeys"`
}

// passkeyStartAnswer is what a browser is to do.
type passkeyStartAnswer struct {
	State     string          `json:"state"`
	PublicKey json.RawMessage `json:"public_key"`
	ExpiresAt int64           `json:"expires_at"`
}

func (c *call) passkeyStart(s accounts.PasskeyStart, err error) (answer, error) {
	if err != nil {
		return answer{}, c.mean(err)
	}
	return ok(passkeyStartAnswer{State: s.State, PublicKey: s.Options, ExpiresAt: s.Expires.UnixMilli()})
}

// origin is where a browser says that its page is from.
func (c *call) origin() string { return c.r.Header.Get("Origin") }

func passkeys(c *call) (answer, error) {
	list, err := c.api.cfg.Accounts.Passkeys(c.r.Context(), c.who.Identity)
	if err != nil {
		return answer{}, err
	}
	out := passkeysAnswer{Passkeys: []passkeyAnswer{}}
	for _, k := range list {
		out.Passkeys = append(out.Passkeys, passkeyOf(k))
	}
	return ok(out)
}

func beginPasskey(c *call) (answer, error) {
	p, err := c.proof()
	if err != nil {
		return answer{}, err
	}
	return c.passkeyStart(c.api.cfg.Accounts.BeginPasskey(c.r.Context(), c.who.Identity, p, c.origin()))
}

type passkeyFinishRequest struct {
	State      string          `json:"state" need:"true" max:"2048"`
	Credential json.RawMessage `json:"credential" need:"true"`
	Name       string          `json:"name" max:"1024"`
}

func finishPasskey(c *call) (answer, error) {
	in, err := decode[passkeyFinishRequest](c)
	if err != nil {
		return answer{}, err
	}
	k, err := c.api.cfg.Accounts.FinishPasskey(c.r.Context(), c.who.Identity, accounts.PasskeyAnswer{
		State: in.State, Credential: in.Credential, Origin: c.origin(), Name: in.Name, Device: c.device("", ""),
	})
	if err != nil {
		return answer{}, c.mean(err)
	}
	return ok(passkeyOf(k))
}

type passkeyRequest struct {
	Name string `json:"name" need:"true" max:"1024"`
}

func renamePasskey(c *call) (answer, error) {
	in, err := decode[passkeyRequest](c)
	if err != nil {
		return answer{}, err
	}
	id, err := c.pathID("id")
	if err != nil {
		return answer{}, err
	}
	k, err := c.api.cfg.Accounts.RenamePasskey(c.r.Context(), c.who.Identity, id, in.Name)
	if err != nil {
		return answer{}, err
	}
	return ok(passkeyOf(k))
}

func deletePasskey(c *call) (answer, error) {
	id, err := c.pathID("id")
	if err != nil {
		return answer{}, err
	}
	return c.done(c.api.cfg.Accounts.DeletePasskey(c.r.Context(), c.who.Identity, id))
}

type emptyRequest struct{}

func beginPasskeyLogin(c *call) (answer, error) {
	if _, err := decode[emptyRequest](c); err != nil {
		return answer{}, err
	}
	return c.passkeyStart(c.api.cfg.Accounts.BeginPasskeyLogin(c.r.Context(), c.origin()))
}

type passkeyLoginRequest struct {
	State       string          `json:"state" need:"true" max:"2048"`
	Credential  json.RawMessage `json:"credential" need:"true"`
	Device      string          `json:"device" max:"1024"`
	Bearer      bool            `json:"bearer"`
	DeviceToken string          `json:"device_token" max:"64"`
}

func finishPasskeyLogin(c *call) (answer, error) {
	in, err := decode[passkeyLoginRequest](c)
	if err != nil {
		return answer{}, err
	}
	l, err := c.api.cfg.Accounts.FinishPasskeyLogin(c.r.Context(), accounts.PasskeyAnswer{
		State: in.State, Credential: in.Credential, Origin: c.origin(), Device: c.device(in.Device, in.DeviceToken),
	})
	return c.loggedIn(l, in.Bearer, err)
}
