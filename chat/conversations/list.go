package conversations

import (
	"context"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/text"
	"github.com/rondo-chat/rondo/protocol"
)

const (
	maxList = 100 // lines of a page of a list
	maxMine = 1000
)

// List returns a page of the caller's conversations, newest activity first, with those to which the caller is
// invited. Errors: bad_request, unauthorized, unavailable.
func (c *Conversations) List(ctx context.Context, who Caller, q protocol.ConvListQuery) (l protocol.ConvList, err error) {
	at, limit, err := cleanPage(who, q.Cursor, q.Limit)
	if err != nil {
		return l, err
	}
	err = c.read(ctx, "list", func(r Reader) error {
		l = protocol.ConvList{Entries: []protocol.ConvEntry{}}
		rows, err := r.Inbox(who.Identity, at, limit+1)
		if err != nil {
			return err
		}
		if len(rows) > limit {
			rows = rows[:limit]
			l.Next = cursor(rows[limit-1].Active, string(rows[limit-1].ID))
		}
		l.Entries, err = entries(r, who, rows)
		return err
	})
	return l, err
}

func cleanPage(who Caller, from string, n int) (Position, int, error) {
	if err := identified(who); err != nil {
		return Position{}, 0, err
	}
	parts, err := uncursor(from, 2)
	if err != nil || from == "" {
		return Position{}, clamp(n, 50, maxList), err
	}
	at, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil || !isWord(parts[1]) {
		return Position{}, 0, errCursor()
	}
	return Position{At: at, ID: parts[1]}, clamp(n, 50, maxList), nil
}

// cursor names a place in a list. It is no secret, and one that somebody made up is a place, too.
func cursor(at int64, parts ...string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strings.Join(append([]string{strconv.FormatInt(at, 10)}, parts...), " ")))
}

func uncursor(s string, n int) ([]string, error) {
	if s == "" {
		return nil, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	parts := strings.Split(string(b), " ")
	if err != nil || len(parts) != n || len(s) > 256 {
		return nil, errCursor()
	}
	return parts, nil
}

func errCursor() error { return errBad("cursor: not one of ours") }

// entries makes lines of rows.
func entries(r Reader, who Caller, rows []Row) ([]protocol.ConvEntry, error) {
	ids := make([]protocol.RoomID, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	last, err := r.Last(ids)
	if err != nil {
		return nil, err
	}
	list := make([]protocol.ConvEntry, len(rows))
	for i, row := range rows {
		s, err := take(r, who, row)
		if err != nil {
			return nil, err
		}
		m, found := last[row.ID]
		if list[i], err = entry(r, s, m, found); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// entry is a line for the caller: who may not read sees no message.
func entry(r Reader, s seat, last Message, found bool) (e protocol.ConvEntry, err error) {
	e = protocol.ConvEntry{Conversation: s.row.Conversation, Me: s.me.ConvPerson}
	if s.direct() && s.peer() != "" {
		m, err := r.Member(s.row.ID, s.peer())
		if found, err := exists(err); err != nil {
			return e, err
		} else if found {
			e.Peer = &m.ConvPerson
		}
	}
	if !found || s.mayRead() != nil {
		return e, nil
	}
	e.Last = &last.ConvMessage
	if isMember(s.me.Role) && last.Seq > s.me.Read {
		e.Unread, err = r.Unread(s.row.ID, s.me.ID, s.me.Read, maxUnread)
	}
	return e, err
}

// Get returns the caller's line of a conversation, also of one to which the caller is only invited. Errors: unauthorized,
// not_found, forbidden, unavailable.
func (c *Conversations) Get(ctx context.Context, who Caller, room protocol.RoomID) (e protocol.ConvEntry, err error) {
	if err := identified(who); err != nil {
		return e, err
	}
	err = c.read(ctx, "get", func(r Reader) error {
		s, err := look(r, who, room)
		if err != nil {
			return err
		}
		if err := s.mayRead(); err != nil && s.role() != auth.RoomInvited {
			return err
		}
		list, err := entries(r, who, []Row{s.row})
		if err == nil {
			e = list[0]
		}
		return err
	})
	return e, err
}

// Members returns a page of members, in the order of their coming; who moderates sees also who is banned.
// Errors: bad_request, unauthorized, not_found, forbidden, unavailable.
func (c *Conversations) Members(ctx context.Context, who Caller, room protocol.RoomID, from string, limit int) (p protocol.ConvPeople, err error) {
	at, limit, err := cleanPage(who, from, limit)
	if err != nil {
		return p, err
	}
	err = c.reading(ctx, who, room, "members", func(r Reader, s seat) error {
		roles := shownRoles()
		if s.may(auth.ActionConvModerate, "") == nil {
			roles = append(roles, protocol.ConvBanned)
		}
		list, err := r.Members(room, roles, at, limit+1)
		if err != nil {
			return err
		}
		p = protocol.ConvPeople{}
		if len(list) > limit {
			list = list[:limit]
			p.Next = cursor(list[limit-1].Joined, string(list[limit-1].ID))
		}
		p.People = people(s, list)
		return nil
	})
	return p, err
}

// Directory returns a page of public topics, for everybody who has an identity. Errors: bad_request, unauthorized, unavailable.
func (c *Conversations) Directory(ctx context.Context, who Caller, q protocol.ConvDirectoryQuery) (d protocol.ConvDirectory, err error) {
	at, limit, err := cleanPage(who, q.Cursor, q.Limit)
	if err != nil {
		return d, err
	}
	find := Directory{After: at, Limit: limit + 1}
	if err := cleanDirectory(q, &find); err != nil {
		return d, err
	}
	if q.Text != "" && len(find.Terms) == 0 {
		return protocol.ConvDirectory{Topics: []protocol.Conversation{}}, nil
	}
	err = c.read(ctx, "directory", func(r Reader) error {
		d = protocol.ConvDirectory{Topics: []protocol.Conversation{}}
		rows, err := r.Topics(find)
		if err != nil {
			return err
		}
		if len(rows) > limit {
			rows = rows[:limit]
			d.Next = cursor(rows[limit-1].Active, string(rows[limit-1].ID))
		}
		for _, row := range rows {
			d.Topics = append(d.Topics, row.Conversation)
		}
		return nil
	})
	return d, err
}

func cleanDirectory(q protocol.ConvDirectoryQuery, find *Directory) (err error) {
	if err := cleanSearch(q.Text); err != nil {
		return err
	}
	if q.Text != "" {
		find.Terms, _ = Query(q.Text)
	}
	if q.Language != "" {
		if find.Language, err = text.Language(q.Language); err != nil {
			return err
		}
	}
	if q.Tag != "" {
		find.Tag, err = text.Tag(q.Tag)
	}
	return err
}

// Mine returns the conversations of which the user is a member, those joined last first, at most limit.
func (c *Conversations) Mine(ctx context.Context, user protocol.UserID, limit int) (rooms []protocol.RoomID, err error) {
	err = c.read(ctx, "mine", func(r Reader) error {
		list, err := r.Memberships(user)
		if err != nil {
			return err
		}
		list = slices.DeleteFunc(list, func(m Member) bool { return !isMember(m.Role) })
		slices.SortFunc(list, func(a, b Member) int { return int(b.Joined - a.Joined) })
		rooms = nil
		for _, m := range list[:min(len(list), clamp(limit, maxMine, maxMine))] {
			rooms = append(rooms, m.Room)
		}
		return nil
	})
	return rooms, err
}
