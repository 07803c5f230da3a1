package matchmaking

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// yesQueue is a queue gone mad: it lists everybody, and every match is live. It
// stands for one that was split in two, or forgot what it had said.
type yesQueue struct{ Queue }

func (yesQueue) Enter(_ context.Context, t Ticket, _ Search) (Result, error) {
	return Result{Outcome: Listed, Since: time.Now(), Waiting: 1}, nil
}
func (yesQueue) Ack(context.Context, Claim) (Verdict, error)  { return Live, nil }
func (yesQueue) Nack(context.Context, Claim) (Verdict, error) { return Gone, nil }

// counting counts matches told per session.
type counting struct {
	mu    sync.Mutex
	found map[protocol.SessionID]int
}

func (c *counting) Alive(context.Context, protocol.SessionID) bool { return true }
func (c *counting) Open(context.Context, Match) error              { return nil }
func (c *counting) Found(s protocol.SessionID, _ Match, _ int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.found[s]++
}
func (c *counting) Waiting(protocol.SessionID, protocol.Waiting) {}
func (c *counting) Stopped(protocol.SessionID, *protocol.Error)  {}
func (c *counting) Absent(Match, int)                            {}

type deaf struct{}

func (deaf) Notify(protocol.NodeID, string, []byte) error { return nil }

// The local compare-and-set alone keeps a person out of two matches, whatever
// the queue says: here 20 searchers on other nodes are proposed to one who
// waits, at once, and the queue calls every one of these matches live.
//
// Tried by hand: the state is compared when a proposal comes (consider), before
// the yes (accept) and at the end (finish). Each of these covers for the others;
// without all three this test fails (2 matches for one search), as it does
// without those in accept, live and finish.
func TestOneMatchWhateverTheQueueSays(t *testing.T) {
	for round := range 50 {
		synctest.Test(t, func(t *testing.T) {
			hooks := &counting{found: map[protocol.SessionID]int{}}
			m, err := New(Config{Node: "n1", Queue: yesQueue{NewMemoryQueue()}, Relations: NewMemoryRelations(), Notifier: deaf{}, Hooks: hooks, Pools: []PoolConfig{{Name: "video"}}})
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := m.Close(context.Background()); err != nil {
					t.Error(err)
				}
			}()
			if _, err := m.Find(t.Context(), Asker{"s", "u", "me"}, Profile{}); err != nil {
				t.Fatal(err)
			}
			m.mu.Lock()
			me := Entrant{Ref: m.searches["s"].ref(), User: "u", Node: "n1", Since: time.Now(), Data: "{}"}
			m.mu.Unlock()
			var all sync.WaitGroup
			for i := range 20 {
				id := fmt.Sprint(round, "-", i)
				other := Entrant{Ref: Ref{protocol.SessionID("o" + id), 1}, User: protocol.UserID("o" + id), Node: "n2", Data: "{}"}
				n := note{Kind: notePropose, Pair: Pair{Match: protocol.RoomID("m" + id), Pool: "video", Entrants: [2]Entrant{me, other}}}
				if i%4 == 3 { // as the one who searched, in a match that went live elsewhere
					n.Kind = noteLive
					n.Pair.Entrants = [2]Entrant{other, me}
				}
				b, err := encodeNote(n)
				if err != nil {
					t.Fatal(err)
				}
				all.Go(func() { m.Receive("n2", b) })
			}
			all.Wait()
			synctest.Wait()
			hooks.mu.Lock()
			defer hooks.mu.Unlock()
			if hooks.found["s"] != 1 {
				t.Errorf("%d matches for one search", hooks.found["s"])
			}
		})
	}
}

func TestConfig(t *testing.T) {
	good := func() Config {
		return Config{Node: "n1", Queue: NewMemoryQueue(), Relations: NewMemoryRelations(), Notifier: deaf{}, Hooks: &counting{}, Pools: []PoolConfig{{Name: "video"}}}
	}
	for name, spoil := range map[string]func(*Config){
		"no node":        func(c *Config) { c.Node = "" },
		"no queue":       func(c *Config) { c.Queue = nil },
		"no pools":       func(c *Config) { c.Pools = nil },
		"pool twice":     func(c *Config) { c.Pools = append(c.Pools, c.Pools[0]) },
		"pool name":      func(c *Config) { c.Pools = []PoolConfig{{Name: "a b"}} },
		"mode":           func(c *Config) { c.Pools[0].Mode = "smell" },
		"trait":          func(c *Config) { c.Pools[0].Traits = []string{"_"} },
		"trait twice":    func(c *Config) { c.Pools[0].Traits = []string{"f", "f"} },
		"traits":         func(c *Config) { c.Pools[0].Traits = []string{"a", "b", "c", "d", "e"} },
		"late schedule":  func(c *Config) { c.Pools[0].Schedule = []Step{{time.Second, protocol.ReachTags}} },
		"reach":          func(c *Config) { c.Pools[0].Schedule = []Step{{0, "everywhere"}} },
		"narrowing":      func(c *Config) { c.Pools[0].Schedule = []Step{{0, protocol.ReachAnyone}, {1, protocol.ReachTags}} },
		"hold":           func(c *Config) { c.Hold = time.Second },
		"slow reconcile": func(c *Config) { c.Reconcile = time.Minute },
		"look":           func(c *Config) { c.Look = -1 },
	} {
		c := good()
		spoil(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	m, err := New(good())
	if err != nil {
		t.Fatal(err)
	}
	p := m.Pools()[0]
	if p.Name != "video" || p.Mode != protocol.ModeVideo || p.Traits == nil || len(p.Schedule) != 3 || p.Schedule[2] != (protocol.Widen{AfterMS: 15000, Reach: protocol.ReachAnyone}) {
		t.Errorf("%+v", p)
	}
	if _, err := m.Find(t.Context(), Asker{"s", "u", ""}, Profile{}); protocol.CodeOf(err) != protocol.CodeUnavailable {
		t.Errorf("find before start: %v", err)
	}
	if err := m.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// The crew does what it is given, no more at a time than it may, and all of what
// it began before it closes.
func TestCrew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(3)
		var mu sync.Mutex
		running, most, done := 0, 0, 0
		for range 20 {
			c.do(func() {
				mu.Lock()
				running++
				most = max(most, running)
				mu.Unlock()
				<-time.After(time.Second)
				mu.Lock()
				running--
				done++
				mu.Unlock()
			})
		}
		testenv.Elapse(5500 * time.Millisecond)
		c.close()
		c.do(func() { t.Error("done after close") })
		if most != 3 || done != 18 || running != 0 {
			t.Errorf("%d at a time, %d done, %d running", most, done, running)
		}
	})
}
