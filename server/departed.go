package server

import (
	"context"
	"errors"
	"time"

	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/protocol"
)

const (
	// forgetAgain is how long after a deletion the last of its sessions is over,
	// whatever node it is on, and has said its last.
	forgetAgain = 5 * time.Second
	// departedEvery is how often it is asked who left and could not be forgotten.
	departedEvery = time.Minute
)

// onDeleted has everything else forget who was deleted: at once, and again when
// their sessions, which end now, cannot leave anything behind any more. If this
// process dies meanwhile, or a store is away, forgetDeparted does it later.
func (p *people) onDeleted(_ context.Context, id protocol.UserID) {
	p.s.work.Go(func() {
		_ = p.forget(id) // what cannot be forgotten now is below
		select {
		case <-p.s.life.Done():
			return
		case <-time.After(forgetAgain):
		}
		err := p.forget(id)
		if err == nil {
			err = p.accounts.Departed(p.s.life, id)
		}
		if err != nil && p.s.life.Err() == nil {
			p.s.log.Warn("somebody who was deleted is not forgotten yet", "err", err)
		}
	})
}

// forget removes all that is kept of a user outside the accounts: whom they met or
// blocked, and what they wrote.
func (p *people) forget(id protocol.UserID) error {
	p.s.publish(bus.Message{Kind: kindForget, Payload: []byte(id)})
	err := errors.Join(p.s.matcher.ForgetUser(p.s.life, id), p.s.chat.Forget(p.s.life, id))
	if p.s.talks != nil {
		err = errors.Join(err, p.s.talks.Forget(p.s.life, id))
	}
	return err
}

// forgetDeparted forgets those that onDeleted could not.
func (p *people) forgetDeparted() {
	tick := time.NewTicker(departedEvery)
	defer tick.Stop()
	var before map[protocol.UserID]bool
	for {
		before = p.forgetOld(before)
		select {
		case <-p.s.life.Done():
			return
		case <-tick.C:
		}
	}
}

// forgetOld forgets those who had left at the last look already, and returns who
// has now.
func (p *people) forgetOld(before map[protocol.UserID]bool) map[protocol.UserID]bool {
	now := map[protocol.UserID]bool{}
	gone, err := p.accounts.Departures(p.s.life)
	for _, id := range gone {
		now[id] = true
		if !before[id] {
			continue
		}
		err := p.forget(id)
		if err == nil {
			err = p.accounts.Departed(p.s.life, id)
		}
		if err != nil {
			break
		}
	}
	if err != nil && p.s.life.Err() == nil {
		p.s.log.Warn("those who were deleted are not forgotten yet", "err", err)
	}
	return now
}
