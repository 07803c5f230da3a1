package conversations

import (
	"context"
	"slices"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

const (
	maxHistory = 100 // messages of a page
	maxUnread  = 1000
	maxSeq     = 1 << 62 // which no conversation reaches
	// nearby: who asks for messages this far before the newest change is answered from the cache, if it has them.
	nearby = 2 * CachePage
	// loadTime is how long a reading that several callers share may take.
	loadTime = 10 * time.Second
)

// noCache keeps nothing.
type noCache struct{}

func (noCache) Get(context.Context, protocol.RoomID, int) (Newest, bool, string, error) {
	return Newest{}, false, "", nil
}
func (noCache) Fill(context.Context, protocol.RoomID, string, Newest) error { return nil }
func (noCache) Apply(context.Context, protocol.ConvEvent) error             { return nil }
func (noCache) Drop(context.Context, protocol.RoomID, uint64) error         { return nil }

// kept is what the cache said.
type kept struct {
	Newest
	found bool
	lease string // to fill it with
}

// ask asks the cache. One that fails, or that could not be told of a change, has nothing.
func (c *Conversations) ask(ctx context.Context, room protocol.RoomID, limit int) kept {
	if !isWord(string(room)) || !c.trusts(room) {
		return kept{}
	}
	n, found, lease, err := c.cfg.Cache.Get(ctx, room, limit)
	if err != nil {
		c.cfg.Logger.Debug("conversations: the cache does not answer", "error", err)
		return kept{}
	}
	return kept{Newest: n, found: found, lease: lease}
}

// History returns a page of messages. The newest pages come from the cache while it has them as the record is. Errors:
// bad_request, unauthorized, not_found, forbidden, unavailable.
func (c *Conversations) History(ctx context.Context, who Caller, room protocol.RoomID, q protocol.ConvHistoryQuery) (protocol.ConvHistory, error) {
	if err := cleanHistory(&q); err != nil {
		return protocol.ConvHistory{}, err
	}
	_, h, err := c.history(ctx, who, room, q)
	return h, err
}

func cleanHistory(q *protocol.ConvHistoryQuery) error {
	given := 0
	for _, v := range []*uint64{&q.Before, &q.After, &q.Around, &q.Thread} {
		if *v = min(*v, maxSeq); *v > 0 && v != &q.Thread {
			given++
		}
	}
	if given > 1 {
		return errBad("one of before, after and around")
	}
	if q.Author != "" && !isWord(string(q.Author)) {
		return errBad("author: not an id")
	}
	q.Limit = clamp(q.Limit, 50, maxHistory)
	return nil
}

func clamp(n, otherwise, most int) int {
	if n <= 0 {
		return otherwise
	}
	return min(n, most)
}

// history answers a clean query.
func (c *Conversations) history(ctx context.Context, who Caller, room protocol.RoomID, q protocol.ConvHistoryQuery) (seat, protocol.ConvHistory, error) {
	if err := identified(who); err != nil {
		return seat{}, protocol.ConvHistory{}, err
	}
	var near kept
	plain := q.Thread == 0 && q.Author == "" && !q.Pinned
	newest := plain && q.Before == 0 && q.After == 0 && q.Around == 0
	if newest {
		near = c.ask(ctx, room, q.Limit)
		if near.found && near.Missing {
			c.metrics.reads.WithLabelValues("cache").Inc()
			return seat{}, protocol.ConvHistory{}, errNoSuchThing()
		}
	}
	s, err := c.seat(ctx, who, room, seat.mayRead)
	if err != nil {
		if protocol.CodeOf(err) == protocol.CodeNotFound && s.row.ID == "" && near.lease != "" {
			_ = c.cfg.Cache.Fill(ctx, room, near.lease, Newest{Missing: true})
		}
		return s, protocol.ConvHistory{}, err
	}
	if plain && !newest && s.row.Seq-min(s.row.Seq, max(q.Before, q.After, q.Around)) < nearby {
		near = c.ask(ctx, room, CachePage)
	}
	if near, err = c.fresh(ctx, s, near); err != nil {
		return s, protocol.ConvHistory{}, err
	}
	if near.found {
		if h, ok := page(near.Newest, q); ok {
			c.metrics.reads.WithLabelValues("cache").Inc()
			return s, h, nil
		}
	}
	h, err := c.stored(ctx, room, q)
	c.metrics.reads.WithLabelValues("store").Inc()
	return s, h, err
}

// fresh returns what the cache has if it is not older than what the caller has seen of the record; what it does not have is
// read, by one of all callers who need it.
func (c *Conversations) fresh(ctx context.Context, s seat, near kept) (kept, error) {
	switch {
	case near.found && near.Seq >= s.row.Seq && !near.Missing:
		return near, nil
	case near.lease == "":
		return kept{}, nil
	}
	loaded := c.loads.DoChan(string(s.row.ID)+" "+near.lease, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTime)
		defer cancel()
		return c.load(ctx, s.row.ID, near.lease)
	})
	select {
	case r := <-loaded:
		if r.Err != nil {
			return kept{}, r.Err
		}
		n := r.Val.(Newest)
		return kept{Newest: n, found: n.Seq >= s.row.Seq}, nil
	case <-ctx.Done():
		return kept{}, ctx.Err()
	}
}

