package conversations

import (
	"context"
	"encoding/json"

	"github.com/rondo-chat/rondo/protocol"
)

// What reconciliation looks for.
const (
	kindRevision = "revision" // something has a Rev over the conversation's Seq
	kindMark     = "mark"     // somebody has read what is not there yet
	kindMembers  = "members"  // the number of members is not what it is
	kindActivity = "activity" // Active is not of the newest message
	kindCache    = "cache"    // the cache has something else than the record, of the same Seq
)

const reconcileRooms = 20

// reconcile compares what is stored twice of a conversation, counts what differs, and mends the number of members, Active and the
// cache; with the rest, people must look.
func (c *Conversations) reconcile(ctx context.Context, row Row) error {
	near := c.ask(ctx, row.ID, CachePage)
	var kinds []string
	err := c.read(ctx, "reconcile", func(r Reader) (err error) {
		if row, err = r.Conversation(row.ID); err != nil {
			return err
		}
		if kinds, err = differs(r, row); err != nil || !near.found || near.Seq != row.Seq {
			return err
		}
		list, err := r.Messages(row.ID, Page{Limit: max(len(near.Messages), 1)})
		if err == nil && !same(near.Messages, plain(list)) {
			kinds = append(kinds, kindCache)
		}
		return err
	})
	if err != nil {
		return ended(err)
	}
	mend := false
	for _, kind := range kinds {
		c.metrics.differs.WithLabelValues(kind).Inc()
		c.cfg.Logger.Error("conversations: what is stored twice differs", "room", row.ID, "kind", kind, "seq", row.Seq)
		if mend = mend || kind == kindMembers || kind == kindActivity; kind == kindCache {
			err = c.cfg.Cache.Drop(ctx, row.ID, row.Seq+1)
		}
	}
	if mend {
		err = ended(c.commit(ctx, order{name: "reconcile.mend", room: row.ID, apply: (*change).mend}))
	}
	return err
}

func same(a, b []protocol.ConvMessage) bool {
	x, err1 := json.Marshal(orEmpty(a))
	y, err2 := json.Marshal(orEmpty(b))
	return err1 == nil && err2 == nil && string(x) == string(y)
}

func differs(r Reader, row Row) (kinds []string, err error) {
	messages, err := r.Changed(row.ID, row.Seq, 1)
	if err != nil {
		return nil, err
	}
	persons, err := r.PeopleChanged(row.ID, row.Seq, 1)
	if err != nil {
		return nil, err
	}
	if len(messages) > 0 || len(persons) > 0 || row.Rev > row.Seq {
		kinds = append(kinds, kindRevision)
	}
	members, ahead, err := count(r, row)
	if err != nil {
		return nil, err
	}
	if ahead {
		kinds = append(kinds, kindMark)
	}
	if members != row.Members {
		kinds = append(kinds, kindMembers)
	}
	active, err := active(r, row)
	if err == nil && active != row.Active {
		kinds = append(kinds, kindActivity)
	}
	return kinds, err
}

// count counts members, and says whether somebody has a mark over Seq.
func count(r Reader, row Row) (n int, ahead bool, err error) {
	for at := (Position{}); ; {
		list, err := r.Members(row.ID, []protocol.ConvRole{protocol.ConvOwner, protocol.ConvModerator, protocol.ConvMember}, at, jobBatch)
		if err != nil {
			return 0, false, err
		}
		for _, m := range list {
			n++
			ahead = ahead || m.Read > row.Seq || m.Delivered > row.Seq
			at = Position{At: m.Joined, ID: string(m.ID)}
		}
		if len(list) < jobBatch {
			return n, ahead, nil
		}
	}
}

// active is what Active must be: who has no messages any more keeps it.
func active(r Reader, row Row) (int64, error) {
	last, err := r.Last([]protocol.RoomID{row.ID})
	if m, found := last[row.ID]; found {
		return m.At, err
	}
	return row.Active, err
}

func (ch *change) mend() error {
	members, _, err := count(ch.tx, ch.row)
	if err != nil {
		return err
	}
	at, err := active(ch.tx, ch.row)
	if err != nil {
		return err
	}
	if members == ch.row.Members && at == ch.row.Active {
		return errUnchanged
	}
	ch.row.Members, ch.row.Active = members, at
	return ch.settings()
}
