package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func limits() *Limits {
	return &Limits{
		Messages: 1000, Bytes: 1 << 20, Window: 400, Frame: 100, Keep: 30 * time.Second,
		AckAfter: 50 * time.Millisecond, AckBytes: 100, Resend: 500 * time.Millisecond, MaxResend: 2 * time.Second,
	}
}

const seeds = 60

// world is two nodes and a network between them, all of it drawn from a seed.
type world struct {
	t     *testing.T
	rand  *rand.Rand
	now   time.Time
	loss  float64 // of a frame
	twice float64
	delay time.Duration // up to
	hosts [2]*host
	air   []flying
	born  uint64
}

type flying struct {
	to int
	at time.Time
	f  Frame
}

// host is a node; its past lives are gone.
type host struct {
	epoch uint64
	link  *Link
	meant []uint64            // for each message pushed: the other's epoch as known then
	got   map[uint64][]uint64 // epoch of the sender → numbers of its messages
}

func (h *host) String() string {
	l := *h.link
	l.kept, l.limits = nil, nil
	return fmt.Sprintf("%d messages, %+v", len(h.link.kept), l)
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, rand: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1_000_000, 0)}
	w.loss, w.twice = w.rand.Float64()*0.6, w.rand.Float64()*0.5
	w.delay = time.Duration(w.rand.Int64N(int64(3 * time.Second)))
	w.start(0)
	w.start(1)
	return w
}

func (w *world) start(i int) {
	w.born++
	w.hosts[i] = &host{epoch: w.born * 1000, link: New(limits(), w.born*1000, 1, w.now), got: map[uint64][]uint64{}}
}

func (w *world) push(i int) {
	h := w.hosts[i]
	n := uint64(len(h.meant))
	msg := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, h.epoch), n)
	msg = append(msg, make([]byte, w.rand.IntN(60))...)
	if err := h.link.Push(msg, w.now); err != nil {
		if !errors.Is(err, ErrFull) {
			w.t.Fatal(err)
		}
		return
	}
	h.meant = append(h.meant, h.link.peer)
}

// pump lets a node send what it has to.
func (w *world) pump(i int) {
	l := w.hosts[i].link
	for n := 0; ; n++ {
		var f Frame
		if !l.Next(w.now, &f) {
			break
		}
		if n > 1000 {
			w.t.Fatal("it never ends to send")
		}
		if len(f.Messages) != f.Count || f.Count > MaxCount {
			w.t.Fatalf("%d messages: %+v", len(f.Messages), f.Header)
		}
		switch {
		case w.rand.Float64() < w.loss/4:
			l.Failed(&f, w.now)
		default:
			l.Sent(w.now)
		}
		for range 1 + w.count(w.twice) {
			if w.rand.Float64() >= w.loss {
				w.air = append(w.air, flying{1 - i, w.now.Add(time.Duration(w.rand.Int64N(int64(w.delay) + 1))), f})
			}
		}
	}
	if at, ok := l.Due(w.now); ok && l.heldTo.Before(w.now) && !at.After(w.now) {
		w.t.Fatalf("due %v ago, but sends nothing: %s", w.now.Sub(at), w.hosts[i])
	}
	if l.flight < 0 || l.bytes < 0 || l.flight > l.limits.Window {
		w.t.Fatalf("%d under way, %d kept", l.flight, l.bytes)
	}
}

func (w *world) count(p float64) int {
	if w.rand.Float64() < p {
		return 1
	}
	return 0
}

func (w *world) step(d time.Duration) {
	w.now = w.now.Add(d)
	w.rand.Shuffle(len(w.air), func(i, j int) { w.air[i], w.air[j] = w.air[j], w.air[i] })
	rest := w.air[:0]
	var now []flying
	for _, x := range w.air {
		if x.at.After(w.now) {
			rest = append(rest, x)
		} else {
			now = append(now, x)
		}
	}
	w.air = rest
	slices.SortStableFunc(now, func(a, b flying) int { return a.at.Compare(b.at) })
	for _, x := range now {
		w.arrive(x)
	}
	w.pump(0)
	w.pump(1)
}

