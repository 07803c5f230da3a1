package table

import (
	"context"
	"fmt"
	"time"

	"github.com/rondo-chat/rondo/internal/pause"
	"github.com/rondo-chat/rondo/protocol"
)

// growth measures the same work at a server with ten times as many users, rooms, waiting people, members or
// messages. The reference of its lines is the small number, so the ratio is what tenfold makes of the cost.
func (g *group) growth(ctx context.Context) error {
	for _, f := range []func(context.Context) error{g.moreUsers, g.moreIdle, g.moreWaiting, g.moreMembers} {
		err := f(ctx)
		g.end() // what one has begun costs the next one nothing
		if err != nil {
			return err
		}
	}
	return nil
}

// moreUsers lets as many pairs send signals beside few and beside many who sit in rooms, and the same
// pairs send few and many messages.
func (g *group) moreUsers(ctx context.Context) error {
	active := g.size(100, 10)
	var sides [2]*side
	for i, n := range []int{g.size(400, 40), g.size(4000, 400)} {
		s, err := g.rondo(ctx)
		if err != nil {
			return err
		}
		all, err := g.rondoPairs(ctx, s, n)
		if err != nil {
			return err
		}
		sides[i] = &side{s.process, all.pairs[:active]}
	}
	rate := float64(g.size(500, 50))
	return g.rounds(ctx, func(int) error {
		costs, err := inTurns(shape{"", 500, 1, 96}, sides[0], sides[1])
		if err != nil {
			return err
		}
		g.add("10x users and rooms: a message", costs[1], costs[0])
		var each [2]float64
		for i, r := range []float64{rate, 10 * rate} {
			length := time.Second
			used, err := sides[0].during(func() error { _, err := openLoop(ctx, sides[0].pairs, r, length); return err })
			if err != nil {
				return err
			}
			each[i] = float64(used.Nanoseconds()) / 1000 / (r * length.Seconds())
		}
		g.add("10x messages: a message", each[1], each[0])
		return pause.For(ctx, time.Second)
	})
}

func (g *group) moreIdle(ctx context.Context) error {
	many := g.size(10_000, 1000)
	return g.rounds(ctx, func(int) error {
		var each [2]float64
		for i, n := range []int{many / 10, many} {
			var err error
			if each[i], err = g.idleSessions(ctx, n, false); err != nil {
				return err
			}
		}
		g.add("10x users: memory of an idle session", each[1], each[0])
		return nil
	})
}

// moreWaiting lets people find one another beside those who wait for somebody else.
func (g *group) moreWaiting(ctx context.Context) error {
	n := g.size(200, 40)
	var sides [2]*askers
	for i, waiting := range []int{g.size(500, 50), g.size(5000, 500)} {
		s, err := g.rondo(ctx)
		if err != nil {
			return err
		}
		if _, err := g.waiting(ctx, s, waiting); err != nil {
			return err
		}
		sides[i] = &askers{process: s.process, dial: func(i int) (*speaker, error) { return guest(ctx, s, waiting+i) }}
	}
	return g.rounds(ctx, func(int) error {
		var each [2]float64
		g := g.part()
		defer g.end()
		for i, a := range sides {
			var err error
			if a.all, err = g.crowd(ctx, n, a.dial); err != nil {
				return err
			}
			if _, each[i], err = a.burst(); err != nil {
				return err
			}
		}
		g.add("10x waiting: a pair", each[1]*1000, each[0]*1000)
		return nil
	})
}

// waiting are n guests who wait for somebody with an interest that nobody has.
func (g *group) waiting(ctx context.Context, s *server, n int) ([]*speaker, error) {
	return g.crowd(ctx, n, func(i int) (*speaker, error) {
		w, err := guest(ctx, s, i)
		if err != nil {
			return nil, err
		}
		if err := w.ask(protocol.TypeMatchFind, "", fmt.Sprintf(`{"pool":"text","tags":["only %d"],"strict":true}`, i)); err != nil {
			return nil, err
		}
		go w.ignore()
		return w, nil
	})
}

// ignore reads what comes until the connection ends.
func (s *speaker) ignore() {
	for {
		raw, err := s.Next()
		if err != nil {
			return
		}
		if m, err := s.control(raw); err != nil || m.T == protocol.TypeMatchFound {
			return
		}
	}
}

// moreMembers lets few and many hear what is written in a topic.
func (g *group) moreMembers(ctx context.Context) error {
	few := g.size(1000, 50)
	s, err := g.rondo(ctx)
	if err != nil {
		return err
	}
	login, err := g.administrator(ctx, s)
	if err != nil {
		return err
	}
	var sizes [2]*audience
	for i, n := range []int{few, 10 * few} {
		if sizes[i], err = g.topic(ctx, s, login, i*few, n); err != nil {
			return err
		}
	}
	messages := []int{10, g.size(3, 5)}
	return g.rounds(ctx, func(int) error {
		var each [2]float64
		for i, a := range sizes {
			used, err := a.during(func() error { return a.say(ctx, messages[i], 1) })
			if err != nil {
				return err
			}
			each[i] = float64(used.Nanoseconds()) / 1000 / float64(messages[i]*len(a.all))
		}
		g.add("10x members: a delivery", each[1], each[0])
		return nil
	})
}
