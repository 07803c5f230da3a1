package signaling

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// TestRefusedResumeCostsNothing: who shows no good token does not get the session,
// and whoever does gets all of it, with the same resume token.
func TestRefusedResumeCostsNothing(t *testing.T) {
	for _, half := range []bool{false, true} {
		t.Run(fmt.Sprintf("half-open=%v", half), func(t *testing.T) {
			var deny atomic.Bool
			var shown atomic.Value
			r := newRig(t, func(c *Config) {
				c.Identify = func(context.Context, Request, protocol.Hello) (Identity, error) {
					return Identity{User: protocol.User{ID: "u_1", Name: "Ann"}, Login: Login{Session: "s", Expires: time.Now().Add(time.Minute)}}, nil
				}
				c.Resume = func(_ context.Context, s *Session, req Request, in protocol.Resume) error {
					shown.Store(in.Auth + " " + strings.Join(req.Header.Values("Sec-Websocket-Protocol"), ","))
					if deny.Load() {
						return protocol.Errorf(protocol.CodeUnauthorized, "no")
					}
					s.SetLogin(protocol.User{ID: "u_1", Name: "Ann B"}, Login{Session: "s2", Expires: time.Now().Add(time.Hour)})
					return nil
				}
			})
			a := r.dial()
			w := a.hello("Ann")
			if w.AuthMS <= 50_000 || w.AuthMS > 60_000 {
				t.Errorf("auth_ms %d", w.AuthMS)
			}
			s := r.session(w)
			if !half {
				r.drop(a)
			}
			deny.Store(true)
			for range 3 {
				b := r.dial()
				b.send(`{"t":"resume","id":1,"d":{"token":"` + w.Resume.Token + `","seq":0,"auth":"tok"}}`)
				if m := b.wants("err"); m.E.Code != "unauthorized" {
					t.Fatal(m.raw)
				}
				b.closes(protocol.CloseAuthExpired, "auth expired")
			}
			if !s.Push(Push{Type: protocol.TypeMatchFound, Class: MustDeliver, D: []byte(`{}`)}) {
				t.Fatal("the session has gone")
			}
			if s.Connected() {
				t.Error("it has a socket")
			}
			deny.Store(false)
			c, _, err := r.dialWith(http.Header{}, protocol.Subprotocol, "bearer.abc")
			if err != nil {
				t.Fatal(err)
			}
			d := c.resume(w.Resume.Token, 0, false)
			if d.Replayed != 1 || d.SID != w.SID || d.AuthMS <= 3_500_000 {
				t.Errorf("resumed %+v", d)
			}
			c.wants("match.found")
			if got := shown.Load(); got != " rondo.v1, bearer.abc" {
				t.Errorf("shown: %q", got)
			}
			if u := s.User(); u.Name != "Ann B" || s.Login().Session != "s2" {
				t.Errorf("%+v %+v", u, s.Login())
			}
			r.sees("opened away back(false)")
		})
	}
}

// TestLoginTravels: what makes a session an account's is in its record.
func TestLoginTravels(t *testing.T) {
	want := Login{Session: "s", Expires: time.UnixMilli(1763600000000).UTC()}
	b, err := json.Marshal(Base{User: protocol.User{ID: "u_1"}, Login: want})
	if err != nil {
		t.Fatal(err)
	}
	var got Base
	if err := json.Unmarshal(b, &got); err != nil || got.Login.Session != "s" || !got.Login.Expires.Equal(want.Expires) {
		t.Errorf("%+v, %v", got, err)
	}
	if b, err = json.Marshal(Base{}); err != nil || strings.Contains(string(b), "login") {
		t.Errorf("a guest's: %s", b)
	}
}