func (w *world) arrive(x flying) {
	h := w.hosts[x.to]
	size := 0
	for _, m := range x.f.Messages {
		size += len(m)
	}
	skip, v := h.link.Receive(x.f.Header, size, w.now)
	if v != Taken || x.f.Count == 0 {
		return
	}
	for _, m := range x.f.Messages[skip:] {
		epoch, n := binary.BigEndian.Uint64(m), binary.BigEndian.Uint64(m[8:])
		if list := h.got[epoch]; len(list) > 0 && n != list[len(list)-1]+1 {
			w.t.Fatalf("%d: after message %d of %d came %d", h.epoch, list[len(list)-1], epoch, n)
		}
		h.got[epoch] = append(h.got[epoch], n)
		if from := w.hosts[1-x.to]; from.epoch == epoch && from.meant[n] != 0 && from.meant[n] != h.epoch {
			w.t.Fatalf("message %d was meant for %d, and came to %d", n, from.meant[n], h.epoch)
		}
	}
}

// settle ends all faults and waits until everything is acknowledged.
func (w *world) settle() {
	w.loss, w.twice, w.delay = 0, 0, 20*time.Millisecond
	for range 10_000 { // 200 s: reordering costs time
		w.step(20 * time.Millisecond)
		if len(w.air) == 0 && w.hosts[0].link.Idle(w.now, -1) && w.hosts[1].link.Idle(w.now, -1) {
			break
		}
	}
	for i, h := range w.hosts {
		other := w.hosts[1-i]
		if lost := h.link.TakeLost(); lost.Expired > 0 {
			w.t.Fatalf("expired: %+v", lost)
		}
		if h.link.Bytes() != 0 || len(h.link.kept) != 0 {
			w.t.Fatalf("%d keeps %d messages for %d: %s", h.epoch, len(h.link.kept), other.epoch, h)
		}
		got := other.got[h.epoch]
		for n, meant := range h.meant {
			if meant == other.epoch && (len(got) == 0 || uint64(n) < got[0] || uint64(n) > got[len(got)-1]) {
				w.t.Fatalf("%d did not get message %d of %d", other.epoch, n, h.epoch)
			}
		}
	}
}

// run lives through faults, restarts and silences, and checks what came.
func run(t *testing.T, seed uint64, restarts bool) {
	w := newWorld(t, seed)
	steady := w.loss
	for range 400 {
		for i := range w.hosts {
			for range w.rand.IntN(4) {
				w.push(i)
			}
		}
		switch w.rand.IntN(60) {
		case 0:
			w.loss = 1 // for a while
		case 1, 2, 3, 4, 5:
			w.loss = steady
		case 6:
			w.hosts[w.rand.IntN(2)].link.Again(w.rand.IntN(2) == 0)
		case 7:
			i := w.rand.IntN(2)
			w.hosts[i].link.Hello(w.hosts[1-i].epoch, w.now)
		case 8:
			if restarts && w.rand.IntN(3) == 0 {
				w.start(w.rand.IntN(2))
			}
		}
		w.step(time.Duration(w.rand.Int64N(int64(100 * time.Millisecond))))
	}
	w.settle()
	w.push(0)
	w.push(1)
	w.settle()
	for i, h := range w.hosts {
		list := w.hosts[1-i].got[h.epoch]
		if len(list) == 0 || list[len(list)-1] != uint64(len(h.meant)-1) {
			t.Fatalf("the last message of %d did not come", h.epoch)
		}
		if first := list[0]; !restarts && first != 0 {
			t.Fatalf("%d messages of %d were left out", first, h.epoch)
		}
	}
}

func TestExactlyOnce(t *testing.T) {
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { run(t, seed, false) })
	}
}

func TestExactlyOnceWithRestarts(t *testing.T) {
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { run(t, seed, true) })
	}
}

func FuzzLinks(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, seed%2 == 0)
	}
	f.Fuzz(run)
}

