package conversations

import (
	"context"
	"strings"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/protocol"
)

// seat is what a caller is in a conversation, as one transaction reads it.
type seat struct {
	row   Row
	me    Member // if known
	known bool   // there is a row of the caller, whatever its role
	who   Caller
}

// look reads the caller's seat. What is not there, or no id, is not_found.
func look(r Reader, who Caller, room protocol.RoomID) (seat, error) {
	if !isWord(string(room)) {
		return seat{}, errNoSuchThing()
	}
	row, err := r.Conversation(room)
	if err != nil {
		return seat{}, err
	}
	return take(r, who, row)
}

// take is look where the conversation has been read.
func take(r Reader, who Caller, row Row) (s seat, err error) {
	s = seat{row: row, who: who}
	if isWord(string(who.Identity)) {
		s.me, err = r.Member(row.ID, who.Identity)
		s.known, err = exists(err)
	}
	if !s.known {
		s.me = Member{Room: row.ID, ConvPerson: protocol.ConvPerson{ID: who.Identity, Name: who.Name, Guest: who.Guest, Role: protocol.ConvLeft}}
	}
	return s, err
}

func (s seat) topic() bool  { return s.row.Kind == protocol.ConvTopic }
func (s seat) direct() bool { return s.row.Kind == protocol.ConvDirect }

// role is what auth.Allowed decides by. A guest is nobody where guests are not wanted; who is no
// member of a public topic is its visitor.
func (s seat) role() auth.RoomRole {
	unwanted := s.who.Guest && !(s.topic() && s.row.Guests)
	switch s.me.Role {
	case protocol.ConvBanned:
		return auth.RoomBanned
	case protocol.ConvOwner, protocol.ConvModerator, protocol.ConvMember:
		if !unwanted {
			return auth.RoomRole(s.me.Role)
		}
	case protocol.ConvInvited, protocol.ConvLeft:
		switch {
		case unwanted:
		case s.topic():
			return auth.RoomVisitor
		case s.me.Role == protocol.ConvInvited:
			return auth.RoomInvited
		}
	}
	return ""
}

// may asks auth.Allowed; owner is whose the thing is that the action is about.
func (s seat) may(action auth.Action, owner protocol.UserID) error {
	return auth.Allowed(s.who.Principal, action, auth.Resource{Owner: owner, Room: s.role()})
}

func (s seat) mayRead() error {
	if s.topic() {
		return s.may(auth.ActionTopicRead, "")
	}
	return s.may(auth.ActionConvRead, "")
}

// mayThen is may for who may read: to others already the conversation is private.
func (s seat) mayThen(action auth.Action, owner protocol.UserID) error {
	if err := s.mayRead(); err != nil {
		return err
	}
	return s.may(action, owner)
}

func (s seat) mayWrite() error {
	switch {
	case s.row.Writers == protocol.WriteModerators && !s.direct():
		return s.mayThen(auth.ActionConvAnnounce, "")
	case s.row.Writers == protocol.WriteEveryone && s.topic():
		return s.mayThen(auth.ActionTopicWrite, "")
	}
	return s.mayThen(auth.ActionConvWrite, "")
}

func (s seat) mayPin() error {
	if s.direct() {
		return s.mayThen(auth.ActionConvWrite, "")
	}
	return s.mayThen(auth.ActionConvAnnounce, "")
}

// mayCorrect: the author, and who moderates.
func (s seat) mayCorrect(author protocol.UserID) error {
	if s.may(auth.ActionConvAuthor, author) == nil {
		return nil
	}
	return s.may(auth.ActionConvModerate, author)
}

// peer is the other one of a direct conversation; "" if there is none any more.
func (s seat) peer() protocol.UserID {
	a, b, _ := strings.Cut(s.row.Pair, " ")
	if a == string(s.who.Identity) {
		a = b
	}
	return protocol.UserID(a)
}

// isMember reports whether the role is a member's; invited, left and banned are not.
func isMember(role protocol.ConvRole) bool {
	return role == protocol.ConvOwner || role == protocol.ConvModerator || role == protocol.ConvMember
}

// shownRoles are those of the people whom others see.
func shownRoles() []protocol.ConvRole {
	return []protocol.ConvRole{protocol.ConvOwner, protocol.ConvModerator, protocol.ConvMember, protocol.ConvInvited}
}

// MayRead returns nil if who may read the conversation. Errors: unauthorized, not_found, forbidden.
func (c *Conversations) MayRead(ctx context.Context, who Caller, room protocol.RoomID) error {
	_, err := c.seat(ctx, who, room, seat.mayRead)
	return err
}

// MayWrite returns nil if who may send messages to it. Errors: unauthorized, not_found, forbidden.
func (c *Conversations) MayWrite(ctx context.Context, who Caller, room protocol.RoomID) error {
	_, err := c.seat(ctx, who, room, seat.mayWrite)
	return err
}

// seat reads the caller's seat and checks it.
func (c *Conversations) seat(ctx context.Context, who Caller, room protocol.RoomID, check func(seat) error) (s seat, err error) {
	if err := identified(who); err != nil {
		return seat{}, err
	}
	err = c.read(ctx, "seat", func(r Reader) (err error) {
		if s, err = look(r, who, room); err != nil {
			return err
		}
		return check(s)
	})
	return s, err
}

// identified refuses strangers before anything is looked up.
func identified(who Caller) error {
	if who.Identity == "" {
		return auth.Allowed(who.Principal, auth.ActionConvWrite, auth.Resource{})
	}
	return nil
}

// isWord reports whether s has the shape of an id: 1 to 64 letters, digits, "_" and "-".
func isWord(s string) bool {
	return len(s) >= 1 && len(s) <= protocol.MaxCIDBytes && !strings.ContainsFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-'
	})
}
