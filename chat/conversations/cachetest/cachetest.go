// Package cachetest is the conformance suite of conversations.Cache: what it may give,
// and what it never gives, whoever else reads, writes and loses at the same time.
package cachetest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/protocol"
)

// Caches are the ways of some nodes into one cache.
type Caches struct {
	Nodes []conversations.Cache // two or more; they may be the same
	Flush func()                // loses everything; nil if that cannot happen
}

// Run runs the suite. open returns an empty cache each time.
func Run(t *testing.T, open func(testing.TB) Caches) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Caches)
	}{
		{"Pages", testPages},
		{"Events", testEvents},
		{"SlowFill", testSlowFill},
		{"Missing", testMissing},
		{"Leases", testLeases},
		{"Bounds", testBounds},
		{"Plans", testPlans},
		{"Race", testRace},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

const room protocol.RoomID = "c_aaaaaaaaaaaaaaaaaaaaaaaaaa"

func message(seq, rev uint64) protocol.ConvMessage {
	return protocol.ConvMessage{Seq: seq, Rev: rev, From: "u_1", Name: "Ann", CID: fmt.Sprint(seq), Text: fmt.Sprintf("%d as of %d", seq, rev), At: int64(seq),
		Files: []protocol.ConvFile{{ID: "f", Name: "ä\n\"", Size: 1}}, Reactions: []protocol.ConvReaction{{Emoji: "👍", Count: 1, By: []protocol.UserID{"u_2"}}}}
}

// sent and changed are the events of a message that is new, and of another.
func sent(seq uint64) protocol.ConvEvent { return changed(seq, seq) }

func changed(seq, of uint64) protocol.ConvEvent {
	m := message(of, seq)
	return protocol.ConvEvent{Room: room, Seq: seq, Message: &m}
}

func joined(seq uint64) protocol.ConvEvent {
	return protocol.ConvEvent{Room: room, Seq: seq, Person: &protocol.ConvPerson{ID: "u_3", Rev: seq}}
}

func renamed(seq uint64) protocol.ConvEvent {
	return protocol.ConvEvent{Room: room, Seq: seq, Conversation: &protocol.Conversation{ID: room, Name: "new", Rev: seq, Seq: seq}}
}

// newest is a page: whole, as of seq, with these messages, each as it was sent.
func newest(seq uint64, messages ...uint64) conversations.Newest {
	n := conversations.Newest{Seq: seq, Whole: true, Messages: []protocol.ConvMessage{}}
	for _, m := range messages {
		n.Messages = append(n.Messages, message(m, m))
	}
	return n
}

func get(t testing.TB, c conversations.Cache, limit int) (conversations.Newest, bool, string) {
	t.Helper()
	n, found, lease, err := c.Get(t.Context(), room, limit)
	if err != nil {
		t.Fatal(err)
	}
	if found != (lease == "") {
		t.Fatalf("found %v, lease %q", found, lease)
	}
	return n, found, lease
}

// miss fails the test if something is kept, and returns the lease.
func miss(t testing.TB, c conversations.Cache) string {
	t.Helper()
	n, found, lease := get(t, c, conversations.CachePage)
	if found {
		t.Fatalf("kept: %s, want nothing", show(n))
	}
	return lease
}

func fill(t testing.TB, c conversations.Cache, lease string, n conversations.Newest) {
	t.Helper()
	if err := c.Fill(t.Context(), room, lease, n); err != nil {
		t.Fatal(err)
	}
}

func apply(t testing.TB, c conversations.Cache, e protocol.ConvEvent) {
	t.Helper()
	if err := c.Apply(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

func drop(t testing.TB, c conversations.Cache, seq uint64) {
	t.Helper()
	if err := c.Drop(t.Context(), room, seq); err != nil {
		t.Fatal(err)
	}
}

// kept fails the test if all nodes do not get this; want is as show has it.
func kept(t testing.TB, cs Caches, want string) {
	t.Helper()
	for i, c := range cs.Nodes {
		n, found, _ := get(t, c, conversations.CachePage)
		if got := show(n); !found && want != "" || found && got != want {
			t.Fatalf("node %d gets %v %s, want %s", i, found, got, want)
		}
		for _, m := range n.Messages {
			if text(m) != text(message(m.Seq, m.Rev)) {
				t.Fatalf("node %d gets %s", i, text(m))
			}
		}
	}
}

func text(v any) string {
	b, err := json.Marshal(v)
	return fmt.Sprint(string(b), err)
}

// show has of each message the number, and the one of its last change if that is another: "5: 1 2/4 3 whole".
func show(n conversations.Newest) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d:", n.Seq)
	for _, m := range n.Messages {
		fmt.Fprintf(&b, " %d", m.Seq)
		if m.Rev != m.Seq {
			fmt.Fprintf(&b, "/%d", m.Rev)
		}
	}
	if n.Whole {
		b.WriteString(" whole")
	}
	if n.Missing {
		b.WriteString(" missing")
	}
	return b.String()
}

func testPages(t *testing.T, cs Caches) {
	fill(t, cs.Nodes[0], miss(t, cs.Nodes[1]), newest(7, 1, 2, 4, 6))
	kept(t, cs, "7: 1 2 4 6 whole")
	for limit, want := range map[int]string{1: "7: 6", 3: "7: 2 4 6", 4: "7: 1 2 4 6 whole", 1000: "7: 1 2 4 6 whole"} {
		if n, _, _ := get(t, cs.Nodes[0], limit); show(n) != want {
			t.Errorf("of %d: %s, want %s", limit, show(n), want)
		}
	}
	drop(t, cs.Nodes[1], 7)
	kept(t, cs, "7: 1 2 4 6 whole") // it is not older
	drop(t, cs.Nodes[1], 8)
	n := newest(8, 6)
	n.Whole = false
	fill(t, cs.Nodes[0], miss(t, cs.Nodes[0]), n)
	kept(t, cs, "8: 6")
	drop(t, cs.Nodes[0], 9)
	fill(t, cs.Nodes[0], miss(t, cs.Nodes[0]), newest(9))
	kept(t, cs, "9: whole")
	drop(t, cs.Nodes[0], 10)
	given := newest(10, 1, 2, 3).Messages
	n = newest(10)
	n.Messages = given[:2] // the third one is somebody else's
	fill(t, cs.Nodes[0], miss(t, cs.Nodes[0]), n)
	apply(t, cs.Nodes[0], sent(11))
	kept(t, cs, "11: 1 2 11 whole")
	if given[2].Seq != 3 {
		t.Error("the cache writes behind what it was given")
	}
	if n, found, _, err := cs.Nodes[0].Get(t.Context(), "c_other", 1); found || err != nil {
		t.Errorf("another one has %s, %v", show(n), err)
	}
}

func testEvents(t *testing.T, cs Caches) {
	a, b := cs.Nodes[0], cs.Nodes[1]
	purged := renamed(6)
	purged.Conversation.Oldest = 2
	deleted := renamed(6)
	deleted.Conversation.Deleted = true
	late := sent(6)
	late.After = 5
	for i, test := range []struct {
		whole bool
		event protocol.ConvEvent
		want  string // "": dropped
	}{
		{true, sent(6), "6: 2 3 5 6 whole"},
		{false, sent(6), "6: 2 3 5 6"},
		{true, changed(6, 3), "6: 2 3/6 5 whole"},
		{false, changed(6, 1), "6: 2 3 5"},
		{true, changed(6, 1), ""}, // whole, and there is another one?
		{false, changed(6, 4), ""},
		{true, joined(6), "6: 2 3 5 whole"},
		{true, renamed(6), "6: 2 3 5 whole"},
		{true, purged, ""},
		{true, deleted, ""},
		{true, late, ""},
		{true, protocol.ConvEvent{Room: room, Seq: 6}, ""},
		{true, sent(7), ""},
		{true, joined(8), ""},
		{true, changed(5, 3), "5: 2 3 5 whole"},
		{true, joined(4), "5: 2 3 5 whole"},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			seq := uint64(100 * i)
			n := newest(seq+5, seq+2, seq+3, seq+5)
			n.Whole = test.whole
			e := test.event
			e.Seq += seq
			if e.After > 0 {
				e.After += seq
			}
			if e.Message != nil {
				m := message(e.Message.Seq+seq, e.Message.Rev+seq)
				e.Message = &m
			}
			drop(t, b, seq+5)
			fill(t, a, miss(t, a), n)
			was, _, _ := get(t, a, 100)
			before := show(was)
			apply(t, b, e)
			if test.want == "" {
				miss(t, a)
				miss(t, b)
			} else {
				kept(t, cs, shifted(t, test.want, seq))
				drop(t, a, seq+7)
			}
			if show(was) != before {
				t.Errorf("what somebody reads has changed from %s to %s", before, show(was))
			}
		})
	}
}

