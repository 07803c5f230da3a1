package signaling

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// town is hubs that share a store and can reach each other.
type town struct {
	store *MemoryStore
	rigs  []*rig
	mute  []*atomic.Bool // the hub hears nothing and its messages are lost
	wg    sync.WaitGroup
}

type townWire struct {
	town *town
	from int
}

func (w townWire) Notify(to protocol.NodeID, _ string, payload []byte) error {
	for i, r := range w.town.rigs {
		if r.hub.cfg.Node == to && !w.town.mute[i].Load() && !w.town.mute[w.from].Load() {
			w.town.wg.Go(func() { r.hub.Receive(w.town.rigs[w.from].hub.cfg.Node, payload) })
		}
	}
	return nil
}

func newTown(t *testing.T, n int, change func(int, *Config)) *town {
	t.Helper()
	v := &town{store: NewMemoryStore()}
	t.Cleanup(v.wg.Wait)
	for i := range n {
		v.mute = append(v.mute, &atomic.Bool{})
		v.rigs = append(v.rigs, newRig(t, func(c *Config) {
			c.Node = protocol.NodeID(fmt.Sprintf("n%d", i+1))
			c.Store, c.Notifier = v.store, townWire{v, i}
			if change != nil {
				change(i, c)
			}
		}))
	}
	return v
}

func (c *client) resumes(token string, seq uint64) protocol.Resumed {
	c.t.Helper()
	c.send(fmt.Sprintf(`{"t":"resume","id":1,"d":{"token":%q,"seq":%d}}`, token, seq))
	m := c.wants("resumed")
	var d protocol.Resumed
	if err := json.Unmarshal(m.D, &d); err != nil {
		c.t.Fatal(m.raw, err)
	}
	return d
}

func (c *client) wantsPushes(types ...string) {
	c.t.Helper()
	for i, want := range types {
		if m := c.next(); m.T != want {
			c.t.Fatalf("push %d is %s, want %s", i, m.raw, want)
		}
	}
}

// TestMovesWithEverything: the client comes to another node while its old socket
// still stands.
func TestMovesWithEverything(t *testing.T) {
	var runs atomic.Int32
	v := newTown(t, 2, func(_ int, c *Config) {
		c.Handlers["count"] = Handler{Serve: func(context.Context, *Session, *protocol.Message) (any, error) {
			return map[string]int32{"n": runs.Add(1)}, nil
		}}
	})
	a, b := v.rigs[0], v.rigs[1]
	c := a.dial()
	w := c.hello("Ann")
	s := a.session(w)
	s.SetNote([]byte("note"))
	s.Push(Push{Type: "one"})
	c.wants("one")
	c.send(`{"t":"count","id":7}`)
	c.wants("ok")
	s.Push(Push{Type: "two"})
	s.Push(Push{Type: "chat", Room: "r", Class: Ordered})
	s.Push(Push{Type: "three"})
	d := b.dial()
	r := d.resumes(w.Resume.Token, 1)
	if r.SID != w.SID || r.Node != "n2" || r.Seq != 3 || r.Replayed != 2 || r.Resync || r.State != nil {
		t.Fatalf("%+v", r)
	}
	d.wantsPushes("two", "chat", "three")
	c.closes(protocol.CloseReplaced, "replaced")
	a.sees("opened away moved(n2)")
	b.sees("restored(note,false,true)")
	if s.Push(Push{Type: "late"}) {
		t.Error("a push for a session that moved was taken")
	}
	if _, ok := a.hub.Lookup(w.SID); ok {
		t.Error("the old node still has it")
	}
	d.send(`{"t":"count","id":7}`) // its answer was lost with the socket
	if m := d.wants("ok"); string(m.D) != `{"n":1}` || runs.Load() != 1 {
		t.Errorf("asked again: %s after %d runs", m.raw, runs.Load())
	}
	if got := b.session(w).User(); got != w.User {
		t.Errorf("user %+v, was %+v", got, w.User)
	}
	// And back again.
	b.session(w).Push(Push{Type: "four"})
	d.wants("four")
	_ = d.ws.NetConn().Close()
	b.sees("restored(note,false,true) away")
	b.session(w).Push(Push{Type: "five"})
	e := a.dial()
	if r := e.resumes(r.Resume.Token, 4); r.Seq != 5 || r.Replayed != 1 || r.Node != "n1" {
		t.Fatalf("%+v", r)
	}
	e.wantsPushes("five")
	e.send(`{"t":"bye"}`)
	e.closes(1000, "bye")
	a.sees("opened away moved(n2) restored(note,false,true) closed(bye)")
	if rec, _, _ := v.store.Load(t.Context(), w.SID); rec != nil {
		t.Errorf("after bye: %+v", rec)
	}
}

