package signaling

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// TestRingAgainstModel: whatever is pushed and acknowledged, a client that the
// ring says it can heal gets every push it misses, in order, once, and every
// room frame but those whose gap a later one of its room shows.
func TestRingAgainstModel(t *testing.T) {
	type sent struct {
		entry
		id int
	}
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		l := &Limits{RingMessages: 1 + rnd.IntN(8), RingBytes: 20 + rnd.IntN(200)}
		var r ring
		var all []sent
		var seq, acked uint64
		for id := range 60 {
			e := entry{own: rnd.IntN(3) > 0, room: protocol.RoomID(fmt.Sprint(rnd.IntN(2))), b: []byte(fmt.Sprintf("%03d%s", id, strings.Repeat(".", rnd.IntN(30))))}
			if e.own {
				seq++
			}
			e.seq = seq
			all = append(all, sent{e, id})
			r.add(e, l)
			if rnd.IntN(6) == 0 && seq > 0 {
				acked = max(acked, rnd.Uint64N(seq+1))
				r.ack(acked)
			}
			bytes := 0
			for _, e := range r.entries {
				bytes += len(e.b)
			}
			if bytes != r.bytes || len(r.entries) > l.RingMessages || r.bytes > l.RingBytes {
				t.Fatalf("seed %d: %d entries, %d bytes, counted %d", seed, len(r.entries), bytes, r.bytes)
			}
			if acked > 0 && r.canHeal(acked-1) {
				t.Fatalf("seed %d: claims to heal what was acknowledged", seed)
			}
			for at := acked; at <= seq; at++ {
				if !r.canHeal(at) {
					continue
				}
				frames, pushes := r.after(at)
				var have []string
				for _, f := range frames {
					have = append(have, string(f))
				}
				n := 0
				for i, s := range all {
					missed := s.own && s.seq > at || !s.own && s.seq >= at
					if missed && s.own {
						n++
					}
					later := slices.ContainsFunc(all[i+1:], func(o sent) bool {
						return !o.own && o.room == s.room && slices.Contains(have, string(o.b))
					})
					if missed && !slices.Contains(have, string(s.b)) && (s.own || !later) {
						t.Fatalf("seed %d: a client at %d never gets %q; it gets %q", seed, at, s.b, have)
					}
				}
				if n != pushes || !slices.IsSorted(have) || len(slices.Compact(have)) != len(frames) {
					t.Fatalf("seed %d: %d pushes, want %d: %q", seed, pushes, n, have)
				}
			}
		}
	}
}

func TestRepliesAreBounded(t *testing.T) {
	l := &Limits{Replies: 3, ReplyBytes: 10}
	var r replies
	add := func(id uint32, n int) { r.add(reply{id, "x", make([]byte, n)}, l) }
	has := func(ids ...uint32) {
		t.Helper()
		var have []uint32
		for id := range uint32(20) {
			if _, ok := r.find(id, "x"); ok {
				have = append(have, id)
			}
		}
		if !slices.Equal(have, ids) {
			t.Fatalf("have %v, want %v", have, ids)
		}
	}
	for id := range uint32(5) {
		add(id, 1)
	}
	has(2, 3, 4) // by number
	add(5, 9)
	has(4, 5) // by bytes
	add(6, 100)
	has(6) // the newest always
	add(7, 1)
	has(7)
	if _, ok := r.find(7, "y"); ok {
		t.Error("another type is another request")
	}
	if r.bytes != 1 {
		t.Error(r.bytes)
	}
}

// sink is a transport that takes what is written when it is let to.
type sink struct {
	mu     sync.Mutex
	writes [][]byte
	gate   chan struct{} // each write takes one, or waits for close
	down   chan struct{}
	once   sync.Once
}

func newSink() *sink { return &sink{gate: make(chan struct{}, 1000), down: make(chan struct{})} }

