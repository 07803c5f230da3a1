package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/client/rtc"
	"github.com/rondo-chat/rondo/internal/pause"
	"github.com/rondo-chat/rondo/protocol"
)

// patience is how long anything may take before it counts as failed.
const patience = 30 * time.Second

// idle lets time pass.
func (b *bench) idle(ctx context.Context) error { return pause.For(ctx, b.cfg.Duration) }

// match lets two users find one another and tells how long it took from the instant. Who else asks at
// the time may find one of them instead: both have found somebody, which is what counts.
func (b *bench) match(ctx context.Context, due time.Time, two [2]*user) ([2]client.Found, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var found [2]client.Found
	var got [2]chan client.Found
	for i, u := range two {
		got[i] = make(chan client.Found, 1)
		u.hear(func(e client.Event) {
			if f, ok := e.(client.Found); ok {
				select {
				case got[i] <- f:
				default:
				}
			}
		})
	}
	for _, u := range two {
		if _, err := u.Find(ctx, protocol.Find{Pool: "text"}); err != nil {
			return found, err
		}
	}
	for i := range two {
		select {
		case found[i] = <-got[i]:
		case <-ctx.Done():
			return found, ctx.Err()
		}
	}
	b.times["match"].Add(time.Since(due))
	b.counts["pairs"].Add(1)
	return found, nil
}

// ask takes two idle users at a time. When none are idle, those that are due wait, and their time runs.
func (b *bench) ask(ctx context.Context) error {
	idle := make(chan [2]*user, len(b.users)/2)
	for i := 0; i+1 < len(b.users); i += 2 {
		idle <- [2]*user{b.users[i], b.users[i+1]}
	}
	var all sync.WaitGroup
	err := b.within(ctx, b.cfg.Rate, func(_ int, due time.Time) {
		all.Go(func() {
			var two [2]*user
			select {
			case two = <-idle:
			case <-ctx.Done():
				return
			}
			found, err := b.match(ctx, due, two)
			if err != nil {
				b.fail("", err)
				return // not used again: who knows what they wait for
			}
			for i, u := range two {
				if err := u.Leave(ctx, found[i].Room); err != nil {
					b.fail("", err)
				}
			}
			_ = pause.For(ctx, time.Second) // searches are limited: one a second, five at once
			idle <- two
		})
	})
	all.Wait()
	return err
}

// burst lets all ask at once, and waits until all have found somebody.
func (b *bench) burst(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var all sync.WaitGroup
	began := time.Now()
	for i := 0; i+1 < len(b.users); i += 2 {
		all.Go(func() {
			if _, err := b.match(ctx, began, [2]*user{b.users[i], b.users[i+1]}); err != nil {
				b.fail("", err)
			}
		})
	}
	all.Wait()
	return nil
}

// pairs matches all users and returns who sits in which room.
func (b *bench) pairs(ctx context.Context) (rooms []protocol.RoomID, err error) {
	rooms = make([]protocol.RoomID, len(b.users))
	var all sync.WaitGroup
	var failed atomic.Pointer[error]
	err = pace(ctx, 200, len(b.users)/2, func(i int, due time.Time) {
		all.Go(func() {
			found, err := b.match(ctx, due, [2]*user{b.users[2*i], b.users[2*i+1]})
			if err != nil {
				failed.Store(&err)
				return
			}
			rooms[2*i], rooms[2*i+1] = found[0].Room, found[1].Room
		})
	})
	all.Wait()
	if e := failed.Load(); e != nil {
		err = errors.Join(err, *e)
	}
	return rooms, err
}

// stamped is a payload of n bytes that says when it was due.
func stamped(due time.Time, n int) map[string]string {
	stamp := strconv.FormatInt(due.UnixNano(), 10)
	return map[string]string{"at": stamp, "sdp": strings.Repeat("x", max(0, n-len(stamp)-20))}
}

func age(raw json.RawMessage) (time.Duration, bool) {
	var d struct {
		At string `json:"at"`
	}
	if json.Unmarshal(raw, &d) != nil {
		return 0, false
	}
	nanos, err := strconv.ParseInt(d.At, 10, 64)
	return time.Since(time.Unix(0, nanos)), err == nil
}

