package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/protocol"
)

// odd are texts that engines treat differently where they can.
func odd() []string {
	return []string{"Zoë'\"\\", "日本語", "👩‍👩‍👧", "e\u0301\u00e9", "ﷺ\u202e", " a ", "%_!\n\t", "<&>\u2028", "\ufeff\U0010ffff", "İıßſ", ""}
}

func testConversations(t *testing.T, h house) {
	full := conversations.Row{Conversation: protocol.Conversation{ID: h.room("full"), Kind: protocol.ConvTopic, Name: odd()[0] + " ", About: fmt.Sprint(odd()),
		Language: "de", Tags: []string{"a", "B ", "ü"}, Writers: protocol.WriteEveryone, Slow: 3, Keep: 1 << 40, Guests: true, Passcode: true, Members: 7, Seq: 9, Rev: 8,
		Oldest: 2, Created: 1_760_000_000_123, Active: 1_760_000_000_124, Deleted: true}, PasscodeHash: "$hash", Purged: 5}
	direct := conversations.Row{Conversation: protocol.Conversation{ID: h.room("direct"), Kind: protocol.ConvDirect}, Pair: string(h.user("a") + " " + h.user("b"))}
	h.make(t, full, direct, h.group("g"), h.group("g2")) // two without a pair
	get := func(id protocol.RoomID) func(conversations.Reader) (conversations.Row, error) {
		return func(r conversations.Reader) (conversations.Row, error) { return r.Conversation(id) }
	}
	byPair := func(pair string) func(conversations.Reader) (conversations.Row, error) {
		return func(r conversations.Reader) (conversations.Row, error) { return r.Direct(pair) }
	}
	same(t, "Conversation", read(t, h, get(full.ID)), full)
	same(t, "Direct", read(t, h, byPair(direct.Pair)), direct)
	for _, id := range []protocol.RoomID{"", full.ID + " ", h.room("FULL"), "%"} {
		missing(t, h, get(id))
	}
	for _, pair := range []string{"", direct.Pair + " ", string(h.user("b") + " " + h.user("a"))} {
		missing(t, h, byPair(pair))
	}
	again := direct
	again.ID = h.room("direct2")
	h.fails(t, conversations.ErrTaken, func(tx conversations.Tx) error { return tx.InsertConversation(again) })
	h.fails(t, conversations.ErrTaken, func(tx conversations.Tx) error { return tx.InsertConversation(h.group("g")) })
	changed := full
	changed.Name, changed.Tags, changed.PasscodeHash, changed.Passcode, changed.Seq, changed.Kind = "new", nil, "", false, 100, protocol.ConvGroup
	h.write(t, func(tx conversations.Tx) error { return tx.UpdateConversation(changed) })
	changed.Seq = full.Seq
	same(t, "UpdateConversation", read(t, h, get(full.ID)), changed)
	h.fails(t, conversations.ErrNotFound, func(tx conversations.Tx) error { return tx.UpdateConversation(h.group("none")) })
}

// testAll: Conversations goes through all by id.
func testAll(t *testing.T, h house) {
	var want, keeping []protocol.RoomID
	for i := range 9 {
		row := h.group(fmt.Sprint(i))
		if i%2 == 0 {
			row.Keep = 60
			keeping = append(keeping, row.ID)
		}
		want = append(want, row.ID)
		h.make(t, row)
	}
	for _, limit := range []int{1, 2, 100} {
		for _, keep := range []bool{false, true} {
			var got []protocol.RoomID
			for after, ended := h.room(""), false; !ended; {
				list := read(t, h, func(r conversations.Reader) ([]conversations.Row, error) { return r.Conversations(after, keep, limit) })
				ended = len(list) < limit
				for _, row := range list {
					after = row.ID
					if !slices.Contains(want, row.ID) {
						ended = true // another test's
						break
					}
					got = append(got, row.ID)
				}
			}
			same(t, fmt.Sprintf("Conversations by %d, keep %v", limit, keep), got, map[bool][]protocol.RoomID{false: want, true: keeping}[keep])
		}
	}
}

