package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/client/rtc"
	"github.com/rondo-chat/rondo/protocol"
)

// person is somebody of the load: a client that stays, and writes its diary.
type person struct {
	w      *world
	c      *client.Client
	wire   *wire
	engine *rtc.Engine // makes the call's media; nil: none
	media  atomic.Pointer[rtc.Peer]

	mu     sync.Mutex
	d      *diary
	stands bool // the load stands: what comes now is written down
	joined int  // peers that came, before the load stood
	first  meeting
	ended  bool
}

func (p *person) now() time.Duration { return p.w.now() }

// locked calls f with the lock.
func (p *person) locked(f func(d *diary)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p.d)
}

// read writes down the events until the client ends.
func (p *person) read() {
	for ev := range p.c.Events() {
		if s, ok := ev.(client.Signal); ok && s.Kind != protocol.SignalMedia {
			if m := p.media.Load(); m != nil {
				m.Handle(s)
			}
			continue
		}
		if f, ok := ev.(client.Found); ok && p.engine != nil {
			p.call(f)
		}
		p.locked(func(d *diary) { p.takeLocked(d, ev) })
	}
	p.locked(func(d *diary) {
		p.ended = true
		if err := p.c.Err(); !errors.Is(err, client.ErrClosed) {
			d.bad = append(d.bad, fmt.Sprintf("the client ended: %v", err))
		}
	})
}

// call begins the call of a match.
func (p *person) call(f client.Found) {
	m, err := p.engine.Match(p.c, f, rtc.Config{Video: true})
	if err != nil {
		p.locked(func(d *diary) { d.bad = append(d.bad, fmt.Sprintf("no call: %v", err)) })
		return
	}
	p.media.Store(m)
}

// takeLocked writes down one event.
func (p *person) takeLocked(d *diary, ev client.Event) {
	at := p.now()
	odd := func(ev any) { d.bad = append(d.bad, fmt.Sprintf("%v: %T %+v", at.Round(time.Millisecond), ev, ev)) }
	switch ev := ev.(type) {
	case client.Down:
		d.downs = append(d.downs, moment{at, fmt.Sprint(ev.Err)})
	case client.Up:
		d.ups = append(d.ups, moment{at, p.atNode()})
		if ev.New {
			odd(ev)
		} else if ev.State != nil {
			p.resyncLocked(d, at, ev.State)
		}
	case client.Found:
		m := meeting{at, string(ev.Room), string(ev.You), ev.Peer.Name, time.Duration(ev.WaitedMS) * time.Millisecond}
		if p.stands {
			d.met = append(d.met, m)
		} else {
			p.first = m
		}
	case client.Signal:
		var body struct{ ID string }
		_ = json.Unmarshal(ev.D, &body) // then it is nobody's, which the judge finds
		d.take(signals, at, string(ev.Room), string(ev.From), readText(body.ID))
	case client.Chat:
		m := readText(ev.Text)
		m.off = ev.Off
		d.take(chats, at, string(ev.Room), string(ev.From), m)
	case client.PeerReconnecting:
		d.away[string(ev.Peer)] = true
		d.news = append(d.news, moment{at, fmt.Sprint(ev.Peer, " away")})
	case client.PeerBack:
		d.away[string(ev.Peer)] = false
		d.news = append(d.news, moment{at, fmt.Sprint(ev.Peer, " back")})
	case client.PeerJoined:
		p.joined++
		if p.stands {
			odd(ev)
		}
	case client.Waiting:
	default:
		odd(ev)
	}
}

func (p *person) atNode() string { return string(p.c.Welcome().Node) }

// take writes down a message, or that it came from where it must not.
func (d *diary) take(s stream, at time.Duration, room, seat string, m message) {
	m.at = at
	if room != d.room || d.seats[seat] != m.from {
		m.from = fmt.Sprintf("%s in %s as %s", m.from, room, seat)
	}
	d.got[s] = append(d.got[s], m)
}

