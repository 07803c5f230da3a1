package e2e_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// TestDevices: a second device is told of by mail, has a name, and is thrown out at the
// other node: its sockets, its tokens and its refresh. A name that is changed over
// REST reaches the partner of a call.
func TestDevices(t *testing.T) {
	s := newService(t, testenv.Postgres(t))
	s.opts.Redis = testenv.Redis(t).URL
	one, two := s.node(t), s.node(t)
	ann := browser(t, one, 1, "ann")
	ann.join(s)
	laptop := browser(t, two, 2, "ann")
	login := laptop.login()
	login["device"] = "Laptop"
	laptop.wants(http.StatusOK, "POST", "/auth/login", login)
	if m := awaitMail(t, s, ann.email, "New log-in", 1); !strings.Contains(m.Text, "127.") {
		t.Errorf("the mail about a new device does not say where it is:\n%s", m.Text)
	}

	// The device as its owner sees it, from the other one.
	other := func() (id, name string) {
		list, _ := ann.wants(http.StatusOK, "GET", "/me/devices", nil).body["devices"].([]any)
		if len(list) != 2 {
			t.Fatalf("devices: %v", list)
		}
		for _, d := range list {
			if d, _ := d.(map[string]any); d["current"] == false {
				id, _ = d["id"].(string)
				name, _ = d["name"].(string)
			}
		}
		return id, name
	}
	id, _ := other()
	ann.wants(http.StatusOK, "PATCH", "/me/devices/"+id, fields{"name": "Left on the train"})
	if _, name := other(); name != "Left on the train" {
		t.Errorf("the device is called %q", name)
	}

	// In a call, by the cookies of the laptop.
	there := two.Dial(t, 2, client.Options{Header: laptop.cookies()})
	if u := there.Welcome().User; u.Guest || u.Name == "" {
		t.Fatalf("by the cookies: %+v", u)
	}
	bo := one.Dial(t, 3, client.Options{Name: "Bo"})
	find(t, there, protocol.Find{})
	find(t, bo, protocol.Find{})
	next[client.Found](t, there)
	found := next[client.Found](t, bo)
	ann.rename("Annabel")
	if up := next[client.PeerUpdated](t, bo); up.Room != found.Room || up.Peer.Name != "Annabel" {
		t.Errorf("the partner hears %+v", up)
	}

	ann.wants(http.StatusNoContent, "DELETE", "/me/devices/"+id, nil)
	if left := next[client.PeerLeft](t, bo); left.Room != found.Room {
		t.Errorf("left %+v", left)
	}
	ended(t, there)
	laptop.wants(http.StatusUnauthorized, "GET", "/me", nil)
	laptop.wants(http.StatusUnauthorized, "POST", "/auth/refresh", fields{})
	ann.wants(http.StatusOK, "GET", "/me", nil)
	ann.wants(http.StatusOK, "POST", "/auth/refresh", fields{})

	// It is not known any more: who logs in there again is told of again.
	laptop.wants(http.StatusOK, "POST", "/auth/login", laptop.login())
	awaitMail(t, s, ann.email, "New log-in", 2)
	if _, err := two.DialErr(context.WithoutCancel(t.Context()), 2, client.Options{Header: laptop.cookies()}); err != nil {
		t.Errorf("with the new session: %v", err)
	}
}

// cookies are the headers with which the page of this browser opens its WebSocket.
func (p *person) cookies() http.Header {
	p.t.Helper()
	req, err := http.NewRequest("GET", p.node.URL(), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, c := range p.jar.Cookies(req.URL) {
		req.AddCookie(c)
	}
	req.Header.Set("Origin", p.node.URL())
	return req.Header
}

// rename changes the display name of the profile.
func (p *person) rename(name string) {
	p.t.Helper()
	etag := p.wants(http.StatusOK, "GET", "/me", nil).header.Get("ETag")
	req, err := http.NewRequestWithContext(p.t.Context(), "PATCH", p.node.URL()+"/api/v1/me", strings.NewReader(`{"name":"`+name+`"}`))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("If-Match", etag)
	resp, err := p.http.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		p.t.Fatalf("PATCH /me: %s", resp.Status)
	}
}
