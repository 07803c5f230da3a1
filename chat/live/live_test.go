package live_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/chat/live"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const room protocol.RoomID = "c_aaaaaaaaaaaaaaaaaaaaaaaaaa"

// record is what conversations remember: of each thing its last change.
type record struct {
	mu      sync.Mutex
	seq     map[protocol.RoomID]uint64
	events  map[protocol.RoomID][]protocol.ConvEvent
	members map[protocol.UserID][]protocol.RoomID
	down    bool
	asked   int // how often SyncAll was
}

func newRecord() *record {
	return &record{seq: map[protocol.RoomID]uint64{}, events: map[protocol.RoomID][]protocol.ConvEvent{}, members: map[protocol.UserID][]protocol.RoomID{}}
}

// add commits a change and returns it; of takes the place of an earlier one of the same message.
func (r *record) add(room protocol.RoomID, e protocol.ConvEvent) protocol.ConvEvent {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seq[room]++
	e.Room, e.Seq = room, r.seq[room]
	if e.Message != nil {
		m := *e.Message
		m.Rev = e.Seq
		if m.Seq == 0 {
			m.Seq = e.Seq
		}
		e.Message = &m
		r.events[room] = slices.DeleteFunc(r.events[room], func(o protocol.ConvEvent) bool { return o.Message != nil && o.Message.Seq == m.Seq })
	}
	r.events[room] = append(r.events[room], e)
	return e
}

func (r *record) say(room protocol.RoomID, text string) protocol.ConvEvent {
	return r.add(room, protocol.ConvEvent{Message: &protocol.ConvMessage{Text: text}})
}

func (r *record) role(room protocol.RoomID, user protocol.UserID, role protocol.ConvRole) protocol.ConvEvent {
	r.mu.Lock()
	r.members[user] = slices.DeleteFunc(r.members[user], func(o protocol.RoomID) bool { return o == room })
	if role == protocol.ConvMember {
		r.members[user] = append(r.members[user], room)
	}
	r.mu.Unlock()
	return r.add(room, protocol.ConvEvent{Person: &protocol.ConvPerson{ID: user, Role: role}})
}

func (r *record) Heads(_ context.Context, rooms []protocol.RoomID) (map[protocol.RoomID]uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down {
		return nil, protocol.Errorf(protocol.CodeUnavailable, "down")
	}
	heads := map[protocol.RoomID]uint64{}
	for _, id := range rooms {
		if seq, ok := r.seq[id]; ok {
			heads[id] = seq
		}
	}
	return heads, nil
}

func (r *record) SyncAll(_ context.Context, id protocol.RoomID, since uint64) (after []protocol.ConvEvent, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	if r.down {
		return nil, protocol.Errorf(protocol.CodeUnavailable, "down")
	}
	for _, e := range r.events[id] {
		if e.Seq > since {
			after = append(after, e)
		}
	}
	return after, nil
}

func (r *record) Mine(_ context.Context, user protocol.UserID, _ int) ([]protocol.RoomID, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.members[user]), nil
}

// net carries messages between nodes, unless lose says not to.
type net struct {
	mu    sync.Mutex
	nodes map[protocol.NodeID]*node
	lose  func(to protocol.NodeID, payload []byte) bool
	sent  map[byte]int
}

type notifier struct {
	net  *net
	from protocol.NodeID
}

func (n notifier) Notify(to protocol.NodeID, _ string, payload []byte) error {
	n.net.mu.Lock()
	defer n.net.mu.Unlock()
	for id, other := range n.net.nodes {
		if id == n.from || to != "" && to != id || n.net.lose != nil && n.net.lose(id, payload) {
			continue
		}
		n.net.sent[payload[0]]++
		other.in <- message{n.from, payload}
	}
	return nil
}

type message struct {
	from    protocol.NodeID
	payload []byte
}

// node is a Live with sessions that note what they are told.
type node struct {
	*live.Live
	id   protocol.NodeID
	in   chan message
	mu   sync.Mutex
	told map[protocol.SessionID][]live.Push
}