// resyncLocked takes the truth of a state: it must be what was.
func (p *person) resyncLocked(d *diary, at time.Duration, st *protocol.State) {
	room, you := "", ""
	if st.Room != nil {
		room, you = string(st.Room.Room), string(st.Room.You)
		p.stateOfRoom(d, at, st.Room)
	}
	// Who is matched between two sockets learns of it by the state.
	if st.Room != nil && st.Room.Match != nil && d.room == "" && len(d.met) == 0 {
		m := st.Room.Match
		d.met = append(d.met, meeting{at, room, you, m.Peer.Name, time.Duration(m.WaitedMS) * time.Millisecond})
		return
	}
	if len(d.met) == 0 && (room != d.room || you != d.you) {
		d.bad = append(d.bad, fmt.Sprintf("%v: in room %q as %q, which was %q as %q", at, room, you, d.room, d.you))
	}
	if searches := d.asked != 0 && len(d.met) == 0; searches && st.Match == nil {
		d.bad = append(d.bad, fmt.Sprintf("%v: does not search any more", at))
	} else if searches && d.part == waiter && time.Duration(st.Match.WaitedMS)*time.Millisecond < at-d.asked-placeSlack {
		d.bad = append(d.bad, fmt.Sprintf("%v: waits since %d ms, was waiting since %v", at, st.Match.WaitedMS, d.asked))
	}
}

// stateOfRoom takes who is there, and the chat that it did not have.
func (p *person) stateOfRoom(d *diary, at time.Duration, st *protocol.RoomState) {
	for _, peer := range st.Peers {
		d.away[string(peer.ID)] = peer.State == protocol.PeerAway
	}
	if len(d.seats) > 0 && len(st.Peers) != len(d.seats)-1 {
		d.bad = append(d.bad, fmt.Sprintf("%v: %d others in the room, not %d", at, len(st.Peers), len(d.seats)-1))
	}
	have := map[string]bool{}
	for _, m := range d.got[chats] {
		have[fmt.Sprint(m.off, m.text())] = true
	}
	for _, msg := range st.Chat.Messages {
		m := readText(msg.Text)
		m.off, m.state = msg.Off, true
		if !have[fmt.Sprint(m.off, m.text())] {
			d.take(chats, at, string(st.Room), string(msg.From), m)
		}
	}
}

// talk sends a message of the stream every so often, until ctx ends. It waits for
// each answer.
func (p *person) talk(ctx context.Context, s stream, pace time.Duration) {
	pause(ctx, rand.N(pace))
	for n := 1; ctx.Err() == nil; n++ {
		began := time.Now()
		p.send(s, n)
		pause(ctx, pace*3/4+rand.N(pace/2)-time.Since(began))
	}
}

// answerWithin is how long a person waits for an answer. A server under a fault
// must not need longer, either.
const answerWithin = 25 * time.Second

// send sends number n of the stream and writes down the answer.
func (p *person) send(s stream, n int) {
	var room protocol.RoomID
	i, began := 0, p.now()
	m := message{at: began, from: p.d.name, n: n}
	p.locked(func(d *diary) {
		room, i = protocol.RoomID(d.room), len(d.sent[s])
		d.sent[s] = append(d.sent[s], m)
	})
	// Not the context of the load: what was begun is to be answered.
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	var err error
	if s == signals {
		err = p.c.Signal(ctx, room, "", protocol.SignalMedia, map[string]any{"audio": true, "id": m.text()})
	} else {
		var sent protocol.ChatSent
		sent, err = p.c.Chat(ctx, room, m.text())
		m.off = sent.Off
	}
	switch {
	case err == nil:
		m.took = max(1, p.now()-began)
	case !errors.Is(err, context.DeadlineExceeded):
		m.err = err.Error()
	}
	p.locked(func(d *diary) { d.sent[s][i] = m })
}

// ask begins a search for the counterpart, and tries again while the service
// says no.
func (p *person) ask(ctx context.Context, tag string) error {
	p.locked(func(d *diary) { d.asked = p.now() })
	for {
		_, err := p.c.Find(ctx, protocol.Find{Tags: []string{tag}, Strict: true})
		code := protocol.CodeOf(err)
		if err == nil || code != protocol.CodeUnavailable && code != protocol.CodeRateLimited {
			return err
		}
		retry := 200 * time.Millisecond
		if pe, ok := errors.AsType[*protocol.Error](err); ok {
			retry = max(retry, pe.Retry)
		}
		pause(ctx, retry)
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w, at last %w", p.d.name, ctx.Err(), err)
		}
	}
}

// end closes the client and its call.
func (p *person) end() error {
	if m := p.media.Load(); m != nil {
		_ = m.Close() // its connection ends with it
	}
	return p.c.Close()
}

// isUp reports whether every lost socket was replaced.
func (p *person) isUp() (up bool) {
	p.locked(func(d *diary) { up = len(d.ups) == len(d.downs) })
	return up
}

// movedFrom reports whether the client has a socket, and not at node.
func (p *person) movedFrom(node protocol.NodeID) bool {
	return p.isUp() && !strings.EqualFold(p.atNode(), string(node))
}
