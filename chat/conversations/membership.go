package conversations

import (
	"context"
	"crypto/hmac"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/protocol"
)

// Join makes the caller a member: of a topic, of a group that invited them or whose passcode they know. Errors: bad_request, unauthorized, not_found
// (also of a group that has no passcode and did not invite them), forbidden (also: banned; too many
// members; too many conversations), passcode, rate_limited, unavailable.
func (c *Conversations) Join(ctx context.Context, who Caller, room protocol.RoomID, passcode string) (protocol.ConvEntry, error) {
	s, err := c.seat(ctx, who, room, seat.mayTry)
	if err != nil {
		return protocol.ConvEntry{}, err
	}
	if isMember(s.me.Role) {
		return c.Get(ctx, who, room)
	}
	if err := c.limit(ctx, "join", string(who.Identity), c.cfg.Limits.Join); err != nil {
		return protocol.ConvEntry{}, err
	}
	if err := c.guess(ctx, s, passcode); err != nil {
		return protocol.ConvEntry{}, err
	}
	err = c.commit(ctx, order{name: "join", who: who, room: room, check: seat.mayTry, apply: func(ch *change) error {
		if isMember(ch.me.Role) {
			return errUnchanged
		}
		if err := c.unlock(ch.seat, passcode); err != nil {
			return err
		}
		return ch.enter()
	}})
	if err != nil {
		return protocol.ConvEntry{}, err
	}
	return c.Get(ctx, who, room)
}

// mayTry: who is asked for a passcode is a visitor of the group at its door.
func (s seat) mayTry() error {
	role := s.role()
	if role == "" && s.row.Kind == protocol.ConvGroup && s.row.Passcode && !s.who.Guest {
		role = auth.RoomVisitor
	}
	err := auth.Allowed(s.who.Principal, auth.ActionConvJoin, auth.Resource{Room: role})
	if protocol.CodeOf(err) == protocol.CodeNotFound && s.topic() {
		err = errForbidden("you may not join this topic")
	}
	return err
}

// guess counts who tries a passcode; with too many tries at one conversation nobody's is looked at for a while.
func (c *Conversations) guess(ctx context.Context, s seat, passcode string) error {
	if !s.locked() || passcode == "" {
		return c.unlock(s, passcode)
	}
	if err := c.limit(ctx, "guess", string(s.who.Identity), c.cfg.Limits.Guess); err != nil {
		return err
	}
	if err := c.limit(ctx, "guess_room", string(s.row.ID), c.cfg.Limits.GuessRoom); err != nil {
		return err
	}
	return c.unlock(s, passcode)
}

// locked reports whether the caller needs a passcode.
func (s seat) locked() bool { return s.row.Passcode && s.me.Role != protocol.ConvInvited }

func (c *Conversations) unlock(s seat, passcode string) error {
	switch {
	case !s.locked():
		return nil
	case passcode == "":
		return protocol.Errorf(protocol.CodePasscode, "a passcode is asked for")
	case len(passcode) <= protocol.MaxPasscodeBytes && hmac.Equal([]byte(s.row.PasscodeHash), []byte(c.passcodeMAC(s.row.ID, passcode))):
		return nil
	}
	return protocol.Errorf(protocol.CodePasscode, "the passcode is wrong")
}

// enter makes the caller a member.
func (ch *change) enter() error {
	most := protocol.MaxConvMembers
	if !ch.topic() {
		most = protocol.MaxGroupMembers
	}
	if ch.row.Members >= most {
		return errForbidden("there are too many members")
	}
	all, err := ch.tx.Memberships(ch.who.Identity)
	if err != nil {
		return err
	}
	if countMembers(all) >= protocol.MaxConversations {
		return errTooMany()
	}
	before, m := ch.me.Role, ch.me
	m.Name, m.Guest, m.Role, m.Joined = ch.who.Name, ch.who.Guest, protocol.ConvMember, ch.now
	m.Delivered, m.Read = ch.row.Seq, ch.row.Seq // what was before is not unread
	return ch.person(before, &m)
}

// Leave ends the caller's membership, or declines an invitation. An owner who leaves hands over to the moderator who has been there for longest, else to
// the member; without anybody left the conversation is removed. Errors: unauthorized, not_found, forbidden (a direct one),
// rate_limited, unavailable.
func (c *Conversations) Leave(ctx context.Context, who Caller, room protocol.RoomID) error {
	return c.change(ctx, order{name: "leave", who: who, room: room, limit: "join", rate: c.cfg.Limits.Join,
		check: seat.mayLeave, apply: (*change).leave})
}

