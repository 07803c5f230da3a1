package auth

import (
	"slices"

	"github.com/rondo-chat/rondo/protocol"
)

// Principal is who wants to do something. The zero Principal is a stranger.
type Principal struct {
	Identity protocol.UserID
	Session  string // of a user
	Roles    []Role // of a user
	Guest    bool   // has an identity, but no account
}

// Principal returns who shows the token with the claims.
func (c Claims) Principal() Principal {
	return Principal{Identity: c.Identity, Session: c.Session, Roles: c.Roles}
}

// Resource is what it is done to. The zero Resource belongs to nobody.
type Resource struct {
	Owner protocol.UserID // whose it is: of a profile, a device, a session, a message
	Room  RoomRole        // what the principal is in the room that it is in, if it is in one
}

// Action is what somebody wants to do.
type Action string

// The actions.
const (
	ActionPublic   Action = "service.read"   // what is published: documents, keys
	ActionSignUp   Action = "account.signup" // register, verify, resend, log in, refresh, log out, forgot, reset
	ActionAccount  Action = "account.manage" // log out everywhere, change the password, two-factor, passkeys, export, deactivate, delete
	ActionProfile  Action = "profile.update" // and read all of it
	ActionDevice   Action = "device.manage"  // list, rename, revoke
	ActionPush     Action = "push.manage"    // list, add and remove where notifications go
	ActionUsers    Action = "users.read"     // list accounts, look one up
	ActionUser     Action = "users.update"   // disable an account, set its roles
	ActionSanction Action = "users.sanction" // suspend or ban from calls and rooms

	ActionConnect  Action = "session.connect" // hold a session, keep it alive, get ICE servers, name oneself
	ActionMatch    Action = "match.search"    // search, next, cancel
	ActionBlock    Action = "user.block"      // keep somebody away
	ActionCreate   Action = "room.create"
	ActionJoin     Action = "room.join"     // a passcode is asked for by the room
	ActionTalk     Action = "room.talk"     // signal, chat, type, leave, read what was written
	ActionModerate Action = "room.moderate" // remove others and their messages
	ActionOwn      Action = "room.manage"   // change the room, close it, name moderators

	// Of conversations. Whoever asks for one of those below the reading ones is asked for reading first.
	ActionConvCreate   Action = "conversation.create"   // also: be a member of a direct conversation or a group
	ActionConvRead     Action = "conversation.read"     // a direct conversation or a group
	ActionTopicRead    Action = "topic.read"            // a public topic
	ActionTopicWrite   Action = "topic.write"           // where everyone may
	ActionConvWrite    Action = "conversation.write"    // where members may; react, invite, pin in a direct one
	ActionConvAnnounce Action = "conversation.announce" // where moderators may; pin
	ActionConvAuthor   Action = "conversation.author"   // change or delete an own message
	ActionConvJoin     Action = "conversation.join"     // a passcode is asked for by the conversation
	ActionConvModerate Action = "conversation.moderate" // remove and ban others, delete messages of others, see what they said before an edit
	ActionConvManage   Action = "conversation.manage"   // change settings, name moderators, hand over
	ActionConvRemove   Action = "conversation.remove"
)

// rule says who may. Who fulfils one of the conditions may.
type rule struct {
	stranger bool       // everybody
	guest    bool       // guests, with what is theirs if own is set
	user     bool       // users, with what is theirs if own is set
	own      bool       // only the owner's
	roles    []Role     // these, whoever's it is
	room     []RoomRole // only these in the room, besides roles
	hidden   bool       // not_found to others: that it exists is private
}

