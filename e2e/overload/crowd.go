package overload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rondo-chat/rondo/protocol"
)

const (
	roundTime = 1150 * time.Millisecond // a little more than the rate of match.find
	signals   = 7                       // each way in a round
	chats     = 2
)

// crowd is healthy people on one server: pairs that search, signal, chat and part,
// with another partner each round, because recent ones are avoided.
type crowd struct {
	name  string
	pairs int
	users []*user // the first half meets the second
	since time.Time

	mu      sync.Mutex
	samples samples
	trouble []string
}

// samples are the times that a crowd measured.
type samples struct{ match, signal, chat []time.Duration }

func (s *samples) add(o samples) {
	s.match = append(s.match, o.match...)
	s.signal = append(s.signal, o.signal...)
	s.chat = append(s.chat, o.chat...)
}

// user is one of a crowd. What the reader shares with its pair goes through found
// and parted.
type user struct {
	c      *crowd
	w      *wire
	busy   sync.Mutex // held by the pair of the present round
	sendMu sync.Mutex
	seq    atomic.Uint64
	found  chan found
	parted chan protocol.RoomID
}

type found struct {
	room protocol.RoomID
	at   time.Time
}

// newCrowd connects people to addr; from is the first of their addresses.
func newCrowd(ctx context.Context, name, addr string, pairs, from int) (*crowd, error) {
	c := &crowd{name: name, pairs: pairs, users: make([]*user, 2*pairs), since: time.Now()}
	var g errgroup.Group
	g.SetLimit(8)
	for i := range c.users {
		g.Go(func() error {
			w, err := dial(ctx, addr, from+i, 0)
			if err != nil {
				return err
			}
			m, err := w.hello(fmt.Sprintf("healthy%d", i))
			if err == nil && m.T != protocol.TypeWelcome {
				err = fmt.Errorf("no welcome but %s", m.T)
			}
			c.users[i] = &user{c: c, w: w, found: make(chan found, 4), parted: make(chan protocol.RoomID, 4)}
			return err
		})
	}
	return c, g.Wait()
}

// run lets them live until ctx ends.
func (c *crowd) run(ctx context.Context) {
	var readers sync.WaitGroup
	for _, u := range c.users {
		readers.Go(func() { u.read(ctx) })
	}
	var pairs sync.WaitGroup
	for i := range c.pairs {
		pairs.Go(func() { c.rounds(ctx, i) })
	}
	pairs.Wait()
	for _, u := range c.users {
		u.w.c.Close()
	}
	readers.Wait()
}

// rounds lets the i-th of the first half meet one after the other of the second.
// Pairs begin their rounds one after another, evenly over roundTime, so that there
// is always somebody who searches.
func (c *crowd) rounds(ctx context.Context, i int) {
	begin := time.Now().Add(roundTime * time.Duration(i) / time.Duration(c.pairs))
	for round := 0; pause(ctx, time.Until(begin.Add(time.Duration(round)*roundTime))); round++ {
		a, b := c.users[i], c.users[c.pairs+(i+round)%c.pairs]
		a.busy.Lock()
		b.busy.Lock() // till who met it before has parted
		c.meet(ctx, a, b, fmt.Sprintf("r%dp%d", round, i))
		b.busy.Unlock()
		a.busy.Unlock()
	}
}

// wrong notes something that must not happen to healthy people.
func (c *crowd) wrong(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.trouble) < 20 {
		c.trouble = append(c.trouble, c.name+": "+fmt.Sprintf(format, args...))
	}
}

// took returns what was measured since it was asked last, and what went wrong ever.
func (c *crowd) took() (samples, []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.samples
	c.samples = samples{}
	return s, slices.Clone(c.trouble)
}

func (c *crowd) sample(to func(*samples) *[]time.Duration, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := to(&c.samples)
	*list = append(*list, d)
}

