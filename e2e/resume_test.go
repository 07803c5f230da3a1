package e2e_test

import (
	"context"
	"fmt"
	"net"
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

// wanderer is a client whose sockets go to the node that its party is sent to.
// Its events are counted from the start.
type wanderer struct {
	*client.Client
	room protocol.RoomID
	you  protocol.MemberID
	tag  string

	mu    sync.Mutex
	downs int
	ups   []client.Up
	upAt  []time.Time
	offs  []uint64        // of chat
	have  map[uint64]bool // of chat, in events or states
	sigs  map[string]int
	found []client.Found
	left  []client.Event
	away  int
	back  int
}

// party is wanderers that all go to one address.
type party struct {
	to  atomic.Pointer[lab.Node]
	all []*wanderer
}

func (c *party) join(t *testing.T, i int, name string) *wanderer {
	t.Helper()
	node := c.to.Load()
	from := lab.DialFrom(i)
	w := &wanderer{sigs: map[string]int{}, have: map[uint64]bool{}, Client: node.Dial(t, i, client.Options{
		Name: name, BackoffMin: 50 * time.Millisecond, BackoffMax: 500 * time.Millisecond,
		NetDial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return from(ctx, network, c.to.Load().HTTP)
		},
	})}
	c.all = append(c.all, w)
	go w.watch()
	return w
}

func (w *wanderer) watch() {
	for ev := range w.Events() {
		w.mu.Lock()
		switch e := ev.(type) {
		case client.Down:
			w.downs++
		case client.Up:
			w.ups, w.upAt = append(w.ups, e), append(w.upAt, time.Now())
			if e.State != nil && e.State.Room != nil {
				for _, m := range e.State.Room.Chat.Messages {
					w.have[m.Off] = true
				}
			}
		case client.Chat:
			w.offs = append(w.offs, e.Off)
			w.have[e.Off] = true
		case client.Signal:
			w.sigs[string(e.From)+" "+string(e.D)]++
		case client.Found:
			w.found = append(w.found, e)
		case client.PeerLeft, client.RoomClosed, client.Stopped:
			w.left = append(w.left, ev)
		case client.PeerReconnecting:
			w.away++
		case client.PeerBack:
			w.back++
		}
		w.mu.Unlock()
	}
}

// sees waits until f, called with the lock, is true.
func (w *wanderer) sees(t *testing.T, what string, f func() bool) {
	t.Helper()
	testenv.Eventually(t, wait, func() bool { w.mu.Lock(); defer w.mu.Unlock(); return f() }, "%s: %s", w.Welcome().User.Name, what)
}

// pairUp lets two meet who look for each other only.
func pairUp(t *testing.T, a, b *wanderer, tag string) {
	t.Helper()
	for _, w := range []*wanderer{a, b} {
		find(t, w.Client, protocol.Find{Tags: []string{tag}, Strict: true})
	}
	for _, w := range []*wanderer{a, b} {
		w.sees(t, "a match", func() bool { return len(w.found) == 1 })
		w.room, w.you = w.found[0].Room, w.found[0].You
	}
	if a.room != b.room {
		t.Fatal("they met others")
	}
}

// town is two nodes with people in calls, in named rooms and waiting. Those of
// here move; those of there stay.
type town struct {
	here, there party
	across      [][2]*wanderer // calls between the nodes: here, there
	waiting     []*wanderer
}

func newTown(t *testing.T, nodes [2]*lab.Node) *town {
	t.Helper()
	v := &town{}
	v.here.to.Store(nodes[0])
	v.there.to.Store(nodes[1])
	n := 0
	join := func(c *party, kind string) *wanderer { n++; return c.join(t, n, fmt.Sprint(kind, n)) }
	for i := range 12 {
		a, b := join(&v.here, "call"), join(&v.there, "call")
		pairUp(t, a, b, fmt.Sprint("across", i))
		v.across = append(v.across, [2]*wanderer{a, b})
	}
	for i := range 10 {
		pairUp(t, join(&v.here, "call"), join(&v.here, "call"), fmt.Sprint("here", i))
	}
	for range 3 {
		first := join(&v.here, "room")
		room, err := first.Create(within(t, wait), protocol.RoomCreate{Name: "r", Passcode: "sesame"})
		if err != nil {
			t.Fatal(err)
		}
		first.room, first.you = room.Room, room.You
		for _, c := range []*party{&v.here, &v.there} {
			w := join(c, "room")
			st, err := w.Join(within(t, wait), room.Room, "sesame")
			if err != nil {
				t.Fatal(err)
			}
			w.room, w.you = st.Room, st.You
		}
	}
	for i := range 8 {
		w := join(&v.here, "wait")
		w.tag = fmt.Sprint("wait", i)
		find(t, w.Client, protocol.Find{Tags: []string{w.tag}, Strict: true})
		v.waiting = append(v.waiting, w)
	}
	return v
}

// talk sends chat and signals from the people of there to those of here until
// stop is closed; what was acknowledged must arrive.
func (v *town) talk(t *testing.T, stop <-chan struct{}) (sent []uint64, wg *sync.WaitGroup) {
	sent, wg = make([]uint64, len(v.across)), &sync.WaitGroup{}
	for i, pair := range v.across {
		wg.Go(func() {
			pace := time.NewTicker(450 * time.Millisecond)
			defer pace.Stop()
			for n := 0; ; n++ {
				ctx, cancel := context.WithTimeout(t.Context(), wait)
				got, err := pair[1].Chat(ctx, pair[1].room, fmt.Sprint(n))
				cancel()
				if err != nil {
					t.Errorf("chat: %v", err)
				} else {
					sent[i] = max(sent[i], got.Off)
				}
				_ = pair[1].Send(pair[1].room, "", protocol.SignalCandidate, map[string]int{"n": n})
				select {
				case <-stop:
					return
				case <-pace.C:
				}
			}
		})
	}
	return sent, wg
}

