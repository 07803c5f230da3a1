package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// listener is a client in a room, and what it was told there.
type listener struct {
	*client.Client
	room protocol.RoomID
	you  protocol.MemberID

	mu     sync.Mutex
	heard  map[uint64]string // chat by offset
	offs   []uint64          // in the order heard
	found  []client.Found
	joined []protocol.MemberID
	left   []protocol.MemberID
	odd    []client.Event // what nobody in a room should hear
}

func listen(t *testing.T, node *lab.Node, i int, name string) *listener {
	t.Helper()
	l := &listener{heard: map[uint64]string{}, Client: node.Dial(t, i, client.Options{Name: name})}
	go l.watch()
	return l
}

func (l *listener) watch() {
	for ev := range l.Events() {
		l.mu.Lock()
		switch e := ev.(type) {
		case client.Chat:
			l.heard[e.Off], l.offs = e.Text, append(l.offs, e.Off)
		case client.Found:
			l.found = append(l.found, e)
		case client.PeerJoined:
			l.joined = append(l.joined, e.Peer.ID)
		case client.PeerLeft:
			l.left = append(l.left, e.Peer)
		case client.PeerReconnecting, client.RoomClosed, client.Stopped, client.Down:
			l.odd = append(l.odd, ev)
		}
		l.mu.Unlock()
	}
}

func (l *listener) sees(t *testing.T, what string, f func() bool) {
	t.Helper()
	testenv.Eventually(t, wait, func() bool { l.mu.Lock(); defer l.mu.Unlock(); return f() }, "%s: %s", l.Welcome().User.Name, what)
}

// spoken is what was acknowledged in a room, by offset.
type spoken struct {
	mu   sync.Mutex
	said map[uint64]string
}

func (s *spoken) note(t *testing.T, off uint64, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if was, ok := s.said[off]; ok && was != text {
		t.Errorf("off %d was given to %q and %q", off, was, text)
	}
	s.said[off] = text
}

func (s *spoken) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.said)
}

// chatter lets all talk, each message again and again until it is acknowledged,
// until stop is closed.
func chatter(t *testing.T, all []*listener, s *spoken, stop <-chan struct{}) *sync.WaitGroup {
	t.Helper()
	wg := &sync.WaitGroup{}
	for _, l := range all {
		wg.Go(func() {
			pace := time.NewTicker(400 * time.Millisecond)
			defer pace.Stop()
			for n := 0; ; n++ {
				text := fmt.Sprintf("%s %d", l.you, n)
				for sent := false; !sent; {
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					got, err := l.ChatAs(ctx, l.room, protocol.ChatSend{CID: fmt.Sprint("c", n), Text: text})
					cancel()
					switch code := protocol.CodeOf(err); {
					case err == nil:
						s.note(t, got.Off, text)
						sent = true
					case code != protocol.CodeUnavailable && code != protocol.CodeRateLimited:
						t.Errorf("chat: %v", err)
						return
					}
					if !sent {
						<-pace.C
					}
				}
				select {
				case <-stop:
					return
				case <-pace.C:
				}
			}
		})
	}
	return wg
}

// checkRoom checks that all heard what was said, once, in order, and that it
// stands in the history.
func checkRoom(t *testing.T, all []*listener, s *spoken) {
	t.Helper()
	offs := slices.Sorted(maps.Keys(s.said))
	for _, l := range all {
		l.sees(t, "all that was said", func() bool {
			for off, text := range s.said {
				if l.heard[off] != text {
					return false
				}
			}
			return true
		})
		l.mu.Lock()
		if !slices.IsSorted(l.offs) || len(slices.Compact(slices.Clone(l.offs))) != len(l.offs) {
			t.Errorf("%s heard %v", l.you, l.offs)
		}
		if len(l.odd) > 0 || len(l.left) > 0 {
			t.Errorf("%s was told %+v, left %v", l.you, l.odd, l.left)
		}
		l.mu.Unlock()
		history := map[uint64]string{}
		for since, more := uint64(0), true; more; {
			h, err := l.History(within(t, wait), l.room, protocol.ChatQuery{Since: &since, Limit: protocol.MaxHistory})
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range h.Messages {
				history[m.Off], since = m.Text, m.Off
			}
			more = h.More
		}
		for _, off := range offs {
			if history[off] != s.said[off] {
				t.Errorf("history of %s has %q as %d, want %q", l.you, history[off], off, s.said[off])
			}
		}
	}
}

