package server

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/signaling"
)

// TestMessagesAndRoles: every type that clients send × who sends it × what they are in
// the room × whose it is. A type that is not here fails.
func TestMessagesAndRoles(t *testing.T) {
	all, in, notBanned := "owner moderator member guest banned outside", "owner moderator member guest", "owner moderator member guest outside"
	rows := map[protocol.Type]string{ // in the room: what one must be, being a guest, user, moderator or admin
		protocol.TypeMatchFind: all, protocol.TypeMatchNext: all, protocol.TypeMatchCancel: all, protocol.TypeBlock: all,
		protocol.TypeRoomCreate: all, protocol.TypeRoomJoin: notBanned, protocol.TypeRoomInfo: notBanned,
		protocol.TypeRoomLeave: in, protocol.TypeSignal: in, protocol.TypeChat: in, protocol.TypeChatHistory: in, protocol.TypeTyping: in,
		protocol.TypeUserUpdate: all, protocol.TypeAuth: all, protocol.TypeICE: all, protocol.TypeStats: all, protocol.TypeCallState: all,
	}
	const guest, user = protocol.UserID("g_aaaaaaaaaaaaaaaaaaaaaaaaaa"), protocol.UserID("u_aaaaaaaaaaaaaaaaaaaaaaaaaa")
	people := map[string]auth.Principal{
		"guest":                     {Identity: guest, Guest: true},
		"a guest who claims a role": {Identity: guest, Guest: true, Roles: []auth.Role{auth.RoleAdmin, auth.RoleUser}},
		"user":                      {Identity: user, Session: "s", Roles: []auth.Role{auth.RoleUser}},
		"moderator":                 {Identity: user, Session: "s", Roles: []auth.Role{auth.RoleUser, auth.RoleModerator}},
		"admin":                     {Identity: user, Session: "s", Roles: []auth.Role{auth.RoleUser, auth.RoleAdmin}},
		// These never.
		"stranger":             {},
		"service":              {Identity: user, Session: "s", Roles: []auth.Role{auth.RoleService}},
		"a user without roles": {Identity: user, Session: "s"},
	}
	never := []string{"stranger", "service", "a user without roles"}
	table := (&Server{}).messages()
	for typ, m := range (&Server{}).talkMessages() { // what one must be in the conversation is decided in package conversations
		table[typ], rows[typ] = m, all
	}
	if len(table) != len(rows) {
		t.Errorf("%d types are handled, %d stand here", len(table), len(rows))
	}
	for typ, m := range table {
		row, ok := rows[typ]
		if !ok {
			t.Errorf("%s is in no row of this table", typ)
			continue
		}
		for name, who := range people {
			for _, room := range []auth.RoomRole{auth.RoomOwner, auth.RoomModerator, auth.RoomMember, auth.RoomGuest, auth.RoomBanned, "", "king"} {
				at := string(room)
				if room == "" {
					at = "outside"
				}
				want := !slices.Contains(never, name) && (row == all || slices.Contains(strings.Fields(row), at))
				for _, owner := range []protocol.UserID{who.Identity, "u_bbbbbbbbbbbbbbbbbbbbbbbbbb", ""} {
					if err := auth.Allowed(who, m.action, auth.Resource{Owner: owner, Room: room}); (err == nil) != want {
						t.Errorf("%s by %s, in the room %s, of %q: %v", typ, name, at, owner, err)
					}
				}
			}
		}
	}
}

func TestOffered(t *testing.T) {
	for want, h := range map[string]http.Header{
		"abc.d-e_f.g": {"Sec-Websocket-Protocol": {"rondo.v1, bearer.abc.d-e_f.g"}},
		"two.lines":   {"Sec-Websocket-Protocol": {"rondo.v1", "bearer.two.lines"}},
		"head":        {"Authorization": {"bearer head"}, "Sec-Websocket-Protocol": {"rondo.v1"}},
		"first":       {"Authorization": {"Bearer head"}, "Sec-Websocket-Protocol": {"bearer.first"}},
		"":            {"Authorization": {"Basic eDp5"}, "Sec-Websocket-Protocol": {"rondo.v1,x.bearer.y"}},
	} {
		if got := offered(signaling.Request{Header: h}); got != want {
			t.Errorf("%v: %q", h, got)
		}
	}
}

// TestLogins: a session is found by both of its keys, and by neither when it went.
func TestLogins(t *testing.T) {
	l := newLogins()
	s := &signaling.Session{}
	l.put(s, "one", "u_1")
	l.put(s, "two", "u_1")
	if len(l.of("one")) != 0 || len(l.of("two")) != 1 || len(l.of("u_1")) != 1 {
		t.Errorf("after two logins: %v", l.by)
	}
	if got := l.expired(time.Now()); len(got) != 0 { // it has no socket
		t.Error("a session without a socket is closed")
	}
	l.forget(s.ID())
	if len(l.by) != 0 || len(l.keys) != 0 || slices.ContainsFunc([]string{"two", "u_1"}, func(k string) bool { return len(l.of(k)) > 0 }) {
		t.Errorf("something is left: %v %v", l.by, l.keys)
	}
}