func (s *sink) wait() bool                        { return false }
func (s *sink) next() (bool, error)               { <-s.down; return false, errors.New("closed") }
func (s *sink) read([]byte, int) ([]byte, error)  { panic("nothing to read") }
func (s *sink) setDeadline(time.Time)             {}
func (s *sink) tries() bool                       { return false }
func (s *sink) try([]byte, *attempt) (int, error) { return 0, nil }
func (s *sink) buffered() int                     { return 0 }
func (s *sink) close()                            { s.once.Do(func() { close(s.down) }) }
func (s *sink) park() bool                        { return false }
func (s *sink) unpark()                           {}
func (s *sink) write(b []byte) error {
	select {
	case <-s.gate:
	case <-s.down:
		return errors.New("closed")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes = append(s.writes, slices.Clone(b))
	return nil
}

func (s *sink) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, w := range s.writes {
		list = append(list, string(w))
	}
	return list
}

func newOutbox(s *sink, l Limits) *outbox {
	return &outbox{t: s, limits: &l, queued: new(atomic.Int64), flow: newFlusher()}
}

func TestOutboxCoalesces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSink()
		o := newOutbox(s, Limits{}.withDefaults())
		o.put([]byte("first"), "")
		synctest.Wait() // it is being written
		for _, f := range []string{"a", "b", "c"} {
			o.put([]byte(f), "")
		}
		o.put([]byte("old"), "k")
		o.put([]byte("d"), "")
		o.put([]byte("new"), "k")
		big := strings.Repeat("x", coalesceBytes+1)
		o.put([]byte(big), "")
		o.put([]byte("e"), "")
		for range 4 {
			s.gate <- struct{}{}
		}
		synctest.Wait()
		if got, want := s.all(), []string{"first", "abcdnew", big, "e"}; !slices.Equal(got, want) {
			t.Fatalf("%.60q", got)
		}
		if o.count != 0 || o.bytes != 0 || o.queued.Load() != 0 || o.writing {
			t.Fatalf("%d frames, %d bytes, %d queued", o.count, o.bytes, o.queued.Load())
		}
	})
}

func TestOutboxBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSink()
		o := newOutbox(s, Limits{OutboxBytes: 100, OutboxMessages: 5}.withDefaults())
		want := func(n int, result putResult) {
			t.Helper()
			if got := o.put(make([]byte, n), ""); got != result {
				t.Fatalf("%d bytes: %d", n, got)
			}
		}
		want(200, put) // one of any size, when nothing waits
		want(1, putFull)
		s.gate <- struct{}{}
		synctest.Wait()
		want(60, put)
		want(41, putFull)
		want(40, put)
		s.gate <- struct{}{}
		s.gate <- struct{}{}
		synctest.Wait()
		for range 5 {
			want(1, put)
		}
		want(1, putFull)
		o.queued.Add(o.limits.QueueBytes) // much waits elsewhere
		s.gate <- struct{}{}
		s.gate <- struct{}{}
		synctest.Wait()
		want(10, put)
		want(3, putFull)
		o.queued.Add(-o.limits.QueueBytes)
		o.stop()
		want(1, putClosed)
		if o.queued.Load() != 0 || o.bytes != 0 || o.count != 0 {
			t.Fatal("bytes of a closed outbox still count")
		}
	})
}

func TestOutboxFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for drop, want := range map[bool][]string{false: {"a", "b" + string(closeFrame(4008, "slow"))}, true: {"a", string(closeFrame(4008, "slow"))}} {
			s := newSink()
			o := newOutbox(s, Limits{}.withDefaults())
			o.put([]byte("a"), "")
			synctest.Wait()
			o.put([]byte("b"), "")
			if !o.finish(4008, "slow", drop) || o.finish(1000, "", false) || o.put([]byte("c"), "") != putClosed {
				t.Fatal("finish")
			}
			s.gate <- struct{}{}
			s.gate <- struct{}{}
			o.wait()
			if got := s.all(); !slices.Equal(got, want) {
				t.Fatalf("drop %v: %q", drop, got)
			}
		}
	})
}

