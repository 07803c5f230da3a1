package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/e2e/chaos/history"
	"github.com/rondo-chat/rondo/protocol"
)

// user is a person who comes, stays a while, goes and comes again.
type user struct {
	w      *world
	person string
	rng    *rand.Rand
	wire   *wire
	loyal  bool // never skips: stays until the other one goes
	lives  int
	guest  string
}

// run lives until ctx ends.
func (u *user) run(ctx context.Context) {
	defer u.wire.cut()
	for ctx.Err() == nil {
		if err := u.live(ctx); err != nil {
			u.w.refusals.Add(1)
		}
		pause(ctx, time.Duration(200+u.rng.IntN(1500))*time.Millisecond)
	}
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// live is one client from hello to its end.
func (u *user) live(ctx context.Context) error {
	u.lives++
	name := fmt.Sprintf("%s.%d", u.person, u.lives)
	guest := ""
	if u.rng.IntN(2) == 0 {
		guest = u.guest // the same person, as who reloads the page
	}
	dctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := client.Dial(dctx, "ws://rondo.invalid/ws", client.Options{
		Name: name, Guest: guest, NetDial: u.wire.dial, Queue: 8192,
		BackoffMin: 50 * time.Millisecond, BackoffMax: time.Second, Silence: silence,
	})
	if err != nil {
		return err
	}
	l := &life{u: u, c: c, log: &history.Log{Name: name}, events: c.Events()}
	l.note(history.Event{Kind: history.Hello, Node: string(c.Welcome().Node)})
	u.guest = c.Welcome().Guest
	l.live(ctx)
	u.w.keep(l.log)
	return nil
}

// silence is what the clients grant a quiet server beyond its ping interval.
const silence = 2 * time.Second

// life is one client. All of it runs on one goroutine, so that the log has the
// order in which things reached the client.
type life struct {
	u      *user
	c      *client.Client
	log    *history.Log
	events <-chan client.Event

	room      string
	searching bool
	asking    bool      // for a search; the answer comes after any snapshot
	until     time.Time // the link is dark until then; zero: it is not
	n         int       // payloads
	over      bool
}

func (l *life) note(e history.Event) {
	e.At = l.u.w.now()
	l.log.Events = append(l.log.Events, e)
}

func (l *life) live(ctx context.Context) {
	next := time.NewTimer(l.think())
	defer next.Stop()
	for !l.over {
		select {
		case ev, ok := <-l.events:
			l.take(ev, ok)
		case <-next.C:
			l.act(ctx)
			next.Reset(l.think())
		case <-ctx.Done():
			l.end(history.End)
		}
	}
	l.u.wire.lighten()
}

func (l *life) think() time.Duration { return time.Duration(100+l.u.rng.IntN(600)) * time.Millisecond }

// end ends the client: with a bye, or without a word.
func (l *life) end(how history.Kind) {
	if l.over {
		return
	}
	l.over = true
	l.note(history.Event{Kind: how})
	if how == history.Gone {
		l.c.Abandon()
		return
	}
	_ = l.c.Close() // has no error
}

// take writes down an event. No event: the client has ended.
func (l *life) take(ev client.Event, ok bool) {
	if !ok {
		if !l.over {
			l.over = true
			l.note(history.Event{Kind: history.Gone, Err: fmt.Sprint(l.c.Err())})
			l.u.w.ended(l.log.Name, l.c.Err())
		}
		return
	}
	switch ev := ev.(type) {
	case client.Down:
		l.note(history.Event{Kind: history.Down, Err: fmt.Sprint(ev.Err)})
	case client.Up:
		l.up(ev)
	case client.Found:
		l.told(ev.Room, &ev.Found)
	case client.Stopped:
		l.searching = false
		l.note(history.Event{Kind: history.Stopped, Err: ev.Reason})
	case client.PeerLeft:
		l.out(history.PeerLeft, ev.Room, string(ev.Reason))
	case client.RoomClosed:
		l.out(history.Closed, ev.Room, ev.Reason)
	case client.Signal:
		var d struct{ ID string }
		_ = json.Unmarshal(ev.D, &d) // then the ID is "", which the checker finds
		l.note(history.Event{Kind: history.Got, Room: string(ev.Room), ID: d.ID, Seat: string(ev.From)})
	case client.Chat:
		l.note(history.Event{Kind: history.Heard, Room: string(ev.Room), ID: ev.Text, Off: ev.Off, Seat: string(ev.From)})
	case client.Refused:
		l.note(history.Event{Kind: history.SendNo, Room: string(ev.Room), Err: fmt.Sprint(ev.Type, ev.Err)})
	}
}

func (l *life) out(k history.Kind, room protocol.RoomID, why string) {
	l.note(history.Event{Kind: k, Room: string(room), Err: why})
	if l.room == string(room) {
		l.room = ""
	}
}

func (l *life) told(room protocol.RoomID, f *protocol.Found) {
	l.room, l.searching = string(room), false
	l.note(history.Event{Kind: history.Told, Room: l.room, Peer: f.Peer.Name, Seat: string(f.You), Offerer: f.Offerer})
}

func (l *life) up(ev client.Up) {
	node := string(l.c.Welcome().Node)
	if ev.New {
		l.room, l.searching = "", false
		l.note(history.Event{Kind: history.Lost, Node: node})
		return
	}
	l.note(history.Event{Kind: history.Up, Node: node})
	if ev.State == nil {
		return
	}
	e := history.Event{Kind: history.Resync, Searching: ev.State.Match != nil}
	if r := ev.State.Room; r != nil {
		e.Room, e.Seat = string(r.Room), string(r.You)
		if r.Match != nil {
			e.Peer, e.Offerer = r.Match.Peer.Name, r.Match.Offerer
		}
		for _, m := range r.Chat.Messages {
			e.Page = append(e.Page, history.Message{Off: m.Off, ID: m.Text})
		}
	}
	l.room, l.searching = e.Room, e.Searching || l.asking && e.Room == ""
	l.note(e)
}

// do makes a request while events go on. Whatever reached the client before the
// answer is written down before do returns.
func (l *life) do(ctx context.Context, f func(ctx context.Context) error) (took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began, done := l.u.w.now(), make(chan error, 1)
	go func() { done <- f(ctx) }()
	for {
		select {
		case ev, ok := <-l.events:
			l.take(ev, ok)
			if !ok {
				l.events = nil // f fails now
			}
			l.relight()
			continue
		case <-time.After(200 * time.Millisecond):
			l.relight()
			continue
		case err = <-done:
		}
		took = max(1, l.u.w.now()-began)
		for {
			select {
			case ev, ok := <-l.events:
				l.take(ev, ok)
				if ok {
					continue
				}
				l.events = nil
			default:
			}
			return took, err
		}
	}
}

// patience is how long a user waits for an answer before giving up on the client.
const patience = 40 * time.Second

// relight mends the link when its time has come.
func (l *life) relight() {
	if !l.until.IsZero() && time.Now().After(l.until) {
		l.until = time.Time{}
		l.u.wire.lighten()
		l.note(history.Event{Kind: history.Mended})
	}
}

// gaveUp ends the client when it cannot know how things stand.
func (l *life) gaveUp(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		l.end(history.Bye)
	}
	return l.over
}
