package auth

import (
	"slices"
	"strings"
	"testing"

	"github.com/rondo-chat/rondo/protocol"
)

// answer writes a result of Allowed in one character: "+" yes, "u" unauthorized,
// "f" forbidden, "n" not_found.
func answer(err error) string {
	switch protocol.CodeOf(err) {
	case "":
		return "+"
	case protocol.CodeUnauthorized:
		return "u"
	case protocol.CodeForbidden:
		return "f"
	case protocol.CodeNotFound:
		return "n"
	}
	return err.Error()
}

const me, other = protocol.UserID("u_me"), protocol.UserID("u_other")

// people are the columns of the tables, each with what is theirs and then with
// what is another's.
func people() []Principal {
	return []Principal{
		{},
		{Identity: me, Guest: true},
		{Identity: me, Session: "s", Roles: []Role{RoleUser}},
		{Identity: me, Session: "s", Roles: []Role{RoleUser, RoleModerator}},
		{Identity: me, Session: "s", Roles: []Role{RoleUser, RoleAdmin}},
		{Identity: me, Session: "s", Roles: []Role{RoleService}},
		// Nobody is so by right: each gets as little as the least of what it is.
		{Identity: me, Guest: true, Roles: []Role{RoleUser, RoleModerator, RoleAdmin, RoleService}},
		{Identity: me, Session: "s"},
		{Roles: []Role{RoleUser, RoleModerator, RoleAdmin, RoleService}},
		{Identity: me, Session: "s", Roles: []Role{"root", "ADMIN", "Admin", "admin ", ""}},
	}
}

// TestAllowed is the table of actions × people × own and other's, outside of
// rooms. A new action without a row fails.
func TestAllowed(t *testing.T) {
	//            stranger guest user moderator admin service | guest with roles, no role, no identity, unknown roles
	want := map[Action]string{
		ActionPublic:   "++ ++ ++ ++ ++ ++ ++ ++ ++ ++",
		ActionSignUp:   "++ ++ ++ ++ ++ ++ ++ ++ ++ ++",
		ActionAccount:  "uu nn +n +n +n nn nn nn uu nn",
		ActionProfile:  "uu nn +n +n +n nn nn nn uu nn",
		ActionDevice:   "uu nn +n +n +n nn nn nn uu nn",
		ActionPush:     "uu nn +n +n +n nn nn nn uu nn",
		ActionUsers:    "uu ff ff ++ ++ ++ ff ff uu ff",
		ActionUser:     "uu ff ff ff ++ ff ff ff uu ff",
		ActionSanction: "uu ff ff ++ ++ ff ff ff uu ff",
		ActionConnect:  "uu ++ ++ ++ ++ ff ++ ff uu ff",
		ActionMatch:    "uu ++ ++ ++ ++ ff ++ ff uu ff",
		ActionBlock:    "uu ++ ++ ++ ++ ff ++ ff uu ff",
		ActionCreate:   "uu ++ ++ ++ ++ ff ++ ff uu ff",
		ActionJoin:     "uu ++ ++ ++ ++ ff ++ ff uu ff",
		ActionTalk:     "uu nn nn nn nn nn nn nn uu nn",
		ActionModerate: "uu ff ff ++ ff ff ff ff uu ff",
		ActionOwn:      "uu ff ff ff ff ff ff ff uu ff",

		ActionConvCreate:   "uu ff ++ ++ ++ ff ff ff uu ff",
		ActionConvRead:     "uu nn nn nn nn nn nn nn uu nn",
		ActionTopicRead:    "uu ff ff ++ ++ ff ff ff uu ff",
		ActionTopicWrite:   "uu ff ff ff ff ff ff ff uu ff",
		ActionConvWrite:    "uu ff ff ff ff ff ff ff uu ff",
		ActionConvAnnounce: "uu ff ff ff ff ff ff ff uu ff",
		ActionConvAuthor:   "uu ff ff ff ff ff ff ff uu ff",
		ActionConvJoin:     "uu nn nn nn nn nn nn nn uu nn",
		ActionConvModerate: "uu ff ff ++ ++ ff ff ff uu ff",
		ActionConvManage:   "uu ff ff ff ff ff ff ff uu ff",
		ActionConvRemove:   "uu ff ff ++ ++ ff ff ff uu ff",
	}
	for _, action := range Actions() {
		var got []string
		for _, who := range people() {
			got = append(got, answer(Allowed(who, action, Resource{Owner: who.Identity}))+answer(Allowed(who, action, Resource{Owner: other})))
		}
		if row := strings.Join(got, " "); row != want[action] {
			t.Errorf("%-21s %s, want %s", action, row, want[action])
		}
	}
	for action := range want {
		if !slices.Contains(Actions(), action) {
			t.Errorf("%s is no action", action)
		}
	}
}