// check checks that all of here came back where they were, within the time.
func (v *town) check(t *testing.T, begin time.Time, sent []uint64, to *lab.Node) (took []time.Duration) {
	t.Helper()
	for _, w := range v.here.all {
		name := w.Welcome().User.Name
		w.sees(t, "a new socket", func() bool { return len(w.ups) > 0 })
		w.mu.Lock()
		took = append(took, w.upAt[0].Sub(begin))
		for _, up := range w.ups {
			if up.New {
				t.Errorf("%s: the session is lost", name)
			}
			if st := up.State; st != nil && w.room != "" && (st.Room == nil || st.Room.Room != w.room || st.Room.You != w.you) {
				t.Errorf("%s: another room: %+v", name, st.Room)
			}
			if st := up.State; st != nil && w.tag != "" && st.Match == nil {
				t.Errorf("%s does not search any more", name)
			}
		}
		w.mu.Unlock()
		if node := w.Welcome().Node; node != to.Node {
			t.Errorf("%s is at %s", name, node)
		}
	}
	for i, pair := range v.across {
		for _, w := range pair {
			w.sees(t, fmt.Sprintf("%d chats", sent[i]), func() bool {
				for off := range sent[i] {
					if !w.have[off+1] {
						return false
					}
				}
				return true
			})
		}
		pair[1].sees(t, "peer.reconnecting and peer.back", func() bool { return pair[1].away > 0 && pair[1].back > 0 })
	}
	for _, w := range slices.Concat(v.here.all, v.there.all) {
		name := w.Welcome().User.Name
		w.mu.Lock()
		if len(w.left) > 0 {
			t.Errorf("%s was told %+v", name, w.left)
		}
		for sig, times := range w.sigs {
			if times != 1 {
				t.Errorf("%s got %s %d times", name, sig, times)
			}
		}
		for i := 1; i < len(w.offs); i++ {
			if w.offs[i] <= w.offs[i-1] {
				t.Errorf("%s got chats %v", name, w.offs)
				break
			}
		}
		w.mu.Unlock()
	}
	return took
}

// goOn checks that everybody can go on as if nothing had been.
func (v *town) goOn(t *testing.T) {
	t.Helper()
	for _, pair := range v.across {
		for i, w := range pair {
			if err := w.Signal(within(t, wait), w.room, "", protocol.SignalRestart, map[string]string{"after": "it"}); err != nil {
				t.Fatal(err)
			}
			other := pair[1-i]
			other.sees(t, "a signal", func() bool { return other.sigs[string(w.you)+` {"after":"it"}`] == 1 })
		}
	}
	for i, w := range v.waiting {
		late := v.there.join(t, 200+i, fmt.Sprint("late", i))
		find(t, late.Client, protocol.Find{Tags: []string{w.tag}, Strict: true})
		w.sees(t, "its match", func() bool { return len(w.found) == 1 })
		late.sees(t, "its match", func() bool { return len(late.found) == 1 && late.found[0].Room == w.found[0].Room })
	}
}

func p99(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)*99/100]
}

// TestKilledNode: kill -9 of one of two nodes; its users go on at the other one.
func TestKilledNode(t *testing.T) {
	nodes := lab.Pair(t, testenv.Redis(t).URL)
	v := newTown(t, nodes)
	stop := make(chan struct{})
	sent, talking := v.talk(t, stop)
	testenv.Eventually(t, wait, func() bool {
		w := v.across[0][0]
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.offs) >= 2
	}, "they talk")
	v.here.to.Store(nodes[1])
	begin := time.Now()
	nodes[0].Kill()
	for _, w := range v.here.all {
		w.sees(t, "a new socket", func() bool { return len(w.ups) > 0 })
	}
	close(stop)
	talking.Wait()
	took := v.check(t, begin, sent, nodes[1])
	if p := p99(took); p > 5*time.Second {
		t.Errorf("back after %v (p99), want 5 s", p)
	}
	t.Logf("%d sessions back: p50 %v, p99 %v", len(took), took[len(took)/2].Round(time.Millisecond), p99(took).Round(time.Millisecond))
	v.goOn(t)
}

// TestDrainedNode: a node is stopped in good order while people talk; nobody
// loses anything, not even signals.
func TestDrainedNode(t *testing.T) {
	t.Parallel() // it mostly waits
	nodes := lab.Pair(t, testenv.Redis(t).URL)
	v := newTown(t, nodes)
	stop := make(chan struct{})
	sent, talking := v.talk(t, stop)
	v.here.to.Store(nodes[1])
	begin := time.Now()
	nodes[0].Stop(t, wait)
	for _, w := range v.here.all {
		w.sees(t, "a new socket", func() bool { return len(w.ups) > 0 })
	}
	close(stop)
	talking.Wait()
	took := v.check(t, begin, sent, nodes[1])
	for _, pair := range v.across {
		w := pair[0]
		w.mu.Lock()
		for _, up := range w.ups {
			if up.State != nil {
				t.Errorf("%s had to be told the state", w.Welcome().User.Name)
			}
		}
		if n := len(w.sigs); uint64(n) != sent[slices.IndexFunc(v.across, func(p [2]*wanderer) bool { return p[0] == w })] {
			t.Errorf("%s got %d signals, and %v chats", w.Welcome().User.Name, n, w.offs)
		}
		w.mu.Unlock()
	}
	t.Logf("%d sessions moved: p50 %v, p99 %v after the signal to stop", len(took), took[len(took)/2].Round(time.Millisecond), p99(took).Round(time.Millisecond))
	v.goOn(t)
}
