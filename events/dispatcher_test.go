package events_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rondo-chat/rondo/events"
	"github.com/rondo-chat/rondo/events/eventstest"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// fake is a sink in memory.
type fake struct {
	mu     sync.Mutex
	got    []events.Event
	tries  []time.Time
	says   func(e events.Event) error // nil: takes everything
	took   time.Duration
	rooms  map[protocol.RoomID]int
	closed bool
}

func (f *fake) Deliver(ctx context.Context, list []events.Event) (int, error) {
	f.mu.Lock()
	f.tries = append(f.tries, time.Now())
	says, took := f.says, f.took
	f.mu.Unlock()
	for i, e := range list {
		if says != nil {
			if err := says(e); err != nil {
				return i, err
			}
		}
		select {
		case <-time.After(took):
		case <-ctx.Done():
			return i, ctx.Err()
		}
		f.mu.Lock()
		f.got = append(f.got, e)
		f.mu.Unlock()
	}
	return len(list), nil
}

func (f *fake) Present(_ context.Context, room protocol.RoomID, p protocol.ConvPresence) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rooms == nil {
		f.rooms = map[protocol.RoomID]int{}
	}
	f.rooms[room] = p.Online
	return nil
}

func (f *fake) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
}

func (f *fake) answer(says func(events.Event) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.says = says
}

func (f *fake) ids() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	ids := []string{}
	for _, e := range f.got {
		ids = append(ids, e.ID)
	}
	return ids
}

func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.tries)
}

func start(t *testing.T, cfg events.Config) *events.Dispatcher {
	t.Helper()
	d, err := events.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	d.Start()
	return d
}

func sub(name string, f *fake) events.Subscription { return events.Subscription{Name: name, Sink: f} }

func say(log *eventstest.Log, room, n int) (ids []string) {
	for i := range n {
		log.Say(eventstest.Room(room), fmt.Sprint(i))
		ids = append(ids, fmt.Sprintf("%s:%d", eventstest.Room(room), i+1))
	}
	return ids
}

// TestOneSinkIsAway: for six hours, while the other gets everything at once; then it gets everything in order.
func TestOneSinkIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, here, away := eventstest.NewLog(), &fake{}, &fake{}
		away.answer(func(events.Event) error { return errors.New("no route") })
		reg := prometheus.NewPedanticRegistry()
		d := start(t, events.Config{Log: log.Node("a"), Poll: 10 * time.Second, Sinks: []events.Subscription{sub("here", here), sub("away", away)}, Registerer: reg})
		defer d.Close()
		want := say(log, 1, 250)
		d.Wake()
		testenv.Elapse(time.Second)
		if !slices.Equal(here.ids(), want) {
			t.Fatalf("%d events came, want %d in order", len(here.ids()), len(want))
		}
		testenv.Elapse(6 * time.Hour)
		if n := away.count(); n < 6*60 || n > 2*6*60 {
			t.Errorf("%d tries in six hours, want one or two a minute", n)
		}
		if lag := gauge(t, reg, "rondo_events_lag_seconds", "away"); lag < 5*3600 {
			t.Errorf("lag %v s", lag)
		}
		if c := log.At("away"); c.Pos != 0 || c.Error != "no route" {
			t.Errorf("cursor %+v", c)
		}
		away.answer(nil)
		testenv.Elapse(2 * time.Minute)
		if !slices.Equal(away.ids(), want) {
			t.Fatalf("%d events came, want %d in order", len(away.ids()), len(want))
		}
		if lag := gauge(t, reg, "rondo_events_lag_seconds", "away"); lag != 0 {
			t.Errorf("lag %v s after all came", lag)
		}
	})
}

func gauge(t *testing.T, reg *prometheus.Registry, name, sink string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == sink {
				return m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no %s of %s", name, sink)
	return 0
}

// TestDeadLetters: what is refused is tried Tries times and put aside with its reason; what follows comes; a
// replay brings it when it is taken.
func TestDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, sink := eventstest.NewLog(), &fake{}
		reg := prometheus.NewPedanticRegistry()
		bad := fmt.Sprintf("%s:3", eventstest.Room(1))
		refusals := 0
		sink.answer(func(e events.Event) error {
			if e.ID == bad {
				refusals++
				return &events.Refused{Reason: "413"}
			}
			return nil
		})
		d := start(t, events.Config{Log: log.Node("a"), Sinks: []events.Subscription{sub("s", sink)}, Tries: 4, Registerer: reg})
		defer d.Close()
		want := say(log, 1, 6)
		testenv.Elapse(time.Minute)
		want = slices.DeleteFunc(want, func(id string) bool { return id == bad })
		if got := sink.ids(); !slices.Equal(got, want) || refusals != 4 {
			t.Fatalf("%d refusals, came %q", refusals, got)
		}
		letters, _ := log.Letters(t.Context(), "s", 10)
		if len(letters) != 1 || letters[0].Row.Seq != 3 || letters[0].Reason != "refused: 413" {
			t.Fatalf("dead letters %+v", letters)
		}
		if n := testutil.CollectAndCount(reg, "rondo_events_dead_letters_total"); n != 1 {
			t.Errorf("%d series of dead letters", n)
		}
		if n, err := events.Replay(t.Context(), log, sub("s", sink)); n != 0 || err == nil {
			t.Fatalf("replay of what is still refused: %d, %v", n, err)
		}
		sink.answer(nil)
		if n, err := events.Replay(t.Context(), log, sub("s", sink)); n != 1 || err != nil {
			t.Fatalf("replay: %d, %v", n, err)
		}
		if letters, _ := log.Letters(t.Context(), "s", 10); len(letters) != 0 || sink.ids()[5] != bad {
			t.Fatalf("after the replay: %v, %q", letters, sink.ids())
		}
	})
}

