package server_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/rooms"
	"github.com/rondo-chat/rondo/signaling"
)

var errDead = errors.New("this node is dead")

// mortalBus loses everything once its node is dead.
type mortalBus struct {
	bus.Bus
	dead *atomic.Bool
}

func (b mortalBus) Publish(m bus.Message) error {
	if b.dead.Load() {
		return nil
	}
	return b.Bus.Publish(m)
}

func (b mortalBus) Handle(k bus.Kind, h bus.Handler) {
	b.Bus.Handle(k, func(m bus.Message) {
		if !b.dead.Load() {
			h(m)
		}
	})
}

// mortalRooms and mortalSessions change nothing once their node is dead.
type mortalRooms struct {
	rooms.Store
	dead *atomic.Bool
}

func (s mortalRooms) Swap(ctx context.Context, old, new *rooms.Record) (bool, error) {
	if s.dead.Load() {
		return false, &protocol.Error{Code: protocol.CodeUnavailable}
	}
	return s.Store.Swap(ctx, old, new)
}

func (s mortalRooms) Renew(ctx context.Context, n protocol.NodeID, ttl time.Duration) (rooms.Renewed, error) {
	if s.dead.Load() {
		return rooms.Renewed{}, &protocol.Error{Code: protocol.CodeUnavailable}
	}
	return s.Store.Renew(ctx, n, ttl)
}

type mortalSessions struct {
	signaling.Store
	dead *atomic.Bool
}

func (s mortalSessions) Save(ctx context.Context, ttl time.Duration, r []*signaling.Record) ([]bool, error) {
	if s.dead.Load() {
		return nil, errDead
	}
	return s.Store.Save(ctx, ttl, r)
}

func (s mortalSessions) Remove(ctx context.Context, id protocol.SessionID, n protocol.NodeID, moves uint64) (bool, error) {
	if s.dead.Load() {
		return false, errDead
	}
	return s.Store.Remove(ctx, id, n, moves)
}

func (s mortalSessions) Renew(ctx context.Context, n protocol.NodeID, lease, ttl time.Duration, own []signaling.Holding) ([]signaling.Hold, error) {
	if s.dead.Load() {
		return nil, errDead
	}
	return s.Store.Renew(ctx, n, lease, ttl, own)
}

// traveller is a user whose next socket goes to whatever node it is sent to.
type traveller struct {
	*user
	to   *atomic.Pointer[node]
	deaf *atomic.Bool // what the present node says does not arrive
}

// deafConn hears nothing while its owner is deaf; the next connection does.
type deafConn struct {
	net.Conn
	deaf *atomic.Bool
}

func (c deafConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.deaf.Load() {
			return n, err
		}
	}
}