// load reads the newest messages and fills the cache with them.
func (c *Conversations) load(ctx context.Context, room protocol.RoomID, lease string) (n Newest, err error) {
	err = c.read(ctx, "newest", func(r Reader) error {
		row, err := r.Conversation(room)
		if err != nil {
			return err
		}
		list, err := r.Messages(room, Page{Limit: CachePage + 1})
		if err != nil {
			return err
		}
		n = Newest{Seq: row.Seq, Whole: len(list) <= CachePage, Messages: plain(list[max(0, len(list)-CachePage):])}
		return nil
	})
	if err != nil {
		return n, err
	}
	if err := c.cfg.Cache.Fill(ctx, room, lease, n); err != nil {
		c.cfg.Logger.Debug("conversations: the cache does not take a page", "error", err)
	}
	return n, nil
}

func plain(list []Message) []protocol.ConvMessage {
	out := make([]protocol.ConvMessage, len(list))
	for i, m := range list {
		out[i] = m.ConvMessage
	}
	return out
}

// page answers from the newest messages, if they are enough.
func page(n Newest, q protocol.ConvHistoryQuery) (h protocol.ConvHistory, ok bool) {
	all := n.Messages
	from, to := 0, len(all)
	at := func(seq uint64) int { // the first message from seq on
		i, _ := slices.BinarySearchFunc(all, seq, func(m protocol.ConvMessage, seq uint64) int {
			if m.Seq < seq {
				return -1
			}
			return 1
		})
		return i
	}
	switch {
	case q.After > 0:
		from = at(q.After + 1)
		ok = n.Whole || from > 0
		to = min(to, from+q.Limit)
	case q.Around > 0:
		middle := at(q.Around)
		from, to = max(0, middle-q.Limit/2), min(to, middle+q.Limit-q.Limit/2)
		ok = n.Whole || middle >= q.Limit/2 && middle > 0
	default:
		if q.Before > 0 {
			to = at(q.Before)
		}
		from = max(0, to-q.Limit)
		ok = n.Whole || to-from == q.Limit
	}
	if !ok {
		return h, false
	}
	return protocol.ConvHistory{Seq: n.Seq, Messages: slices.Clone(all[from:to]),
		Older: from > 0 || !n.Whole, Newer: to < len(all)}, true
}

// stored answers from the record.
func (c *Conversations) stored(ctx context.Context, room protocol.RoomID, q protocol.ConvHistoryQuery) (h protocol.ConvHistory, err error) {
	err = c.read(ctx, "history", func(r Reader) error {
		row, err := r.Conversation(room)
		if err != nil {
			return err
		}
		h = protocol.ConvHistory{Seq: row.Seq, Messages: []protocol.ConvMessage{}}
		p := Page{Thread: q.Thread, Author: q.Author, Pinned: q.Pinned, Limit: q.Limit}
		switch {
		case q.After > 0:
			p.After = q.After
		case q.Before > 0:
			p.Before = q.Before
		case q.Around > 0:
			return around(r, room, q, p, &h)
		}
		return side(r, room, p, &h)
	})
	return h, err
}

