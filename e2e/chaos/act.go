package chaos

import (
	"context"
	"fmt"
	"time"

	"github.com/rondo-chat/rondo/e2e/chaos/history"
	"github.com/rondo-chat/rondo/protocol"
)

// act does the next thing of the plan.
func (l *life) act(ctx context.Context) {
	l.relight()
	if l.over {
		return
	}
	p := l.u.rng.IntN(1000 / max(1, l.u.w.plan.rough))
	// In rough runs one at a time: who dies in the dark is missed much later.
	spared := l.u.w.calm.Load() || l.u.w.plan.rough > 0 && !l.until.IsZero()
	if !spared && l.searching && l.u.w.shy.Load() && p%2 == 0 {
		p = dark
	}
	if !spared && l.misfortune(p) {
		return
	}
	p = l.u.rng.IntN(100)
	switch {
	case l.room == "" && !l.searching:
		l.find(ctx)
	case l.room == "":
		if p < 2 {
			l.cancel(ctx)
		}
	case p < 45:
		l.signal(ctx)
	case p < 80:
		l.chat(ctx)
	case p < 88:
		l.page(ctx)
	case l.u.loyal:
	case p < 97:
		l.next(ctx)
	default:
		l.leave(ctx)
	}
}

// dark is the misfortune of a link that is half-open for a while.
const dark = 26

// misfortune lets p of 1000 have an accident.
func (l *life) misfortune(p int) bool {
	switch {
	case p < 6:
		l.end(history.Gone)
	case p < 10:
		l.end(history.Bye)
	case p < 22:
		l.note(history.Event{Kind: history.Cut})
		l.u.wire.cut()
		l.note(history.Event{Kind: history.Mended})
	case p <= dark && l.until.IsZero():
		l.note(history.Event{Kind: history.Cut})
		l.u.wire.darken()
		l.until = time.Now().Add(time.Duration(500+l.u.rng.IntN(3500)) * time.Millisecond)
	default:
		return false
	}
	return true
}

func (l *life) find(ctx context.Context) {
	l.note(history.Event{Kind: history.Ask})
	l.searching, l.asking = true, true
	took, err := l.do(ctx, func(ctx context.Context) error {
		_, err := l.c.Find(ctx, protocol.Find{})
		return err
	})
	l.asked(ctx, took, err)
}

// asked writes down how a search began.
func (l *life) asked(ctx context.Context, took time.Duration, err error) {
	l.asking = false
	if l.over {
		return
	}
	if err == nil {
		l.note(history.Event{Kind: history.AskOK, Took: took})
		return
	}
	l.note(history.Event{Kind: history.AskNo, Took: took, Err: err.Error()})
	if l.gaveUp(err) {
		return
	}
	l.searching = false
	if protocol.CodeOf(err) == protocol.CodeAlready {
		l.u.w.stuck.Add(1)
		l.cancel(ctx)
	}
}

// next leaves and asks in one step.
func (l *life) next(ctx context.Context) {
	room := l.room
	l.note(history.Event{Kind: history.Quit, Room: room})
	l.note(history.Event{Kind: history.Ask})
	l.searching, l.asking = true, true
	took, err := l.do(ctx, func(ctx context.Context) error {
		_, err := l.c.Next(ctx, nil)
		return err
	})
	if l.over {
		return
	}
	if protocol.CodeOf(err) != protocol.CodeRateLimited && !l.gaveUp(err) {
		l.note(history.Event{Kind: history.QuitOK, Room: room, Took: took})
		if l.room == room {
			l.room = ""
		}
	}
	l.asked(ctx, took, err)
}

func (l *life) leave(ctx context.Context) {
	room := l.room
	l.quit(ctx, func(ctx context.Context) error { return l.c.Leave(ctx, protocol.RoomID(room)) })
}

// cancel also leaves a match that was found meanwhile.
func (l *life) cancel(ctx context.Context) {
	l.quit(ctx, l.c.Cancel)
}

func (l *life) quit(ctx context.Context, f func(ctx context.Context) error) {
	l.note(history.Event{Kind: history.Quit, Room: l.room})
	took, err := l.do(ctx, f)
	switch {
	case l.over || l.gaveUp(err):
	case err == nil:
		l.note(history.Event{Kind: history.QuitOK, Room: l.room, Took: took})
		l.room, l.searching = "", false
	}
}

// signal sends a few at once and waits until the server took the last one, and
// with it all.
func (l *life) signal(ctx context.Context) {
	room := l.room
	var ids []string
	for range 1 + l.u.rng.IntN(4) {
		l.n++
		ids = append(ids, history.ID(l.log.Name, room, l.n))
		l.note(history.Event{Kind: history.Send, Room: room, ID: ids[len(ids)-1]})
	}
	took, err := l.do(ctx, func(ctx context.Context) error {
		for _, id := range ids[:len(ids)-1] {
			if err := l.c.Send(protocol.RoomID(room), "", protocol.SignalCandidate, map[string]any{"candidate": nil, "id": id}); err != nil {
				return err
			}
		}
		return l.c.Signal(ctx, protocol.RoomID(room), "", protocol.SignalCandidate, map[string]any{"candidate": nil, "id": ids[len(ids)-1]})
	})
	l.answer(history.SendOK, history.SendNo, history.Event{Room: room, Took: took}, err)
}

// chat says something.
func (l *life) chat(ctx context.Context) {
	room := l.room
	l.n++
	id := history.ID(l.log.Name, room, l.n)
	l.note(history.Event{Kind: history.Say, Room: room, ID: id})
	var sent protocol.ChatSent
	took, err := l.do(ctx, func(ctx context.Context) (err error) {
		sent, err = l.c.ChatAs(ctx, protocol.RoomID(room), protocol.ChatSend{CID: fmt.Sprintf("c%d", l.n), Text: id})
		return err
	})
	l.answer(history.SayOK, history.SayNo, history.Event{Room: room, ID: id, Off: sent.Off, Took: took}, err)
}

// page reads the room's chat from the beginning.
func (l *life) page(ctx context.Context) {
	room, zero := l.room, uint64(0)
	var page protocol.ChatHistory
	took, err := l.do(ctx, func(ctx context.Context) (err error) {
		page, err = l.c.History(ctx, protocol.RoomID(room), protocol.ChatQuery{Since: &zero, Limit: protocol.MaxHistory})
		return err
	})
	e := history.Event{Room: room, Took: took}
	for _, m := range page.Messages {
		e.Page = append(e.Page, history.Message{Off: m.Off, ID: m.Text})
	}
	l.answer(history.Pages, history.SendNo, e, err)
}

// answer writes down the answer to a request.
func (l *life) answer(yes, no history.Kind, e history.Event, err error) {
	if l.over {
		return
	}
	e.Kind = yes
	if err != nil {
		e.Kind, e.Err = no, err.Error()
	}
	l.note(e)
	l.gaveUp(err)
}