// relay lets each in turn send its partner a signal.
func (b *bench) relay(ctx context.Context) error {
	rooms, err := b.pairs(ctx)
	if err = errors.Join(err, b.begin(ctx)); err != nil {
		return err
	}
	for _, u := range b.users {
		u.hear(func(e client.Event) {
			if s, ok := e.(client.Signal); ok {
				if d, ok := age(s.D); ok {
					b.times["relay"].Add(d)
				}
			}
		})
	}
	err = b.within(ctx, b.cfg.Rate, func(i int, due time.Time) {
		u := b.users[i%len(b.users)]
		b.counts["signals"].Add(1)
		if err := u.Send(rooms[i%len(b.users)], "", protocol.SignalOffer, stamped(due, b.cfg.Bytes)); err != nil {
			b.fail("", err)
		}
	})
	if err == nil {
		err = pause.For(ctx, time.Second) // for what is under way
	}
	return err
}

// fanout lets one user after another write into a conversation that all have opened.
func (b *bench) fanout(ctx context.Context) error {
	if b.cfg.Room == "" {
		return errors.New("bench: fanout needs the id of a topic that guests may write in (--room)")
	}
	if err := errors.Join(b.open(ctx), b.begin(ctx)); err != nil {
		return err
	}
	var all sync.WaitGroup
	run := strconv.FormatInt(time.Now().UnixNano(), 36)
	err := b.within(ctx, b.cfg.Rate, func(i int, due time.Time) {
		all.Go(func() {
			stamp := strconv.FormatInt(due.UnixNano(), 10) + " "
			text := stamp + strings.Repeat("x", max(0, b.cfg.Bytes-len(stamp)))
			u := b.users[i%len(b.users)]
			_, err := u.Conversation(b.cfg.Room).Send(ctx, protocol.ConvSend{CID: fmt.Sprintf("%s-%d", run, i), Text: text})
			if err != nil {
				b.fail("", err)
				return
			}
			b.counts["messages"].Add(1)
			b.times["send"].Add(time.Since(due))
		})
	})
	all.Wait()
	if err == nil {
		err = pause.For(ctx, time.Second)
	}
	return err
}

// open lets all users open the conversation and hear what is written in it.
func (b *bench) open(ctx context.Context) error {
	var all sync.WaitGroup
	var failed atomic.Pointer[error]
	err := pace(ctx, b.cfg.Connect, len(b.users), func(i int, _ time.Time) {
		u := b.users[i]
		u.hear(func(e client.Event) {
			if at, ok := written(e); ok {
				b.times["delivery"].Add(time.Since(at))
				b.counts["deliveries"].Add(1)
			}
		})
		all.Go(func() {
			if _, err := u.Conversation(b.cfg.Room).Open(ctx, protocol.ConvOpen{Limit: 1}); err != nil {
				failed.Store(&err)
			}
		})
	})
	all.Wait()
	if e := failed.Load(); e != nil {
		err = errors.Join(err, fmt.Errorf("open %s: %w", b.cfg.Room, *e))
	}
	return err
}

// calls lets pairs make a call, one after another at the rate, and hold it until the end.
func (b *bench) calls(ctx context.Context) error {
	engine, err := rtc.NewEngine(rtc.EngineConfig{Loopback: b.cfg.Loopback})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(float64(len(b.users)/2)/b.cfg.Rate*float64(time.Second))+b.cfg.Duration+patience)
	defer cancel()
	over, end := context.WithCancel(ctx)
	defer end()
	var all sync.WaitGroup
	err = pace(ctx, b.cfg.Rate, len(b.users)/2, func(i int, due time.Time) {
		all.Go(func() {
			if err := b.call(over, engine, due, [2]*user{b.users[2*i], b.users[2*i+1]}); err != nil {
				b.fail("", err)
			}
		})
	})
	if err == nil {
		err = pause.For(ctx, b.cfg.Duration)
	}
	end()
	all.Wait()
	return err
}

// call lets two users meet and call one another, until ctx ends.
func (b *bench) call(ctx context.Context, engine *rtc.Engine, due time.Time, two [2]*user) error {
	var up sync.WaitGroup
	var failed atomic.Int32
	for _, u := range two {
		up.Add(1)
		c := &caller{user: u, engine: engine, once: sync.OnceFunc(up.Done)}
		c.fail = func() { failed.Add(1); c.once() }
		u.hear(func(e client.Event) { c.event(ctx, e) })
		if _, err := u.Find(ctx, protocol.Find{Pool: "video"}); err != nil {
			return err
		}
	}
	up.Wait()
	if failed.Load() > 0 || ctx.Err() != nil {
		return errors.New("bench: the call did not come about")
	}
	b.times["call"].Add(time.Since(due))
	b.counts["calls"].Add(1)
	<-ctx.Done()
	return nil
}
