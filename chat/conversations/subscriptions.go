package conversations

import (
	"context"
	"crypto/ecdh"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/protocol"
)

// Subscribe lets a device of the caller's take notifications, as long as the session that asks lives. A device that is known is the
// caller's from then on; of more than protocol.MaxPushDevices the oldest gives way. Errors: bad_request, unauthorized, not_found (a
// guest), rate_limited, unavailable.
func (c *Conversations) Subscribe(ctx context.Context, who Caller, in protocol.PushSubscription) (protocol.PushDevice, error) {
	if err := mayPush(who); err != nil {
		return protocol.PushDevice{}, err
	}
	in, err := cleanSubscription(in)
	if err != nil {
		return protocol.PushDevice{}, err
	}
	if err := c.limit(ctx, "subscribe", string(who.Identity), c.cfg.Limits.Manage); err != nil {
		return protocol.PushDevice{}, err
	}
	sum := sha256.Sum256([]byte(in.Endpoint))
	s := Subscription{ID: base64.RawURLEncoding.EncodeToString(sum[:]), User: who.Identity, Session: who.Session, PushSubscription: in, Created: c.now()}
	err = c.write(ctx, "subscribe", func(tx Tx) error {
		list, err := tx.Subscriptions(who.Identity)
		if err != nil {
			return err
		}
		list = slices.DeleteFunc(list, func(of Subscription) bool { return of.ID == s.ID })
		for ; len(list) >= protocol.MaxPushDevices; list = list[1:] {
			if err := tx.DeleteSubscription(list[0].ID); err != nil {
				return err
			}
		}
		return tx.PutSubscription(s)
	})
	return s.device(), err
}

// Unsubscribe ends that. Errors: unauthorized, not_found, unavailable.
func (c *Conversations) Unsubscribe(ctx context.Context, who Caller, id string) error {
	if err := mayPush(who); err != nil {
		return err
	}
	return c.write(ctx, "unsubscribe", func(tx Tx) error {
		list, err := tx.Subscriptions(who.Identity)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(list, func(s Subscription) bool { return s.ID == id }) {
			return ErrNotFound
		}
		return tx.DeleteSubscription(id)
	})
}

// Subscriptions returns the caller's devices, the oldest first. Errors: unauthorized, not_found, unavailable.
func (c *Conversations) Subscriptions(ctx context.Context, who Caller) ([]protocol.PushDevice, error) {
	if err := mayPush(who); err != nil {
		return nil, err
	}
	return c.devices(ctx, who.Identity)
}

func (c *Conversations) devices(ctx context.Context, user protocol.UserID) (devices []protocol.PushDevice, err error) {
	err = c.read(ctx, "subscriptions", func(r Reader) error {
		list, err := r.Subscriptions(user)
		devices = []protocol.PushDevice{}
		for _, s := range list {
			devices = append(devices, s.device())
		}
		return err
	})
	return devices, err
}

// LoggedOut ends the subscriptions of sessions that have ended. Errors: unavailable.
func (c *Conversations) LoggedOut(ctx context.Context, sessions []string) error {
	if len(sessions) == 0 {
		return nil
	}
	return c.write(ctx, "subscriptions end", func(tx Tx) error { return tx.EndSubscriptions("", sessions) })
}

func mayPush(who Caller) error {
	return auth.Allowed(who.Principal, auth.ActionPush, auth.Resource{Owner: who.Identity})
}

// device is what its owner sees of s; the endpoint is a secret, its host is not.
func (s Subscription) device() protocol.PushDevice {
	service := ""
	if u, err := url.Parse(s.Endpoint); err == nil {
		service = u.Hostname()
	}
	return protocol.PushDevice{ID: s.ID, Service: service, Created: s.Created}
}

// cleanSubscription checks what a client says of its device, and writes the keys in one way.
func cleanSubscription(in protocol.PushSubscription) (protocol.PushSubscription, error) {
	u, err := url.Parse(in.Endpoint)
	switch {
	case len(in.Endpoint) > protocol.MaxPushEndpoint || strings.ContainsFunc(in.Endpoint, func(r rune) bool { return r <= ' ' || r > '~' }):
		return in, errBad("endpoint: at most %d characters of ASCII", protocol.MaxPushEndpoint)
	case err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "":
		return in, errBad("endpoint: must be an https address")
	}
	point, err := readKey(in.Keys.P256dh)
	if err == nil {
		_, err = ecdh.P256().NewPublicKey(point)
	}
	if err != nil {
		return in, errBad("keys.p256dh: must be a point of P-256 in base64url")
	}
	secret, err := readKey(in.Keys.Auth)
	if err != nil || len(secret) != 16 {
		return in, errBad("keys.auth: must be 16 bytes in base64url")
	}
	in.Keys = protocol.PushKeys{P256dh: base64.RawURLEncoding.EncodeToString(point), Auth: base64.RawURLEncoding.EncodeToString(secret)}
	return in, nil
}

func readKey(s string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
}
