package bench

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/internal/pause"
	"github.com/rondo-chat/rondo/protocol"
)

// person is a user who does what people do, by what rng draws. One goroutine lives its life,
// another one hears what happens to it.
type person struct {
	*client.Client
	b     *bench
	rng   *rand.Rand
	found chan client.Found // the newest
	up    chan time.Time    // when there was a socket again
	down  chan time.Time
}

// person makes one of a user; n tells one from another.
func (b *bench) person(u *user, n int) *person {
	p := &person{
		Client: u.Client, b: b, rng: rand.New(rand.NewPCG(b.cfg.Seed, 1000+uint64(n))),
		found: make(chan client.Found, 1), up: make(chan time.Time, 1), down: make(chan time.Time, 1),
	}
	u.hear(p.hear)
	return p
}

// hear takes what happens.
func (p *person) hear(e client.Event) {
	switch e := e.(type) {
	case client.Found:
		newest(p.found, e)
	case client.Up:
		newest(p.up, time.Now())
	case client.Down:
		newest(p.down, time.Now())
	case client.Signal:
		if d, ok := age(e.D); ok {
			p.b.times["relay"].Add(d)
		}
	case client.Chat:
		if at, ok := stampOf(e.Text); ok {
			p.b.times["delivery"].Add(time.Since(at))
			p.b.counts["deliveries"].Add(1)
		}
	}
}

// newest puts v into a channel of one place, in the place of what nobody took. Only one goroutine may put.
func newest[T any](c chan T, v T) {
	select {
	case <-c:
	default:
	}
	c <- v
}

// does counts an operation and how long it took since it was due. It reports whether it came about.
func (p *person) does(what string, due time.Time, err error) bool {
	switch {
	case err == nil:
		p.b.times[what].Add(time.Since(due))
		p.b.counts["operations"].Add(1)
		return true
	case late(err):
		p.b.counts["too late"].Add(1)
	default:
		p.b.fail(what, err)
	}
	return false
}

// late reports whether an error says no more than that the other side was quicker to leave.
func late(err error) bool {
	switch protocol.CodeOf(err) {
	case protocol.CodeStaleCall, protocol.CodePeerGone, protocol.CodeForbidden, protocol.CodeNotFound, protocol.CodeRoomFull:
		return true
	}
	return false
}

// interests is how many things there are to be interested in; a few of them many share.
const interests = 500

// wishes draws what somebody looks for: half of all anybody, the others who shares an interest.
func (p *person) wishes() protocol.Find {
	f := protocol.Find{Pool: "text"}
	if p.rng.IntN(2) == 0 {
		return f
	}
	zipf := rand.NewZipf(p.rng, 1.2, 4, interests-1)
	for range 1 + p.rng.IntN(3) {
		f.Tags = append(f.Tags, "interest "+strconv.FormatUint(zipf.Uint64(), 10))
	}
	return f
}

// search asks for a partner and waits, as long as a person has patience. No room: nobody was found.
func (p *person) search(ctx context.Context, what string, due time.Time, wait time.Duration) protocol.RoomID {
	select {
	case <-p.found: // of a search that was given up
	default:
	}
	f := p.wishes()
	p.b.counts["asks"].Add(1)
	var err error
	if what == "next" {
		p.b.counts["skips"].Add(1)
		_, err = p.Next(ctx, &f)
	} else {
		_, err = p.Find(ctx, f)
	}
	if err != nil {
		p.does(what, due, err)
		return ""
	}
	patience := time.NewTimer(wait)
	defer patience.Stop()
	select {
	case found := <-p.found:
		p.does(what, due, nil)
		return found.Room
	case <-patience.C:
		p.b.counts["given up"].Add(1)
		if err := p.Cancel(ctx); err != nil {
			p.does("cancel", due, err)
		}
	case <-ctx.Done():
	}
	return ""
}

// handshake sends what the two of a call tell each other until it stands: a description and candidates.
func (p *person) handshake(ctx context.Context, room protocol.RoomID) {
	const candidates = 6
	for i := range 1 + candidates {
		due, kind, size := time.Now(), protocol.SignalCandidate, 200
		if i == 0 {
			kind, size = protocol.SignalOffer, 4000
		}
		p.b.counts["signals"].Add(1)
		if !p.does("signal", due, p.Signal(ctx, room, "", kind, stamped(due, size))) {
			return
		}
	}
}

// say writes a line that tells when it was written.
func (p *person) say(ctx context.Context, room protocol.RoomID) bool {
	due := time.Now()
	stamp := strconv.FormatInt(due.UnixNano(), 10) + " "
	p.b.counts["messages"].Add(1)
	_, err := p.Chat(ctx, room, stamp+strings.Repeat("x", 20+p.rng.IntN(100)))
	return p.does("chat", due, err)
}

// stampOf is when a line was written.
func stampOf(text string) (time.Time, bool) {
	stamp, _, ok := strings.Cut(text, " ")
	nanos, err := strconv.ParseInt(stamp, 10, 64)
	return time.Unix(0, nanos), ok && err == nil
}

// errNoNetwork says that a session did not come back.
var errNoNetwork = errors.New("the session did not come back")

// lose takes the network away and waits until the session goes on.
func (p *person) lose(ctx context.Context) bool {
	for _, c := range []chan time.Time{p.up, p.down} {
		select {
		case <-c:
		default:
		}
	}
	p.Break()
	p.b.counts["lost"].Add(1)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case since := <-p.down:
		select {
		case <-p.up:
			return p.does("resume", since, nil)
		case <-ctx.Done():
		}
	case <-ctx.Done():
	}
	return p.does("resume", time.Now(), errNoNetwork)
}

// rest lets time pass; false: the run is over.
func (p *person) rest(ctx context.Context, mean time.Duration) bool {
	d := time.Duration(p.rng.ExpFloat64() * float64(mean))
	return pause.For(ctx, min(d, 4*mean)) == nil
}