// TestNodeDies: nobody answers for it, and its lease still runs.
func TestNodeDies(t *testing.T) {
	v := newTown(t, 2, func(_ int, c *Config) {
		c.Limits.Handover = 50 * time.Millisecond
		c.State = func(context.Context, *Session) *protocol.State { return &protocol.State{} }
	})
	a, b := v.rigs[0], v.rigs[1]
	c := a.dial()
	w := c.hello("Ann")
	s := a.session(w)
	s.SetNote([]byte("seat"))
	testenv.Eventually(t, patience, func() bool { r, _, _ := v.store.Load(t.Context(), w.SID); return string(r.Note) == "seat" }, "the note is stored")
	for range 3 { // the store does not know of these
		s.Push(Push{Type: "x"})
		c.wants("x")
	}
	v.mute[0].Store(true)
	d := b.dial()
	r := d.resumes(w.Resume.Token, 3)
	if !r.Resync || r.State == nil || r.Seq <= 3 || r.State.User != w.User {
		t.Fatalf("%+v", r)
	}
	b.sees("restored(seat,false,false)")
	b.session(w).Push(Push{Type: "y"})
	if m := d.wants("y"); m.Seq != r.Seq+1 {
		t.Errorf("push %d after %d", m.Seq, r.Seq)
	}
	// The old node comes back: it finds out and does nothing for the session.
	v.mute[0].Store(false)
	s.SetNote([]byte("stale"))
	c.closes(protocol.CloseReplaced, "replaced")
	a.sees("opened away moved()")
	if rec, _, _ := v.store.Load(t.Context(), w.SID); rec.Node != "n2" || string(rec.Note) != "seat" {
		t.Errorf("%+v", rec)
	}
	// Nor is the first token worth anything, anywhere, now that the client has another.
	d.send(`{"t":"ping"}`)
	d.wants("pong")
	for _, rig := range v.rigs {
		e := rig.dial()
		e.send(`{"t":"resume","id":1,"d":{"token":"` + w.Resume.Token + `","seq":3}}`)
		if m := e.wants("err"); m.E.Code != "resume_expired" && !(rig == a && m.E.Code == "unavailable") {
			t.Errorf("the used token at %s: %s", rig.hub.cfg.Node, m.raw)
		}
	}
}

// TestAwayAtADeadNode: what came while it was away was stored.
func TestAwayAtADeadNode(t *testing.T) {
	v := newTown(t, 2, func(_ int, c *Config) { c.Limits.Handover = 50 * time.Millisecond })
	a, b := v.rigs[0], v.rigs[1]
	c := a.dial()
	w := c.hello("Ann")
	_ = c.ws.NetConn().Close()
	a.sees("opened away")
	a.session(w).Push(Push{Type: "one"})
	a.session(w).Push(Push{Type: "two"})
	testenv.Eventually(t, patience, func() bool {
		r, _, _ := v.store.Load(t.Context(), w.SID)
		return r.Rest != nil && len(r.Rest.Ring) == 2
	}, "the pushes are stored")
	v.mute[0].Store(true)
	d := b.dial()
	if r := d.resumes(w.Resume.Token, 0); r.Resync || r.Replayed != 2 {
		t.Fatalf("%+v", r)
	}
	d.wantsPushes("one", "two")
}

