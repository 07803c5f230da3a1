package chaos

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/client/rtc"
	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// size says how many people a load has.
type size struct {
	pairs   int // in matched rooms; half of them between two nodes
	calls   int // of these pairs: with media
	waiting int // and as many who come late, one for each
	groups  int // named rooms
	members int // of each
}

// load is people who stay where they are while something happens to the service.
type load struct {
	*world
	size  size
	all   []*person
	stop  context.CancelFunc // of the talk
	talks sync.WaitGroup
	reads sync.WaitGroup
	watch *mediaWatch
	ever  []*lab.Node // all that were started
}

// newLoad starts two nodes on redis, with further flags, and lets the people come,
// meet and talk.
func newLoad(t testing.TB, s size, redis string, flags ...string) *load {
	t.Helper()
	l := &load{world: &world{t: t, began: time.Now()}, size: s}
	secret := filepath.Join(t.TempDir(), "secret")
	for i := range 2 {
		l.opts = append(l.opts, lab.Options{Redis: redis, Secret: secret, Args: append([]string{"--turn=false", "--log-level", "info"}, flags...)})
		l.nodes = append(l.nodes, nil)
		l.startNode(i)
	}
	t.Cleanup(func() {
		if t.Failed() {
			l.keep()
		}
		l.end()
	})
	l.come()
	l.meet()
	l.stand()
	l.talk()
	t.Logf("%d people stand after %v", len(l.all), l.now().Round(time.Millisecond))
	return l
}

// startNode starts a node at the i-th place.
func (l *load) startNode(i int) {
	n := lab.Start(l.t, l.opts[i])
	l.ever = append(l.ever, n)
	l.setNode(i, n)
}

// come connects everybody. Of the pairs every other one is of one node.
func (l *load) come() {
	l.t.Helper()
	engine, err := rtc.NewEngine(rtc.EngineConfig{Loopback: true})
	if err != nil {
		l.t.Fatal(err)
	}
	add := func(name string, p part, node int) *person {
		i := len(l.all)
		l.all = append(l.all, &person{w: l.world, wire: &wire{from: lab.DialFrom(i), pick: l.pick(node)},
			d: &diary{name: name, part: p, seats: map[string]string{}, away: map[string]bool{}}})
		return l.all[i]
	}
	for i := range l.size.pairs {
		a, b := add(fmt.Sprintf("call%da", i), caller, i/2), add(fmt.Sprintf("call%db", i), caller, i/2+i%2)
		if i < l.size.calls {
			a.engine, b.engine = engine, engine
		}
	}
	for i := range l.size.groups * l.size.members {
		add(fmt.Sprintf("group%d", i), grouped, i)
	}
	for i := range l.size.waiting {
		w, n := add(fmt.Sprintf("wait%d", i), waiter, i), add(fmt.Sprintf("late%d", i), late, i/2)
		w.d.mate, n.d.mate = n.d.name, w.d.name
	}
	l.each(l.all, func(ctx context.Context, p *person) (err error) {
		p.c, err = client.Dial(ctx, "ws://rondo.invalid/ws", client.Options{Name: p.d.name, NetDial: p.wire.dial, Queue: 2048})
		if err == nil {
			l.reads.Go(p.read)
		}
		return err
	})
}

