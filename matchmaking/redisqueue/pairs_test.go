package redisqueue_test

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/matchmaking"
	"github.com/rondo-chat/rondo/protocol"
)

// pairs is two matchers and the least that they need, for benchmarks.
type pairs struct {
	b     testing.TB
	nodes [2]*matchmaking.Matcher
	found chan struct{}
	next  atomic.Int64
}

func newPairs(b testing.TB, client func() redis.UniversalClient) *pairs {
	p := &pairs{b: b, found: make(chan struct{}, 1<<16)}
	for i := range p.nodes {
		q, r := drivers(b, client())
		m, err := matchmaking.New(matchmaking.Config{Node: protocol.NodeID(strconv.Itoa(i)), Queue: q, Relations: r, Notifier: pairsEnd{p, i}, Hooks: pairsEnd{p, i},
			Pools: []matchmaking.PoolConfig{{Name: "video"}}, Timeout: time.Minute})
		if err != nil {
			b.Fatal(err)
		}
		p.nodes[i] = m
	}
	for _, m := range p.nodes {
		if err := m.Start(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = m.Close(context.Background()) })
	}
	return p
}

// run makes n pairs of people who ask through both nodes, so many at a time.
func (p *pairs) run(n, at int) {
	var all sync.WaitGroup
	work := make(chan struct{}, 2*n)
	for range 2 * n {
		work <- struct{}{}
	}
	close(work)
	for range at {
		all.Go(func() {
			for range work {
				i := p.next.Add(1)
				id := strconv.FormatInt(i, 10)
				a := matchmaking.Asker{Session: protocol.SessionID("s" + id), User: protocol.UserID("u" + id), Name: "x"}
				if _, err := p.nodes[i%2].Find(p.b.Context(), a, matchmaking.Profile{}); err != nil {
					p.b.Error(err)
				}
			}
		})
	}
	all.Wait()
	for range 2 * n {
		<-p.found
	}
}

// pairsEnd is one node's hooks, and its way to the other.
type pairsEnd struct {
	p    *pairs
	self int
}

func (e pairsEnd) Notify(_ protocol.NodeID, _ string, payload []byte) error {
	e.p.nodes[1-e.self].Receive(protocol.NodeID(strconv.Itoa(e.self)), payload)
	return nil
}

func (pairsEnd) Alive(context.Context, protocol.SessionID) bool { return true }

func (pairsEnd) Open(context.Context, matchmaking.Match) error { return nil }

func (e pairsEnd) Found(protocol.SessionID, matchmaking.Match, int) { e.p.found <- struct{}{} }

func (pairsEnd) Waiting(protocol.SessionID, protocol.Waiting) {}

func (e pairsEnd) Stopped(protocol.SessionID, *protocol.Error) {}