// TestUnreadableRow: becomes a dead letter at its turn.
func TestUnreadableRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, sink := eventstest.NewLog(), &fake{}
		want := say(log, 1, 2)
		log.Say(eventstest.Room(2), "x")
		log.Break()
		want = append(want, say(log, 3, 2)...)
		d := start(t, events.Config{Log: log.Node("a"), Sinks: []events.Subscription{sub("s", sink)}})
		defer d.Close()
		testenv.Elapse(time.Second)
		letters, _ := log.Letters(t.Context(), "s", 10)
		if got := sink.ids(); !slices.Equal(got, want) || len(letters) != 1 {
			t.Fatalf("came %q, letters %v", got, letters)
		}
	})
}

// TestNodes: one serves, the other takes over at once after a Close, and after the lease when the first dies.
// One that was cut off notes nothing after it lost the lease.
func TestNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, sink := eventstest.NewLog(), &fake{}
		nodes := []*eventstest.Node{log.Node("a"), log.Node("b"), log.Node("c")}
		var all []*events.Dispatcher
		for _, n := range nodes {
			all = append(all, start(t, events.Config{Log: n, Sinks: []events.Subscription{sub("s", sink)}, Lease: 30 * time.Second}))
			testenv.Elapse(time.Second)
		}
		want := say(log, 1, 10)
		testenv.Elapse(time.Second)
		if log.Server("s") != "a" || !slices.Equal(sink.ids(), want) {
			t.Fatalf("%s serves, came %q", log.Server("s"), sink.ids())
		}
		all[0].Close()
		testenv.Elapse(11 * time.Second)
		second := log.Server("s")
		if second != "b" && second != "c" {
			t.Fatalf("after a Close %q serves", second)
		}
		i := map[string]int{"b": 1, "c": 2}[second]
		nodes[i].Cut()
		want = append(want, say(log, 2, 10)...)
		testenv.Elapse(45 * time.Second)
		if third := log.Server("s"); third == second || third == "" || !slices.Equal(sink.ids(), want) {
			t.Fatalf("after a death %q serves, came %q", third, sink.ids())
		}
		nodes[i].Mend()
		want = append(want, say(log, 3, 10)...)
		testenv.Elapse(45 * time.Second)
		if log.Server("s") == second || !slices.Equal(sink.ids(), want) {
			t.Fatalf("%q serves, came %q", log.Server("s"), sink.ids())
		}
		all[1].Close()
		all[2].Close()
	})
}

// TestSlowSinkKeepsItsLease: a handing over ends before the lease does.
func TestSlowSinkKeepsItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, slow, other := eventstest.NewLog(), &fake{took: 4 * time.Second}, &fake{}
		a := start(t, events.Config{Log: log.Node("a"), Sinks: []events.Subscription{sub("s", slow)}})
		testenv.Elapse(time.Second)
		b := start(t, events.Config{Log: log.Node("b"), Sinks: []events.Subscription{sub("s", other)}})
		want := say(log, 1, 60)
		testenv.Elapse(10 * time.Minute)
		if got := slow.ids(); !slices.Equal(got, want) || len(other.ids()) > 0 {
			t.Fatalf("the slow one got %d of %d in order, the other %d", len(got), len(want), len(other.ids()))
		}
		a.Close()
		b.Close()
	})
}