// shifted adds to all numbers of what show shows.
func shifted(t testing.TB, want string, by uint64) string {
	t.Helper()
	words := strings.Fields(want)
	for i, w := range words {
		var a, b uint64
		switch n, _ := fmt.Sscanf(w, "%d/%d", &a, &b); {
		case n == 2:
			words[i] = fmt.Sprintf("%d/%d", a+by, b+by)
		case n == 1:
			words[i] = fmt.Sprint(a+by) + w[len(fmt.Sprint(a)):]
		}
	}
	return strings.Join(words, " ")
}

// testSlowFill: who read before a change does not bring back what was.
func testSlowFill(t *testing.T, cs Caches) {
	a, b := cs.Nodes[0], cs.Nodes[1]
	slow := miss(t, a)
	apply(t, b, sent(2))
	fill(t, a, slow, newest(1, 1))
	lease := miss(t, a)
	fill(t, a, slow, newest(2, 1, 2)) // it did not read too early
	kept(t, cs, "2: 1 2 whole")
	fill(t, a, lease, newest(2, 1))
	fill(t, a, lease, newest(1, 1))
	kept(t, cs, "2: 1 2 whole") // the first stays
	fill(t, b, lease, newest(3, 1, 2, 3))
	kept(t, cs, "3: 1 2 3 whole")
	drop(t, b, 5)
	fill(t, a, lease, newest(4, 1, 2, 3, 4))
	miss(t, a)
	fill(t, a, "", newest(9, 9))
	fill(t, a, "/", newest(9, 9))
	fill(t, a, "x/0", newest(9, 9))
	miss(t, a)
	if cs.Flush == nil {
		return
	}
	slow = miss(t, a)
	drop(t, b, 6)
	cs.Flush()
	fill(t, a, slow, newest(5, 1, 2, 3, 4)) // nobody remembers that it is too old
	lease = miss(t, a)
	fill(t, a, slow, newest(5, 1, 2, 3, 4))
	miss(t, b)
	fill(t, a, lease, newest(6, 6))
	kept(t, cs, "6: 6 whole")
	cs.Flush()
	miss(t, a)
}