// rules has a row for each action; what is not in it nobody may.
var rules = map[Action]rule{
	ActionPublic:   {stranger: true},
	ActionSignUp:   {stranger: true},
	ActionAccount:  {user: true, own: true, hidden: true},
	ActionProfile:  {user: true, own: true, hidden: true},
	ActionDevice:   {user: true, own: true, hidden: true},
	ActionPush:     {user: true, own: true, hidden: true},
	ActionUsers:    {roles: []Role{RoleAdmin, RoleModerator, RoleService}},
	ActionUser:     {roles: []Role{RoleAdmin}},
	ActionSanction: {roles: []Role{RoleAdmin, RoleModerator}},

	ActionConnect:  {guest: true, user: true},
	ActionMatch:    {guest: true, user: true},
	ActionBlock:    {guest: true, user: true},
	ActionCreate:   {guest: true, user: true},
	ActionJoin:     {guest: true, user: true, room: []RoomRole{RoomOwner, RoomModerator, RoomMember, RoomGuest, ""}},
	ActionTalk:     {guest: true, user: true, room: []RoomRole{RoomOwner, RoomModerator, RoomMember, RoomGuest}, hidden: true},
	ActionModerate: {guest: true, user: true, room: []RoomRole{RoomOwner, RoomModerator}, roles: []Role{RoleModerator}},
	ActionOwn:      {guest: true, user: true, room: []RoomRole{RoomOwner}},

	ActionConvCreate:   {user: true},
	ActionConvRead:     {user: true, room: []RoomRole{RoomOwner, RoomModerator, RoomMember}, hidden: true},
	ActionTopicRead:    {guest: true, user: true, room: []RoomRole{RoomOwner, RoomModerator, RoomMember, RoomVisitor}, roles: []Role{RoleModerator, RoleAdmin}},
	ActionTopicWrite:   {guest: true, user: true, room: []RoomRole{RoomOwner, RoomModerator, RoomMember, RoomVisitor}},
	ActionConvWrite:    {guest: true, user: true, room: []RoomRole{RoomOwner, RoomModerator, RoomMember}},
	ActionConvAnnounce: {user: true, room: []RoomRole{RoomOwner, RoomModerator}},
	ActionConvAuthor:   {guest: true, user: true, own: true, room: []RoomRole{RoomOwner, RoomModerator, RoomMember}},
	ActionConvJoin:     {guest: true, user: true, room: []RoomRole{RoomOwner, RoomModerator, RoomMember, RoomInvited, RoomVisitor}, hidden: true},
	ActionConvModerate: {user: true, room: []RoomRole{RoomOwner, RoomModerator}, roles: []Role{RoleModerator, RoleAdmin}},
	ActionConvManage:   {user: true, room: []RoomRole{RoomOwner}},
	ActionConvRemove:   {user: true, room: []RoomRole{RoomOwner}, roles: []Role{RoleModerator, RoleAdmin}},
}

// Actions returns all actions that Allowed knows, sorted.
func Actions() []Action {
	var all []Action
	for a := range rules {
		all = append(all, a)
	}
	slices.Sort(all)
	return all
}

// Allowed returns nil if who may do action to resource. Else it is unauthorized
// for a stranger, who may try again with an identity; not_found where already
// that the resource exists is private; forbidden for all others, and for actions
// that are not known. It is the only place that decides so, for REST and
// WebSocket alike.
func Allowed(who Principal, action Action, resource Resource) error {
	r, known := rules[action]
	switch {
	case !known:
		return errForbidden()
	case r.stranger:
		return nil
	case who.Identity == "":
		return protocol.Errorf(protocol.CodeUnauthorized, "sign in first")
	case r.global(who) || r.personal(who, resource):
		return nil
	case r.hidden:
		return protocol.Errorf(protocol.CodeNotFound, "there is no such thing")
	}
	return errForbidden()
}

// global reports whether one of who's roles is enough. A guest has none.
func (r rule) global(who Principal) bool {
	return !who.Guest && slices.ContainsFunc(who.Roles, func(role Role) bool { return slices.Contains(r.roles, role) })
}

func (r rule) personal(who Principal, resource Resource) bool {
	if who.Guest && !r.guest || !who.Guest && !(r.user && slices.Contains(who.Roles, RoleUser)) {
		return false
	}
	if r.own && resource.Owner != who.Identity {
		return false
	}
	return r.room == nil || slices.Contains(r.room, resource.Room)
}

func errForbidden() error { return protocol.Errorf(protocol.CodeForbidden, "this is not yours to do") }