// TestWhatASinkGets: topics only, unless it is said otherwise; types as chosen.
func TestWhatASinkGets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := eventstest.NewLog()
		topic, group := eventstest.Room(1), eventstest.Room(2)
		log.Kind(group, protocol.ConvGroup)
		log.Kind(eventstest.Room(3), "") // gone
		for _, room := range []protocol.RoomID{topic, group, eventstest.Room(3)} {
			log.Say(room, "x")
			log.Add(protocol.ConvEvent{Room: room, Person: &protocol.ConvPerson{ID: "u_1"}})
		}
		log.Add(protocol.ConvEvent{Room: group, Conversation: &protocol.Conversation{ID: group, Kind: protocol.ConvGroup}})
		public, people, all := &fake{}, &fake{}, &fake{}
		subs := []events.Subscription{sub("public", public), sub("people", people), sub("all", all)}
		subs[1].Types, subs[2].Private = []events.Type{events.Person}, true
		d := start(t, events.Config{Log: log.Node("a"), Sinks: subs})
		defer d.Close()
		testenv.Elapse(time.Second)
		t1, t2 := string(topic)+":1", string(topic)+":2"
		if got := public.ids(); !slices.Equal(got, []string{t1, t2}) {
			t.Errorf("topics only: %q", got)
		}
		if got := people.ids(); !slices.Equal(got, []string{t2}) {
			t.Errorf("people of topics: %q", got)
		}
		if got := all.ids(); len(got) != 7 {
			t.Errorf("all: %q", got)
		}
		for _, name := range d.Names() {
			if log.At(name).Pos != log.Head() {
				t.Errorf("the cursor of %s does not pass what it does not want: %+v", name, log.At(name))
			}
		}
	})
}

// TestLater: a sink that says when is asked then, not before.
func TestLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, sink := eventstest.NewLog(), &fake{}
		sink.answer(func(events.Event) error { return &events.Later{After: 40 * time.Second, Reason: "429"} })
		d := start(t, events.Config{Log: log.Node("a"), Sinks: []events.Subscription{sub("s", sink)}})
		defer d.Close()
		say(log, 1, 1)
		testenv.Elapse(39 * time.Second)
		if n := sink.count(); n != 1 {
			t.Fatalf("%d tries within 39 s", n)
		}
		testenv.Elapse(3 * time.Second)
		if n := sink.count(); n != 2 {
			t.Fatalf("%d tries within 42 s", n)
		}
	})
}

// TestTakingOverAFailure: a node that takes over keeps to the pause, unless another's clock made it, and goes on
// with one event.
func TestTakingOverAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct{ next, within time.Duration }{{40 * time.Second, 45 * time.Second}, {10 * time.Hour, time.Second}} {
			log, sink, first := eventstest.NewLog(), &fake{}, 0
			say(log, 1, 10)
			log.Put("s", events.Cursor{Tries: 3, Next: time.Now().Add(c.next).UnixMilli()})
			sink.answer(func(e events.Event) error {
				if sink.count() == 1 {
					first++
				}
				return nil
			})
			d := start(t, events.Config{Log: log.Node("a"), Sinks: []events.Subscription{sub("s", sink)}})
			if c.next < time.Minute {
				testenv.Elapse(c.next - time.Second)
				if sink.count() > 0 {
					t.Error("tried before the pause was over")
				}
			}
			testenv.Elapse(c.within)
			if n := len(sink.ids()); n != 10 || first != 1 {
				t.Errorf("next in %v: %d events, %d with the first try", c.next, n, first)
			}
			d.Close()
		}
	})
}

// TestPresent: the latest wins, once a second, of topics only.
func TestPresent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, sink := eventstest.NewLog(), &fake{}
		log.Kind(eventstest.Room(2), protocol.ConvDirect)
		s := sub("s", sink)
		s.Presence = true
		d := start(t, events.Config{Log: log.Node("a"), Sinks: []events.Subscription{s}})
		defer d.Close()
		for i := range 100 {
			d.Present(eventstest.Room(1), protocol.ConvPresence{Online: i})
			d.Present(eventstest.Room(2), protocol.ConvPresence{Online: i})
		}
		testenv.Elapse(2 * time.Second)
		if len(sink.rooms) != 1 || sink.rooms[eventstest.Room(1)] != 99 {
			t.Fatalf("mirrored %v", sink.rooms)
		}
	})
}

func TestConfig(t *testing.T) {
	log := eventstest.NewLog().Node("a")
	for name, cfg := range map[string]events.Config{
		"no log":    {},
		"name":      {Log: log, Sinks: []events.Subscription{{Name: "A", Sink: &fake{}}}},
		"no sink":   {Log: log, Sinks: []events.Subscription{{Name: "a"}}},
		"twice":     {Log: log, Sinks: []events.Subscription{sub("a", &fake{}), sub("a", &fake{})}},
		"type":      {Log: log, Sinks: []events.Subscription{{Name: "a", Sink: &fake{}, Types: []events.Type{"x"}}}},
		"no mirror": {Log: log, Sinks: []events.Subscription{{Name: "a", Sink: struct{ events.Sink }{&fake{}}, Presence: true}}},
		"tries":     {Log: log, Tries: -1},
	} {
		if _, err := events.New(cfg); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