// meet is one round of a pair.
func (c *crowd) meet(ctx context.Context, a, b *user, tag string) {
	a.say(`{"t":"match.find","a":%d,"d":{"tags":[%q],"strict":true}}`, a.seq.Load(), tag)
	asked := time.Now()
	b.say(`{"t":"match.find","a":%d,"d":{"tags":[%q],"strict":true}}`, b.seq.Load(), tag)
	fa, fb := a.wait(ctx), b.wait(ctx)
	if fa.room == "" || fa.room != fb.room {
		if ctx.Err() == nil {
			c.wrong("%s: rooms %q and %q", tag, fa.room, fb.room)
		}
		return
	}
	for _, f := range []found{fa, fb} {
		c.sample(func(s *samples) *[]time.Duration { return &s.match }, f.at.Sub(asked))
	}
	for i := range signals {
		for _, u := range []*user{a, b} {
			u.say(`{"t":"signal","a":%d,"room":%q,"kind":"candidate","d":{"candidate":null,"at":%d}}`, u.seq.Load(), fa.room, time.Since(c.since))
			if i < chats {
				u.say(`{"t":"chat","room":%q,"d":{"cid":"c%d","text":"%d"}}`, fa.room, i, time.Since(c.since))
			}
		}
		if !pause(ctx, roundTime/2/signals+rand.N(10*time.Millisecond)) {
			return
		}
	}
	a.say(`{"t":"room.leave","room":%q}`, fa.room)
	if room := b.left(ctx); room != fa.room && ctx.Err() == nil {
		c.wrong("%s: parted from %q, not %q", tag, room, fa.room)
	}
}

// patience is how long somebody waits for what should happen at once.
const patience = 20 * time.Second

func (u *user) wait(ctx context.Context) found {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case f := <-u.found:
		return f
	case <-ctx.Done():
		return found{}
	}
}

func (u *user) left(ctx context.Context) protocol.RoomID {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case room := <-u.parted:
		return room
	case <-ctx.Done():
		return ""
	}
}

func (u *user) say(format string, args ...any) {
	u.sendMu.Lock()
	defer u.sendMu.Unlock()
	_ = u.w.send(format, args...) // the reader sees why
}

// read notes what comes and when, until the socket ends, which only ctx may do.
func (u *user) read(ctx context.Context) {
	for {
		b, now, err := u.w.nextAt()
		if err != nil {
			if ctx.Err() == nil {
				u.c.wrong("dropped: %v", err)
			}
			return
		}
		var m message
		if err := json.Unmarshal(b, &m); err != nil {
			u.c.wrong("%q: %v", b, err)
			return
		}
		if m.Seq > 0 {
			u.seq.Store(m.Seq)
		}
		if err := u.take(&m, now); err != nil && ctx.Err() == nil {
			u.c.wrong("%v: %s", err, b)
		}
	}
}

func (u *user) take(m *message, now time.Time) error {
	switch m.T {
	case protocol.TypePing:
		u.say(`{"t":"pong"}`)
	case protocol.TypeMatchFound:
		u.found <- found{m.Room, now}
	case protocol.TypePeerLeft:
		u.parted <- m.Room
	case protocol.TypeSignal:
		var d struct{ At int64 }
		if err := json.Unmarshal(m.D, &d); err != nil {
			return err
		}
		u.c.sample(func(s *samples) *[]time.Duration { return &s.signal }, now.Sub(u.c.since)-time.Duration(d.At))
	case protocol.TypeChat:
		var d struct{ Text string }
		if err := json.Unmarshal(m.D, &d); err != nil {
			return err
		}
		at, err := strconv.ParseInt(d.Text, 10, 64)
		if err != nil {
			return err
		}
		u.c.sample(func(s *samples) *[]time.Duration { return &s.chat }, now.Sub(u.c.since)-time.Duration(at))
	case protocol.TypeErr:
		if m.E != nil && m.E.Code == protocol.CodeStaleCall {
			return nil // the partner's leaving came before, as it may
		}
		return errors.New("an error")
	case protocol.TypePeerReconnecting, protocol.TypeMatchStopped, protocol.TypeReconnect:
		return errors.New("disturbed")
	}
	return nil
}

// quantile returns the q-th quantile of d, which it sorts.
func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[min(int(q*float64(len(d))), len(d)-1)]
}