// each does f for all of them, some at a time.
func (l *load) each(all []*person, f func(ctx context.Context, p *person) error) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 30*time.Second)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(64)
	for _, p := range all {
		g.Go(func() error {
			if err := f(ctx, p); err != nil {
				return fmt.Errorf("%s: %w", p.d.name, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		l.t.Fatal(err)
	}
}

// of returns those who have the part.
func (l *load) of(parts ...part) (these []*person) {
	for _, p := range l.all {
		if slices.Contains(parts, p.d.part) {
			these = append(these, p)
		}
	}
	return these
}

// tag is what a person and its counterpart alone want.
func (p *person) tag() string {
	if p.d.part == caller {
		return p.d.name[:len(p.d.name)-1]
	}
	return p.d.name + p.d.mate
}

// meet lets the pairs meet, the rooms fill and the waiting wait.
func (l *load) meet() {
	l.t.Helper()
	callers := l.of(caller)
	l.each(callers, func(ctx context.Context, p *person) error { return p.ask(ctx, p.tag()) })
	for _, p := range callers {
		l.until(p, "a match", func(*diary) bool { return p.first.room != "" })
	}
	for i := 0; i < len(callers); i += 2 {
		a, b := callers[i], callers[i+1]
		if a.first.room != b.first.room || a.first.you == b.first.you {
			l.t.Fatalf("%s and %s did not meet: %+v %+v", a.d.name, b.d.name, a.first, b.first)
		}
		l.sit(a.first.room, map[*person]string{a: a.first.you, b: b.first.you})
	}
	groups := l.of(grouped)
	for i := range l.size.groups {
		l.fill(groups[i*l.size.members : (i+1)*l.size.members])
	}
	l.each(l.of(waiter), func(ctx context.Context, p *person) error { return p.ask(ctx, p.tag()) })
}

// sit writes down who sits where.
func (l *load) sit(room string, seats map[*person]string) {
	for p := range seats {
		p.locked(func(d *diary) {
			d.room, d.you, d.asked = room, seats[p], 0
			for q, seat := range seats {
				d.seats[seat] = q.d.name
			}
		})
	}
}

// fill makes a named room of these people.
func (l *load) fill(these []*person) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 20*time.Second)
	defer cancel()
	st, err := these[0].c.Create(ctx, protocol.RoomCreate{Name: "r", Passcode: "sesame"})
	if err != nil {
		l.t.Fatal(err)
	}
	seats := map[*person]string{these[0]: string(st.You)}
	for _, p := range these[1:] {
		st, err := p.c.Join(ctx, st.Room, "sesame")
		if err != nil {
			l.t.Fatal(err)
		}
		seats[p] = string(st.You)
	}
	for i, p := range these {
		came := len(these) - 1 - i
		l.until(p, "the others", func(d *diary) bool {
			if p.joined > came {
				d.bad = append(d.bad, fmt.Sprintf("%d came to its room, and %d were told of", came, p.joined))
			}
			return p.joined >= came
		})
	}
	l.sit(string(st.Room), seats)
}

// until waits until f, called with p's lock, holds.
func (l *load) until(p *person, what string, f func(d *diary) bool) {
	l.t.Helper()
	testenv.Eventually(l.t, 20*time.Second, func() (ok bool) {
		p.locked(func(d *diary) { ok = f(d) })
		return ok
	}, "%s: %s", p.d.name, what)
}

// stand writes down how things are before the trouble.
func (l *load) stand() {
	at := map[string]string{} // nodes by name
	for _, p := range l.all {
		at[p.d.name] = p.atNode()
	}
	for _, p := range l.all {
		p.locked(func(d *diary) {
			p.stands, d.sid, d.local = true, string(p.c.Welcome().SID), true
			for _, name := range d.seats {
				d.local = d.local && at[name] == at[d.name]
			}
		})
	}
}

// talk lets everybody in a room talk until quiet.
func (l *load) talk() {
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	for _, p := range l.of(caller, grouped) {
		if p.d.part == caller {
			l.talks.Go(func() { p.talk(ctx, signals, 2*time.Second) })
		}
		l.talks.Go(func() { p.talk(ctx, chats, 4*time.Second) })
	}
	l.watch = l.watchMedia()
}

// quiet ends the talk and waits until all that was acknowledged has arrived; what
// has not after some time is lost.
func (l *load) quiet() {
	l.stop()
	l.talks.Wait()
	deadline := time.After(5 * time.Second)
	for {
		if v := judge(l.diaries(), 0); v.lost == 0 {
			return
		}
		select {
		case <-deadline:
			return
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// diaries returns copies of the diaries.
func (l *load) diaries() (all []*diary) {
	for _, p := range l.all {
		if p.c == nil {
			continue // it did not get in
		}
		sid := string(p.c.Welcome().SID)
		p.locked(func(d *diary) {
			c := *d
			c.endSID = sid
			for s := range streams {
				c.sent[s], c.got[s] = slices.Clone(d.sent[s]), slices.Clone(d.got[s])
			}
			c.met, c.bad, c.away = slices.Clone(d.met), slices.Clone(d.bad), map[string]bool{}
			for seat, away := range d.away {
				c.away[seat] = away
			}
			all = append(all, &c)
		})
	}
	return all
}

// matchLate lets a counterpart come for everybody who waits, all at once, and
// waits until they have met, for a while.
func (l *load) matchLate() {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 15*time.Second)
	defer cancel()
	var g errgroup.Group
	for _, p := range l.of(late) {
		g.Go(func() error { return p.ask(ctx, p.d.mate+p.d.name) })
	}
	if err := g.Wait(); err != nil {
		l.t.Error(err)
	}
	for ctx.Err() == nil {
		n := 0
		for _, p := range l.of(waiter, late) {
			p.locked(func(d *diary) { n += min(1, len(d.met)) })
		}
		if n == 2*l.size.waiting {
			return
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// untilBack waits until everybody has a socket, and none at the node.
func (l *load) untilBack(node protocol.NodeID) {
	for _, p := range l.all {
		deadline := time.Now().Add(20 * time.Second)
		for !p.movedFrom(node) {
			if time.Now().After(deadline) {
				l.t.Errorf("%s is not back", p.d.name)
				return
			}
			pause(l.t.Context(), 5*time.Millisecond)
		}
	}
}

// end closes all clients.
func (l *load) end() {
	if l.stop != nil {
		l.stop()
		l.talks.Wait()
		l.watch.end()
	}
	var g errgroup.Group
	g.SetLimit(128)
	for _, p := range l.all {
		if p.c != nil {
			g.Go(p.end)
		}
	}
	_ = g.Wait() // Close has no error
	l.reads.Wait()
}

// keep writes down what a failed run knows: the nodes' logs and the verdict.
func (l *load) keep() {
	v := judge(l.diaries(), 0)
	dir := filepath.Join(os.TempDir(), "rondo-load-"+filepath.Base(l.t.Name()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		l.t.Log(err)
		return
	}
	files := map[string]string{"found.txt": strings.Join(v.found, "\n") + "\n"}
	for i, n := range l.ever {
		files[fmt.Sprintf("node%d.log", i)] = n.Output()
	}
	var b strings.Builder
	for _, d := range l.diaries() {
		fmt.Fprintf(&b, "%+v\n", *d)
	}
	files["diaries.txt"] = b.String()
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			l.t.Log(err)
		}
	}
	l.t.Logf("logs of the nodes, diaries, all findings: %s", dir)
}

// mediaWatch looks whether packets come at every peer of a call.
type mediaWatch struct {
	stop context.CancelFunc
	done chan struct{}
	gaps []time.Duration // the longest of each peer; read after done
}

// watchMedia waits until packets come everywhere, then watches them.
func (l *load) watchMedia() *mediaWatch {
	l.t.Helper()
	var peers []*rtc.Peer
	for _, p := range l.all {
		if p.engine == nil {
			continue
		}
		m := p.media.Load()
		if m == nil {
			l.t.Fatalf("%s has no call", p.d.name)
		}
		testenv.Eventually(l.t, 20*time.Second, func() bool { return m.Counts().Frames >= 3 }, "%s: video", p.d.name)
		peers = append(peers, m)
	}
	ctx, stop := context.WithCancel(context.Background())
	w := &mediaWatch{stop: stop, done: make(chan struct{}), gaps: make([]time.Duration, len(peers))}
	go func() {
		defer close(w.done)
		count, since := make([]uint64, len(peers)), make([]time.Time, len(peers))
		for i := range peers {
			since[i] = time.Now()
		}
		for ctx.Err() == nil {
			for i, m := range peers {
				now := time.Now()
				w.gaps[i] = max(w.gaps[i], now.Sub(since[i]))
				if n := m.Counts().Packets; n > count[i] {
					count[i], since[i] = n, now
				}
			}
			pause(ctx, 20*time.Millisecond)
		}
	}()
	return w
}

// end returns the longest gap of each peer.
func (w *mediaWatch) end() []time.Duration {
	w.stop()
	<-w.done
	return w.gaps
}
