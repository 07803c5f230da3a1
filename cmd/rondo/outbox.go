package main

import (
	"context"
	"errors"
	"time"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/events"
	"github.com/rondo-chat/rondo/protocol"
)

// outbox is the conversations' outbox for the events of one node.
type outbox struct {
	store conversations.Store
	node  protocol.NodeID
}

var (
	_ events.Log     = (*outbox)(nil)
	_ events.Letters = (*outbox)(nil)
)

// sinkLease is the name of a sink's lease.
func sinkLease(sink string) string { return "events." + sink }

// Lease implements events.Log.
func (o *outbox) Lease(ctx context.Context, sink string, until time.Time) (mine bool, err error) {
	err = o.store.Write(ctx, "events lease", func(tx conversations.Tx) (err error) {
		mine, err = tx.Lease(sinkLease(sink), o.node, time.Now(), until)
		return err
	})
	return mine && err == nil, err
}

// Events implements events.Log.
func (o *outbox) Events(ctx context.Context, after uint64, limit int) (rows []events.Row, err error) {
	err = o.store.Read(ctx, "events", func(r conversations.Reader) error {
		list, err := r.Events(after, limit)
		rows = nil
		for _, e := range list {
			rows = append(rows, events.Row(e))
		}
		return err
	})
	return rows, err
}

// Kind implements events.Log.
func (o *outbox) Kind(ctx context.Context, room protocol.RoomID) (kind protocol.ConvKind, err error) {
	err = o.store.Read(ctx, "events kind", func(r conversations.Reader) error {
		row, err := r.Conversation(room)
		if errors.Is(err, conversations.ErrNotFound) {
			return nil
		}
		kind = row.Kind
		return err
	})
	return kind, err
}

// Cursor implements events.Log.
func (o *outbox) Cursor(ctx context.Context, sink string) (c events.Cursor, err error) {
	err = o.store.Read(ctx, "events cursor", func(r conversations.Reader) error {
		got, err := r.Cursor(sink)
		c = events.Cursor(got)
		return err
	})
	return c, err
}

// Advance implements events.Log.
func (o *outbox) Advance(ctx context.Context, sink string, until time.Time, c events.Cursor, letters ...events.Letter) error {
	return o.store.Write(ctx, "events advance", func(tx conversations.Tx) error {
		mine, err := tx.Lease(sinkLease(sink), o.node, time.Now(), until)
		if err != nil {
			return err
		}
		if !mine {
			return events.ErrLost
		}
		for _, l := range letters {
			letter := conversations.Letter{Sink: l.Sink, Event: conversations.Event(l.Row), Reason: l.Reason, At: l.At}
			if err := tx.PutLetter(letter); err != nil {
				return err
			}
		}
		return tx.PutCursor(sink, conversations.Cursor(c))
	})
}

// Letters implements events.Letters.
func (o *outbox) Letters(ctx context.Context, sink string, limit int) (letters []events.Letter, err error) {
	err = o.store.Read(ctx, "events letters", func(r conversations.Reader) error {
		list, err := r.Letters(sink, limit)
		letters = nil
		for _, l := range list {
			letters = append(letters, events.Letter{Sink: l.Sink, Row: events.Row(l.Event), Reason: l.Reason, At: l.At})
		}
		return err
	})
	return letters, err
}

// Forget implements events.Letters.
func (o *outbox) Forget(ctx context.Context, l events.Letter) error {
	return o.store.Write(ctx, "events forget", func(tx conversations.Tx) error {
		return tx.DeleteLetter(l.Sink, l.Row.Room, l.Row.Seq)
	})
}