func TestFrames(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65535, 65536, 100_000} {
		text := strings.Repeat("x", n)
		b := textFrame(text)
		head := map[bool]int{true: 2}[n <= 125]
		if head == 0 {
			head = map[bool]int{true: 4, false: 10}[n <= 65535]
		}
		if len(b) != head+n || b[0] != 0x81 || string(b[head:]) != text {
			t.Errorf("%d: % x", n, b[:head])
		}
	}
	if b := closeFrame(4501, strings.Repeat("x", 300)); len(b) != 127 || b[1] != 125 {
		t.Errorf("% x", b[:2])
	}
	if b := closeFrame(0, ""); len(b) != 2 {
		t.Errorf("% x", b)
	}
}

type alarm struct {
	timer timer
	fired []time.Duration
	start time.Time
	again time.Duration
}

func (a *alarm) due() time.Duration {
	a.fired = append(a.fired, time.Since(a.start))
	return a.again
}

func TestWheel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const tick = 10 * time.Millisecond
		w := newWheel(tick)
		var alarms []*alarm
		set := func(d, again time.Duration) *alarm {
			a := &alarm{start: time.Now(), again: again}
			a.timer.owner = a
			w.set(&a.timer, d)
			alarms = append(alarms, a)
			return a
		}
		waits := []time.Duration{0, time.Millisecond, tick, 123 * time.Millisecond, wheelSlots * tick, 3*wheelSlots*tick + tick}
		for _, d := range waits {
			set(d, 0)
		}
		often := set(100*time.Millisecond, 100*time.Millisecond)
		off := set(time.Second, 0)
		moved := set(time.Second, 0)
		testenv.Elapse(500 * time.Millisecond)
		w.unset(&off.timer)
		w.set(&moved.timer, 2*time.Second)
		testenv.Elapse(10 * time.Minute)
		w.unset(&often.timer)
		synctest.Wait()
		w.close()
		for i, d := range waits {
			if f := alarms[i].fired; len(f) != 1 || f[0] < d || f[0] > d+2*tick {
				t.Errorf("after %v: %v", d, f)
			}
		}
		if len(off.fired) != 0 || len(moved.fired) != 1 || moved.fired[0] < 2500*time.Millisecond {
			t.Error(off.fired, moved.fired)
		}
		if n := len(often.fired); n < 4500 || n > 6010 {
			t.Error(n)
		}
	})
}

func TestLazyContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newLazyContext(t.Context(), time.Second)
		if d, ok := c.Deadline(); !ok || time.Until(d) != time.Second || c.Err() != nil {
			t.Fatal(d, ok)
		}
		child, cancel := context.WithTimeout(c, time.Hour)
		defer cancel()
		<-child.Done()
		if !errors.Is(c.Err(), context.DeadlineExceeded) || !errors.Is(child.Err(), context.DeadlineExceeded) {
			t.Fatal(c.Err(), child.Err())
		}
		c = newLazyContext(t.Context(), time.Second)
		c.end() // before anybody asked
		<-c.Done()
		if !errors.Is(c.Err(), context.Canceled) {
			t.Fatal(c.Err())
		}
		parent, stop := context.WithCancel(t.Context())
		c = newLazyContext(parent, time.Hour)
		stop()
		<-c.Done()
		c.end()
	})
}

// wire is a transport for tests in virtual time.
type wire struct {
	ev   events
	in   chan string
	down chan struct{}
	once sync.Once
	last string

	mu  sync.Mutex
	out []string
}

func (w *wire) wait() bool { return false }
func (w *wire) park() bool { return false }
func (w *wire) unpark()    {}
func (w *wire) next() (bool, error) {
	select {
	case w.last = <-w.in:
		w.ev.heard(len(w.last))
		return false, nil
	case <-w.down:
		return false, errors.New("closed")
	}
}
func (w *wire) read(b []byte, _ int) ([]byte, error) { return append(b, w.last...), nil }
func (w *wire) setDeadline(d time.Time)              { time.AfterFunc(time.Until(d), w.close) }
func (w *wire) close()                               { w.once.Do(func() { close(w.down) }) }
func (w *wire) tries() bool                          { return false }
func (w *wire) try([]byte, *attempt) (int, error)    { return 0, nil }
func (w *wire) buffered() int                        { return 0 }
func (w *wire) write(b []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if b[0] == final|opClose {
		w.out = append(w.out, fmt.Sprint("close ", int(b[2])<<8|int(b[3])))
		w.close()
		return nil
	}
	w.out = append(w.out, string(b[2:]))
	return nil
}