func (s seat) mayLeave() error {
	if s.me.Role == protocol.ConvInvited {
		return nil
	}
	if err := s.mayRead(); err != nil && !isMember(s.me.Role) {
		return err
	}
	if s.direct() {
		return errForbidden("a direct conversation is for ever")
	}
	return nil
}

func (ch *change) leave() error {
	m := ch.me
	if m.Role == protocol.ConvLeft {
		return errUnchanged
	}
	before := m.Role
	m.Role = protocol.ConvLeft
	if before != protocol.ConvOwner {
		return ch.person(before, &m)
	}
	heir, found, err := ch.heir()
	if err != nil {
		return err
	}
	if !found {
		return ch.remove()
	}
	if err := ch.person(before, &m); err != nil {
		return err
	}
	before, heir.Role = heir.Role, protocol.ConvOwner
	return ch.person(before, &heir)
}

// heir is who has the conversation after its owner: no guest.
func (ch *change) heir() (Member, bool, error) {
	for _, role := range []protocol.ConvRole{protocol.ConvModerator, protocol.ConvMember} {
		for at := (Position{}); ; {
			list, err := ch.tx.Members(ch.row.ID, []protocol.ConvRole{role}, at, jobBatch)
			if err != nil {
				return Member{}, false, err
			}
			for _, m := range list {
				if !m.Guest && m.ID != ch.me.ID {
					return m, true, nil
				}
				at = Position{At: m.Joined, ID: string(m.ID)}
			}
			if len(list) < jobBatch {
				break
			}
		}
	}
	return Member{}, false, nil
}

// Invite asks a user to join; who is in already stays what they are. In groups every member may, in topics too. Errors:
// bad_request, unauthorized, not_found, forbidden (also: banned; one of the two keeps the other away; too many
// invitations; a direct one), rate_limited, unavailable.
func (c *Conversations) Invite(ctx context.Context, who Caller, room protocol.RoomID, user string) (p protocol.ConvPerson, err error) {
	var guest Person
	err = c.change(ctx, order{name: "invite", who: who, room: room, limit: "manage", rate: c.cfg.Limits.Manage,
		check: seat.mayInvite,
		ready: func(ctx context.Context, _ seat) (err error) {
			guest, err = c.person(ctx, who, user)
			return err
		},
		apply: func(ch *change) error {
			m, err := ch.invite(guest, c.cfg.Limits.Pending)
			p = shownPerson(ch.row.Kind, m.ConvPerson)
			return err
		}})
	if err != nil {
		p = protocol.ConvPerson{}
	}
	return p, err
}

func (s seat) mayInvite() error {
	if err := s.mayThen(auth.ActionConvWrite, ""); err != nil {
		return err
	}
	if s.direct() || s.who.Guest {
		return errForbidden("nobody can be invited here")
	}
	return nil
}

func (ch *change) invite(guest Person, pending int) (m Member, err error) {
	m, err = ch.tx.Member(ch.row.ID, guest.ID)
	found, err := exists(err)
	switch {
	case err != nil:
		return m, err
	case found && m.Role == protocol.ConvBanned:
		return m, errForbidden("this person is banned")
	case found && m.Role != protocol.ConvLeft:
		return m, errUnchanged
	case !found:
		m = Member{Room: ch.row.ID, ConvPerson: protocol.ConvPerson{ID: guest.ID, Role: protocol.ConvLeft}}
	}
	if err := ch.bounded(guest.ID, pending); err != nil {
		return m, err
	}
	before := m.Role
	m.Name, m.Role, m.Joined = guest.Name, protocol.ConvInvited, ch.now
	return m, ch.person(before, &m)
}

// bounded keeps the number of open invitations small: of one person, and of the conversation.
func (ch *change) bounded(user protocol.UserID, pending int) error {
	all, err := ch.tx.Memberships(user)
	if err != nil {
		return err
	}
	open := 0
	for _, m := range all {
		if m.Role == protocol.ConvInvited {
			open++
		}
	}
	list, err := ch.tx.Members(ch.row.ID, []protocol.ConvRole{protocol.ConvInvited}, Position{}, protocol.MaxGroupMembers)
	if err != nil {
		return err
	}
	if open >= pending || len(list) >= protocol.MaxGroupMembers || !ch.topic() && ch.row.Members >= protocol.MaxGroupMembers {
		return errForbidden("too many invitations wait for an answer, or too many are in")
	}
	return nil
}

