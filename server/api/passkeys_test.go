package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/rondo-chat/rondo/accounts"
)

// TestPasskeyLoginHears: what the accounts are told is the browser's own Origin, device and answer.
func TestPasskeyLoginHears(t *testing.T) {
	b := newBench(t)
	r := b.request("POST", "/api/v1/auth/passkey/finish", `{"state":"sealed","credential":{"id":"AA","response":{}},"device":"Ann's"}`, "")
	r.Header.Set("Origin", "https://rondo.example.org")
	r.AddCookie(&http.Cookie{Name: "__Secure-rondo-device", Value: "known"})
	w := b.do(r)
	in, ok := b.accounts.last.(accounts.PasskeyAnswer)
	if !ok || in.State != "sealed" || in.Origin != "https://rondo.example.org" || in.Device.ID != "known" || in.Device.Name != "Ann's" ||
		string(in.Credential) != `{"id":"AA","response":{}}` {
		t.Errorf("%+v", b.accounts.last)
	}
	cookies := strings.Join(w.Header().Values("Set-Cookie"), "\n")
	if w.Code != http.StatusOK || !strings.Contains(cookies, "__Host-rondo=") || strings.Contains(w.Body.String(), "refresh-of-ann") {
		t.Errorf("%d %s\n%s", w.Code, w.Body, cookies)
	}
}

// TestPasskeyFromElsewhere: another site's page can neither begin nor finish.
func TestPasskeyFromElsewhere(t *testing.T) {
	b := newBench(t)
	for _, path := range []string{"/api/v1/auth/passkey/begin", "/api/v1/auth/passkey/finish", "/api/v1/me/passkey/begin", "/api/v1/me/passkey/finish"} {
		r := b.request("POST", path, `{}`, b.token(annID))
		r.Header.Set("Origin", "https://evil.example")
		if w := b.do(r); w.Code != http.StatusForbidden || len(b.accounts.took()) > 0 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}