// quiet is a world without faults, in which both nodes know each other.
func quiet(t *testing.T) *world {
	w := newWorld(t, 1)
	w.loss, w.twice, w.delay = 0, 0, 0
	w.push(0)
	w.push(1)
	w.settle()
	return w
}

func TestFull(t *testing.T) {
	w := quiet(t)
	w.loss = 1
	l := w.hosts[0].link
	for range l.limits.Messages {
		if err := l.Push([]byte("x"), w.now); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Push([]byte("x"), w.now); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	l = w.hosts[1].link
	for range l.limits.Bytes / 4096 {
		if err := l.Push(make([]byte, 4096), w.now); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Push([]byte("x"), w.now); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
}

// TestDead: what is kept for a node that is gone goes after Keep, each message
// at its time, and no sooner.
func TestDead(t *testing.T) {
	w := quiet(t)
	w.loss = 1
	w.push(0)
	l := w.hosts[0].link
	for range 29 {
		w.step(time.Second)
	}
	w.push(0)
	if len(l.kept) != 2 {
		t.Fatalf("%d messages kept", len(l.kept))
	}
	w.step(2 * time.Second)
	if lost := l.TakeLost(); lost.Expired != 1 || len(l.kept) != 1 {
		t.Fatalf("%+v, %d kept", lost, len(l.kept))
	}
	w.step(30 * time.Second)
	if lost := l.TakeLost(); lost.Expired != 1 || l.Bytes() != 0 || l.flight != 0 {
		t.Fatalf("%+v, %d bytes", lost, l.Bytes())
	}
	if at, ok := l.Due(w.now); ok {
		t.Fatalf("due at %v", at)
	}
	// It was not dead after all.
	w.loss = 0
	got := len(w.hosts[1].got[w.hosts[0].epoch])
	w.hosts[1].got = map[uint64][]uint64{}
	w.push(0)
	for range 10 {
		w.step(10 * time.Millisecond)
	}
	if now := w.hosts[1].got[w.hosts[0].epoch]; len(now) != 1 || got != 1 {
		t.Fatalf("%d, then %d messages", got, len(now))
	}
}

// TestTriesOne: while nothing is heard, one frame at a time goes out.
func TestTriesOne(t *testing.T) {
	w := quiet(t)
	for range 100 {
		w.push(0)
	}
	w.loss = 1
	w.step(0)
	l := w.hosts[0].link
	if l.flight <= l.limits.Frame {
		t.Fatalf("%d bytes under way at first", l.flight)
	}
	w.step(600 * time.Millisecond)
	if !l.trying || l.flight > l.limits.Frame {
		t.Fatalf("%d bytes under way", l.flight)
	}
	frames := 0
	for range 200 { // 20 s
		w.now = w.now.Add(100 * time.Millisecond)
		var f Frame
		for l.Next(w.now, &f) {
			frames++
			l.Sent(w.now)
		}
	}
	if frames < 8 || frames > 13 {
		t.Fatalf("%d frames in 20 s", frames)
	}
}

// TestForged: frames that no node would send change nothing and break nothing.
func TestForged(t *testing.T) {
	w := quiet(t)
	a, b := w.hosts[0], w.hosts[1]
	w.push(0)
	for _, h := range []Header{
		{Epoch: b.epoch, To: a.epoch, Ack: 1 << 60},
		{Epoch: b.epoch, To: a.epoch, Ack: 1 << 60, Again: true},
		{Epoch: 77, To: a.epoch, Ack: 2, Echo: 5},
		{Epoch: 77, To: 78, First: 9, Base: 9, Count: 3},
	} {
		if _, v := a.link.Receive(h, 10, w.now); v == Taken && h.Count > 0 || len(a.link.kept) != 1 || a.link.peer != b.epoch {
			t.Fatalf("%+v: %v, %s", h, v, a)
		}
	}
	w.settle()
}

// TestGhost: a frame of a process that is dead does not bring it back.
func TestGhost(t *testing.T) {
	w := quiet(t)
	ghost := Frame{Header: Header{Epoch: w.hosts[0].epoch, To: w.hosts[1].epoch, Base: 1, First: 1, Count: 1},
		Messages: [][]byte{binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, w.hosts[0].epoch), 0)}}
	w.start(0)
	w.push(0)
	w.settle()
	w.arrive(flying{to: 1, f: ghost})
	w.push(0)
	w.push(1)
	w.settle()
	if n := len(w.hosts[1].got[ghost.Epoch]); n != 1 {
		t.Fatalf("the ghost's message came %d times", n)
	}
	if n := len(w.hosts[1].got[w.hosts[0].epoch]); n != 2 {
		t.Fatalf("%d messages", n)
	}
}