func (n *node) Push(to iter.Seq[protocol.SessionID], p live.Push) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for id := range to {
		n.told[id] = append(n.told[id], p)
	}
}

// heard returns what a session was told of a type.
func (n *node) heard(id protocol.SessionID, typ protocol.Type) (all []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.told[id] {
		if p.Type == typ {
			all = append(all, string(p.D))
		}
	}
	return all
}

// seqs are the numbers of the events that a session was told: "7" or "5-7" for one that comes after 5.
func (n *node) seqs(t *testing.T, id protocol.SessionID) (seqs []string) {
	t.Helper()
	for _, d := range n.heard(id, protocol.TypeConvEvent) {
		var e protocol.ConvEvent
		if err := json.Unmarshal([]byte(d), &e); err != nil {
			t.Fatal(err)
		}
		s := fmt.Sprint(e.Seq)
		if e.After != 0 {
			s = fmt.Sprintf("%d-%d", e.After, e.Seq)
		}
		seqs = append(seqs, s)
	}
	return seqs
}

// cluster is n nodes in a bubble; they have heard of one another.
func cluster(t *testing.T, r *record, n int, change func(*live.Config)) (*net, []*node) {
	t.Helper()
	w := &net{nodes: map[protocol.NodeID]*node{}, sent: map[byte]int{}}
	var all []*node
	for i := range n {
		id := protocol.NodeID(fmt.Sprintf("n%d", i+1))
		nd := &node{id: id, in: make(chan message, 10_000), told: map[protocol.SessionID][]live.Push{}}
		cfg := live.Config{Node: id, Sessions: nd, Notifier: notifier{w, id}, Shards: 2}
		if change != nil {
			change(&cfg)
		}
		l, err := live.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		nd.Live = l
		w.mu.Lock()
		w.nodes[id] = nd
		w.mu.Unlock()
		all = append(all, nd)
	}
	for _, nd := range all {
		nd.Start(r)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for m := range nd.in {
				nd.Receive(m.from, m.payload)
			}
		}()
		t.Cleanup(func() {
			nd.Close()
			w.mu.Lock()
			close(nd.in)
			delete(w.nodes, nd.id)
			w.mu.Unlock()
			<-done
		})
	}
	wait(10 * time.Second)
	return w, all
}

func wait(d time.Duration) {
	testenv.Elapse(d)
	synctest.Wait()
}

func open(t *testing.T, r *record, n *node, user protocol.UserID, kind protocol.ConvKind) protocol.SessionID {
	t.Helper()
	id := protocol.SessionID("s_" + string(user))
	r.mu.Lock()
	seq := r.seq[room]
	r.seq[room] = seq // now at the latest it is there
	r.mu.Unlock()
	_, ok, err := n.Follow(t.Context(), live.Follower{Session: id, User: user}, protocol.Conversation{ID: room, Seq: seq, Kind: kind})
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	return id
}

func publish(t *testing.T, n *node, e protocol.ConvEvent) {
	t.Helper()
	if err := n.Publish(e); err != nil {
		t.Error(err)
	}
}

func want(t *testing.T, what string, got []string, all ...string) {
	t.Helper()
	if !slices.Equal(got, all) {
		t.Errorf("%s: got %v, want %v", what, got, all)
	}
}

// TestEventsReachFollowersOfAllNodes: each once, in order, whatever order they were published in; and nobody else.
func TestEventsReachFollowersOfAllNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecord()
		w, n := cluster(t, r, 3, nil)
		r.say(room, "before")
		ann, bo := open(t, r, n[0], "u_ann", protocol.ConvGroup), open(t, r, n[1], "u_bo", protocol.ConvGroup)
		wait(time.Second)
		two, three, four := r.say(room, "2"), r.say(room, "3"), r.say(room, "4")
		publish(t, n[1], four)
		publish(t, n[2], two)
		publish(t, n[0], three)
		publish(t, n[0], two) // the outbox says it again
		wait(100 * time.Millisecond)
		want(t, "ann", n[0].seqs(t, ann), "2", "3", "4")
		want(t, "bo", n[1].seqs(t, bo), "2", "3", "4")
		if r.asked != 0 {
			t.Errorf("the record was asked %d times", r.asked)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.sent['e'] != 5 { // 4 and 3 to one other node each, 2 to two; said again to one
			t.Errorf("%d events were sent between nodes", w.sent['e'])
		}
	})
}

