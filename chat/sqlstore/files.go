package sqlstore

import (
	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/protocol"
)

// fileColumns: is_free, which follows, says that no message has the file (any more).
const fileColumns = "id, owner, room_id, seq, name, type, size, width, height, stored, uploaded_at"

func scanFile(row database.Scanner) (conversations.File, error) {
	var f conversations.File
	err := row.Scan(&f.ID, &f.Owner, &f.Room, &f.Seq, &f.Name, &f.Type, &f.Size, &f.Width, &f.Height, &f.Stored, &f.At)
	return f, err
}

// File implements conversations.Reader.
func (r *reader) File(id string) (conversations.File, error) {
	return one(r.q.QueryRow("SELECT "+fileColumns+" FROM chat_files WHERE id = ?", id), scanFile)
}

// PutFile implements conversations.Tx.
func (t *txn) PutFile(f conversations.File) error {
	free := f.Seq == 0
	if !free {
		var n int
		err := t.q.QueryRow("SELECT COUNT(*) FROM chat_messages WHERE room_id = ? AND seq = ? AND deleted_at = 0", string(f.Room), number(f.Seq)).Scan(&n)
		if err != nil {
			return err
		}
		free = n == 0 // until InsertMessage
	}
	return t.tx.Upsert("chat_files", []string{"id"}, []string{"id", "owner", "room_id", "seq", "name", "type", "size", "width", "height", "stored",
		"uploaded_at", "is_free"}, f.ID, string(f.Owner), string(f.Room), number(f.Seq), f.Name, f.Type, f.Size, f.Width, f.Height, f.Stored, f.At, free)
}

// freeFiles notes whether the message still has its files.
func (t *txn) freeFiles(room protocol.RoomID, seq uint64, free bool) error {
	return t.run("UPDATE chat_files SET is_free = ? WHERE room_id = ? AND seq = ?", free, string(room), number(seq))
}

// DeleteFile implements conversations.Tx.
func (t *txn) DeleteFile(id string) error { return t.run("DELETE FROM chat_files WHERE id = ?", id) }

// Orphans implements conversations.Tx.
func (t *txn) Orphans(before int64, limit int) ([]conversations.File, error) {
	q := query{"SELECT " + fileColumns + " FROM chat_files WHERE is_free = TRUE AND (seq > 0 OR uploaded_at < ?) ORDER BY uploaded_at, id LIMIT ?",
		[]any{before, limit}}
	return run(&t.reader, q, scanFile)
}