// TestRedisComesBackEmpty: a call across two nodes and a room with a passcode
// live through the loss of all that Redis held.
func TestRedisComesBackEmpty(t *testing.T) {
	redis := testenv.Redis(t)
	nodes := lab.Pair(t, redis.URL)
	a, b := listen(t, nodes[0], 1, "a"), listen(t, nodes[1], 2, "b")
	for _, l := range []*listener{a, b} {
		find(t, l.Client, protocol.Find{})
	}
	for _, l := range []*listener{a, b} {
		l.sees(t, "a match", func() bool { return len(l.found) == 1 })
		l.room, l.you = l.found[0].Room, l.found[0].You
	}
	c, d := listen(t, nodes[0], 3, "c"), listen(t, nodes[1], 4, "d")
	made, err := c.Create(within(t, wait), protocol.RoomCreate{Name: "r", Passcode: "sesame"})
	if err != nil {
		t.Fatal(err)
	}
	joined, err := d.Join(within(t, wait), made.Room, "sesame")
	if err != nil {
		t.Fatal(err)
	}
	c.room, c.you, d.room, d.you = made.Room, made.You, made.Room, joined.You

	stop := make(chan struct{})
	call, room := &spoken{said: map[uint64]string{}}, &spoken{said: map[uint64]string{}}
	talks := []*sync.WaitGroup{chatter(t, []*listener{a, b}, call, stop), chatter(t, []*listener{c, d}, room, stop)}
	said := func(more int) {
		t.Helper()
		was := [2]int{call.count(), room.count()}
		testenv.Eventually(t, 3*wait, func() bool { return call.count() >= was[0]+more && room.count() >= was[1]+more }, "they talk")
	}
	said(6)
	redis.Kill()
	redis.Restart()
	said(8)
	if t.Failed() {
		t.FailNow()
	}
	wrong := listen(t, nodes[1], 5, "e")
	testenv.Eventually(t, wait, func() bool {
		_, err := wrong.Join(within(t, wait), made.Room, "wrong")
		return protocol.CodeOf(err) == protocol.CodePasscode
	}, "the room has its passcode")
	close(stop)
	for _, wg := range talks {
		wg.Wait()
	}
	checkRoom(t, []*listener{a, b}, call)
	checkRoom(t, []*listener{c, d}, room)

	e := listen(t, nodes[1], 6, "e")
	state, err := e.Join(within(t, wait), made.Room, "sesame")
	if err != nil || len(state.Peers) != 2 || len(state.Chat.Messages) < min(50, room.count()) {
		t.Fatalf("a stranger joins: %+v, %v", state, err)
	}
	e.room, e.you = made.Room, state.You
	for _, l := range []*listener{c, d} {
		l.sees(t, "a stranger", func() bool { return slices.Contains(l.joined, e.you) })
	}
	if err := e.Leave(within(t, wait), e.room); err != nil {
		t.Fatal(err)
	}
	for _, l := range []*listener{c, d} {
		l.sees(t, "who left", func() bool { return slices.Contains(l.left, e.you) })
	}
	if err := a.Leave(within(t, wait), a.room); err != nil {
		t.Fatal(err)
	}
	b.sees(t, "the end of the call", func() bool { return slices.Contains(b.left, a.you) })
	_, err = b.Chat(within(t, wait), b.room, "anybody there?")
	if protocol.CodeOf(err) != protocol.CodeForbidden {
		t.Errorf("chat in a call that ended: %v", err)
	}
}