// got returns what the server sent since the last call.
func (w *wire) got() string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	s := strings.Join(w.out, " ")
	w.out = nil
	return s
}

// virtual is a hub in virtual time, and a client in it that has said hello.
func virtual(t *testing.T, d *diary, change func(*Config)) (*Hub, *wire) {
	t.Helper()
	signer, err := auth.NewSigner(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Node: "n", Signer: signer, Observer: d,
		Identify: func(context.Context, Request, protocol.Hello) (Identity, error) { return Identity{}, nil },
	}
	if change != nil {
		change(&cfg)
	}
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h, connect(t, h)
}

func connect(t *testing.T, h *Hub) *wire {
	t.Helper()
	if h.admission.enter("k", false) != nil {
		t.Fatal("not let in")
	}
	k := newSocket(h, "k", &Request{})
	w := &wire{ev: k, in: make(chan string), down: make(chan struct{})}
	k.attach(w)
	if !h.enter(k) {
		t.Fatal("not let in")
	}
	go k.run()
	return w
}

func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		h, w := virtual(t, &d, nil)
		w.in <- `{"t":"hello","id":1}`
		if got := w.got(); !strings.Contains(got, "welcome") {
			t.Fatal(got)
		}
		const ping = `{"t":"ping"}`
		testenv.Elapse(24 * time.Second)
		if got := w.got(); got != "" {
			t.Fatal("too early:", got)
		}
		testenv.Elapse(2 * time.Second)
		if got := w.got(); got != ping {
			t.Fatalf("after 26 s: %q", got)
		}
		w.in <- `{"t":"pong"}`
		testenv.Elapse(24 * time.Second)
		w.in <- `{"t":"ack"}` // it talks, but hears nothing: still a ping, for its sake
		testenv.Elapse(2 * time.Second)
		if got := w.got(); got != ping {
			t.Fatalf("to a client that only talks: %q", got)
		}
		w.in <- `{"t":"pong"}`
		s := h.all()[0]
		testenv.Elapse(20 * time.Second)
		s.Push(Push{Type: "x"}) // it hears, but says nothing: still a ping
		testenv.Elapse(6 * time.Second)
		if got := w.got(); !strings.HasSuffix(got, ping) {
			t.Fatalf("to a client that only listens: %q", got)
		}
		testenv.Elapse(8 * time.Second) // 34 s of silence
		if got := w.got(); got != "" {
			t.Fatal(got)
		}
		testenv.Elapse(2 * time.Second)
		if got := w.got(); got != "close 4012" {
			t.Fatal(got)
		}
		testenv.Elapse(29 * time.Second)
		if got := d.all(); got != "opened away" {
			t.Fatal(got)
		}
		testenv.Elapse(4 * time.Second)
		if got := d.all(); got != "opened away closed(lost)" {
			t.Fatal(got)
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestHelloTimeoutIsFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, w := virtual(t, &diary{}, nil)
		testenv.Elapse(4900 * time.Millisecond)
		if got := w.got(); got != "" {
			t.Fatal(got)
		}
		testenv.Elapse(700 * time.Millisecond)
		if got := w.got(); got != "close 4502" {
			t.Fatal(got)
		}
		_ = h.Close()
	})
}

// TestHandlersDoNotOverlap: a handler of the old socket ends before anything of
// the new one is handled, and observers see one thing after the other.
func TestHandlersDoNotOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		h, w := virtual(t, &d, func(c *Config) {
			c.Handlers = map[protocol.Type]Handler{"slow": {Serve: func(context.Context, *Session, *protocol.Message) (any, error) {
				d.note("begin")
				testenv.Elapse(5 * time.Second)
				d.note("end")
				return nil, nil
			}}}
		})
		w.in <- `{"t":"hello","id":1}`
		var welcome protocol.Welcome
		decode(t, w.got(), &welcome)
		w.in <- `{"t":"slow","id":2}`
		synctest.Wait()
		w.close() // the socket is lost while it runs
		testenv.Elapse(time.Second)
		v := connect(t, h)
		v.in <- `{"t":"resume","id":1,"d":{"token":"` + welcome.Resume.Token + `"}}`
		if got := v.got(); got != "" {
			t.Fatal(got)
		}
		testenv.Elapse(5 * time.Second)
		if got := v.got(); !strings.Contains(got, `"resumed"`) {
			t.Fatal(got)
		}
		v.in <- `{"t":"slow","id":2}` // the same request
		if got := v.got(); got != `{"t":"ok","id":2,"d":{}}` {
			t.Fatal(got)
		}
		if got := d.all(); got != "opened begin end away back(false)" {
			t.Fatal(got)
		}
		_ = h.Close()
	})
}

