//go:build linux

package wire

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// pairs talk at once, two clients each.
const pairs = 200

// pair is two clients in one group or room.
type pair [2]client

func barePairs(b testing.TB, addr string) []pair {
	return gather(b, pairs, func(i int) (p pair, err error) {
		for k := range p {
			if p[k], err = dialBare(addr, fmt.Sprint(i)); err != nil {
				return p, err
			}
		}
		return p, nil
	})
}

func rondoPairs(b testing.TB, addr string) []pair {
	return gather(b, pairs, func(i int) (p pair, err error) {
		one, err := dialRondo(addr, "Ann")
		if err != nil {
			return p, err
		}
		other, err := dialRondo(addr, "Bob")
		if err != nil {
			return p, err
		}
		d, err := one.ask(protocol.TypeRoomCreate, "", protocol.RoomCreate{Capacity: 2})
		if err != nil {
			return p, err
		}
		var made protocol.RoomState
		if err := json.Unmarshal(d, &made); err != nil {
			return p, err
		}
		if _, err := other.ask(protocol.TypeRoomJoin, made.Room, struct{}{}); err != nil {
			return p, err
		}
		for _, c := range []*rondoClient{one, other} {
			c.begin, c.push = signalTo(made.Room), []byte(`{"t":"signal"`)
		}
		return pair{one, other}, nil
	})
}

// gather makes n of something, some at once.
func gather[T any](b testing.TB, n int, make func(i int) (T, error)) []T {
	b.Helper()
	all := slices.Repeat([]T{*new(T)}, n)
	each(b, 8, func(k int) error {
		for i := k; i < n; i += 8 {
			var err error
			if all[i], err = make(i); err != nil {
				return err
			}
		}
		return nil
	})
	return all
}

// each runs f for each of n at once, and waits.
func each(b testing.TB, n int, f func(i int) error) {
	b.Helper()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := f(i); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

// turns lets all pairs send bursts of so many messages, one after another, to and fro.
func turns(b testing.TB, all []pair, bursts, burst, size int) {
	b.Helper()
	each(b, len(all), func(i int) error {
		for n := range bursts {
			from, to := all[i][n%2], all[i][1-n%2]
			if err := from.send(burst, size); err != nil {
				return err
			}
			if err := to.receive(burst); err != nil {
				return err
			}
		}
		return nil
	})
}

// pace is how a client sends that keeps to the limits of signals (docs/protocol.md, section 4).
type pace struct{ full time.Time }

// take waits until all clients may send n more.
func (p *pace) take(n int) {
	const perSecond, burst = 50, 200
	now := time.Now()
	if p.full.Before(now) {
		p.full = now
	}
	p.full = p.full.Add(time.Duration(n) * time.Second / perSecond)
	if wait := p.full.Sub(now) - burst*time.Second/perSecond; wait > 0 {
		<-time.After(wait) // in real time: the server counts it too
	}
}

// BenchmarkRelay: messages from one client to its partner, by our server and by one that passes
// each on over bare TCP in a write of its own. One round a turn; run at least five (-benchtime 7x).
func BenchmarkRelay(b *testing.B) {
	for _, c := range []struct {
		name                string
		bursts, burst, size int
	}{
		{"500/one", 120, 1, 500},
		{"500/bursts-of-16", 8, 16, 500},
		{"12000/one", 40, 1, 12_000},
	} {
		b.Run(c.name, func(b *testing.B) {
			ours, bare := start(b, "rondo"), start(b, "relay")
			ourPairs, barePairs := rondoPairs(b, ours.addr), barePairs(b, bare.addr)
			r := newRatio(pairs * c.bursts * c.burst)
			var limit pace
			for b.Loop() {
				limit.take((c.bursts/2 + 1) * c.burst)
				r.add(
					bare.cost(func() { turns(b, barePairs, c.bursts, c.burst, c.size) }),
					ours.cost(func() { turns(b, ourPairs, c.bursts, c.burst, c.size) }),
				)
			}
			r.report(b, "message")
		})
	}
}
