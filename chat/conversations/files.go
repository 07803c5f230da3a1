package conversations

import (
	"context"
	"slices"

	"github.com/rondo-chat/rondo/protocol"
)

// Attach notes an upload of the caller's for a message that they will send to the conversation; of f, ID, Name, Type, Size, Width,
// Height and Stored count. Errors: unauthorized, not_found, forbidden, rate_limited, unavailable.
func (c *Conversations) Attach(ctx context.Context, who Caller, room protocol.RoomID, f File) error {
	if !isWord(f.ID) || f.Stored == "" {
		return errBad("file: has no id")
	}
	if _, err := c.seat(ctx, who, room, seat.mayWrite); err != nil {
		return err
	}
	if err := c.limit(ctx, "attach", string(who.Identity), c.cfg.Limits.Attach); err != nil {
		return err
	}
	f.Owner, f.Room, f.Seq, f.At = who.Identity, room, 0, c.now()
	return c.write(ctx, "attach", func(tx Tx) error {
		_, err := tx.File(f.ID)
		if found, err := exists(err); found || err != nil {
			return cmpErr(err, errBad("file: this id is taken"))
		}
		s, err := look(tx, who, room)
		if err != nil {
			return err
		}
		if err := s.mayWrite(); err != nil {
			return err
		}
		return tx.PutFile(f)
	})
}

func cmpErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// File returns an upload: an own one that no message has yet, or one of a message that the caller may read. All others are
// not_found; unavailable.
func (c *Conversations) File(ctx context.Context, who Caller, id string) (f File, err error) {
	if err := identified(who); err != nil || !isWord(id) {
		return File{}, cmpErr(err, errNoSuchThing())
	}
	err = c.read(ctx, "file", func(r Reader) (err error) {
		if f, err = r.File(id); err != nil {
			return err
		}
		if f.Seq == 0 && f.Owner == who.Identity {
			return nil
		}
		s, err := look(r, who, f.Room)
		if err != nil {
			return err
		}
		if f.Seq == 0 || s.mayRead() != nil {
			return ErrNotFound
		}
		m, err := r.Message(f.Room, f.Seq)
		if err == nil && !slices.ContainsFunc(m.Files, func(of protocol.ConvFile) bool { return of.ID == id }) {
			err = ErrNotFound
		}
		return err
	})
	if err != nil {
		f = File{}
	}
	return f, err
}