// TestResumeWaitsNotForEver: a handler that ignores its context holds a resume
// up only so long; the token stays good.
func TestResumeWaitsNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, w := virtual(t, &diary{}, func(c *Config) {
			c.Handlers = map[protocol.Type]Handler{"stuck": {Serve: func(context.Context, *Session, *protocol.Message) (any, error) {
				testenv.Elapse(15 * time.Second)
				return nil, nil
			}}}
		})
		w.in <- `{"t":"hello","id":1}`
		var welcome protocol.Welcome
		decode(t, w.got(), &welcome)
		w.in <- `{"t":"stuck"}`
		synctest.Wait()
		v := connect(t, h)
		resume := `{"t":"resume","id":1,"d":{"token":"` + welcome.Resume.Token + `"}}`
		v.in <- resume
		testenv.Elapse(11 * time.Second)
		if got := v.got(); !strings.Contains(got, `"unavailable"`) {
			t.Fatal(got)
		}
		v.in <- resume
		testenv.Elapse(5 * time.Second)
		if got := v.got(); !strings.Contains(got, `"resumed"`) {
			t.Fatal(got)
		}
		_ = h.Close()
	})
}

func decode(t *testing.T, text string, v any) {
	t.Helper()
	var m in
	at := strings.IndexByte(text, '{')
	if at < 0 || json.Unmarshal([]byte(text[at:]), &m) != nil || json.Unmarshal(m.D, v) != nil {
		t.Fatalf("%q", text)
	}
}

// TestEverythingAtOnce pushes, resumes, closes and asks from many sides; the
// race detector and the leak check look on. Observers must see a lawful life.
func TestEverythingAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lives := &lives{seen: map[protocol.SessionID]string{}}
		h, first := virtual(t, nil, func(c *Config) {
			c.Observer = lives
			c.Limits.PerAddress = -1
			c.Limits.Grace = 2 * time.Second
			c.Handlers = map[protocol.Type]Handler{"x": {Serve: func(ctx context.Context, s *Session, m *protocol.Message) (any, error) {
				s.Push(Push{Type: "y"})
				testenv.Elapse(rand.N(50 * time.Millisecond))
				return nil, nil
			}}}
		})
		first.close()
		var wg sync.WaitGroup
		for n := range 20 {
			wg.Go(func() { wander(t, h, uint64(n)) })
		}
		wg.Go(func() {
			for range 300 {
				testenv.Elapse(30 * time.Millisecond)
				for _, s := range h.all() {
					s.Push(Push{Type: "x", Class: Class(rand.N(3)), Room: "r", Key: "k"})
					if rand.N(200) == 0 {
						s.Close(protocol.CloseInternal, "")
					}
					if rand.N(500) == 0 {
						s.Close(protocol.CloseBanned, "")
					}
				}
			}
		})
		wg.Wait()
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		lives.check(t)
		if h.queued.Load() != 0 || h.admission.total != 0 {
			t.Fatal(h.queued.Load(), h.admission.total)
		}
	})
}

