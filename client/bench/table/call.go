package table

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/client/bench/wire"
	"github.com/rondo-chat/rondo/client/rtc"
	"github.com/rondo-chat/rondo/internal/pause"
	"github.com/rondo-chat/rondo/protocol"
)

// call compares the way from the click to the connection with that of two bare peers of pion, whose signals
// are function calls and which need not look for one another. Both are of package rtc and have the same media.
func (g *group) call(ctx context.Context) error {
	n := g.size(3, 1)
	s, err := g.rondo(ctx)
	if err != nil {
		return err
	}
	engine, err := rtc.NewEngine(rtc.EngineConfig{Loopback: true})
	if err != nil {
		return err
	}
	return g.rounds(ctx, func(int) error {
		for _, way := range []struct {
			name  string
			relay bool
		}{{"direct", false}, {"relayed", true}} {
			var ours, bare []float64
			for i := range n {
				one, other, err := pairOfCalls(ctx, engine, s, i, way.relay)
				if err != nil {
					return err
				}
				ours, bare = append(ours, one), append(bare, other)
				// One address may make five allocations a second, and each peer makes two.
				if err := pause.For(ctx, 2*time.Second); err != nil {
					return err
				}
			}
			slices.Sort(ours)
			slices.Sort(bare)
			g.add(way.name+": click → connected, p50", quantile(ours, 0.5), quantile(bare, 0.5))
		}
		return nil
	})
}

// pairOfCalls lets two new users call one another, for those who have met are kept apart for a while, and then two bare
// peers. It returns how many milliseconds each took.
func pairOfCalls(ctx context.Context, engine *rtc.Engine, s *server, i int, relay bool) (ours, bare float64, err error) {
	var two [2]*client.Client
	for j := range two {
		if two[j], err = client.Dial(ctx, s.ws(), client.Options{NetDial: wire.From(2*i + j).DialContext}); err != nil {
			return 0, 0, err
		}
		defer two[j].Close()
	}
	took, err := rondoCall(ctx, engine, two, relay)
	if err != nil {
		return 0, 0, err
	}
	ours = took.Seconds() * 1000
	took, err = bareCall(ctx, engine, two[0].Welcome().ICE, relay)
	return ours, took.Seconds() * 1000, err
}

// errCall says that a call did not come about.
var errCall = errors.New("table: the call did not come about")

// rondoCall lets two users look for one another and call, and returns how long it took from the click of both
// until both were connected.
func rondoCall(ctx context.Context, engine *rtc.Engine, two [2]*client.Client, relay bool) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := time.Now()
	up, over := make(chan struct{}, len(two)), make(chan struct{})
	errs := make([]error, len(two))
	var both sync.WaitGroup
	for i, c := range two {
		both.Go(func() {
			if errs[i] = oneSide(ctx, engine, c, relay, up, over); errs[i] != nil {
				cancel()
			}
		})
	}
	for range two {
		select {
		case <-up:
		case <-ctx.Done():
		}
	}
	took := time.Since(began)
	close(over)
	both.Wait()
	return took, errors.Join(errs...)
}

// oneSide looks for a partner, calls, says when it is connected, and leaves when it is over.
func oneSide(ctx context.Context, engine *rtc.Engine, c *client.Client, relay bool, up chan<- struct{}, over <-chan struct{}) error {
	if _, err := c.Find(ctx, protocol.Find{Pool: "video", Relay: relay}); err != nil {
		return err
	}
	var peer *rtc.Peer
	var room protocol.RoomID
	var connected <-chan struct{} // nil until there is a peer
	for {
		select {
		case e, ok := <-c.Events():
			if !ok {
				return c.Err()
			}
			switch e := e.(type) {
			case client.Found:
				var err error
				if peer, err = engine.Match(c, e, rtc.Config{Video: true}); err != nil {
					return err
				}
				defer peer.Close()
				room, connected = e.Room, peer.Connected()
			case client.Signal:
				if peer != nil {
					peer.Handle(e)
				}
			}
		case <-connected:
			connected = nil
			up <- struct{}{}
		case <-over:
			_ = c.Leave(ctx, room) // the other side may have ended the room before
			return ctx.Err()
		case <-ctx.Done():
			return errors.Join(errCall, ctx.Err())
		}
	}
}

// bareCall lets two peers call one another within this process.
func bareCall(ctx context.Context, engine *rtc.Engine, ice *protocol.ICE, relay bool) (time.Duration, error) {
	if ice == nil {
		return 0, errors.New("table: the server gave no ICE servers")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := time.Now()
	var two [2]*rtc.Peer
	ready := make(chan struct{})    // closed when there are both
	for _, i := range []int{1, 0} { // the offerer last, for it begins at once
		var err error
		two[i], err = engine.New(rtc.Config{
			Offerer: i == 0, ICE: *ice, RelayOnly: relay, Video: true,
			Send: func(kind protocol.SignalKind, d any) error {
				raw, err := json.Marshal(d)
				if err != nil {
					return err
				}
				<-ready
				two[1-i].Handle(client.Signal{Kind: kind, D: raw})
				return nil
			},
		})
		if err != nil {
			close(ready)
			return 0, err
		}
		defer two[i].Close()
	}
	close(ready)
	for _, p := range two {
		select {
		case <-p.Connected():
		case <-ctx.Done():
			return 0, errors.Join(errCall, ctx.Err())
		}
	}
	return time.Since(began), nil
}