// TestAllowedInRooms is the table of room roles, for a guest, a user and a
// moderator. The owner of the resource does not count there.
func TestAllowedInRooms(t *testing.T) {
	roles := []RoomRole{RoomOwner, RoomModerator, RoomMember, RoomGuest, RoomBanned, "", "king"}
	want := map[Action]string{
		ActionJoin:     "++++f+f ++++f+f ++++f+f",
		ActionTalk:     "++++nnn ++++nnn ++++nnn",
		ActionModerate: "++fffff ++fffff +++++++",
		ActionOwn:      "+ffffff +ffffff +ffffff",
	}
	for action, row := range want {
		var got []string
		for _, who := range people()[1:4] {
			var s string
			for _, role := range roles {
				s += answer(Allowed(who, action, Resource{Owner: other, Room: role}))
				if again := Allowed(who, action, Resource{Owner: me, Room: role}); answer(again) != s[len(s)-1:] {
					t.Errorf("%s as %s: it matters whose it is", action, role)
				}
			}
			got = append(got, s)
		}
		if s := strings.Join(got, " "); s != row {
			t.Errorf("%-16s %s, want %s", action, s, row)
		}
	}
}

// TestAllowedInConversations is the table of roles in a conversation, for a guest, a user, a moderator and an
// administrator of the service, with what is theirs and what is another's.
func TestAllowedInConversations(t *testing.T) {
	roles := []RoomRole{RoomOwner, RoomModerator, RoomMember, RoomInvited, RoomVisitor, RoomBanned, ""}
	want := map[Action]string{ // owner moderator member invited visitor banned none; for guest, user, moderator, admin
		ActionConvCreate:   "fffffff +++++++ +++++++ +++++++",
		ActionConvRead:     "nnnnnnn +++nnnn +++nnnn +++nnnn",
		ActionTopicRead:    "+++f+ff +++f+ff +++++++ +++++++",
		ActionTopicWrite:   "+++f+ff +++f+ff +++f+ff +++f+ff",
		ActionConvWrite:    "+++ffff +++ffff +++ffff +++ffff",
		ActionConvAnnounce: "fffffff ++fffff ++fffff ++fffff",
		ActionConvAuthor:   "+++ffff +++ffff +++ffff +++ffff",
		ActionConvJoin:     "+++++nn +++++nn +++++nn +++++nn",
		ActionConvModerate: "fffffff ++fffff +++++++ +++++++",
		ActionConvManage:   "fffffff +ffffff +ffffff +ffffff",
		ActionConvRemove:   "fffffff +ffffff +++++++ +++++++",
	}
	for action, row := range want {
		var got []string
		for _, who := range people()[1:5] {
			var s string
			for _, role := range roles {
				s += answer(Allowed(who, action, Resource{Owner: me, Room: role}))
				if action == ActionConvAuthor && Allowed(who, action, Resource{Owner: other, Room: role}) == nil {
					t.Errorf("%s as %s: what is another's", action, role)
				}
			}
			got = append(got, s)
		}
		if s := strings.Join(got, " "); s != row {
			t.Errorf("%-21s %s, want %s", action, s, row)
		}
	}
}

func TestUnknownActionIsForbidden(t *testing.T) {
	for _, who := range people() {
		for _, action := range []Action{"", "users.*", "USERS.READ", "room.talk "} {
			if err := Allowed(who, action, Resource{Owner: who.Identity, Room: RoomOwner}); answer(err) != "f" {
				t.Errorf("%+v may %q: %v", who, action, err)
			}
		}
	}
}

// TestNobodyOwnsWhatHasNoOwner: an empty owner is no match for an empty identity.
func TestNobodyOwnsWhatHasNoOwner(t *testing.T) {
	for _, who := range people() {
		if err := Allowed(who, ActionDevice, Resource{}); err == nil {
			t.Errorf("%+v owns it", who)
		}
	}
}