// TestWhatIsLostIsHealed: an event in the middle by the next one, the last one by the record's head; what changed again
// meanwhile is told once, after what was told before it.
func TestWhatIsLostIsHealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecord()
		w, n := cluster(t, r, 2, nil)
		bo := open(t, r, n[1], "u_bo", protocol.ConvTopic)
		wait(time.Second)
		publish(t, n[0], r.say(room, "1"))
		r.say(room, "2") // nobody says so
		publish(t, n[0], r.say(room, "3"))
		wait(250 * time.Millisecond)
		want(t, "in time", n[1].seqs(t, bo), "1")
		wait(time.Second)
		want(t, "after a gap", n[1].seqs(t, bo), "1", "2", "3")

		w.mu.Lock()
		w.lose = func(_ protocol.NodeID, payload []byte) bool { return payload[0] == 'e' }
		w.mu.Unlock()
		publish(t, n[0], r.say(room, "4"))
		r.add(room, protocol.ConvEvent{Message: &protocol.ConvMessage{Seq: 4, Text: "edited"}})
		wait(6 * time.Second)
		want(t, "after a loss", n[1].seqs(t, bo), "1", "2", "3", "3-5")

		r.mu.Lock()
		r.down = true
		r.mu.Unlock()
		publish(t, n[0], r.say(room, "6"))
		wait(20 * time.Second)
		r.mu.Lock()
		r.down = false
		r.mu.Unlock()
		wait(10 * time.Second)
		want(t, "after the record was down", n[1].seqs(t, bo), "1", "2", "3", "3-5", "6")
	})
}

// TestNobodyMissesWhatHappensWhileTheyOpen: what came between reading and following is told, and
// nothing of it to who was banned in between.
func TestNobodyMissesWhatHappensWhileTheyOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecord()
		_, n := cluster(t, r, 1, nil)
		open(t, r, n[0], "u_ann", protocol.ConvGroup)
		publish(t, n[0], r.say(room, "1"))
		publish(t, n[0], r.say(room, "2"))
		publish(t, n[0], r.role(room, "u_cy", protocol.ConvBanned))
		wait(time.Millisecond)
		follow := func(user protocol.UserID, seq uint64) bool {
			_, ok, err := n[0].Follow(t.Context(), live.Follower{Session: protocol.SessionID("s_" + user), User: user}, protocol.Conversation{ID: room, Seq: seq})
			if err != nil {
				t.Fatal(err)
			}
			return ok
		}
		if !follow("u_bo", 1) {
			t.Error("bo must read again")
		}
		if follow("u_cy", 1) {
			t.Error("who was banned follows")
		}
		wait(time.Minute)
		want(t, "bo", n[0].seqs(t, "s_u_bo"), "2", "3")
		want(t, "cy", n[0].seqs(t, "s_u_cy"))
		publish(t, n[0], r.say(room, "4"))
		wait(10 * time.Second)
		if follow("u_di", 1) {
			t.Error("what was told long ago is said to be known")
		}
		// What was read is ahead of what arrived: it is not told twice, and what is missing is.
		r.say(room, "5")
		if !follow("u_ed", 5) {
			t.Error("ed must read again")
		}
		wait(time.Second)
		want(t, "bo", n[0].seqs(t, "s_u_bo"), "2", "3", "4", "5")
	})
}