func testMissing(t *testing.T, cs Caches) {
	a, b := cs.Nodes[0], cs.Nodes[1]
	nothing := conversations.Newest{Missing: true, Messages: []protocol.ConvMessage{}}
	slow := miss(t, a)
	fill(t, a, slow, nothing)
	kept(t, cs, "0: missing")
	apply(t, b, joined(1)) // created
	fill(t, a, slow, nothing)
	fill(t, a, miss(t, a), newest(1))
	apply(t, b, sent(2))
	kept(t, cs, "2: 2 whole")
	slow = miss2(t, a)
	drop(t, b, 3) // removed
	fill(t, a, slow, newest(2, 2))
	miss(t, b)
}

// miss2 is like a miss of another room: a lease that is none of this one.
func miss2(t testing.TB, c conversations.Cache) string {
	t.Helper()
	_, _, lease, err := c.Get(t.Context(), room+"2", 1)
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

// testLeases: the same lease is given only if nothing changed between.
func testLeases(t *testing.T, cs Caches) {
	a, b := cs.Nodes[0], cs.Nodes[1]
	first := miss(t, a)
	if again := miss(t, b); again != first {
		t.Errorf("leases %q and %q: readers cannot share", first, again)
	}
	leases := map[string]bool{first: true}
	changes := []func(){
		func() { apply(t, b, sent(1)) },
		func() { drop(t, b, 2) },
		func() { fill(t, a, miss(t, a), newest(2, 1)); drop(t, b, 3) },
		func() { apply(t, a, sent(4)) },
	}
	if cs.Flush != nil {
		changes = append(changes, cs.Flush)
	}
	for i, change := range changes {
		change()
		lease := miss(t, a)
		if leases[lease] {
			t.Errorf("after change %d the lease is the old one: readers would share what is too old", i)
		}
		leases[lease] = true
	}
}

func testBounds(t *testing.T, cs Caches) {
	a := cs.Nodes[0]
	n := conversations.Newest{Seq: 300, Whole: true}
	for seq := uint64(1); seq <= 300; seq++ {
		n.Messages = append(n.Messages, message(seq, seq))
	}
	fill(t, a, miss(t, a), n)
	check := func(first, last uint64, count int) {
		t.Helper()
		for _, c := range cs.Nodes {
			got, found, _ := get(t, c, 1000)
			if !found || got.Whole || len(got.Messages) != count || got.Messages[0].Seq != first || got.Messages[count-1].Seq != last {
				t.Fatalf("kept %v %s", found, show(got))
			}
		}
	}
	check(101, 300, conversations.CachePage)
	apply(t, a, sent(301))
	check(102, 301, conversations.CachePage)
	big := sent(302)
	big.Message.Text = strings.Repeat("x", conversations.MaxPageBytes)
	apply(t, a, big)
	check(302, 302, 1)
	apply(t, a, sent(303))
	check(303, 303, 1)
	drop(t, a, 304)
	n = newest(304, 1, 2, 304)
	n.Messages[1].Text = big.Message.Text
	fill(t, a, miss(t, a), n)
	check(304, 304, 1)
}