// wander is a client that comes and goes.
func wander(t *testing.T, h *Hub, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 2))
	token := ""
	for range 30 {
		w := connect(t, h)
		say := func(s string) bool {
			select {
			case w.in <- s:
				return true
			case <-w.down:
				return false
			}
		}
		if token == "" || rnd.IntN(8) == 0 {
			say(`{"t":"hello","id":1}`)
		} else if say(`{"t":"resume","id":1,"d":{"token":"` + token + `"}}`); rnd.IntN(10) == 0 {
			say(`{"t":"hello","id":1}`)
		}
		<-time.After(100 * time.Millisecond)
		w.mu.Lock()
		for _, out := range w.out {
			if _, rest, ok := strings.Cut(out, `"token":"`); ok {
				token, _, _ = strings.Cut(rest, `"`)
			}
		}
		w.mu.Unlock()
		for id := range rnd.IntN(10) {
			if !say(fmt.Sprintf(`{"t":"x","id":%d,"a":%d}`, id+2, id)) {
				break
			}
		}
		switch rnd.IntN(4) {
		case 0:
			say(`{"t":"bye"}`)
		case 1:
			<-time.After(time.Duration(rnd.IntN(3000)) * time.Millisecond)
		}
		if rnd.IntN(3) > 0 { // else the next one takes over
			w.close()
		}
	}
}

// lives checks the order of what an observer is told.
type lives struct {
	mu   sync.Mutex
	seen map[protocol.SessionID]string
	bad  []string
}

func (l *lives) step(s *Session, to string, from ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(from, l.seen[s.ID()]) {
		l.bad = append(l.bad, fmt.Sprintf("%s after %q", to, l.seen[s.ID()]))
	}
	l.seen[s.ID()] = to
}

func (l *lives) Opened(s *Session)       { l.step(s, "opened", "") }
func (l *lives) Away(s *Session)         { l.step(s, "away", "opened", "back") }
func (l *lives) Back(s *Session, _ bool) { l.step(s, "back", "away") }
func (l *lives) Closed(s *Session, CloseReason CloseReason) {
	l.step(s, "closed", "opened", "away", "back")
}
func (l *lives) Restored(s *Session, _ Restored)     { l.step(s, "restored", "never without a store") }
func (l *lives) Moved(s *Session, _ protocol.NodeID) { l.step(s, "moved", "never without a store") }

func (l *lives) check(t *testing.T) {
	t.Helper()
	for id, last := range l.seen {
		if last != "closed" {
			t.Errorf("%s ended as %q", id, last)
		}
	}
	for _, b := range l.bad {
		t.Error(b)
	}
	if len(l.seen) < 20 {
		t.Errorf("only %d sessions", len(l.seen))
	}
}

// stall is a wheel's entry that keeps the wheel from turning for a while.
type stall struct {
	timer timer
	wait  func()
}

func (s *stall) due() time.Duration { s.wait(); return 0 }

// TestWheelLate: what is set while the wheel lags behind the clock is not early.
func TestWheelLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const tick = 10 * time.Millisecond
		w := newWheel(tick)
		s := &stall{wait: func() { testenv.Elapse(50 * tick) }}
		s.timer.owner = s
		w.set(&s.timer, tick)
		testenv.Elapse(40 * tick)
		a := &alarm{start: time.Now()}
		a.timer.owner = a
		w.set(&a.timer, 20*tick)
		testenv.Elapse(time.Minute)
		w.close()
		if len(a.fired) != 1 || a.fired[0] < 20*tick {
			t.Errorf("after %v: %v", 20*tick, a.fired)
		}
	})
}

// TestHeavy: only who sends more than people do waits for others.
func TestHeavy(t *testing.T) {
	heavy := func(bytes, times int, every time.Duration) (n int) {
		synctest.Test(t, func(t *testing.T) {
			var l Limits
			k := &socket{hub: &Hub{cfg: Config{Limits: l.withDefaults()}}}
			for range times {
				if k.weigh(bytes) {
					n++
				}
				testenv.Elapse(every)
			}
		})
		return n
	}
	if n := heavy(6<<10, 6, 0) + heavy(300, 30, 20*time.Millisecond) + heavy(200, 1000, 300*time.Millisecond); n > 0 {
		t.Errorf("%d messages of a call and its chat wait", n)
	}
	if n := heavy(16<<10, 32, 0); n != 32 {
		t.Errorf("only %d of 32 large messages wait", n)
	}
	if n := heavy(100, 500, 20*time.Millisecond); n < 200 {
		t.Errorf("only %d of 500 messages wait", n)
	}
}