// TestMembersOnly: who leaves, is banned or sees the conversation deleted hears nothing more, on any node; who is made a
// member hears of it at once if they follow their list.
func TestMembersOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecord()
		w, n := cluster(t, r, 2, nil)
		ann := open(t, r, n[0], "u_ann", protocol.ConvGroup)
		list := func(user protocol.UserID) protocol.SessionID {
			id := protocol.SessionID("s_" + user)
			if err := n[1].FollowList(t.Context(), live.Follower{Session: id, User: user}); err != nil {
				t.Fatal(err)
			}
			return id
		}
		bo, cy := list("u_bo"), list("u_cy")
		wait(time.Second)
		publish(t, n[0], r.role(room, "u_bo", protocol.ConvMember))
		publish(t, n[0], r.role(room, "u_cy", protocol.ConvInvited))
		publish(t, n[0], r.say(room, "hello"))
		wait(time.Second)
		want(t, "a new member", n[1].seqs(t, bo), "1", "2", "3")
		want(t, "who is invited", n[1].seqs(t, cy), "2")

		publish(t, n[1], r.role(room, "u_bo", protocol.ConvBanned))
		publish(t, n[0], r.say(room, "he is gone"))
		wait(time.Second)
		want(t, "who was banned", n[1].seqs(t, bo), "1", "2", "3", "4")
		want(t, "who was banned", n[1].heard(bo, protocol.TypeConvRemoved), "{}")
		publish(t, n[1], r.role(room, "u_cy", protocol.ConvLeft))
		wait(time.Second)
		want(t, "whose invitation is over", n[1].heard(cy, protocol.TypeConvRemoved), "{}")

		wait(10 * time.Second) // nobody there follows it any more
		// The event of it gets lost: the list is compared with the record.
		w.mu.Lock()
		w.lose = func(_ protocol.NodeID, payload []byte) bool { return payload[0] == 'e' }
		w.mu.Unlock()
		publish(t, n[0], r.role(room, "u_cy", protocol.ConvMember))
		wait(10 * time.Second)
		want(t, "a member whom nobody told", n[1].seqs(t, cy), "2", "7")

		// Guests are not wanted any more.
		guest := protocol.SessionID("s_guest")
		if _, ok, err := n[1].Follow(t.Context(), live.Follower{Session: guest, User: "g_1", Guest: true}, protocol.Conversation{ID: room, Seq: 7}); err != nil || !ok {
			t.Fatal(ok, err)
		}
		publish(t, n[0], r.add(room, protocol.ConvEvent{Conversation: &protocol.Conversation{ID: room}}))
		wait(10 * time.Second)
		want(t, "a guest", n[1].heard(guest, protocol.TypeConvRemoved), "{}")
		want(t, "a member", n[1].heard(cy, protocol.TypeConvRemoved), "{}")

		publish(t, n[0], r.add(room, protocol.ConvEvent{Conversation: &protocol.Conversation{ID: room, Deleted: true}}))
		wait(10 * time.Second)
		want(t, "deleted", n[0].heard(ann, protocol.TypeConvRemoved), "{}")
		want(t, "deleted, on another node", n[1].heard(cy, protocol.TypeConvRemoved), "{}", "{}")
	})
}

