package conversations

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/protocol"
)

// Conversations is the chat that lasts of a service. It is safe for concurrent use; any number of
// nodes may have one over the same Store.
type Conversations struct {
	cfg     Config
	metrics *metrics
	turns   turns
	outlet  outlet
	loads   singleflight.Group // of newest messages, by room and lease
}

// New makes a Conversations. Its jobs run in Run.
func New(cfg Config) (*Conversations, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	c := &Conversations{cfg: cfg, turns: turns{rooms: map[protocol.RoomID]*turn{}}, outlet: outlet{stale: map[protocol.RoomID]uint64{}}}
	c.metrics = newMetrics(cfg.Registerer)
	return c, nil
}

func (c *Conversations) now() int64 { return c.cfg.Now().UnixMilli() }

// read is Store.Read; what it does not find is not_found.
func (c *Conversations) read(ctx context.Context, name string, f func(Reader) error) error {
	return shown(c.cfg.Store.Read(ctx, name, f))
}

// write is Store.Write that begins anew when another transaction took a key first: f then sees its row.
func (c *Conversations) write(ctx context.Context, name string, f func(Tx) error) error {
	for try := 0; ; try++ {
		err := c.cfg.Store.Write(ctx, name, f)
		if !errors.Is(err, ErrTaken) || try == 3 {
			return shown(err)
		}
	}
}

func shown(err error) error {
	switch {
	case errors.Is(err, ErrNotFound):
		return errNoSuchThing()
	case errors.Is(err, ErrTaken):
		return protocol.Errorf(protocol.CodeUnavailable, "too much at once: try again")
	}
	return err
}

// exists makes the error of a row that is not there a boolean.
func exists(err error) (bool, error) {
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// limit takes one from the bucket, or says when there will be one.
func (c *Conversations) limit(ctx context.Context, what, who string, rate ratelimit.Rate) error {
	ok, retry, err := c.cfg.Limiter.Take(ctx, "conversations:"+what+":"+who, 1, rate)
	if err != nil || ok {
		return err
	}
	return errTooFast(what, retry)
}

func errTooFast(what string, retry time.Duration) error {
	e := protocol.Errorf(protocol.CodeRateLimited, "too fast (%s): wait a little", what)
	e.Retry = retry
	return e
}

func errNoSuchThing() error { return protocol.Errorf(protocol.CodeNotFound, "there is no such thing") }

func errForbidden(why string) error { return protocol.Errorf(protocol.CodeForbidden, "%s", why) }

func errBad(format string, args ...any) error {
	return protocol.Errorf(protocol.CodeBadRequest, format, args...)
}