// SetRole changes what another one is. Moderators and the owner remove (left) and ban (banned) members, and take a ban back (left); only the owner
// removes moderators, names them (moderator), takes that back (member) and hands over (owner). In topics, moderators and administrators of the service remove
// and ban everybody but the owner. Errors: bad_request, unauthorized, not_found, forbidden, rate_limited,
// unavailable.
func (c *Conversations) SetRole(ctx context.Context, who Caller, room protocol.RoomID, user protocol.UserID, role protocol.ConvRole) (p protocol.ConvPerson, err error) {
	if !isWord(string(user)) {
		return p, errBad("user: not an id")
	}
	switch role {
	case protocol.ConvOwner, protocol.ConvModerator, protocol.ConvMember, protocol.ConvLeft, protocol.ConvBanned:
	default:
		return p, errBad("role: owner, moderator, member, left or banned")
	}
	var stranger Person // who was never here and is banned
	err = c.change(ctx, order{name: "role", who: who, room: room, limit: "manage", rate: c.cfg.Limits.Manage,
		check: func(s seat) error { return s.mayName(user, role) },
		ready: func(ctx context.Context, s seat) (err error) {
			if role == protocol.ConvBanned {
				stranger, err = c.cfg.People.Person(ctx, string(user))
				if protocol.CodeOf(err) == protocol.CodeNotFound {
					stranger, err = Person{}, nil
				}
			}
			return err
		},
		apply: func(ch *change) error {
			m, err := ch.setRole(user, role, stranger)
			p = shownPerson(ch.row.Kind, m.ConvPerson)
			return err
		}})
	if err != nil {
		p = protocol.ConvPerson{}
	}
	return p, err
}

// mayName is what can be said before the other one's row is read.
func (s seat) mayName(user protocol.UserID, role protocol.ConvRole) error {
	action := auth.ActionConvManage
	if role == protocol.ConvLeft || role == protocol.ConvBanned {
		action = auth.ActionConvModerate
	}
	if err := s.mayThen(action, ""); err != nil {
		return err
	}
	if user == s.who.Identity {
		return errBad("this is you: leave, or name another owner")
	}
	return nil
}

func (ch *change) setRole(user protocol.UserID, role protocol.ConvRole, stranger Person) (m Member, err error) {
	m, err = ch.tx.Member(ch.row.ID, user)
	found, err := exists(err)
	switch {
	case err != nil:
		return m, err
	case !found && (role != protocol.ConvBanned || stranger.ID != user):
		return m, ErrNotFound
	case !found:
		m = Member{Room: ch.row.ID, ConvPerson: protocol.ConvPerson{ID: user, Name: stranger.Name, Guest: stranger.Guest, Role: protocol.ConvLeft, Joined: ch.now}}
	case m.Role == role:
		return m, errUnchanged
	}
	if err := ch.mayTurn(m, role); err != nil {
		return m, err
	}
	before := m.Role
	if m.Role = role; role == protocol.ConvOwner {
		me := ch.me
		me.Role = protocol.ConvModerator
		if err := ch.person(protocol.ConvOwner, &me); err != nil {
			return m, err
		}
	}
	return m, ch.person(before, &m)
}

// mayTurn says whether the caller, who passed mayName, may make m what role says.
func (ch *change) mayTurn(m Member, role protocol.ConvRole) error {
	switch {
	case m.Role == protocol.ConvOwner:
		return errForbidden("this is the owner")
	case m.Role == protocol.ConvModerator && ch.role() == auth.RoomModerator && ch.global() != nil:
		return errForbidden("moderators do not remove one another")
	case isMember(role) && !isMember(m.Role):
		return errForbidden("this person is no member")
	case role != protocol.ConvMember && isMember(role) && m.Guest:
		return errForbidden("guests are members only")
	}
	return nil
}

// global reports whether the caller moderates whatever they are in the conversation.
func (ch *change) global() error {
	return auth.Allowed(ch.who.Principal, auth.ActionConvModerate, auth.Resource{})
}
