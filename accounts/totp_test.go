package accounts_test

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 6238
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/protocol"
)

// totp is an authenticator, written a second time.
func (h *house) totp(secret string) string {
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		h.t.Fatal(err)
	}
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(h.now().Unix()/30))
	m := hmac.New(sha1.New, key)
	m.Write(counter[:])
	sum := m.Sum(nil)
	o := sum[19] & 15
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32([]byte{sum[o] & 127, sum[o+1], sum[o+2], sum[o+3]})%1_000_000)
}

// protect turns the second factor on.
func (h *house) protect(l accounts.Login) (secret string, recovery []string) {
	h.t.Helper()
	return h.protectWith(l, password)
}

func (h *house) protectWith(l accounts.Login, password string) (secret string, recovery []string) {
	h.t.Helper()
	e, err := h.EnrolTOTP(h.t.Context(), l.User.Identity, accounts.Proof{Password: password})
	if err != nil {
		h.t.Fatal(err)
	}
	recovery, err = h.ConfirmTOTP(h.t.Context(), l.User.Identity, h.totp(e.Secret))
	if err != nil || len(recovery) != 10 {
		h.t.Fatal(recovery, err)
	}
	h.advance(time.Minute)
	return e.Secret, recovery
}

func TestSecondFactor(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		ctx, l := t.Context(), h.join("ann")
		id := l.User.Identity
		_, err := h.EnrolTOTP(ctx, id, accounts.Proof{Password: "wrong"})
		wantCode(t, err, protocol.CodeCredentials)
		_, err = h.ConfirmTOTP(ctx, id, "000000")
		wantCode(t, err, protocol.CodeInvalid)
		e, err := h.EnrolTOTP(ctx, id, accounts.Proof{Password: password})
		if err != nil {
			t.Fatal(err)
		}
		if u, err := url.Parse(e.URL); err != nil || u.Scheme != "otpauth" || u.Host != "totp" || u.Path != "/Rondo:ann@example.org" || u.Query().Get("secret") != e.Secret {
			t.Errorf("url %q, %v", e.URL, err)
		}
		h.login("ann", device("device-of-ann", "198.51.100.7")) // not on before it is confirmed
		h.advance(time.Hour)
		recovery, err := h.ConfirmTOTP(ctx, id, h.totp(e.Secret))
		if err != nil {
			t.Fatal(err)
		}
		try := func(code string) error {
			_, err := h.Login(ctx, accounts.LoginRequest{Who: "ann", Password: password, Code: code, Device: device("device-of-ann", "198.51.100.7")})
			h.advance(3 * time.Minute)
			return err
		}
		wantCode(t, try(h.totp(e.Secret)), protocol.CodeInvalid) // the one that confirmed
		wantCode(t, try(""), protocol.CodeNeedsTOTP)
		wantCode(t, try("123 456 7"), protocol.CodeInvalid)
		code := h.totp(e.Secret)
		wantCode(t, try(code[:3]+" "+code[3:]), "")
		wantCode(t, try(code), protocol.CodeInvalid)
		wantCode(t, try(strings.ToUpper(recovery[3])), "")
		wantCode(t, try(recovery[3]), protocol.CodeInvalid)
		me, err := h.Me(ctx, id)
		if err != nil || !me.TOTP || me.Recovery != 9 {
			t.Errorf("%+v, %v", me, err)
		}
		_, err = h.EnrolTOTP(ctx, id, accounts.Proof{Password: password, Code: recovery[0]})
		wantCode(t, err, protocol.CodeAlready)
		fresh, err := h.NewRecoveryCodes(ctx, id, accounts.Proof{Password: password, Code: h.totp(e.Secret)})
		if err != nil {
			t.Fatal(err)
		}
		wantCode(t, try(recovery[4]), protocol.CodeInvalid)
		wantCode(t, h.DisableTOTP(ctx, id, accounts.Proof{Password: password}), protocol.CodeNeedsTOTP)
		wantCode(t, h.DisableTOTP(ctx, id, accounts.Proof{Password: password, Code: fresh[0]}), "")
		wantCode(t, try(""), "")
	})
}

// TestSecondFactorGuessing: who has the password may not guess the code.
func TestSecondFactorGuessing(t *testing.T) {
	h := open(t)
	l := h.join("ann")
	h.protect(l)
	h.advance(time.Hour)
	tries := 0
	for i := range 200 { // from ever new places, over ten minutes
		d := device("", fmt.Sprintf("203.0.%d.1", i))
		_, err := h.Login(t.Context(), accounts.LoginRequest{Who: "ann", Password: password, Code: fmt.Sprintf("%06d", i), Device: d})
		if protocol.CodeOf(err) == protocol.CodeInvalid {
			tries++
		} else {
			wantCode(t, err, protocol.CodeRateLimited)
		}
		h.advance(3 * time.Second)
	}
	if tries < 3 || tries > 12 {
		t.Errorf("%d codes tried in ten minutes", tries)
	}
}
