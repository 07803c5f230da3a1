package e2e_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// talker is somebody with conversations whose sockets go to whatever node it is sent to.
type talker struct {
	t    *testing.T
	rest *person // nil: a guest
	*client.Client
	node atomic.Pointer[lab.Node]
}

// talk connects somebody: with an account if there is one.
func talk(t *testing.T, n *lab.Node, i int, rest *person) *talker {
	t.Helper()
	p := &talker{t: t, rest: rest}
	p.node.Store(n)
	o := client.Options{Name: "Guest", BackoffMin: 50 * time.Millisecond, BackoffMax: 500 * time.Millisecond, Queue: 4096}
	from := lab.DialFrom(i)
	o.NetDial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return from(ctx, network, p.node.Load().HTTP)
	}
	if rest != nil {
		program := browser(t, n, 100+i, rest.username) // another device
		token := fmt.Sprint(program.bearerLogin().body["access_token"])
		o.Bearer = func(context.Context) (string, error) { return token, nil }
	}
	p.Client = n.Dial(t, i, o)
	return p
}

func (p *talker) view(room protocol.RoomID) *client.View {
	p.t.Helper()
	v, err := p.Conversation(room).View(within(p.t, wait), client.ViewOptions{})
	if err != nil {
		p.t.Fatalf("open: %v", err)
	}
	return v
}

// create makes a conversation over REST.
func (p *talker) create(q fields) protocol.RoomID {
	p.t.Helper()
	return protocol.RoomID(fmt.Sprint(p.rest.wants(http.StatusOK, "POST", "/conversations", q).body["id"]))
}

// said is what a view shows.
func saidIn(v *client.View) (all []string) {
	messages, _ := v.Messages()
	for _, m := range messages {
		text := m.Text
		if m.Deleted != 0 {
			text = "-"
		}
		for _, r := range m.Reactions {
			text += fmt.Sprint(" ", r.Emoji, r.Count)
		}
		all = append(all, text)
	}
	return all
}

// TestConversations: two nodes over PostgreSQL and Redis. What people say, change and take back reaches all at once;
// a node is killed and Redis emptied while they talk, and nothing that was acknowledged is lost, twice or out of order.
func TestConversations(t *testing.T) {
	t.Parallel() // it mostly waits
	redis := testenv.Redis(t)
	s := newService(t, testenv.Postgres(t))
	s.opts.Redis = redis.URL
	here, there := s.node(t), s.node(t)
	people := []*person{browser(t, here, 1, "ann"), browser(t, there, 2, "bob")}
	for _, p := range people {
		p.join(s)
	}
	ann, bob, guest := talk(t, here, 3, people[0]), talk(t, there, 4, people[1]), talk(t, there, 5, nil)
	if !slices.Contains(ann.Welcome().Features, "conversations") {
		t.Fatalf("features %v", ann.Welcome().Features)
	}
	directly(t, ann, bob)
	room := ann.create(fields{"kind": "topic", "name": "Jazz", "about": "All that swings", "writers": "everyone"})
	views := []*client.View{ann.view(room), bob.view(room), guest.view(room)}
	changes(t, ann, views)
	want := through(t, views, func() {
		there.Kill()
		bob.node.Store(here)
		guest.node.Store(here)
		if out, err := redis.Do("FLUSHALL"); err != nil {
			t.Errorf("flush: %s, %v", out, err)
		}
	})
	late := talk(t, s.node(t), 6, nil) // a third node
	views = append(views, late.view(room))
	for i, v := range views {
		testenv.Eventually(t, wait, func() bool { return slices.Equal(sorted(saidIn(v)), want) }, "view %d shows all that was said", i)
		if all := saidIn(v); !slices.Equal(all, saidIn(views[0])) {
			t.Errorf("view %d has another order: %v, %v", i, all, saidIn(views[0]))
		}
	}
}

// directly: a conversation of two appears at once, with receipts.
func directly(t *testing.T, ann, bob *talker) {
	t.Helper()
	if _, err := bob.Conversations(within(t, wait), protocol.ConvListQuery{}); err != nil {
		t.Fatal(err)
	}
	room := ann.create(fields{"kind": "direct", "with": "bob"})
	a := ann.view(room)
	sent, err := a.Send(within(t, wait), protocol.ConvSend{Text: "psst"})
	if err != nil {
		t.Fatal(err)
	}
	nextWhere(t, bob.Client, func(e client.ConvEvent) bool { return e.Room == room && e.Message != nil && e.Message.Text == "psst" })
	if _, err := bob.Conversation(room).Mark(within(t, wait), protocol.ConvMark{Delivered: sent.Seq, Read: sent.Seq}); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, wait, func() bool { return a.People()[bob.Welcome().User.ID].Read == sent.Message.Seq }, "it was read")
}

// changes: what is edited, deleted, reacted to and typed reaches all.
func changes(t *testing.T, ann *talker, views []*client.View) {
	t.Helper()
	var seqs []uint64
	for i, v := range views {
		sent, err := v.Send(within(t, wait), protocol.ConvSend{Text: fmt.Sprint("hello ", i)})
		if err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, sent.Message.Seq)
	}
	ctx := within(t, wait)
	if _, err := views[0].Edit(ctx, seqs[0], "good morning"); err != nil {
		t.Fatal(err)
	}
	if _, err := views[1].Delete(ctx, seqs[1]); err != nil {
		t.Fatal(err)
	}
	if _, err := views[2].React(ctx, seqs[0], "👍", true); err != nil {
		t.Fatal(err)
	}
	ann.rest.wants(http.StatusOK, "PUT", fmt.Sprintf("/conversations/%s/messages/%d/pin", views[0].Room, seqs[2]), nil)
	if err := views[0].Typing(true); err != nil {
		t.Fatal(err)
	}
	for i, v := range views {
		testenv.Eventually(t, wait, func() bool { return slices.Equal(saidIn(v), []string{"good morning 👍1", "-", "hello 2"}) }, "view %d: %v", i, saidIn(v))
		testenv.Eventually(t, wait, func() bool { m, _ := v.Message(seqs[2]); return m.Pinned && v.Presence().Online == 3 }, "view %d: pinned, and all are here", i)
	}
	testenv.Eventually(t, wait, func() bool { return slices.Equal(views[1].Writing(), []protocol.UserID{ann.Welcome().User.ID}) }, "somebody types")
}

// through lets all talk, with a disturbance in the middle, and returns what must be there then, sorted.
func through(t *testing.T, views []*client.View, disturb func()) []string {
	t.Helper()
	const each = 12
	var wg sync.WaitGroup
	var begun atomic.Int32
	middle := make(chan struct{})
	want := saidIn(views[0])
	for i, v := range views {
		for n := range each {
			want = append(want, fmt.Sprint(i, " says ", n))
		}
		wg.Go(func() {
			for n := range each {
				if _, err := v.Send(within(t, time.Minute), protocol.ConvSend{Text: fmt.Sprint(i, " says ", n)}); err != nil {
					t.Errorf("send: %v", err)
				}
				if begun.Add(1) == int32(each) {
					close(middle)
				}
			}
		})
	}
	<-middle
	disturb()
	wg.Wait()
	return sorted(want)
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }
