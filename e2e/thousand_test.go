package e2e_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// crowd is how many ask at once: odd, so that exactly one is left.
const crowd = 1001

// TestThousandAtOnce: all who ask at the same moment are paired, nobody twice, and
// only the odd one waits.
func TestThousandAtOnce(t *testing.T) {
	services(t, func(t *testing.T, nodes []*lab.Node) {
		began := time.Now()
		clients := dialCrowd(t, nodes)
		t.Logf("connected after %v", time.Since(began).Round(time.Millisecond))
		met := &meetings{of: make([][]client.Found, crowd)}
		var wg sync.WaitGroup
		for i, c := range clients {
			wg.Go(func() { met.watch(t, i, c) })
		}
		began = time.Now()
		askAll(t, clients)
		testenv.Eventually(t, 90*time.Second, func() bool { return met.people() >= crowd-1 },
			"%d people in a call; is %s", crowd-1, lateString(met.people))
		t.Logf("all paired %v after the first asked", time.Since(began).Round(time.Millisecond))

		left := met.check(t)
		began = time.Now()
		checkLeftOver(t, clients[left], nodes)
		t.Logf("counted after %v", time.Since(began).Round(time.Millisecond))
		began = time.Now()
		closeAll(clients)
		wg.Wait()
		t.Logf("all gone after %v", time.Since(began).Round(time.Millisecond))
		if again := met.check(t); again != left {
			t.Fatal("the odd one was matched after all")
		}
	})
}

// lateString formats what f returns when it is printed.
type lateString func() int

func (f lateString) String() string { return fmt.Sprint(f()) }

// dialCrowd connects the crowd, to the nodes in turn.
func dialCrowd(t *testing.T, nodes []*lab.Node) []*client.Client {
	t.Helper()
	clients := make([]*client.Client, crowd)
	var g errgroup.Group
	g.SetLimit(16)
	for i := range clients {
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			c, err := nodes[i%len(nodes)].DialErr(ctx, i, client.Options{Name: fmt.Sprintf("c%d", i)})
			clients[i] = c
			return err
		})
	}
	err := g.Wait()
	t.Cleanup(func() { closeAll(clients) })
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	return clients
}

func closeAll(clients []*client.Client) {
	var g errgroup.Group
	g.SetLimit(64)
	for _, c := range clients {
		if c != nil {
			g.Go(c.Close)
		}
	}
	_ = g.Wait() // Close has no error
}

// askAll lets all clients ask at the same moment.
func askAll(t *testing.T, clients []*client.Client) {
	t.Helper()
	ctx := within(t, time.Minute)
	start := make(chan struct{})
	var g errgroup.Group
	for _, c := range clients {
		g.Go(func() error {
			<-start
			_, err := c.Find(ctx, protocol.Find{})
			return err
		})
	}
	close(start)
	if err := g.Wait(); err != nil {
		t.Fatalf("find: %v", err)
	}
}

// meetings records who was matched with whom.
type meetings struct {
	mu sync.Mutex
	of [][]client.Found // by client
}

// watch records the matches of client i until it ends.
func (m *meetings) watch(t *testing.T, i int, c *client.Client) {
	for ev := range c.Events() {
		switch ev := ev.(type) {
		case client.Found:
			m.mu.Lock()
			m.of[i] = append(m.of[i], ev)
			m.mu.Unlock()
		case client.Waiting:
		case client.PeerLeft, client.PeerReconnecting: // at the end, when all are closed
		default:
			t.Errorf("client %d: %T %+v", i, ev, ev)
		}
	}
}

// people returns how many have been matched.
func (m *meetings) people() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, found := range m.of {
		n += min(len(found), 1)
	}
	return n
}

// check checks all matches and returns the one without.
func (m *meetings) check(t *testing.T) (left int) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	left = -1
	rooms := map[protocol.RoomID][]int{}
	for i, found := range m.of {
		switch len(found) {
		case 0:
			if left >= 0 {
				t.Fatalf("both %d and %d are left", left, i)
			}
			left = i
		case 1:
			rooms[found[0].Room] = append(rooms[found[0].Room], i)
		default:
			t.Fatalf("client %d was matched %d times: %+v", i, len(found), found)
		}
	}
	if left < 0 {
		t.Fatal("an odd crowd and nobody is left")
	}
	for room, who := range rooms {
		if len(who) != 2 {
			t.Fatalf("room %s has %v", room, who)
		}
		a, b := m.of[who[0]][0], m.of[who[1]][0]
		checkMatch(t, a, b)
		if a.Peer.Name != fmt.Sprintf("c%d", who[1]) || b.Peer.Name != fmt.Sprintf("c%d", who[0]) {
			t.Fatalf("room %s: %d met %s, %d met %s", room, who[0], a.Peer.Name, who[1], b.Peer.Name)
		}
	}
	return left
}

// checkLeftOver checks that the odd one still waits, and that all count one.
func checkLeftOver(t *testing.T, c *client.Client, nodes []*lab.Node) {
	t.Helper()
	if _, err := c.Find(within(t, wait), protocol.Find{}); protocol.CodeOf(err) != protocol.CodeAlready {
		t.Fatalf("the odd one does not wait: %v", err)
	}
	for i, n := range nodes {
		probe := n.Dial(t, crowd+i, client.Options{})
		var asked time.Time
		testenv.Eventually(t, wait, func() bool {
			if time.Since(asked) < 1100*time.Millisecond { // the rate that stats may be asked at
				return false
			}
			asked = time.Now()
			st, err := probe.Stats(within(t, wait))
			if err != nil {
				t.Fatal(err)
			}
			return len(st.Pools) > 0 && st.Pools[0].Waiting == 1
		}, "node %d counts one who waits", i)
	}
}
