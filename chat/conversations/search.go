package conversations

import (
	"context"
	"strconv"
	"unicode/utf8"

	"github.com/rondo-chat/rondo/protocol"
)

// Search returns messages with all words of the text that the caller may read, newest first. Without Room it looks into all
// conversations that the caller is a member of. Errors: bad_request, unauthorized, not_found, forbidden, rate_limited, unavailable.
func (c *Conversations) Search(ctx context.Context, who Caller, q protocol.ConvSearchQuery) (f protocol.ConvFound, err error) {
	find, err := cleanQuery(who, q)
	if err != nil {
		return f, err
	}
	check := func(r Reader) error { return nil }
	if q.Room != "" {
		check = func(r Reader) error {
			s, err := look(r, who, q.Room)
			if err != nil {
				return err
			}
			return s.mayRead()
		}
		if err := c.read(ctx, "search.seat", check); err != nil {
			return f, err
		}
	}
	if err := c.limit(ctx, "search", string(who.Identity), c.cfg.Limits.Search); err != nil {
		return f, err
	}
	f.Hits = []protocol.ConvHit{}
	if len(find.Terms) == 0 {
		return f, nil
	}
	var list []Message
	err = c.read(ctx, "search", func(r Reader) (err error) {
		if err := check(r); err != nil {
			return err
		}
		list, err = r.Search(find)
		return err
	})
	if err != nil {
		return protocol.ConvFound{}, err
	}
	if limit := find.Limit - 1; len(list) > limit {
		list = list[:limit]
		end := list[limit-1]
		f.Next = cursor(end.At, string(end.Room), strconv.FormatUint(end.Seq, 10))
	}
	for _, m := range list {
		f.Hits = append(f.Hits, protocol.ConvHit{Room: m.Room, Message: m.ConvMessage})
	}
	return f, nil
}

func cleanSearch(s string) error {
	if utf8.RuneCountInString(s) > protocol.MaxSearchChars || !utf8.ValidString(s) {
		return errBad("text: at most %d characters", protocol.MaxSearchChars)
	}
	return nil
}

func cleanQuery(who Caller, q protocol.ConvSearchQuery) (find Search, err error) {
	if err := identified(who); err != nil {
		return find, err
	}
	if err := cleanSearch(q.Text); err != nil {
		return find, err
	}
	if q.Room != "" && !isWord(string(q.Room)) || q.Author != "" && !isWord(string(q.Author)) {
		return find, errBad("room, author: not an id")
	}
	find = Search{Searcher: who.Identity, Room: q.Room, Author: q.Author, Limit: clamp(q.Limit, 50, maxList) + 1}
	find.Terms, find.Prefix = Query(q.Text)
	parts, err := uncursor(q.Cursor, 3)
	if err != nil || parts == nil {
		return find, err
	}
	at, err1 := strconv.ParseInt(parts[0], 10, 64)
	seq, err2 := strconv.ParseUint(parts[2], 10, 64)
	if err1 != nil || err2 != nil || seq > 1<<62 || !isWord(parts[1]) {
		return find, errCursor()
	}
	find.Before = Found{At: at, Room: protocol.RoomID(parts[1]), Seq: seq}
	return find, nil
}
