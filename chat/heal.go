package chat

import (
	"context"
	"slices"
	"time"

	"github.com/rondo-chat/rondo/internal/pause"
	"github.com/rondo-chat/rondo/protocol"
)

const (
	maxHeals    = 4   // tries of a call against a store that is behind
	checkBatch  = 256 // rooms asked about in one call
	checkOthers = 64  // of rooms not heard of lately, in one round
)

// append stores m, after what the store has lost.
func (l *Log) append(ctx context.Context, m Message) (Message, bool, error) {
	for range maxHeals {
		known, settles := l.tails.mark(m.Room)
		if err := until(ctx, settles); err != nil {
			return Message{}, false, err
		}
		a, err := l.cfg.Store.Append(ctx, m, known)
		switch {
		case err != nil:
			return Message{}, false, l.gone(m.Room, err)
		case !a.Behind:
			l.tails.note(m.Room, a.Mark, a.Message)
			return a.Message, a.Dup, nil
		}
		if err := l.restore(ctx, m.Room); err != nil {
			return Message{}, false, err
		}
	}
	return Message{}, false, &protocol.Error{Code: protocol.CodeUnavailable, Msg: "the chat is being put back", Retry: time.Second}
}

// until waits for the instant.
func until(ctx context.Context, at time.Time) error {
	if pause.For(ctx, time.Until(at)) != nil {
		return &protocol.Error{Code: protocol.CodeUnavailable, Msg: "the chat is being put back", Retry: time.Second}
	}
	return nil
}

// page reads a page, after what the store has lost was put back.
func (l *Log) page(ctx context.Context, room protocol.RoomID, q Query) (Page, error) {
	for range maxHeals {
		page, err := l.cfg.Store.Page(ctx, room, q)
		if err != nil {
			return Page{}, l.gone(room, err)
		}
		if behind, _ := l.tails.behind(room, page.Mark); !behind {
			l.tails.note(room, page.Mark, page.Messages...)
			return page, nil
		}
		if err := l.restore(ctx, room); err != nil {
			return Page{}, err
		}
	}
	return Page{}, &protocol.Error{Code: protocol.CodeUnavailable, Msg: "the chat is being put back", Retry: time.Second}
}

// restore puts back what this node remembers of the room.
func (l *Log) restore(ctx context.Context, room protocol.RoomID) error {
	lost, known := l.tails.lost(room)
	mark, err := l.cfg.Store.Restore(ctx, room, lost, known)
	l.metrics.restored(err)
	if err != nil {
		return l.gone(room, err)
	}
	l.tails.restored(room, mark)
	return nil
}

// gone forgets a room that the store says is over.
func (l *Log) gone(room protocol.RoomID, err error) error {
	if protocol.CodeOf(err) == protocol.CodeForbidden {
		l.tails.forget(room)
	}
	return err
}

// Saw remembers a message that another node stored, as its members see it.
func (l *Log) Saw(m Message) {
	if m.Off > 0 && check(m) == nil {
		l.tails.note(m.Room, Mark{}, m)
	}
}

// Tend puts back what the store has lost of the rooms that this node follows,
// until ctx ends.
func (l *Log) Tend(ctx context.Context) {
	if l.cfg.Follows == nil {
		return
	}
	tick := time.NewTicker(l.cfg.Check)
	defer tick.Stop()
	all, failing := false, false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		lost, err := l.checkOnce(ctx, all)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			l.cfg.Logger.Warn("chat: cannot check the store", "error", err)
		case err == nil && failing:
			l.cfg.Logger.Info("chat: can check the store again")
		}
		if lost > 0 {
			l.cfg.Logger.Warn("chat: the store had lost messages; they are put back", "rooms", lost)
		}
		failing = err != nil
		// After a failure, or a loss in some rooms, all others are suspect.
		all = failing || lost > 0 && !all
	}
}

// checkOnce asks about rooms, or all of them, and returns how many the store
// was behind in.
func (l *Log) checkOnce(ctx context.Context, all bool) (lost int, err error) {
	l.tails.prune()
	for ids := range slices.Chunk(l.tails.toCheck(all, checkOthers), checkBatch) {
		n, err := l.checkBatch(ctx, ids)
		lost += n
		if err != nil {
			return lost, err
		}
	}
	return lost, nil
}

func (l *Log) checkBatch(ctx context.Context, ids []protocol.RoomID) (lost int, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	marks, err := l.cfg.Store.Marks(ctx, ids)
	if err != nil {
		return 0, err
	}
	for i, id := range ids {
		behind, wiped := l.tails.behind(id, marks[i])
		if !behind {
			continue
		}
		if err := l.restore(ctx, id); err != nil && protocol.CodeOf(err) != protocol.CodeForbidden {
			return lost, err
		}
		if wiped {
			lost++
		}
	}
	return lost, nil
}