// TestOneOfTwoWins: two nodes want one session with one token.
func TestOneOfTwoWins(t *testing.T) {
	for _, dead := range []bool{false, true} {
		t.Run(fmt.Sprintf("dead=%v", dead), func(t *testing.T) {
			v := newTown(t, 3, func(_ int, c *Config) { c.Limits.Handover = 200 * time.Millisecond })
			for range 5 {
				v.mute[0].Store(false)
				w := v.rigs[0].dial().hello("Ann")
				v.mute[0].Store(dead)
				var tries [2]*client
				var answers [2]string
				var wg sync.WaitGroup
				for i, r := range v.rigs[1:] {
					c := r.dial()
					tries[i] = c
					wg.Go(func() {
						_ = c.ws.WriteMessage(1, []byte(`{"t":"resume","id":1,"d":{"token":"`+w.Resume.Token+`","seq":0}}`))
						m, err := c.read()
						answers[i] = m.T + m.E.Code + fmt.Sprint(err)
					})
				}
				wg.Wait()
				has := 0
				for i, got := range answers {
					switch got {
					case "resumed<nil>":
						_ = tries[i].ws.WriteMessage(1, []byte(`{"t":"ping"}`))
						if m, err := tries[i].read(); err == nil && m.T == "pong" {
							has++
						} else if !websocket.IsCloseError(err, int(protocol.CloseReplaced)) {
							t.Errorf("%v %v", m.raw, err)
						}
					case "errresume_expired<nil>", "errunavailable<nil>":
					default:
						t.Errorf("the other one got %q", got)
					}
				}
				if has != 1 {
					t.Fatalf("%d of two have it: %q", has, answers)
				}
			}
		})
	}
}

// slowSaves is a store whose Saves wait, as in flight.
type slowSaves struct {
	*MemoryStore
	slow    atomic.Bool
	waiting chan struct{} // one for each Save that waits
	free    chan struct{} // closed: they go on
}

func (s *slowSaves) Save(ctx context.Context, ttl time.Duration, list []*Record) ([]bool, error) {
	if s.slow.CompareAndSwap(true, false) {
		s.waiting <- struct{}{}
		<-s.free
	}
	return s.MemoryStore.Save(ctx, ttl, list)
}

// TestLateSave: a state that was on its way to the store while the session was
// resumed, and so arrives after the newer one, takes nothing from the client.
func TestLateSave(t *testing.T) {
	store := &slowSaves{MemoryStore: NewMemoryStore(), waiting: make(chan struct{}), free: make(chan struct{})}
	r := newRig(t, func(c *Config) { c.Store, c.Notifier = store, townWire{town: &town{}} })
	c := r.dial()
	w := c.hello("Ann")
	store.slow.Store(true)
	r.session(w).SetNote([]byte("note"))
	<-store.waiting
	d := r.dial()
	d.resumes(w.Resume.Token, 0)
	close(store.free)
	for range 20 {
		r.session(w).SetNote([]byte("again"))
		d.send(`{"t":"nonsense","id":9}`)
		d.wants("err")
	}
	if all := r.seen.all(); strings.Contains(all, "moved") {
		t.Error(all)
	}
}

// TestFencedWhileResumed: whoever hears that the session is another node's leaves
// no socket that nobody listens to.
func TestFencedWhileResumed(t *testing.T) {
	v := newTown(t, 1, nil)
	a := v.rigs[0]
	c := a.dial()
	w := c.hello("Ann")
	s := a.session(w)
	_ = s.acquire(t.Context())
	queued := func(n int) {
		testenv.Eventually(t, patience, func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.queue) >= n
		}, "%d wait for the turn", n)
	}
	d := a.dial()
	d.send(fmt.Sprintf(`{"t":"resume","id":1,"d":{"token":%q,"seq":0}}`, w.Resume.Token))
	c.closes(protocol.CloseReplaced, "replaced")
	queued(2) // the resume, and then the end of the old socket
	v.wg.Go(s.fenced)
	queued(3)
	s.release()
	if m := d.next(); m.T != "resumed" {
		t.Fatal(m.raw)
	}
	_ = d.ws.WriteMessage(1, []byte(`{"t":"nonsense","id":9}`))
	if _, err := d.read(); os.IsTimeout(err) { // an answer, or the end: both are well
		t.Error("nobody listens to the new socket")
	}
}