// TestPresence: who is here is known on all nodes within seconds, and costs no more when many come at once.
func TestPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecord()
		w, n := cluster(t, r, 2, nil)
		r.say(room, "1")
		ann := open(t, r, n[0], "u_ann", protocol.ConvTopic)
		open(t, r, n[1], "u_bo", protocol.ConvTopic)
		wait(5 * time.Second)
		last := func(id protocol.SessionID, at *node) string {
			all := at.heard(id, protocol.TypeConvPresence)
			if len(all) == 0 {
				return ""
			}
			return all[len(all)-1]
		}
		if got := last(ann, n[0]); got != `{"online":2,"here":["u_ann","u_bo"]}` {
			t.Error(got)
		}
		w.mu.Lock()
		before := w.sent['p']
		w.mu.Unlock()
		told := len(n[0].heard(ann, protocol.TypeConvPresence))
		for i := range 1000 {
			open(t, r, n[1], protocol.UserID(fmt.Sprintf("u_%04d", i)), protocol.ConvTopic)
		}
		wait(10 * time.Second)
		var p protocol.ConvPresence
		if err := json.Unmarshal([]byte(last(ann, n[0])), &p); err != nil || p.Online != 1002 || len(p.Here) != 50 {
			t.Errorf("%+v, %v", p, err)
		}
		w.mu.Lock()
		if cost := w.sent['p'] - before; cost > 3 {
			t.Errorf("%d messages between nodes", cost)
		}
		w.mu.Unlock()
		if pushes := len(n[0].heard(ann, protocol.TypeConvPresence)) - told; pushes > 3 {
			t.Errorf("%d pushes", pushes)
		}
		w.mu.Lock()
		before = w.sent['p']
		w.mu.Unlock()
		told = len(n[0].heard(ann, protocol.TypeConvPresence))
		for i := range 100 { // one after another, in 10 s
			open(t, r, n[1], protocol.UserID(fmt.Sprintf("u_a%03d", i)), protocol.ConvTopic)
			wait(100 * time.Millisecond)
		}
		w.mu.Lock()
		if cost := w.sent['p'] - before; cost > 11 {
			t.Errorf("%d messages between nodes in 10 s", cost)
		}
		w.mu.Unlock()
		if pushes := len(n[0].heard(ann, protocol.TypeConvPresence)) - told; pushes > 6 {
			t.Errorf("%d pushes in 10 s", pushes)
		}
		for i := range 100 {
			n[1].Forget(protocol.SessionID(fmt.Sprintf("s_u_a%03d", i)))
		}
		for i := range 1000 {
			n[1].Away(protocol.SessionID(fmt.Sprintf("s_u_%04d", i)), true)
		}
		n[1].Forget("s_u_bo")
		wait(10 * time.Second)
		if got := last(ann, n[0]); got != `{"online":1,"here":["u_ann"]}` {
			t.Error(got)
		}
		n[1].Away("s_u_0007", false)
		wait(10 * time.Second)
		// A node that dies takes its people with it.
		w.mu.Lock()
		w.lose = func(protocol.NodeID, []byte) bool { return true }
		w.mu.Unlock()
		if got := last(ann, n[0]); got != `{"online":2,"here":["u_0007","u_ann"]}` {
			t.Error(got)
		}
		wait(time.Minute)
		if got := last(ann, n[0]); got != `{"online":1,"here":["u_ann"]}` {
			t.Error(got)
		}
	})
}

// TestShown: whoever mirrors presence hears the same as the followers, and that nobody is left.
func TestShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecord()
		var mu sync.Mutex
		var shown []int
		_, n := cluster(t, r, 1, func(c *live.Config) {
			c.Shown = func(_ protocol.RoomID, p protocol.ConvPresence) {
				mu.Lock()
				defer mu.Unlock()
				shown = append(shown, p.Online)
			}
		})
		r.say(room, "1")
		open(t, r, n[0], "u_ann", protocol.ConvTopic)
		wait(5 * time.Second)
		n[0].Forget("s_u_ann")
		wait(10 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(shown, []int{1, 0}) {
			t.Errorf("shown %v", shown)
		}
	})
}

// TestTypingAndMarks: the latest word, of each person at most so often; marks in a topic are the reader's own.
func TestTypingAndMarks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecord()
		_, n := cluster(t, r, 2, nil)
		ann, bo := open(t, r, n[0], "u_ann", protocol.ConvGroup), open(t, r, n[1], "u_bo", protocol.ConvGroup)
		wait(time.Second)
		typ := func(on bool) {
			if n[0].MayType(t.Context(), live.Follower{Session: ann, User: "u_ann"}, room, on) {
				n[0].Type(room, protocol.ConvTyping{On: on, User: "u_ann", Name: "Ann"})
			}
		}
		typ(false)
		for range 40 {
			typ(true)
			wait(100 * time.Millisecond)
		}
		typ(false)
		typ(false)
		wait(100 * time.Millisecond)
		on, off := `{"on":true,"user":"u_ann","name":"Ann"}`, `{"on":false,"user":"u_ann","name":"Ann"}`
		want(t, "bo", n[1].heard(bo, protocol.TypeConvTyping), on, on, off)
		want(t, "ann", n[0].heard(ann, protocol.TypeConvTyping))
		if n[1].MayType(t.Context(), live.Follower{Session: "s_cy", User: "u_cy"}, room, true) {
			t.Error("who has not opened it types")
		}
		for i := range uint64(50) {
			n[1].Mark(room, protocol.ConvMarked{User: "u_bo", Delivered: i, Read: i / 2}, false)
		}
		wait(time.Second)
		want(t, "marks", n[0].heard(ann, protocol.TypeConvMarks), `{"user":"u_bo","delivered":49,"read":24}`)
		n[1].Mark(room, protocol.ConvMarked{User: "u_bo", Delivered: 60, Read: 60}, true)
		wait(time.Second)
		if got := n[0].heard(ann, protocol.TypeConvMarks); len(got) != 1 {
			t.Errorf("ann is told of marks in a topic: %v", got)
		}
		if got := n[1].heard(bo, protocol.TypeConvMarks); len(got) != 2 {
			t.Errorf("bo's own: %v", got)
		}
	})
}

