package bench

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/internal/pause"
	"github.com/rondo-chat/rondo/protocol"
)

// day is a day as people live it, in the time of Duration: few come by night and most in the evening; they look
// around, meet strangers and talk, sit in rooms with others, lose their network, and go. The script is drawn from the seed.
func (b *bench) day(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.Duration+4*patience)
	defer cancel()
	began := time.Now()
	d := &dayOut{bench: b, hour: b.cfg.Duration / 24}
	var all sync.WaitGroup
	var err error
	for i, at := range arrivals(rand.New(rand.NewPCG(b.cfg.Seed, 0)), b.cfg.Users, b.cfg.Duration) {
		due := began.Add(at)
		if err = pause.For(ctx, time.Until(due)); err != nil {
			break
		}
		all.Go(func() { d.visit(ctx, i, due) })
	}
	all.Wait()
	return err
}

// arrivals are when n people come within a day of that length, in order.
func arrivals(rng *rand.Rand, n int, length time.Duration) []time.Duration {
	list := make([]time.Duration, 0, n)
	for len(list) < n {
		if t := rng.Float64(); rng.Float64() < busy(t) {
			list = append(list, time.Duration(t*float64(length)))
		}
	}
	slices.Sort(list)
	return list
}

// busy is how many come at a time of the day (0 to 1), as a part of those of the busiest: least at 5 in the morning, most at 9 in the evening.
func busy(t float64) float64 {
	h := 24 * t
	evening := math.Exp(-math.Pow((h-21)/3, 2)) + math.Exp(-math.Pow((h+3)/3, 2)) // it goes on after midnight
	noon := 0.5 * math.Exp(-math.Pow((h-13)/4, 2))
	return min(1, 0.1+0.9*max(evening, noon))
}

// dayOut is one run of day.
type dayOut struct {
	*bench
	hour time.Duration // of the day, in the time of the run

	mu    sync.Mutex
	rooms []protocol.RoomID // where groups sit, the newest last
}

// visit is a person's day: it comes, does one thing or another, and goes.
func (d *dayOut) visit(ctx context.Context, i int, due time.Time) {
	c, err := client.Dial(ctx, d.cfg.URL, client.Options{Name: fmt.Sprintf("bench %d", i), NetDial: d.from(i), BackoffMin: 100 * time.Millisecond})
	if err != nil {
		d.counts["refused"].Add(1)
		d.fail("connect", err)
		return
	}
	d.counts["connected"].Add(1)
	u := &user{Client: c, n: i}
	p := d.person(u, i)
	go u.read()
	p.does("connect", due, nil)
	defer d.leave(p)
	if !p.rest(ctx, d.hour/20) {
		return
	}
	switch n := p.rng.IntN(10); {
	case n < 1: // only looks
		p.rest(ctx, d.hour/3)
	case n < 4:
		d.group(ctx, p)
	default:
		d.strangers(ctx, p)
	}
}

// leave ends a visit: most say goodbye, some just close the lid.
func (d *dayOut) leave(p *person) {
	d.counts["left"].Add(1)
	if p.rng.IntN(5) == 0 {
		p.Abandon()
		return
	}
	due := time.Now()
	p.does("leave", due, p.Close())
}

// least is the shortest time between two of a person's searches: the service allows one a second.
const least = 1100 * time.Millisecond

// strangers meets one after another.
func (d *dayOut) strangers(ctx context.Context, p *person) {
	what, due := "match", time.Now()
	var room protocol.RoomID
	for range 1 + p.rng.IntN(5) {
		if room = p.search(ctx, what, due, max(10*time.Second, d.hour/6)); room == "" {
			return
		}
		p.handshake(ctx, room)
		d.talk(ctx, p, room)
		if !p.rest(ctx, max(least, d.hour/10)) {
			return
		}
		what, due = "next", time.Now()
	}
	p.goes(ctx, room)
}

// talk is some lines, and for some the network goes away in the middle.
func (d *dayOut) talk(ctx context.Context, p *person, room protocol.RoomID) {
	for range p.rng.IntN(6) {
		if !p.say(ctx, room) {
			return
		}
		if p.rng.IntN(20) == 0 && !p.lose(ctx) || !p.rest(ctx, max(350*time.Millisecond, d.hour/60)) {
			return
		}
	}
}

// group sits in a room with others: in an open one, or in one of its own.
func (d *dayOut) group(ctx context.Context, p *person) {
	due := time.Now()
	for _, room := range d.open() {
		if _, err := p.Join(ctx, room, ""); err == nil {
			p.does("room", due, nil)
			d.sit(ctx, p, room)
			return
		} else if !late(err) {
			p.does("room", due, err)
			return
		}
		d.close(room)
	}
	st, err := p.Create(ctx, protocol.RoomCreate{Mode: protocol.ModeText, Name: "bench"})
	if p.does("room", due, err) {
		d.add(st.Room)
		d.sit(ctx, p, st.Room)
	}
}

func (d *dayOut) sit(ctx context.Context, p *person, room protocol.RoomID) {
	d.counts["rooms"].Add(1)
	for range 1 + p.rng.IntN(3) {
		d.talk(ctx, p, room)
		if !p.rest(ctx, d.hour/10) {
			return
		}
	}
	p.goes(ctx, room)
}

// goes leaves a room.
func (p *person) goes(ctx context.Context, room protocol.RoomID) {
	due := time.Now()
	p.does("leave", due, p.Leave(ctx, room))
}

// open are a few rooms that may have a seat.
func (d *dayOut) open() []protocol.RoomID {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.rooms[max(0, len(d.rooms)-2):])
}

func (d *dayOut) add(room protocol.RoomID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rooms = append(d.rooms, room)
}

// close forgets a room that had no seat.
func (d *dayOut) close(room protocol.RoomID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rooms = slices.DeleteFunc(d.rooms, func(r protocol.RoomID) bool { return r == room })
}