// TestLateQuestion: a question that was under way for long is for nobody.
func TestLateQuestion(t *testing.T) {
	v := newTown(t, 1, nil)
	a := v.rigs[0]
	c := a.dial()
	w := c.hello("Ann")
	for _, ago := range []time.Duration{time.Minute, 0} {
		b, err := json.Marshal(handover{Number: 1, Session: w.SID, Gen: 1, Asked: time.Now().Add(-ago).UnixMilli()})
		if err != nil {
			t.Fatal(err)
		}
		a.hub.Receive("n2", b)
		if ago > 0 {
			c.send(`{"t":"ping"}`)
			c.wants("pong")
		}
	}
	c.closes(protocol.CloseReplaced, "replaced")
}

// TestStoreLosesEverything: it was restarted, and nobody noticed but by what is
// not there any more. All sessions are stored again with the next renewal.
func TestStoreLosesEverything(t *testing.T) {
	v := newTown(t, 1, nil)
	a := v.rigs[0]
	var all []protocol.Welcome
	for range 3 * renewSample {
		all = append(all, a.dial().hello("Ann"))
	}
	v.store.mu.Lock()
	clear(v.store.records)
	v.store.mu.Unlock()
	testenv.Eventually(t, a.hub.cfg.Limits.Lease, func() bool {
		for _, w := range all {
			if r, _, err := v.store.Load(t.Context(), w.SID); r == nil || err != nil {
				return false
			}
		}
		return true
	}, "the sessions are stored again")
}

// TestStoreForgetsAMove: the store is as it was before the session came here. The
// node it came from is dead; the client notices nothing, and can go on elsewhere.
func TestStoreForgetsAMove(t *testing.T) {
	v := newTown(t, 3, func(_ int, c *Config) { c.Limits.Handover = 50 * time.Millisecond })
	w := v.rigs[0].dial().hello("Ann")
	old, _, err := v.store.Load(t.Context(), w.SID)
	if err != nil {
		t.Fatal(err)
	}
	v.mute[0].Store(true)
	c := v.rigs[1].dial()
	r := c.resumes(w.Resume.Token, 0)
	c.send(`{"t":"ping"}`)
	c.wants("pong")
	v.store.mu.Lock()
	v.store.records[w.SID] = memoryRecord{*old, time.Now().Add(time.Minute)}
	v.store.mu.Unlock()
	testenv.Eventually(t, v.rigs[1].hub.cfg.Limits.Lease, func() bool {
		rec, _, _ := v.store.Load(t.Context(), w.SID)
		return rec.Node == "n2"
	}, "the record is put back")
	c.send(`{"t":"ping"}`)
	c.wants("pong")
	d := v.rigs[2].dial()
	d.resumes(r.Resume.Token, 0)
	c.closes(protocol.CloseReplaced, "replaced")
}

// TestStoppedNodeSleeps: a process that was stopped for longer than its lease
// handles nothing before it has asked.
func TestStoppedNodeSleeps(t *testing.T) {
	var runs atomic.Int32
	v := newTown(t, 2, func(_ int, c *Config) {
		c.Handlers["count"] = Handler{Serve: func(context.Context, *Session, *protocol.Message) (any, error) {
			runs.Add(1)
			return nil, nil
		}}
	})
	a := v.rigs[0]
	c := a.dial()
	w := c.hello("Ann")
	if r, err := v.store.Take(t.Context(), time.Minute, w.SID, 1, "n1", "n2"); r == nil || err != nil {
		t.Fatal(r, err)
	}
	a.hub.keeper.asked.Store(int64(a.hub.clock() - time.Hour))
	c.send(`{"t":"count","id":2}`)
	if before := c.closes(protocol.CloseReplaced, "replaced"); len(before) != 0 || runs.Load() != 0 {
		t.Fatalf("it answered %v and ran %d handlers", before, runs.Load())
	}
	a.sees("opened away moved()")
}

