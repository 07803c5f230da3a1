package sqlstore

import (
	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/protocol"
)

const memberColumns = "room_id, user_id, name, is_guest, role, joined_at, rev, delivered, seen, wrote_at"

const selectMember = "SELECT " + memberColumns + " FROM chat_members"

func scanMember(row database.Scanner) (conversations.Member, error) {
	var m conversations.Member
	err := row.Scan(&m.Room, &m.ID, &m.Name, &m.Guest, &m.Role, &m.Joined, &m.Rev, &m.Delivered, &m.Read, &m.Wrote)
	return m, err
}

// Member implements conversations.Reader.
func (r *reader) Member(room protocol.RoomID, user protocol.UserID) (conversations.Member, error) {
	return one(r.q.QueryRow(selectMember+" WHERE room_id = ? AND user_id = ?", string(room), string(user)), scanMember)
}

// Members implements conversations.Reader.
func (r *reader) Members(room protocol.RoomID, roles []protocol.ConvRole, after conversations.Position, limit int) ([]conversations.Member, error) {
	q := query{selectMember + " WHERE room_id = ?", []any{string(room)}}
	if len(roles) > 0 {
		q.add(" AND role IN ("+database.Marks(len(roles))+")", values(roles)...)
	}
	if after != (conversations.Position{}) {
		q.add(" AND joined_at >= ? AND (joined_at > ? OR user_id > ?)", after.At, after.At, after.ID)
	}
	q.add(" ORDER BY joined_at, user_id LIMIT ?", limit)
	return run(r, q, scanMember)
}

// Memberships implements conversations.Reader.
func (r *reader) Memberships(user protocol.UserID) ([]conversations.Member, error) {
	return run(r, query{selectMember + " WHERE user_id = ? ORDER BY room_id", []any{string(user)}}, scanMember)
}

// IdleGuests implements conversations.Reader.
func (r *reader) IdleGuests(before int64, limit int) ([]conversations.Member, error) {
	q := query{selectMember + " WHERE is_guest = TRUE AND joined_at < ? AND wrote_at < ? AND role = 'member' LIMIT ?", []any{before, before, limit}}
	return run(r, q, scanMember)
}

// PeopleChanged implements conversations.Reader.
func (r *reader) PeopleChanged(room protocol.RoomID, since uint64, limit int) ([]conversations.Member, error) {
	q := query{selectMember + " WHERE room_id = ? AND rev > ? ORDER BY rev, user_id LIMIT ?", []any{string(room), number(since), limit}}
	return run(r, q, scanMember)
}

// higher is the engine's function for the greater of two numbers.
func higher(engine database.Engine) string {
	if engine == database.SQLite {
		return "MAX"
	}
	return "GREATEST"
}

// PutMember implements conversations.Tx. Marks are raised by the database, for they rise without the
// conversation's lock.
func (t *txn) PutMember(m conversations.Member) error {
	update := func() (int64, error) {
		f := higher(t.tx.Engine())
		return t.exec("UPDATE chat_members SET name = ?, is_guest = ?, role = ?, joined_at = ?, rev = ?, wrote_at = ?, delivered = "+
			f+"(delivered, ?), seen = "+f+"(seen, ?) WHERE room_id = ? AND user_id = ?",
			m.Name, m.Guest, string(m.Role), m.Joined, number(m.Rev), m.Wrote, number(m.Delivered), number(m.Read), string(m.Room), string(m.ID))
	}
	n, err := update()
	if err != nil || n > 0 {
		return err
	}
	made, err := t.tx.InsertNew("chat_members", []string{"room_id", "user_id", "name", "is_guest", "role", "joined_at", "rev", "delivered", "seen",
		"wrote_at"}, string(m.Room), string(m.ID), m.Name, m.Guest, string(m.Role), m.Joined, number(m.Rev), number(m.Delivered), number(m.Read), m.Wrote)
	if err != nil || made {
		return err
	}
	_, err = update() // somebody else made it just now
	return err
}

// Mark implements conversations.Tx.
func (t *txn) Mark(room protocol.RoomID, user protocol.UserID, delivered, read uint64) (conversations.Member, error) {
	f := higher(t.tx.Engine())
	err := t.must("UPDATE chat_members SET delivered = "+f+"(delivered, ?), seen = "+f+"(seen, ?) WHERE room_id = ? AND user_id = ?",
		number(delivered), number(read), string(room), string(user))
	if err != nil {
		return conversations.Member{}, err
	}
	return t.Member(room, user)
}

// RemoveMember implements conversations.Tx.
func (t *txn) RemoveMember(room protocol.RoomID, user protocol.UserID) error {
	return t.run("DELETE FROM chat_members WHERE room_id = ? AND user_id = ?", string(room), string(user))
}