// pages reads a list by pages of the size; place gives what comes next.
func pages[T any](t testing.TB, h house, size int, place func(T) conversations.Position,
	f func(conversations.Reader, conversations.Position) ([]T, error)) []T {
	t.Helper()
	var all []T
	for after := (conversations.Position{}); len(all) < 1000; {
		list := read(t, h, func(r conversations.Reader) ([]T, error) { return f(r, after) })
		all = append(all, list...)
		if len(list) < size {
			break
		}
		after = place(list[len(list)-1])
	}
	return all
}

func byActive(c conversations.Row) conversations.Position {
	return conversations.Position{At: c.Active, ID: string(c.ID)}
}

func ids(list []conversations.Row) []protocol.RoomID {
	var all []protocol.RoomID
	for _, c := range list {
		all = append(all, c.ID)
	}
	return all
}

func testInbox(t *testing.T, h house) {
	var want []protocol.RoomID // newest first
	for i, role := range []protocol.ConvRole{"owner", "moderator", "left", "member", "invited", "banned", "member", "member", "owner"} {
		c := h.group(fmt.Sprint(i))
		c.Active = int64(10 + i/4) // some at the same time
		c.Deleted = i == 7
		h.make(t, c)
		h.write(t, func(tx conversations.Tx) error {
			me := conversations.Member{Room: c.ID, ConvPerson: protocol.ConvPerson{ID: h.user("me"), Role: role}}
			other := conversations.Member{Room: c.ID, ConvPerson: protocol.ConvPerson{ID: h.user("other"), Role: "member"}}
			if err := tx.PutMember(me); err != nil {
				return err
			}
			return tx.PutMember(other)
		})
		if role != "left" && role != "banned" && !c.Deleted {
			want = slices.Insert(want, 0, c.ID)
		}
	}
	for _, size := range []int{1, 2, 3, 50} {
		got := pages(t, h, size, byActive, func(r conversations.Reader, after conversations.Position) ([]conversations.Row, error) {
			return r.Inbox(h.user("me"), after, size)
		})
		same(t, fmt.Sprint("Inbox by ", size), ids(got), want)
	}
	none := read(t, h, func(r conversations.Reader) ([]conversations.Row, error) {
		return r.Inbox(h.user("me")+" ", conversations.Position{}, 10)
	})
	same(t, "Inbox of nobody", len(none), 0)
}