// TestCloseShelves: the hub closes, and another node goes on with its sessions.
func TestCloseShelves(t *testing.T) {
	v := newTown(t, 2, nil)
	a, b := v.rigs[0], v.rigs[1]
	here, gone := a.dial(), a.dial()
	w1, w2 := here.hello("Ann"), gone.hello("Bo")
	_ = gone.ws.NetConn().Close()
	a.sees("opened opened away")
	a.session(w1).SetNote([]byte("1"))
	a.session(w2).SetNote([]byte("2"))
	a.session(w1).Push(Push{Type: "one"})
	a.session(w2).Push(Push{Type: "two"})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := a.hub.Drain(ctx, 0); err != nil {
		t.Fatal(err)
	}
	if err := a.hub.Close(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(a.seen.all(), "closed") || strings.Count(a.seen.all(), "moved()") != 2 {
		t.Fatal(a.seen.all())
	}
	for i, w := range []protocol.Welcome{w1, w2} {
		c := b.dial()
		if r := c.resumes(w.Resume.Token, 0); r.Resync || r.Replayed != 1 || r.SID != w.SID {
			t.Fatalf("%d: %+v", i, r)
		}
		c.wantsPushes([]string{"one", "two"}[i])
	}
	if !strings.HasPrefix(b.seen.all(), "restored(1,") {
		t.Error(b.seen.all())
	}
}

// TestStoreIsDown: what is local goes on.
func TestStoreIsDown(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Store, c.Notifier = brokenStore{}, townWire{town: &town{}}
	})
	c := r.dial()
	w := c.hello("Ann")
	_ = c.ws.NetConn().Close()
	r.sees("opened away")
	d := r.dial()
	d.resumes(w.Resume.Token, 0)
	d.send(`{"t":"bye"}`)
	d.closes(1000, "bye")
	r.sees("opened away back(false) closed(bye)")
	e := r.dial()
	e.send(`{"t":"resume","id":1,"d":{"token":"` + w.Resume.Token + `","seq":0}}`)
	if m := e.wants("err"); m.E.Code != "unavailable" || m.E.RetryMS == 0 {
		t.Error(m.raw)
	}
}

type brokenStore struct{}

func (brokenStore) Save(context.Context, time.Duration, []*Record) ([]bool, error) {
	return nil, context.DeadlineExceeded
}
func (brokenStore) Load(context.Context, protocol.SessionID) (*Record, bool, error) {
	return nil, false, context.DeadlineExceeded
}
func (brokenStore) Take(context.Context, time.Duration, protocol.SessionID, uint64, protocol.NodeID, protocol.NodeID) (*Record, error) {
	return nil, context.DeadlineExceeded
}
func (brokenStore) Remove(context.Context, protocol.SessionID, protocol.NodeID, uint64) (bool, error) {
	return false, context.DeadlineExceeded
}
func (brokenStore) Renew(context.Context, protocol.NodeID, time.Duration, time.Duration, []Holding) ([]Hold, error) {
	return nil, context.DeadlineExceeded
}

// FuzzReceive: whatever another node says does no harm.
func FuzzReceive(f *testing.F) {
	for _, seed := range []string{`{"n":1,"s":"s_x","g":2}`, `{"n":1,"a":"given"}`, `{"n":18446744073709551615,"s":"","a":"busy"}`, `{`, `[]`, `{"n":-1}`, ``} {
		f.Add([]byte(seed))
	}
	signer, err := auth.NewSigner([]byte(strings.Repeat("s", 32)))
	if err != nil {
		f.Fatal(err)
	}
	hub, err := New(Config{Node: "n1", Signer: signer, Store: NewMemoryStore(), Notifier: townWire{town: &town{}},
		Identify: func(context.Context, Request, protocol.Hello) (Identity, error) { return Identity{}, nil }})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = hub.Close() })
	f.Fuzz(func(_ *testing.T, b []byte) { hub.Receive("n2", b) })
}