// TestMarksReachWhoOpensMeanwhile: a receipt that is told before this node knows that another one wants it reaches
// who has opened the conversation there; one of long ago does not.
func TestMarksReachWhoOpensMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecord()
		_, n := cluster(t, r, 2, nil)
		n[1].Mark(room, protocol.ConvMarked{User: "u_cy", Delivered: 1}, false)
		wait(10 * time.Second)
		ann := open(t, r, n[0], "u_ann", protocol.ConvGroup)
		for i := range uint64(50) {
			n[1].Mark(room, protocol.ConvMarked{User: "u_bo", Delivered: i, Read: i / 2}, false)
		}
		n[1].Mark("c_other", protocol.ConvMarked{User: "u_bo", Delivered: 70}, false)
		wait(2 * time.Second)
		want(t, "marks", n[0].heard(ann, protocol.TypeConvMarks), `{"user":"u_bo","delivered":49,"read":24}`)
	})
}

// TestInterestIsRepaired: what nodes want to hear of may be lost, and is known again in seconds; a conversation that nobody
// follows any more costs nothing.
func TestInterestIsRepaired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecord()
		w, n := cluster(t, r, 2, nil)
		w.mu.Lock()
		w.lose = func(_ protocol.NodeID, payload []byte) bool { return payload[0] == 'w' }
		w.mu.Unlock()
		bo := open(t, r, n[1], "u_bo", protocol.ConvTopic)
		wait(time.Second)
		w.mu.Lock()
		w.lose = nil
		w.mu.Unlock()
		wait(5 * time.Second)
		publish(t, n[0], r.say(room, "1"))
		wait(time.Millisecond)
		want(t, "bo", n[1].seqs(t, bo), "1")
		if err := n[1].Unfollow(t.Context(), bo, room); err != nil {
			t.Fatal(err)
		}
		wait(10 * time.Second)
		w.mu.Lock()
		before := w.sent['e']
		w.mu.Unlock()
		publish(t, n[0], r.say(room, "2"))
		wait(10 * time.Second)
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.sent['e'] != before {
			t.Error("an event went to a node that wants none")
		}
		want(t, "bo", n[1].seqs(t, bo), "1")
	})
}

// TestAFloodIsBounded: publishing waits for nobody; what does not fit is healed.
func TestAFloodIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecord()
		_, n := cluster(t, r, 2, func(c *live.Config) { c.Queue = 4 })
		bo := open(t, r, n[1], "u_bo", protocol.ConvTopic)
		wait(time.Second)
		for range 2000 {
			publish(t, n[0], r.say(room, "x"))
		}
		wait(30 * time.Second)
		last := uint64(0)
		for _, d := range n[1].heard(bo, protocol.TypeConvEvent) {
			var e protocol.ConvEvent
			if err := json.Unmarshal([]byte(d), &e); err != nil {
				t.Fatal(err)
			}
			if e.Seq != last+1 {
				t.Fatalf("%d after %d", e.Seq, last)
			}
			last = e.Seq
		}
		if last != 2000 {
			t.Errorf("told up to %d", last)
		}
	})
}
