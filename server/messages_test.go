package server

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/signaling"
)

// TestMessagesAndRoles: every type that clients send × who sends it. A type that
// is not here fails.
func TestMessagesAndRoles(t *testing.T) {
	inside := []string{"member", "banned", "outside"}
	rows := map[protocol.Type]string{ // who may, of guest, user, moderator, admin and service, and where
		protocol.TypeMatchFind: "all", protocol.TypeMatchNext: "all", protocol.TypeMatchCancel: "all", protocol.TypeBlock: "all",
		protocol.TypeRoomCreate: "all", protocol.TypeRoomJoin: "not banned", protocol.TypeRoomInfo: "not banned",
		protocol.TypeRoomLeave: "member", protocol.TypeSignal: "member", protocol.TypeChat: "member", protocol.TypeChatHistory: "member", protocol.TypeTyping: "member",
		protocol.TypeUserUpdate: "all", protocol.TypeAuth: "all", protocol.TypeICE: "all", protocol.TypeStats: "all", protocol.TypeCallState: "all",
	}
	people := map[string]auth.Principal{
		"stranger":                  {},
		"guest":                     {Identity: "g_aaaaaaaaaaaaaaaaaaaaaaaaaa", Guest: true},
		"a guest who claims a role": {Identity: "g_aaaaaaaaaaaaaaaaaaaaaaaaaa", Guest: true, Roles: []auth.Role{auth.RoleAdmin, auth.RoleUser}},
		"user":                      {Identity: "u_aaaaaaaaaaaaaaaaaaaaaaaaaa", Session: "s", Roles: []auth.Role{auth.RoleUser}},
		"moderator":                 {Identity: "u_aaaaaaaaaaaaaaaaaaaaaaaaaa", Session: "s", Roles: []auth.Role{auth.RoleUser, auth.RoleModerator}},
		"admin":                     {Identity: "u_aaaaaaaaaaaaaaaaaaaaaaaaaa", Session: "s", Roles: []auth.Role{auth.RoleUser, auth.RoleAdmin}},
		"service":                   {Identity: "u_aaaaaaaaaaaaaaaaaaaaaaaaaa", Session: "s", Roles: []auth.Role{auth.RoleService}},
	}
	table := (&Server{}).messages()
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
			for i, room := range []auth.RoomRole{auth.RoomMember, auth.RoomBanned, ""} {
				want := name != "stranger" && name != "service" &&
					(row == "all" || row == inside[i] || row == "not banned" && room != auth.RoomBanned)
				if err := auth.Allowed(who, m.action, auth.Resource{Owner: who.Identity, Room: room}); (err == nil) != want {
					t.Errorf("%s by %s, %s: %v", typ, name, inside[i], err)
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