// side reads to one side, and whether there is more on both.
func side(r Reader, room protocol.RoomID, p Page, h *protocol.ConvHistory) error {
	limit := p.Limit
	p.Limit++
	list, err := r.Messages(room, p)
	if err != nil {
		return err
	}
	more := len(list) > limit
	back := Page{Limit: 1, Thread: p.Thread, Author: p.Author, Pinned: p.Pinned}
	switch {
	case p.After > 0:
		back.Before = p.After + 1
		list = list[:min(len(list), limit)]
	default:
		list = list[max(0, len(list)-limit):]
		back.After = max(p.Before, 2) - 1 // no message has the first number
	}
	var behind []Message
	if p.After > 0 || p.Before > 0 {
		if behind, err = r.Messages(room, back); err != nil {
			return err
		}
	}
	h.Messages = plain(list)
	h.Older, h.Newer = more, len(behind) > 0
	if p.After > 0 {
		h.Older, h.Newer = h.Newer, h.Older
	}
	return nil
}

// around reads half a page before a message, and from it on the other half.
func around(r Reader, room protocol.RoomID, q protocol.ConvHistoryQuery, p Page, h *protocol.ConvHistory) error {
	before, after := p, p
	before.Before, before.Limit = q.Around, q.Limit/2+1
	after.After, after.Limit = max(q.Around, 2)-1, q.Limit-q.Limit/2+1
	older, err := r.Messages(room, before)
	if err != nil {
		return err
	}
	newer, err := r.Messages(room, after)
	if err != nil {
		return err
	}
	h.Older, h.Newer = len(older) >= before.Limit, len(newer) >= after.Limit
	older = older[max(0, len(older)-(before.Limit-1)):]
	newer = newer[:min(len(newer), after.Limit-1)]
	h.Messages = append(plain(older), plain(newer)...)
	return nil
}

// Revisions returns what a message said before its edits, oldest first: to its author, to those who moderate. Errors: unauthorized,
// not_found, forbidden, unavailable.
func (c *Conversations) Revisions(ctx context.Context, who Caller, room protocol.RoomID, seq uint64) (list []protocol.ConvRevision, err error) {
	err = c.reading(ctx, who, room, "revisions", func(r Reader, s seat) error {
		m, err := r.Message(room, seq)
		if err != nil {
			return err
		}
		if err := s.mayCorrect(m.From); err != nil {
			return err
		}
		list, err = r.Revisions(room, seq)
		return err
	})
	return orEmpty(list), err
}

// Texts returns those of the messages that are there and not deleted, at most protocol.MaxTranslateBatch. Errors: bad_request,
// unauthorized, not_found, forbidden, unavailable.
func (c *Conversations) Texts(ctx context.Context, who Caller, room protocol.RoomID, seqs []uint64) (list []protocol.ConvMessage, err error) {
	if len(seqs) > protocol.MaxTranslateBatch {
		return nil, errBad("messages: at most %d", protocol.MaxTranslateBatch)
	}
	err = c.reading(ctx, who, room, "texts", func(r Reader, _ seat) error {
		list = nil
		for _, seq := range seqs {
			m, err := r.Message(room, seq)
			found, err := exists(err)
			if err != nil {
				return err
			}
			if found && m.Deleted == 0 {
				list = append(list, m.ConvMessage)
			}
		}
		return nil
	})
	return orEmpty(list), err
}

// reading runs f in one snapshot for who may read.
func (c *Conversations) reading(ctx context.Context, who Caller, room protocol.RoomID, name string, f func(Reader, seat) error) error {
	if err := identified(who); err != nil {
		return err
	}
	return c.read(ctx, name, func(r Reader) error {
		s, err := look(r, who, room)
		if err != nil {
			return err
		}
		if err := s.mayRead(); err != nil {
			return err
		}
		return f(r, s)
	})
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