func TestIdle(t *testing.T) {
	w := quiet(t)
	l := w.hosts[0].link
	if l.Idle(w.now, time.Minute) {
		t.Fatal("idle at once")
	}
	if !l.Idle(w.now.Add(2*time.Minute), time.Minute) {
		t.Fatal("never idle")
	}
	w.push(0)
	if l.Idle(w.now.Add(2*time.Minute), time.Minute) {
		t.Fatal("idle with a message kept")
	}
}

// passes lets d pass, and sees how many messages of a node's present life b gets.
func (w *world) passes(d time.Duration) (got int) {
	for range d / (10 * time.Millisecond) {
		w.step(10 * time.Millisecond)
	}
	return len(w.hosts[1].got[w.hosts[0].epoch])
}

// TestSilentRestart: a node that was started anew and has nothing to say is
// noticed by who has something for its predecessor.
func TestSilentRestart(t *testing.T) {
	w := quiet(t)
	w.start(1)
	w.push(0)
	if got := w.passes(time.Second); got != 0 || w.hosts[0].link.TakeLost().Restarted != 1 {
		t.Fatalf("%d messages that were meant for the predecessor", got)
	}
	w.push(0)
	if got := w.passes(time.Second); got != 1 {
		t.Fatalf("%d messages", got)
	}
}

// TestAckLost: a message is acknowledged again when it comes again.
func TestAckLost(t *testing.T) {
	w := quiet(t)
	w.delay = 0
	w.push(0)
	w.step(0)
	w.step(0) // it arrives
	w.step(60 * time.Millisecond)
	if len(w.air) != 1 {
		t.Fatalf("%d frames under way", len(w.air))
	}
	w.air = nil // the acknowledgement does not
	if got := w.passes(3 * time.Second); got != 2 || w.hosts[0].link.Bytes() != 0 {
		t.Fatalf("%d messages, %d bytes kept", got, w.hosts[0].link.Bytes())
	}
}

// TestLateMeeting: what was published for a node that nobody has met yet waits
// for it.
func TestLateMeeting(t *testing.T) {
	w := newWorld(t, 1)
	w.loss, w.delay = 1, 0
	w.push(0)
	w.passes(25 * time.Second)
	w.loss = 0
	if got := w.passes(3 * time.Second); got != 1 {
		t.Fatalf("%d messages", got)
	}
}

// TestTakenForPredecessor: a node that others take for the one before it says so,
// also if it knows them.
func TestTakenForPredecessor(t *testing.T) {
	w := quiet(t)
	a, b := w.hosts[0], w.hosts[1]
	w.step(time.Second)
	if _, v := b.link.Receive(Header{Epoch: a.epoch, To: 77, Base: 1, First: 1, Count: 1}, 1, w.now); v != Strange {
		t.Fatal(v)
	}
	var f Frame
	if !b.link.Next(w.now, &f) || f.To != a.epoch || f.Epoch != b.epoch {
		t.Fatalf("%+v", f.Header)
	}
}

// TestForgotten: a node that forgot another, and one that others forgot, go on
// at once, and their numbers too.
func TestForgotten(t *testing.T) {
	for i := range 2 {
		w := quiet(t)
		h := w.hosts[i]
		h.link = New(limits(), h.epoch, h.link.End(), w.now)
		w.push(0)
		if got := w.passes(300 * time.Millisecond); got != 2 {
			t.Fatalf("%d messages after %d forgot the other", got, i)
		}
		w.push(1)
		w.settle()
	}
}
