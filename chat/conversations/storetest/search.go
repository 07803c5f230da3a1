package storetest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/protocol"
)

// find searches by pages of the size and gives the seqs, with the last letter of the room.
func (h house) find(t testing.TB, s conversations.Search, size int) string {
	t.Helper()
	got := ""
	for range 100 {
		s.Limit = size
		list := read(t, h, func(r conversations.Reader) ([]conversations.Message, error) { return r.Search(s) })
		for _, m := range list {
			got += fmt.Sprintf("%s%d ", m.Room[len(m.Room)-1:], m.Seq)
			s.Before = conversations.Found{At: m.At, Room: m.Room, Seq: m.Seq}
		}
		if len(list) < size {
			break
		}
	}
	return strings.TrimSpace(got)
}

func testSearch(t *testing.T, h house) {
	long := strings.Repeat("w", 39)
	texts := []string{"red fox", "red foxes", "the and or not near", "東京 東 京", "привет", "مرحبا", "👍 👩\u200d👩\u200d👧", "a", "ab abc", "é e", "x61 61", long + "x " + long + "y",
		"select drop table", "100", "red"}
	for _, room := range []string{"r", "s", "q", "d"} {
		c := h.group(room)
		c.Deleted = room == "d"
		h.make(t, c)
		var list []conversations.Message
		for i, text := range texts {
			m := h.text(room, string(rune('a'+i%2)), uint64(i+1), text)
			m.At, m.Terms = int64(1000+i/3), strings.Fields(text)
			list = append(list, m)
		}
		h.send(t, list...)
	}
	role := func(room string, role protocol.ConvRole) {
		h.write(t, func(tx conversations.Tx) error {
			return tx.PutMember(conversations.Member{Room: h.room(room), ConvPerson: protocol.ConvPerson{ID: h.user("me"), Role: role}})
		})
	}
	for _, test := range []struct {
		terms  string
		prefix bool
		want   string // in r
	}{
		{"red", false, "15 2 1"}, {"red fox", false, "1"}, {"fox red", false, "1"}, {"red fox", true, "2 1"}, {"fo", true, "2 1"}, {"fo", false, ""}, {"ox", true, ""},
		{"red none", false, ""}, {"and", false, "3"}, {"or not near", false, "3"}, {"東京", false, "4"}, {"東", false, "4"}, {"東", true, "4"}, {"привет", false, "5"}, {"при", true, "5"},
		{"مرحبا", false, "6"}, {"👍", false, "7"}, {"👩\u200d👩\u200d👧", false, "7"}, {"👩", false, ""}, {"a", false, "8"}, {"a", true, "9 8 3"}, {"ab", true, "9"}, {"abc ab", false, "9"},
		{"é", false, "10"}, {"e\u0301", false, ""}, {"e", false, "10"}, {"x61", false, "11"}, {"61", false, "11"}, {long + "x", false, "12"}, {long + "y " + long + "x", false, "12"}, {long + "z", false, ""},
		{"table select", false, "13"}, {"10", true, "14"}, {"RED", false, ""},
		{`"red"`, false, ""}, {"red*", false, ""}, {"-red", false, ""}, {"words:red", false, ""}, {"(red)", false, ""}, {"%", true, ""}, {"'; drop", false, ""}, {"NEAR(a", true, ""},
	} {
		s := conversations.Search{Terms: strings.Fields(test.terms), Prefix: test.prefix, Room: h.room("r")}
		want := strings.TrimSpace(strings.ReplaceAll(" "+test.want, " ", " r"))
		if test.want == "" {
			want = ""
		}
		same(t, fmt.Sprintf("Search %q prefix %v", test.terms, test.prefix), h.find(t, s, 10), want)
	}
	mine := conversations.Search{Terms: []string{"red"}, Searcher: h.user("me")}
	same(t, "a stranger finds", h.find(t, mine, 10), "")
	role("r", "member")
	role("s", "owner")
	role("q", "invited")
	role("d", "owner")
	for _, size := range []int{1, 2, 3, 10} {
		same(t, fmt.Sprint("a member finds by ", size), h.find(t, mine, size), "s15 r15 s2 s1 r2 r1")
	}
	mine.Author = h.user("b")
	same(t, "of an author", h.find(t, mine, 2), "s2 r2")
	role("s", "banned")
	role("q", "moderator")
	same(t, "who was banned finds", h.find(t, mine, 10), "r2 q2")
	h.write(t, func(tx conversations.Tx) error { // of so many that they are not named one by one
		for i := range 100 {
			m := conversations.Member{Room: h.room(fmt.Sprint("none", i)), ConvPerson: protocol.ConvPerson{ID: h.user("me"), Role: protocol.ConvMember}}
			if err := tx.PutMember(m); err != nil {
				return err
			}
		}
		return nil
	})
	same(t, "a member of many finds", h.find(t, mine, 1), "r2 q2")
	same(t, "without terms", h.find(t, conversations.Search{Searcher: h.user("me"), Prefix: true}, 10), "")
	same(t, "in a deleted one", h.find(t, conversations.Search{Terms: []string{"red"}, Room: h.room("d")}, 10), "")
}

// testTerms: what a message is found by follows what it says.
func testTerms(t *testing.T, h house) {
	h.make(t, h.group("r"))
	m := h.text("r", "a", 1, "one")
	m.Terms = []string{"one"}
	h.send(t, m)
	found := func(term string) bool {
		return h.find(t, conversations.Search{Terms: []string{term}, Room: h.room("r")}, 5) != ""
	}
	update := func(terms []string) {
		m.Terms = terms
		h.write(t, func(tx conversations.Tx) error { return tx.UpdateMessage(m) })
	}
	same(t, "at first", found("one"), true)
	update(nil)
	same(t, "nil leaves them", found("one"), true)
	update([]string{"two"})
	same(t, "the old ones", found("one"), false)
	same(t, "the new ones", found("two"), true)
	update([]string{})
	same(t, "empty removes them", found("two"), false)
	update([]string{"three"})
	m.Deleted = 5
	update(nil)
	same(t, "of a deleted one", found("three"), false)
	m.Deleted = 0
	update(nil)
	same(t, "which does not bring them back", found("three"), false)
	var many []string
	for i := range conversations.MaxTerms {
		many = append(many, fmt.Sprintf("%d%s", i, strings.Repeat("ü", 18)))
	}
	update(many)
	same(t, "the last of many", found(many[len(many)-1]), true)
}
