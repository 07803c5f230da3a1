package main

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/auth"
)

func TestOnlyWhoHasTheSecretDrains(t *testing.T) {
	signer := func(c string) *auth.Signer {
		s, err := auth.NewSigner([]byte(strings.Repeat(c, 32)))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	now := time.Unix(1_800_000_000, 0)
	stamp := func(d time.Duration) []byte { return []byte(strconv.FormatInt(now.Add(d).Unix(), 10)) }
	for name, tc := range map[string]struct {
		header string
		want   int
	}{
		"no header":      {"", http.StatusUnauthorized},
		"not a bearer":   {signer("k").Sign(drainPurpose, stamp(0)), http.StatusUnauthorized},
		"another secret": {"Bearer " + signer("x").Sign(drainPurpose, stamp(0)), http.StatusUnauthorized},
		"other purpose":  {"Bearer " + signer("k").Sign("resume", stamp(0)), http.StatusUnauthorized},
		"too old":        {"Bearer " + signer("k").Sign(drainPurpose, stamp(-time.Hour)), http.StatusUnauthorized},
		"of the future":  {"Bearer " + signer("k").Sign(drainPurpose, stamp(time.Hour)), http.StatusUnauthorized},
		"no time":        {"Bearer " + signer("k").Sign(drainPurpose, []byte("now")), http.StatusUnauthorized},
		"good":           {"Bearer " + signer("k").Sign(drainPurpose, stamp(-time.Second)), http.StatusAccepted},
	} {
		t.Run(name, func(t *testing.T) {
			stopped := false
			h := drainHandler(signer("k"), func() time.Time { return now }, func() { stopped = true })
			r := httptest.NewRequest(http.MethodPost, "/drain", nil)
			if tc.header != "" {
				r.Header.Set("Authorization", tc.header)
			}
			w := httptest.NewRecorder()
			h(w, r)
			if w.Code != tc.want || stopped != (tc.want == http.StatusAccepted) {
				t.Errorf("%d, stopped %v", w.Code, stopped)
			}
		})
	}
}