func testTopics(t *testing.T, h house) {
	word := h.name + "word" // all of this test have it
	topic := func(letter string, active int64, language string, tags []string, terms ...string) conversations.Row {
		c := h.group(letter)
		c.Kind, c.Active, c.Language, c.Tags, c.Terms = protocol.ConvTopic, active, language, tags, append(terms, word)
		return c
	}
	a, b := topic("a", 10, "de", []string{"Go", "sql"}, "берлин", "ab"), topic("b", 10, "en", []string{"go"}, "berlin", "東京")
	c, d := topic("c", 12, "de ", []string{"g", "Go x"}, "berlins", "or"), topic("d", 11, "de", []string{"deleted"}, "berlin")
	d.Deleted = true
	e := topic("e", 9, "de", []string{"a tag that is longer than forty bytes, all of it", "sql"}, "ab", "and", "berlin")
	g := topic("g", 13, "de", []string{"sql"}, "berlin")
	g.Kind = protocol.ConvGroup
	h.make(t, a, b, c, d, e, g)
	for _, test := range []struct {
		q    conversations.Directory
		want string
	}{
		{conversations.Directory{}, "cbae"},
		{conversations.Directory{Terms: []string{"berlin"}}, "be"},
		{conversations.Directory{Terms: []string{"берлин", "ab"}}, "a"},
		{conversations.Directory{Terms: []string{"ab"}}, "ae"},
		{conversations.Directory{Terms: []string{"and"}}, "e"},
		{conversations.Directory{Terms: []string{"or"}}, "c"},
		{conversations.Directory{Terms: []string{"東京"}}, "b"},
		{conversations.Directory{Terms: []string{"none", "ab"}}, ""},
		{conversations.Directory{Language: "de"}, "ae"},
		{conversations.Directory{Language: "de "}, "c"},
		{conversations.Directory{Tag: "Go"}, "a"},
		{conversations.Directory{Tag: "go"}, "b"},
		{conversations.Directory{Tag: "sql", Language: "de", Terms: []string{"ab"}}, "ae"},
		{conversations.Directory{Tag: "a tag that is longer than forty bytes, all of it"}, "e"},
		{conversations.Directory{Tag: "a tag that is longer than forty bytes, most of it"}, ""},
		{conversations.Directory{Tag: "ab"}, ""}, // a word, no tag
	} {
		for _, limit := range []int{1, 2, 50} {
			test.q.Limit = limit
			got := ""
			for _, c := range pages(t, h, limit, byActive, func(r conversations.Reader, after conversations.Position) ([]conversations.Row, error) {
				q := test.q
				q.After, q.Terms = after, append(slices.Clone(q.Terms), word)
				return r.Topics(q)
			}) {
				got += string(c.ID[len(c.ID)-1:])
			}
			same(t, fmt.Sprintf("Topics %+v", test.q), got, test.want)
		}
	}
	find := func(term string) int {
		return len(read(t, h, func(r conversations.Reader) ([]conversations.Row, error) {
			return r.Topics(conversations.Directory{Terms: []string{term, word}, Limit: 50})
		}))
	}
	update := func(c conversations.Row) {
		h.write(t, func(tx conversations.Tx) error { return tx.UpdateConversation(c) })
	}
	a.Name, a.Terms = "other", nil
	update(a)
	same(t, "with the terms as they were", find("берлин"), 1)
	a.Terms = []string{"minsk", word}
	update(a)
	same(t, "old term", find("берлин"), 0)
	same(t, "new term", find("minsk"), 1)
	a.Terms = []string{}
	update(a)
	same(t, "no terms", find("minsk"), 0)
	same(t, "without terms it is a topic", slices.Contains(ids(read(t, h, func(r conversations.Reader) ([]conversations.Row, error) {
		return r.Topics(conversations.Directory{Limit: 1000})
	})), a.ID), true)
}

func byJoined(m conversations.Member) conversations.Position {
	return conversations.Position{At: m.Joined, ID: string(m.ID)}
}

func names(list []conversations.Member) string {
	all := ""
	for _, m := range list {
		all += m.Name + " "
	}
	return all
}

func testMembers(t *testing.T, h house) {
	member := func(name string, role protocol.ConvRole, joined int64, rev uint64) conversations.Member {
		return conversations.Member{Room: h.room("r"), ConvPerson: protocol.ConvPerson{ID: h.user(name), Name: name, Role: role, Joined: joined, Rev: rev}}
	}
	all := []conversations.Member{member("a", "member", 5, 9), member("b", "owner", 4, 1), member("c", "left", 5, 3), member("d", "moderator", 4, 4),
		member("e", "member", 5, 5), member("f", "banned", 1, 6)}
	h.write(t, func(tx conversations.Tx) error {
		for _, m := range all {
			if err := tx.PutMember(m); err != nil {
				return err
			}
		}
		elsewhere := all[0]
		elsewhere.Room = h.room("q")
		return tx.PutMember(elsewhere)
	})
	for _, test := range []struct {
		roles []protocol.ConvRole
		want  string
	}{
		{nil, "f b d a c e "}, {[]protocol.ConvRole{"owner", "moderator", "member"}, "b d a e "},
		{[]protocol.ConvRole{"left"}, "c "}, {[]protocol.ConvRole{"invited"}, ""},
	} {
		for _, size := range []int{1, 2, 50} {
			got := pages(t, h, size, byJoined, func(r conversations.Reader, after conversations.Position) ([]conversations.Member, error) {
				return r.Members(h.room("r"), test.roles, after, size)
			})
			same(t, fmt.Sprintf("Members %v by %d", test.roles, size), names(got), test.want)
		}
	}
	since := func(rev uint64, limit int) string {
		return names(read(t, h, func(r conversations.Reader) ([]conversations.Member, error) {
			return r.PeopleChanged(h.room("r"), rev, limit)
		}))
	}
	same(t, "PeopleChanged", since(3, 10), "d e f a ")
	same(t, "PeopleChanged", since(0, 2), "b c ")
	same(t, "PeopleChanged", since(9, 2), "")
	list := read(t, h, func(r conversations.Reader) ([]conversations.Member, error) { return r.Memberships(h.user("a")) })
	same(t, "Memberships", len(list), 2)
	h.write(t, func(tx conversations.Tx) error { return tx.RemoveMember(h.room("r"), h.user("a")) })
	missing(t, h, func(r conversations.Reader) (conversations.Member, error) { return r.Member(h.room("r"), h.user("a")) })
	missing(t, h, func(r conversations.Reader) (conversations.Member, error) {
		return r.Member(h.room("r"), h.user("b")+" ")
	})
}

