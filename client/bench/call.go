package bench

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/client/rtc"
)

// caller is one side of a call, from the match to the first media and on.
type caller struct {
	user   *user
	engine *rtc.Engine
	once   func() // media flows, or never will
	fail   func()

	peer atomic.Pointer[rtc.Peer]
}

// event is called by the one goroutine that reads the user's events.
func (c *caller) event(ctx context.Context, e client.Event) {
	switch e := e.(type) {
	case client.Found:
		peer, err := c.engine.Match(c.user.Client, e, rtc.Config{Video: true})
		if err != nil {
			c.fail()
			return
		}
		c.peer.Store(peer)
		go c.hold(ctx, peer)
	case client.Signal:
		if p := c.peer.Load(); p != nil {
			p.Handle(e)
		}
	}
}

// hold waits for the call's media, and ends the call with ctx.
func (c *caller) hold(ctx context.Context, peer *rtc.Peer) {
	defer peer.Close()
	select {
	case <-peer.Connected():
		c.once()
		<-ctx.Done()
	case <-time.After(patience):
		c.fail()
	case <-ctx.Done():
		c.fail()
	}
}

// written returns when the message of an event was due to be written, if it is one of this bench.
func written(e client.Event) (time.Time, bool) {
	c, ok := e.(client.ConvEvent)
	if !ok || c.Message == nil {
		return time.Time{}, false
	}
	return stampOf(c.Message.Text)
}
