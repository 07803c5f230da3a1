package bench

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/internal/pause"
)

// poisson lets people ask who come independently of one another: at the rate on average, with interests of which
// a few are common and most are rare. A third of those who have met skip to the next.
func (b *bench) poisson(ctx context.Context) error {
	people := make(chan *person, len(b.users))
	for i, u := range b.users {
		people <- b.person(u, i)
	}
	rng := rand.New(rand.NewPCG(b.cfg.Seed, 1))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	began, due := time.Now(), time.Duration(0)
	for {
		if due += time.Duration(rng.ExpFloat64() / b.cfg.Rate * float64(time.Second)); due > b.cfg.Duration {
			break
		}
		at := began.Add(due)
		if err := pause.For(ctx, time.Until(at)); err != nil {
			return err
		}
		all.Go(func() {
			select {
			case p := <-people: // when all are busy, who comes waits, and the time runs
				p.meets(ctx, at)
				people <- p
			case <-ctx.Done():
			}
		})
	}
	all.Wait()
	return nil
}

// meets asks, and skips or leaves.
func (p *person) meets(ctx context.Context, due time.Time) {
	const wait, between = 20 * time.Second, 1100 * time.Millisecond // searches are limited: one a second, five at once
	room := p.search(ctx, "match", due, wait)
	for room != "" && p.rng.IntN(3) == 0 && p.rest(ctx, between) {
		room = p.search(ctx, "next", time.Now(), wait)
	}
	if room != "" {
		p.goes(ctx, room)
	}
	p.rest(ctx, between)
}
