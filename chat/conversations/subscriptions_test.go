package conversations_test

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/protocol"
)

// device is what a browser would give.
func device(t testing.TB, endpoint string) protocol.PushSubscription {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return protocol.PushSubscription{Endpoint: endpoint, Keys: protocol.PushKeys{
		P256dh: base64.RawURLEncoding.EncodeToString(key.PublicKey().Bytes()), Auth: base64.RawURLEncoding.EncodeToString([]byte("sixteen bytes ok")),
	}}
}

func (h *house) subscribe(who conversations.Caller, endpoint string) protocol.PushDevice {
	h.t.Helper()
	d, err := h.Subscribe(h.t.Context(), who, device(h.t, endpoint))
	h.must(err)
	h.advance(time.Second)
	return d
}

// devices are the endpoints' last parts.
func (h *house) devices(who conversations.Caller) string {
	h.t.Helper()
	var list []conversations.Subscription
	h.must(h.store.Read(h.t.Context(), "test", func(r conversations.Reader) (err error) {
		list, err = r.Subscriptions(who.Identity)
		return err
	}))
	shown, err := h.Subscriptions(h.t.Context(), who)
	h.must(err)
	text := ""
	for i, s := range list {
		text += s.Endpoint[strings.LastIndex(s.Endpoint, "/")+1:] + " "
		if len(shown) != len(list) || shown[i] != (protocol.PushDevice{ID: s.ID, Service: "push.example", Created: s.Created}) || len(s.ID) != 43 {
			h.t.Errorf("shown %+v of %+v", shown, list)
		}
	}
	return text
}

func (h *house) wantDevices(who conversations.Caller, want string) {
	h.t.Helper()
	if got := h.devices(who); got != want {
		h.t.Errorf("devices of %s: %s, want %s", who.Name, got, want)
	}
}

func TestSubscriptions(t *testing.T) {
	h := open(t, nil)
	ann, bo := h.user("ann"), h.user("bo")
	for i := range protocol.MaxPushDevices + 2 {
		h.subscribe(ann, fmt.Sprint("https://push.example:8443/x/", i))
	}
	h.wantDevices(ann, "2 3 4 5 6 7 8 9 10 11 ")
	moved := h.subscribe(bo, "https://push.example:8443/x/5") // another one signs in there
	h.wantDevices(ann, "2 3 4 6 7 8 9 10 11 ")
	h.wantDevices(bo, "5 ")
	for _, id := range []string{moved.ID, "", "none", strings.Repeat("x", 5000)} {
		wantCode(t, h.Unsubscribe(t.Context(), ann, id), protocol.CodeNotFound)
	}
	h.wantDevices(bo, "5 ")
	h.must(h.Unsubscribe(t.Context(), bo, moved.ID))
	h.wantDevices(bo, "")
}

// TestSubscriptionsEnd: with the session, and with the account; and what is exported of them is no secret.
func TestSubscriptionsEnd(t *testing.T) {
	h := open(t, nil)
	ann, bo := h.user("ann"), h.user("bo")
	h.subscribe(ann, "https://push.example/1")
	ann.Session = "s2"
	h.subscribe(ann, "https://push.example/2")
	bo.Session = "s3"
	h.subscribe(bo, "https://push.example/3")
	h.must(h.LoggedOut(t.Context(), nil))
	h.must(h.LoggedOut(t.Context(), []string{"s", "x"}))
	h.wantDevices(ann, "2 ")
	e, err := h.Export(t.Context(), ann.Identity)
	h.must(err)
	text, err := json.Marshal(e)
	h.must(err)
	if len(e.Devices) != 1 || e.Devices[0].Service != "push.example" || strings.Contains(string(text), "https:") || strings.Contains(string(text), "p256dh") {
		t.Errorf("exported %s", text)
	}
	h.must(h.Forget(t.Context(), ann.Identity))
	h.wantDevices(ann, "")
	h.wantDevices(bo, "3 ")
}

func TestSubscriptionsRefused(t *testing.T) {
	h := open(t, func(cfg *conversations.Config) { cfg.Limits.Manage = ratelimit.Rate{PerSecond: 0.001, Burst: 2} })
	ann, good := h.user("ann"), device(t, "https://push.example/x")
	for code, who := range map[protocol.Code]conversations.Caller{
		protocol.CodeUnauthorized: {}, protocol.CodeNotFound: h.guest("gus"),
	} {
		wantCode(t, second(h.Subscribe(t.Context(), who, good)), code)
		wantCode(t, second(h.Subscriptions(t.Context(), who)), code)
		wantCode(t, h.Unsubscribe(t.Context(), who, "x"), code)
	}
	service := conversations.Caller{Principal: auth.Principal{Identity: "u_bot", Roles: []auth.Role{auth.RoleService}}}
	wantCode(t, second(h.Subscribe(t.Context(), service, good)), protocol.CodeNotFound)
	for _, endpoint := range []string{
		"", "x", "http://push.example/x", "https://", "https:///x", "https://user@push.example/x", "https://push.example/x#y", "https://push.example/ x", "https://push.example/ü",
		"https://push.example/\x00", "file:///etc/passwd", "https://push.example:x/", "https://push.example/" + strings.Repeat("x", protocol.MaxPushEndpoint),
	} {
		bad := good
		bad.Endpoint = endpoint
		wantCode(t, second(h.Subscribe(t.Context(), ann, bad)), protocol.CodeBadRequest)
	}
	for _, keys := range []protocol.PushKeys{
		{}, {P256dh: good.Keys.P256dh}, {Auth: good.Keys.Auth}, {P256dh: good.Keys.P256dh[4:], Auth: good.Keys.Auth}, {P256dh: good.Keys.P256dh, Auth: good.Keys.Auth + "AAAA"},
		{P256dh: "B" + strings.Repeat("A", 86), Auth: good.Keys.Auth}, // no point of the curve
		{P256dh: good.Keys.P256dh, Auth: "!" + good.Keys.Auth[1:]},
	} {
		wantCode(t, second(h.Subscribe(t.Context(), ann, protocol.PushSubscription{Endpoint: good.Endpoint, Keys: keys})), protocol.CodeBadRequest)
	}
	h.wantDevices(ann, "")
	good.Keys.Auth += "=="
	h.must(second(h.Subscribe(t.Context(), ann, good)))
	h.must(second(h.Subscribe(t.Context(), ann, good)))
	wantCode(t, second(h.Subscribe(t.Context(), ann, good)), protocol.CodeRateLimited)
	h.wantDevices(ann, "x ")
}