func travel(t *testing.T, at *node, name string) *traveller {
	t.Helper()
	v := &traveller{to: &atomic.Pointer[node]{}, deaf: &atomic.Bool{}}
	v.to.Store(at)
	c, err := client.Dial(t.Context(), at.url, client.Options{Name: name, BackoffMin: 10 * time.Millisecond, BackoffMax: 100 * time.Millisecond,
		NetDial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			v.deaf.Store(false)
			c, err := new(net.Dialer).DialContext(ctx, network, v.to.Load().web.Listener.Addr().String())
			return deafConn{c, v.deaf}, err
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	v.user = &user{c, t}
	return v
}

// move breaks the socket and sends the next one to another node.
func (v *traveller) move(to *node) {
	v.to.Store(to)
	v.Break()
}

// dies lets the node vanish from one moment to the next; its clients go to.
func (n *node) dies(to *node, clients ...*traveller) {
	n.dead.Store(true)
	for _, v := range clients {
		v.move(to)
	}
}

// only returns the next event that is not one of those that come and go, and
// fails the test unless it is an E.
func only[E client.Event](u *user) E {
	u.t.Helper()
	limit := time.After(10 * time.Second)
	for {
		select {
		case ev, ok := <-u.Events():
			if !ok {
				u.t.Fatalf("ended: %v", u.Err())
			}
			switch e := ev.(type) {
			case client.Waiting, client.Down, client.Up:
			case E:
				return e
			default:
				u.t.Fatalf("%s got %T %+v, want %T", u.Welcome().User.Name, ev, ev, *new(E))
			}
		case <-limit:
			u.t.Fatalf("%s waited in vain for %T", u.Welcome().User.Name, *new(E))
		}
	}
}

func TestMovedInMidCall(t *testing.T) {
	n := nodes(t, 3)
	ann := travel(t, n[0], "Ann")
	bo := &traveller{user: join(t, n[1].url, "Bo")}
	fa, fb := pair(t, ann.user, bo.user)
	for round, to := range []*node{n[2], n[1], n[0], n[1]} { // also to where the partner is
		ann.move(to)
		only[client.PeerReconnecting](bo.user)
		if back := only[client.PeerBack](bo.user); back.Peer != fa.You || back.Fresh {
			t.Fatalf("back %+v", back)
		}
		if up := next[client.Up](ann.user); up.New || up.State != nil {
			t.Fatalf("round %d: %+v", round, up)
		}
		if node := ann.Welcome().Node; string(node) != fmt.Sprintf("n%d", indexOf(n, to)+1) {
			t.Fatalf("resumed at %s", node)
		}
		for i := range 5 {
			d := map[string]int{"n": i}
			if err := bo.Signal(t.Context(), fb.Room, "", protocol.SignalCandidate, d); err != nil {
				t.Fatal(err)
			}
			if err := ann.Signal(t.Context(), fa.Room, "", protocol.SignalCandidate, d); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 5 {
			for _, u := range []*user{ann.user, bo.user} {
				if sig := only[client.Signal](u); string(sig.D) != fmt.Sprintf(`{"n":%d}`, i) {
					t.Fatalf("round %d: signal %d is %s", round, i, sig.D)
				}
			}
		}
		if _, err := bo.Chat(t.Context(), fb.Room, fmt.Sprint("chat ", round)); err != nil {
			t.Fatal(err)
		}
		for _, u := range []*user{ann.user, bo.user} {
			if m := only[client.Chat](u); m.Off != uint64(round+1) {
				t.Fatalf("chat %+v", m)
			}
		}
	}
	if err := ann.Leave(t.Context(), fa.Room); err != nil {
		t.Fatal(err)
	}
	if left := only[client.PeerLeft](bo.user); left.Reason != protocol.LeaveLeft {
		t.Fatalf("%+v", left)
	}
}

func indexOf(all []*node, n *node) int {
	for i, m := range all {
		if m == n {
			return i
		}
	}
	return -1
}

// TestNothingIsLostOnTheWay: signals and chat go on while a member wanders from
// node to node.
func TestNothingIsLostOnTheWay(t *testing.T) {
	n := nodes(t, 3)
	ann, bo := travel(t, n[0], "Ann"), join(t, n[1].url, "Bo")
	_, fb := pair(t, ann.user, bo)
	const signals, chats = 120, 8
	sent := make(chan error, 1)
	go func() {
		sent <- func() error {
			pace := time.NewTicker(25 * time.Millisecond)
			defer pace.Stop()
			for i := range signals {
				<-pace.C
				if err := bo.Send(fb.Room, "", protocol.SignalCandidate, map[string]int{"n": i}); err != nil {
					return err
				}
				if i%(signals/chats) == 0 {
					if _, err := bo.Chat(t.Context(), fb.Room, fmt.Sprint(i)); err != nil {
						return err
					}
				}
			}
			return nil
		}()
	}()
	seen, off, moves := map[string]int{}, uint64(0), 0
	walk := time.NewTicker(200 * time.Millisecond)
	defer walk.Stop()
	limit := time.After(30 * time.Second)
	for len(seen) < signals || off < chats {
		select {
		case ev := <-ann.Events():
			switch e := ev.(type) {
			case client.Signal:
				if seen[string(e.D)]++; seen[string(e.D)] > 1 {
					t.Fatalf("twice: %s", e.D)
				}
			case client.Chat:
				if off++; e.Off != off {
					t.Fatalf("chat %d after %d", e.Off, off-1)
				}
			case client.Up:
				if e.New || e.State != nil {
					t.Fatalf("%+v", e)
				}
			}
		case <-walk.C:
			if moves++; moves < 12 {
				ann.move(n[moves%3])
			}
		case <-limit:
			t.Fatalf("%d signals and %d chats of %d and %d came", len(seen), off, signals, chats)
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if moves < 3 {
		t.Fatalf("only %d moves", moves)
	}
}

// TestMovedInMidSearch: who came first is matched first, wherever it is by now.
func TestMovedInMidSearch(t *testing.T) {
	for _, dies := range []bool{false, true} {
		t.Run(fmt.Sprintf("dies=%v", dies), func(t *testing.T) {
			n := nodes(t, 2)
			first, second := travel(t, n[0], "first"), join(t, n[1].url, "second")
			wish := protocol.Find{Tags: []string{"a"}, Strict: true}
			if _, err := first.Find(t.Context(), wish); err != nil {
				t.Fatal(err)
			}
			// It waits for another tag, so that the two do not meet each other.
			if _, err := second.Find(t.Context(), protocol.Find{Tags: []string{"b"}, Strict: true}); err != nil {
				t.Fatal(err)
			}
			if dies {
				settle(t)
				n[0].dies(n[1], first)
			} else {
				first.move(n[1])
			}
			up := next[client.Up](first.user)
			if up.New || dies && (up.State == nil || up.State.Match == nil || up.State.Room != nil) {
				t.Fatalf("%+v", up)
			}
			_, err := first.Find(t.Context(), wish)
			wantCode(t, err, protocol.CodeAlready)
			third := join(t, n[1].url, "third")
			if _, err := third.Find(t.Context(), protocol.Find{Tags: []string{"a", "b"}, Strict: true}); err != nil {
				t.Fatal(err)
			}
			if f := next[client.Found](third); f.Peer.Name != "first" {
				t.Fatalf("met %q, who came later", f.Peer.Name)
			}
			next[client.Found](first.user)
		})
	}
}

// TestSearchOfADeadNode: the node that a search was asked of dies before its
// answer arrives. The request that is sent again is answered by what became of it.
func TestSearchOfADeadNode(t *testing.T) {
	for _, found := range []bool{false, true} {
		t.Run(fmt.Sprintf("found=%v", found), func(t *testing.T) {
			n := nodes(t, 2)
			first, second, third := travel(t, n[0], "first"), join(t, n[1].url, "second"), join(t, n[1].url, "third")
			pair(t, first.user, second)
			first.deaf.Store(true)
			answer := make(chan error, 1)
			go func() {
				_, err := first.Next(t.Context(), &protocol.Find{Pool: "text"})
				answer <- err
			}()
			next[client.PeerLeft](second)
			settle(t)
			if found {
				if _, err := third.Find(t.Context(), protocol.Find{Pool: "text"}); err != nil {
					t.Fatal(err)
				}
				next[client.Found](third)
				settle(t)
			}
			n[0].dies(n[1], first)
			up := next[client.Up](first.user)
			if up.State == nil || (up.State.Room != nil) != found || (up.State.Match != nil) == found {
				t.Fatalf("%+v", up.State)
			}
			if err := <-answer; err != nil {
				t.Fatal(err)
			}
			if !found {
				if _, err := third.Find(t.Context(), protocol.Find{Pool: "text"}); err != nil {
					t.Fatal(err)
				}
				next[client.Found](third)
				up.State.Room = &protocol.RoomState{Room: next[client.Found](first.user).Room}
			}
			if err := first.Signal(t.Context(), up.State.Room.Room, "", protocol.SignalRestart, struct{}{}); err != nil {
				t.Fatal(err)
			}
			next[client.Signal](third)
		})
	}
}

// settle waits until what the node knows of the session has been stored; here
// that is at once, but not on the same goroutine.
func settle(t *testing.T) {
	t.Helper()
	limit := time.Now().Add(200 * time.Millisecond)
	testenv.Eventually(t, time.Second, func() bool { return time.Now().After(limit) }, "")
}

func TestNodeDiesInMidCall(t *testing.T) {
	n := nodes(t, 2)
	ann, bo := travel(t, n[0], "Ann"), join(t, n[1].url, "Bo")
	fa, fb := pair(t, ann.user, bo)
	cy := travel(t, n[0], "Cy")
	named, err := cy.Create(t.Context(), protocol.RoomCreate{Name: "Monday", Passcode: "sesame"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bo.Chat(t.Context(), fb.Room, "one"); err != nil {
		t.Fatal(err)
	}
	next[client.Chat](ann.user)
	settle(t)
	n[0].dies(n[1], ann, cy)
	next[client.PeerReconnecting](bo)
	if back := next[client.PeerBack](bo); back.Peer != fa.You {
		t.Fatalf("%+v", back)
	}
	up := next[client.Up](ann.user)
	if up.New || up.State == nil || up.State.Room == nil || up.State.Room.Room != fa.Room || up.State.Room.You != fa.You ||
		len(up.State.Room.Peers) != 1 || len(up.State.Room.Chat.Messages) != 1 || up.State.Room.Match == nil || up.State.User.Name != "Ann" {
		t.Fatalf("%+v", up.State)
	}
	if err := bo.Signal(t.Context(), fb.Room, "", protocol.SignalRestart, struct{}{}); err != nil {
		t.Fatal(err)
	}
	next[client.Signal](ann.user)
	if err := ann.Signal(t.Context(), fa.Room, "", protocol.SignalOffer, struct{}{}); err != nil {
		t.Fatal(err)
	}
	next[client.Signal](bo)
	up = next[client.Up](cy.user)
	if up.New || up.State == nil || up.State.Room == nil || up.State.Room.Room != named.Room || up.State.Room.You != named.You {
		t.Fatalf("%+v", up.State)
	}
}

// TestSignalsToADeadNode: what a node took for a member of another one arrives,
// in order and once, also when that node died with it, and with what it had
// delivered before.
func TestSignalsToADeadNode(t *testing.T) {
	for _, to := range []int{1, 2} { // where the sender is, and another one
		t.Run(fmt.Sprintf("to=%d", to), func(t *testing.T) {
			n := nodes(t, 3)
			ann, bo := travel(t, n[0], "Ann"), join(t, n[1].url, "Bo")
			fa, fb := pair(t, ann.user, bo)
			said, heard := 0, 0
			say := func() {
				said++
				if err := bo.Signal(t.Context(), fb.Room, "", protocol.SignalCandidate, map[string]int{"said": said}); err != nil {
					t.Fatal(err)
				}
			}
			hear := func() {
				t.Helper()
				for heard < said {
					heard++
					if s := next[client.Signal](ann.user); s.From != fb.You || string(s.D) != fmt.Sprintf(`{"said":%d}`, heard) {
						t.Fatalf("signal %d is %s", heard, s.D)
					}
				}
			}
			for range 3 {
				say()
			}
			hear()
			settle(t)
			n[0].dead.Store(true)
			for range 3 {
				say()
			}
			ann.move(n[to])
			if back := next[client.PeerBack](bo); back.Peer != fa.You {
				t.Fatalf("%+v", back)
			}
			say()
			hear()
		})
	}
}

// TestDeadNodeWakesUp: it was stopped, not dead. It does nothing to those who
// have moved, and sends them away who have not noticed.
func TestDeadNodeWakesUp(t *testing.T) {
	n := nodes(t, 2)
	ann, bo := travel(t, n[0], "Ann"), join(t, n[1].url, "Bo")
	fa, fb := pair(t, ann.user, bo)
	settle(t)
	n[0].dies(n[1], ann)
	next[client.PeerBack](bo)
	next[client.Up](ann.user)
	n[0].dead.Store(false)
	for i := range 20 { // while the old node finds out
		if err := bo.Signal(t.Context(), fb.Room, "", protocol.SignalCandidate, map[string]int{"n": i}); err != nil {
			t.Fatal(err)
		}
		if sig := only[client.Signal](ann.user); sig.Room != fa.Room || string(sig.D) != fmt.Sprintf(`{"n":%d}`, i) {
			t.Fatalf("%+v", sig)
		}
		limit := time.Now().Add(100 * time.Millisecond)
		testenv.Eventually(t, time.Second, func() bool { return time.Now().After(limit) }, "")
	}
	_ = ann.Close()
	if left := only[client.PeerLeft](bo); left.Reason != protocol.LeaveLeft {
		t.Fatalf("%+v", left)
	}
}

// TestRoomOfThreeMoves: a member moves while the other two, on two nodes, talk;
// everybody hears everything once.
func TestRoomOfThreeMoves(t *testing.T) {
	n := nodes(t, 3)
	ann, bo, cy := travel(t, n[0], "Ann"), join(t, n[0].url, "Bo"), join(t, n[1].url, "Cy")
	room, err := ann.Create(t.Context(), protocol.RoomCreate{Name: "r"})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range []*user{bo, cy} {
		if _, err := u.Join(t.Context(), room.Room, ""); err != nil {
			t.Fatal(err)
		}
	}
	next[client.PeerJoined](ann.user)
	next[client.PeerJoined](ann.user)
	var got []string
	for round := range 6 {
		if _, err := ann.History(t.Context(), room.Room, protocol.ChatQuery{Limit: 1}); err != nil { // it has a socket
			t.Fatal(err)
		}
		ann.move(n[(round+1)%3])
		for i := range 5 {
			for _, u := range []*user{bo, cy} {
				if err := u.Signal(t.Context(), room.Room, room.You, protocol.SignalCandidate, map[string]int{"n": 5*round + i}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if round%2 == 0 {
			if _, err := cy.Rename(t.Context(), fmt.Sprintf("Cy%d", round)); err != nil {
				t.Fatal(err)
			}
		}
		got = append(got, untilUp(ann.user)...)
	}
	if _, err := bo.Chat(t.Context(), room.Room, "end"); err != nil {
		t.Fatal(err)
	}
	for len(got) == 0 || got[len(got)-1] != "end" {
		got = append(got, line(<-ann.Events()))
	}
	each := map[string]int{}
	for _, l := range got {
		if each[l]++; each[l] > 1 && l != "" {
			t.Errorf("twice: %s", l)
		}
	}
	if delete(each, ""); len(each) != 2*30+3+1 {
		t.Errorf("%d of 64 events: %q", len(each), got)
	}
}

// untilUp returns what came up to the event that says that there is a socket.
func untilUp(u *user) (lines []string) {
	u.t.Helper()
	limit := time.After(10 * time.Second)
	for {
		select {
		case ev := <-u.Events():
			if up, ok := ev.(client.Up); ok {
				if up.New || up.State != nil {
					u.t.Fatalf("%+v", up)
				}
				return lines
			}
			lines = append(lines, line(ev))
		case <-limit:
			u.t.Fatal("no socket")
		}
	}
}

func line(ev client.Event) string {
	switch e := ev.(type) {
	case client.Signal:
		return fmt.Sprintf("signal %s %s", e.From, e.D)
	case client.PeerUpdated:
		return "name " + e.Peer.Name
	case client.Chat:
		return e.Text
	}
	return ""
}
