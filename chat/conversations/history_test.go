package conversations_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/protocol"
)

// faulty is a Cache that may be away, slow to hear of changes, or counted.
type faulty struct {
	conversations.Cache
	away, slow atomic.Bool
	fills      atomic.Int64
}

var errAway = errors.New("the cache is away")

func (f *faulty) Get(ctx context.Context, room protocol.RoomID, limit int) (conversations.Newest, bool, string, error) {
	if f.away.Load() {
		return conversations.Newest{}, false, "", errAway
	}
	return f.Cache.Get(ctx, room, limit)
}

func (f *faulty) Fill(ctx context.Context, room protocol.RoomID, lease string, n conversations.Newest) error {
	f.fills.Add(1)
	return f.Cache.Fill(ctx, room, lease, n)
}

func (f *faulty) Apply(ctx context.Context, e protocol.ConvEvent) error {
	if f.away.Load() {
		return errAway
	}
	if f.slow.Load() {
		return nil // it will hear of it, but not yet
	}
	return f.Cache.Apply(ctx, e)
}

func (f *faulty) Drop(ctx context.Context, room protocol.RoomID, seq uint64) error {
	if f.away.Load() {
		return errAway
	}
	return f.Cache.Drop(ctx, room, seq)
}

func openFaulty(t *testing.T) (*house, *faulty) {
	var f *faulty
	return open(t, func(cfg *conversations.Config) {
		f = &faulty{Cache: cfg.Cache}
		cfg.Cache = f
	}), f
}

// TestPages: pages from the cache and from the record are the same, in both directions and to the end.
func TestPages(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	ann, ben := h.user("ann"), h.user("ben")
	room := h.group(ann, ben)
	var seqs []uint64
	for i := range conversations.CachePage + 30 {
		seqs = append(seqs, h.send(ann, room, fmt.Sprint(i), fmt.Sprint("text ", i)).Seq)
	}
	bare := h.cfg
	bare.Cache = nil
	record, err := conversations.New(bare)
	h.must(err)
	same := func(q protocol.ConvHistoryQuery) protocol.ConvHistory {
		t.Helper()
		a, err := h.History(t.Context(), ben, room, q)
		h.must(err)
		b, err := record.History(t.Context(), ben, room, q)
		h.must(err)
		if !slices.Equal(texts(a.Messages), texts(b.Messages)) || a.Older != b.Older || a.Newer != b.Newer || a.Seq != b.Seq {
			t.Fatalf("%+v: %d older %v newer %v at %d, from the record %d %v %v %d", q, len(a.Messages), a.Older, a.Newer, a.Seq, len(b.Messages), b.Older, b.Newer, b.Seq)
		}
		return a
	}
	var all []string
	page := same(protocol.ConvHistoryQuery{Limit: 33})
	for all = texts(page.Messages); page.Older; all = append(texts(page.Messages), all...) {
		page = same(protocol.ConvHistoryQuery{Before: page.Messages[0].Seq, Limit: 33})
	}
	if len(all) != len(seqs) || all[0] != "text 0" || all[len(all)-1] != fmt.Sprint("text ", len(seqs)-1) {
		t.Fatalf("%d messages of %d", len(all), len(seqs))
	}
	n := 0
	for page = same(protocol.ConvHistoryQuery{After: 1, Limit: 33}); ; page = same(protocol.ConvHistoryQuery{After: page.Messages[len(page.Messages)-1].Seq, Limit: 33}) {
		if n += len(page.Messages); !page.Newer {
			break
		}
	}
	if n != len(seqs) {
		t.Fatalf("forwards %d of %d", n, len(seqs))
	}
	for _, at := range []uint64{1, 2, seqs[0], seqs[3], seqs[29], seqs[31], seqs[100], seqs[len(seqs)-3], seqs[len(seqs)-1], seqs[len(seqs)-1] + 1, 1 << 63} {
		for _, limit := range []int{2, 100} {
			same(protocol.ConvHistoryQuery{Before: at, Limit: limit})
			same(protocol.ConvHistoryQuery{After: at, Limit: limit})
			same(protocol.ConvHistoryQuery{Around: at, Limit: limit})
		}
	}
	if page := same(protocol.ConvHistoryQuery{Around: seqs[100], Limit: 10}); page.Messages[5].Seq != seqs[100] || !page.Older || !page.Newer {
		t.Errorf("around %d: %+v", seqs[100], texts(page.Messages))
	}
	wantCode(t, second(h.History(t.Context(), ben, room, protocol.ConvHistoryQuery{Before: 1, After: 1})), protocol.CodeBadRequest)
	page, err = h.History(t.Context(), ann, room, protocol.ConvHistoryQuery{Author: "u_ben"})
	h.must(err)
	wantTexts(t, page.Messages)
}

// TestReadsAreShared: many who open a conversation that is not in the cache cost one reading of its messages.
func TestReadsAreShared(t *testing.T) {
	t.Parallel()
	h, f := openFaulty(t)
	ann, ben := h.user("ann"), h.user("ben")
	room := h.create(ann, protocol.ConvCreate{Kind: protocol.ConvDirect, With: "ben"})
	h.send(ann, room, "1", "hello")
	h.must(second(h.History(t.Context(), ben, room, protocol.ConvHistoryQuery{})))
	before := f.fills.Load()
	for range 20 {
		h.must(second(h.History(t.Context(), ben, room, protocol.ConvHistoryQuery{})))
	}
	if f.fills.Load() != before {
		t.Error("a warm cache was filled again")
	}
	var wg sync.WaitGroup
	h.must(f.Drop(t.Context(), room, 1<<40))
	for range 20 {
		wg.Go(func() {
			if _, err := h.History(t.Context(), ben, room, protocol.ConvHistoryQuery{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, who := range []conversations.Caller{ann, ben} {
		wantCode(t, second(h.History(t.Context(), who, "c_nothing", protocol.ConvHistoryQuery{})), protocol.CodeNotFound)
	}
}

// TestOwnWritesAreRead: a cache that has not heard of a change yet does not hide it.
func TestOwnWritesAreRead(t *testing.T) {
	t.Parallel()
	h, f := openFaulty(t)
	ann, ben := h.user("ann"), h.user("ben")
	room := h.create(ann, protocol.ConvCreate{Kind: protocol.ConvDirect, With: "ben"})
	h.send(ann, room, "1", "old")
	h.must(second(h.History(t.Context(), ben, room, protocol.ConvHistoryQuery{})))
	f.slow.Store(true)
	h.send(ann, room, "2", "new")
	page, err := h.History(t.Context(), ben, room, protocol.ConvHistoryQuery{})
	h.must(err)
	wantTexts(t, page.Messages, "old", "new")
}

// TestCacheAway: without its cache a node answers from the record, does not mark as told what the cache does not know, and another node does
// it when the cache is back.
func TestCacheAway(t *testing.T) {
	t.Parallel()
	h, f := openFaulty(t)
	ann, ben := h.user("ann"), h.user("ben")
	room := h.create(ann, protocol.ConvCreate{Kind: protocol.ConvDirect, With: "ben"})
	h.send(ann, room, "1", "old")
	h.must(second(h.History(t.Context(), ben, room, protocol.ConvHistoryQuery{})))
	h.must(second(h.Step(t.Context(), "flush")))
	f.away.Store(true)
	h.send(ann, room, "2", "new")
	page, err := h.History(t.Context(), ben, room, protocol.ConvHistoryQuery{})
	h.must(err)
	wantTexts(t, page.Messages, "old", "new")
	h.must(second(h.Step(t.Context(), "flush")))
	h.advance(10 * time.Second)
	told := len(h.events(room))
	h.must(second(h.Step(t.Context(), "outbox"))) // publishes again, in vain
	f.away.Store(false)
	page, err = h.History(t.Context(), ben, room, protocol.ConvHistoryQuery{})
	h.must(err)
	wantTexts(t, page.Messages, "old", "new") // it is not asked: it was not told
	h.must(second(h.node("n2").Step(t.Context(), "outbox")))
	if got := h.events(room); len(got) != told+2 || got[len(got)-1].Message.Text != "new" {
		t.Errorf("%d events, had %d", len(got), told)
	}
	h.must(second(h.node("n2").Step(t.Context(), "outbox")))
	if len(h.events(room)) != told+2 {
		t.Error("what was told is told again")
	}
	n, found, _, err := f.Get(t.Context(), room, 10)
	h.must(err)
	if found && n.Seq < 5 {
		t.Errorf("the cache has %d", n.Seq)
	}
	h.must(second(h.Step(t.Context(), "flush"))) // and then it is asked again
	page, err = h.History(t.Context(), ben, room, protocol.ConvHistoryQuery{})
	h.must(err)
	wantTexts(t, page.Messages, "old", "new")
}

// TestListAndSearch: the own list by activity, with unread counts, page by page; search sees what the searcher may read.
func TestListAndSearch(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	ann, ben, eve := h.user("ann"), h.user("ben"), h.user("eve")
	var rooms []protocol.RoomID
	for i := range 5 {
		h.advance(time.Second)
		room := h.group(ann, ben)
		h.advance(time.Second)
		h.send(ann, room, "1", fmt.Sprint("apple number ", i))
		rooms = append(rooms, room)
	}
	h.advance(time.Second)
	h.send(ann, rooms[0], "2", "apple pie")
	var got []protocol.RoomID
	for next := ""; ; {
		l, err := h.List(t.Context(), ben, protocol.ConvListQuery{Limit: 2, Cursor: next})
		h.must(err)
		for _, e := range l.Entries {
			got = append(got, e.ID)
			if want := map[bool]int{true: 2, false: 1}[e.ID == rooms[0]]; e.Unread != want || e.Last == nil || e.Me.ID != "u_ben" {
				t.Errorf("%+v", e)
			}
		}
		if next = l.Next; next == "" {
			break
		}
	}
	if want := []protocol.RoomID{rooms[0], rooms[4], rooms[3], rooms[2], rooms[1]}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	marked, err := h.Mark(t.Context(), ben, rooms[0], protocol.ConvMark{Read: 1 << 40})
	h.must(err)
	if marked.Unread != 0 || marked.Read == 0 || marked.Delivered != marked.Read {
		t.Errorf("%+v", marked)
	}
	if again, err := h.Mark(t.Context(), ben, rooms[0], protocol.ConvMark{Read: 1}); err != nil || again.Read != marked.Read {
		t.Errorf("a mark fell: %+v, %v", again, err)
	}
	hits := func(who conversations.Caller, q protocol.ConvSearchQuery) (found []string) {
		for {
			f, err := h.Search(t.Context(), who, q)
			h.must(err)
			for _, hit := range f.Hits {
				found = append(found, hit.Message.Text)
			}
			if q.Cursor = f.Next; f.Next == "" {
				return found
			}
		}
	}
	if got := hits(ben, protocol.ConvSearchQuery{Text: "apple", Limit: 2}); len(got) != 6 || got[0] != "apple pie" {
		t.Errorf("%q", got)
	}
	if got := hits(ben, protocol.ConvSearchQuery{Text: "app", Room: rooms[0], Author: "u_ann"}); !slices.Equal(got, []string{"apple pie", "apple number 0"}) {
		t.Errorf("%q", got)
	}
	if got := hits(eve, protocol.ConvSearchQuery{Text: "apple"}); got != nil {
		t.Errorf("eve finds %q", got)
	}
	wantCode(t, second(h.Search(t.Context(), eve, protocol.ConvSearchQuery{Text: "apple", Room: rooms[0]})), protocol.CodeNotFound)
	h.must(h.Leave(t.Context(), ben, rooms[0]))
	if got := hits(ben, protocol.ConvSearchQuery{Text: "pie"}); got != nil {
		t.Errorf("who left finds %q", got)
	}
	if mine, err := h.Mine(t.Context(), "u_ben", 3); err != nil || !slices.Equal(mine, []protocol.RoomID{rooms[4], rooms[3], rooms[2]}) {
		t.Errorf("%v, %v", mine, err)
	}
}

// TestDirectory: topics by activity, by words, tags and languages; nothing private.
func TestDirectory(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	ann, gus := h.user("ann"), h.guest("gus")
	for _, q := range []protocol.ConvCreate{
		{Kind: protocol.ConvTopic, Name: "Garden", About: "Roses and weeds", Language: "en-GB", Tags: []string{" Plants "}},
		{Kind: protocol.ConvTopic, Name: "Küche", About: "Brot backen", Language: "de"},
		{Kind: protocol.ConvGroup, Name: "Secret garden", Tags: []string{"plants"}},
	} {
		h.advance(time.Second)
		h.create(ann, q)
	}
	names := func(q protocol.ConvDirectoryQuery) (names []string) {
		for {
			d, err := h.Directory(t.Context(), gus, q)
			h.must(err)
			for _, c := range d.Topics {
				names = append(names, c.Name)
			}
			if q.Cursor = d.Next; d.Next == "" {
				return names
			}
		}
	}
	for _, c := range []struct {
		q    protocol.ConvDirectoryQuery
		want []string
	}{
		{protocol.ConvDirectoryQuery{Limit: 1}, []string{"Küche", "Garden"}},
		{protocol.ConvDirectoryQuery{Text: "ROSES weeds"}, []string{"Garden"}},
		{protocol.ConvDirectoryQuery{Text: "kuche"}, []string{"Küche"}},
		{protocol.ConvDirectoryQuery{Text: "tulips"}, nil},
		{protocol.ConvDirectoryQuery{Text: "\"*!"}, nil},
		{protocol.ConvDirectoryQuery{Tag: "plants"}, []string{"Garden"}},
		{protocol.ConvDirectoryQuery{Language: "de"}, []string{"Küche"}},
	} {
		if got := names(c.q); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %q, want %q", c.q, got, c.want)
		}
	}
	wantCode(t, second(h.Directory(t.Context(), conversations.Caller{}, protocol.ConvDirectoryQuery{})), protocol.CodeUnauthorized)
}

// TestSyncBounds: who is too far behind, ahead, or knows somebody who was deleted, reads afresh.
func TestSyncBounds(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	ann, ben, cem := h.user("ann"), h.user("ben"), h.user("cem")
	room := h.group(ann, ben, cem)
	h.send(cem, room, "1", "remember me")
	reset := func(since uint64) bool {
		t.Helper()
		s, err := h.Sync(t.Context(), ann, room, protocol.ConvSyncQuery{Since: since})
		h.must(err)
		return s.Reset
	}
	if reset(0) || reset(3) || !reset(1000) || !reset(1<<63) {
		t.Error("nothing is missing, or too much is there")
	}
	heads, err := h.Heads(t.Context(), []protocol.RoomID{room})
	h.must(err)
	h.must(h.Forget(t.Context(), "u_cem"))
	if !reset(heads[room]) {
		t.Error("who knows the one who was deleted goes on")
	}
	events, err := h.SyncAll(t.Context(), room, heads[room])
	h.must(err)
	if len(events) != 1 || events[0].Conversation == nil {
		t.Errorf("%+v", events)
	}
	now, err := h.Heads(t.Context(), []protocol.RoomID{room})
	h.must(err)
	if reset(now[room]) {
		t.Error("who knows it all does not")
	}
	m := h.send(ann, room, "2", "a")
	h.must(second(h.Edit(t.Context(), ann, room, protocol.ConvChange{Seq: m.Seq, Text: "b"})))
	if events, err = h.SyncAll(t.Context(), room, now[room]); err != nil || len(events) != 1 || events[0].Seq != m.Seq+1 || events[0].After != now[room] || events[0].Message.Text != "b" {
		t.Errorf("%+v, %v", events, err)
	}
}
