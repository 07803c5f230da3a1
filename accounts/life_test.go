package accounts_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/internal/mail"
	"github.com/rondo-chat/rondo/protocol"
)

// TestLife: register, verify, log in on another device, refresh, log out.
func TestLife(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		d := device("laptop", "198.51.100.7")
		p, err := h.Register(ctx, accounts.Registration{Email: " Ann.Lee@Example.ORG ", Username: "Ann_1", Password: password, Name: "Ann", Language: "de-AT", Device: d})
		if err != nil || p.Device != "laptop" || !p.Expires.Equal(h.now().Add(10*time.Minute)) {
			t.Fatalf("%+v, %v", p, err)
		}
		m := h.letter(mail.Verify, "Ann.Lee@example.org")
		if m.Language != "de" || len(m.Data.Code) != 8 || m.Data.Minutes != 10 || m.Name != "" {
			t.Fatalf("mail %+v", m)
		}
		_, err = h.Login(ctx, accounts.LoginRequest{Who: "ann_1", Password: password, Device: d})
		wantCode(t, err, protocol.CodeCredentials)

		l, err := h.Verify(ctx, "ANN.LEE@example.org", m.Data.Code[:4]+" - "+m.Data.Code[4:], d)
		if err != nil {
			t.Fatal(err)
		}
		u := l.User
		if u.Email != "Ann.Lee@example.org" || u.Username != "ann_1" || u.Name != "Ann" || u.Language != "de" || u.Version != 1 || !u.Active ||
			!strings.HasPrefix(string(u.Identity), "u_") || len(u.Identity) != 28 || l.Device != "laptop" || !l.NewDevice || l.Access != "access of "+l.Session {
			t.Fatalf("%+v", l)
		}
		if list := h.post(); len(list) != 0 {
			t.Fatalf("a mail for the first device: %+v", list)
		}
		_, err = h.Verify(ctx, "ann.lee@example.org", m.Data.Code, d)
		wantCode(t, err, protocol.CodeInvalid)

		h.advance(time.Hour)
		other := h.login("ann.lee@EXAMPLE.org", device("phone", "203.0.113.9"))
		if m := h.letter(mail.NewDevice, "Ann.Lee@example.org"); m.Data.Device != "Firefox on Linux" || m.Data.Place != "203.0.113.0/24" || m.Name != "Ann" {
			t.Fatalf("mail %+v", m)
		}
		me, err := h.Me(ctx, u.Identity)
		if err != nil || !me.LastLogin.Equal(h.now()) {
			t.Fatalf("%+v, %v", me, err)
		}
		r, err := h.Refresh(ctx, other.Refresh, device("", "203.0.113.9"))
		if err != nil || r.Session != other.Session || r.Refresh == other.Refresh || r.User.Identity != u.Identity {
			t.Fatalf("%+v, %v", r, err)
		}
		if err := h.Logout(ctx, other.Session); err != nil {
			t.Fatal(err)
		}
		_, err = h.Refresh(ctx, r.Refresh, device("", "203.0.113.9"))
		wantCode(t, err, protocol.CodeUnauthorized)
		if !h.isRevoked(other.Session) || h.isRevoked(l.Session) {
			t.Error("the wrong session was revoked")
		}
		if err := h.LogoutAll(ctx, u.Identity, ""); err != nil {
			t.Fatal(err)
		}
		_, err = h.Refresh(ctx, l.Refresh, d)
		wantCode(t, err, protocol.CodeUnauthorized)
		if again := h.login("Ann_1", d); again.NewDevice || len(h.post()) != 0 {
			t.Error("a known device is new")
		}
	})
}

func TestRefreshRotates(t *testing.T) {
	h := open(t)
	l := h.join("ann")
	first, err := h.Refresh(t.Context(), l.Refresh, accounts.Device{})
	if err != nil {
		t.Fatal(err)
	}
	h.advance(29 * time.Second)
	second, err := h.Refresh(t.Context(), l.Refresh, accounts.Device{}) // the other tab
	if err != nil || second.Session != l.Session {
		t.Fatalf("within the grace: %v", err)
	}
	if _, err := h.Refresh(t.Context(), first.Refresh, accounts.Device{}); err != nil {
		t.Fatalf("its sibling: %v", err)
	}
	h.advance(2 * time.Second)
	_, err = h.Refresh(t.Context(), l.Refresh, accounts.Device{})
	wantCode(t, err, protocol.CodeUnauthorized)
	if !h.isRevoked(l.Session) {
		t.Error("nobody was told")
	}
	_, err = h.Refresh(t.Context(), second.Refresh, accounts.Device{})
	wantCode(t, err, protocol.CodeUnauthorized) // the family is gone
}
