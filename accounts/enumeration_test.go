package accounts_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/accounts"
	argon "github.com/rondo-chat/rondo/internal/password"
	"github.com/rondo-chat/rondo/protocol"
)

// TestEnumerationByTime: log-ins of somebody and of nobody, in turns, take the same time as far as medians tell;
// and the same measurement tells them apart as soon as nobody's password is not hashed.
func TestEnumerationByTime(t *testing.T) {
	hasher, err := argon.New(argon.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		passwords accounts.Passwords
		tells     bool
	}{
		"as it is":               {hasher, false},
		"without the dummy hash": {careless{hasher}, true},
	} {
		t.Run(name, func(t *testing.T) {
			h := openWith(t, func(cfg *accounts.Config) { cfg.Passwords, cfg.Limits = c.passwords, unlimited() })
			h.join("ann")
			known, unknown := h.medians(func(who string) {
				_, err := h.Login(t.Context(), accounts.LoginRequest{Who: who, Password: "not the password", Device: device("", "203.0.113.5")})
				wantCode(t, err, protocol.CodeCredentials)
			})
			t.Logf("known %v, unknown %v", known, unknown)
			if tells := max(known, unknown) > 2*min(known, unknown); tells != c.tells {
				t.Errorf("known %v, unknown %v: time tells who has an account: %v", known, unknown, tells)
			}
		})
	}
}

// careless does no work for nobody.
type careless struct{ accounts.Passwords }

func (careless) CheckNobody(context.Context, string) error { return nil }

// medians measures f for ann and for people who do not exist, in turns that begin with either.
func (h *house) medians(f func(who string)) (known, unknown time.Duration) {
	const rounds = 11
	var times [2][]time.Duration
	for i := range rounds {
		for _, side := range []int{i % 2, 1 - i%2} {
			who := "ann@example.org"
			if side == 1 {
				who = fmt.Sprintf("nobody%d@example.org", i)
			}
			start := time.Now()
			f(who)
			times[side] = append(times[side], time.Since(start))
		}
	}
	for _, list := range times {
		slices.Sort(list)
	}
	return times[0][rounds/2], times[1][rounds/2]
}