func testMarks(t *testing.T, h house) {
	m := conversations.Member{Room: h.room("r"), Wrote: 5, ConvPerson: protocol.ConvPerson{ID: h.user("a"), Name: "Zoë ", Guest: true, Role: "member", Joined: 3, Rev: 2,
		Delivered: 7, Read: 4}}
	put := func() { h.write(t, func(tx conversations.Tx) error { return tx.PutMember(m) }) }
	is := func(what string) {
		t.Helper()
		same(t, what, read(t, h, func(r conversations.Reader) (conversations.Member, error) { return r.Member(m.Room, m.ID) }), m)
	}
	put()
	is("PutMember")
	for _, step := range [][4]uint64{{5, 6, 7, 6}, {9, 1, 9, 6}, {0, 0, 9, 6}, {10, 10, 10, 10}} {
		h.write(t, func(tx conversations.Tx) error {
			got, err := tx.Mark(m.Room, m.ID, step[0], step[1])
			m.Delivered, m.Read = step[2], step[3]
			same(t, "Mark", got, m)
			return err
		})
		is("after Mark")
	}
	m.Name, m.Guest, m.Role, m.Joined, m.Rev, m.Wrote, m.Delivered, m.Read = "other", false, "left", 8, 9, 0, 1, 12
	put()
	m.Delivered = 10
	is("marks are not lowered")
	h.fails(t, conversations.ErrNotFound, func(tx conversations.Tx) error {
		_, err := tx.Mark(m.Room, h.user("none"), 1, 1)
		return err
	})
}

func testIdleGuests(t *testing.T, h house) {
	put := func(name string, guest bool, role protocol.ConvRole, joined, wrote int64) {
		h.write(t, func(tx conversations.Tx) error {
			return tx.PutMember(conversations.Member{Room: h.room("r"), Wrote: wrote,
				ConvPerson: protocol.ConvPerson{ID: h.user(name), Name: name, Guest: guest, Role: role, Joined: joined}})
		})
	}
	put("idle", true, "member", 10, 0)
	put("silent", true, "member", 11, 12)
	put("wrote", true, "member", 10, 20)
	put("fresh", true, "member", 20, 0)
	put("left", true, "left", 10, 0)
	put("user", false, "member", 10, 0)
	list := read(t, h, func(r conversations.Reader) ([]conversations.Member, error) { return r.IdleGuests(20, 1000) })
	list = slices.DeleteFunc(list, func(m conversations.Member) bool { return m.Room != h.room("r") })
	slices.SortFunc(list, func(a, b conversations.Member) int { return int(a.Joined - b.Joined) })
	same(t, "IdleGuests", names(list), "idle silent ")
	list = read(t, h, func(r conversations.Reader) ([]conversations.Member, error) { return r.IdleGuests(20, 1) })
	same(t, "IdleGuests", len(list), 1)
}
