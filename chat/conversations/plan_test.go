package conversations_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/chat/conversations/viewtest"
	"github.com/rondo-chat/rondo/protocol"
)

// TestPlans: whoever has a copy from any time and applies the later events in any order and several times, or asks
// Sync in pages of any size, has what a fresh read gives; on the node that made a change and on the other one.
func TestPlans(t *testing.T) {
	for _, kind := range []protocol.ConvKind{protocol.ConvGroup, protocol.ConvTopic} {
		for seed := range uint64(2) {
			t.Run(fmt.Sprint(kind, seed), func(t *testing.T) {
				t.Parallel()
				runPlan(t, kind, seed)
			})
		}
	}
}

// plan is people who do at random what they may, at once, over two nodes.
type plan struct {
	*house
	nodes  []*conversations.Conversations
	room   protocol.RoomID
	people []conversations.Caller

	mu     sync.Mutex
	copies []*viewtest.View
}

func runPlan(t *testing.T, kind protocol.ConvKind, seed uint64) {
	h := open(t, nil)
	p := &plan{house: h}
	for _, name := range []string{"ann", "ben", "cem", "dea"} {
		p.people = append(p.people, h.user(name))
	}
	p.nodes = []*conversations.Conversations{h.Conversations, h.node("n2")}
	p.room = h.create(p.people[0], protocol.ConvCreate{Kind: kind, Passcode: map[protocol.ConvKind]string{protocol.ConvGroup: "sesame"}[kind]})
	for _, who := range p.people[1:] {
		h.must(second(h.Join(t.Context(), who, p.room, "sesame")))
	}
	h.must(second(h.SetRole(t.Context(), p.people[0], p.room, p.people[1].Identity, protocol.ConvModerator)))
	var wg sync.WaitGroup
	for i, who := range p.people {
		wg.Go(func() { p.act(t.Context(), who, rand.New(rand.NewPCG(seed, uint64(i))), 25) })
	}
	wg.Wait()
	p.compare(rand.New(rand.NewPCG(seed, 99)))
}

// act does n things. What is not allowed, or there no more, is no failure.
func (p *plan) act(ctx context.Context, who conversations.Caller, r *rand.Rand, n int) {
	for i := range n {
		c := p.nodes[r.IntN(len(p.nodes))]
		p.advance(time.Duration(r.IntN(1000)) * time.Millisecond)
		if err := p.one(ctx, c, who, r, i); protocol.CodeOf(err) == protocol.CodeInternal || protocol.CodeOf(err) == protocol.CodeUnavailable {
			p.t.Errorf("%s: %v", who.Name, err)
		}
	}
}

func (p *plan) one(ctx context.Context, c *conversations.Conversations, who conversations.Caller, r *rand.Rand, i int) error {
	old := protocol.ConvChange{Seq: 5 + r.Uint64N(40), Text: fmt.Sprint("edited ", i), Emoji: []string{"👍", "❤️", "🎉"}[r.IntN(3)], On: r.IntN(3) > 0}
	switch r.IntN(14) {
	case 0, 1:
		return second(c.Edit(ctx, who, p.room, old))
	case 2:
		return second(c.Delete(ctx, who, p.room, old))
	case 3:
		return second(c.React(ctx, who, p.room, old))
	case 4:
		return second(c.Pin(ctx, who, p.room, old))
	case 5:
		if err := c.Leave(ctx, who, p.room); err != nil {
			return err
		}
		return second(c.Join(ctx, who, p.room, "sesame"))
	case 6:
		name := fmt.Sprint("name ", i)
		return second(c.Update(ctx, who, p.room, protocol.ConvPatch{Name: &name}))
	case 7:
		other := p.people[r.IntN(len(p.people))]
		return second(c.SetRole(ctx, who, p.room, other.Identity, []protocol.ConvRole{protocol.ConvModerator, protocol.ConvMember, protocol.ConvLeft, protocol.ConvOwner}[r.IntN(4)]))
	case 8:
		return p.copy(ctx, c, who, r)
	case 9:
		return second(c.Mark(ctx, who, p.room, protocol.ConvMark{Read: r.Uint64N(200)}))
	}
	q := protocol.ConvSend{CID: fmt.Sprint(i), Text: fmt.Sprintf("%s says %d", who.Name, i)}
	if r.IntN(3) == 0 {
		q.ReplyTo, q.Thread = old.Seq, r.IntN(2) == 0
	}
	return second(c.Send(ctx, who, p.room, q))
}

// copy loads what somebody has from now on.
func (p *plan) copy(ctx context.Context, c *conversations.Conversations, who conversations.Caller, r *rand.Rand) error {
	v, err := viewtest.Load(ctx, c, who, p.room, 1+r.IntN(30))
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.copies = append(p.copies, v)
	}
	return err
}

func (p *plan) compare(r *rand.Rand) {
	ctx := p.t.Context()
	who := p.people[0]
	for _, who = range p.people { // somebody is still in
		if p.MayRead(ctx, who, p.room) == nil {
			break
		}
	}
	events := p.events(p.room)
	var fresh *viewtest.View
	for i, c := range p.nodes {
		v, err := viewtest.Load(ctx, c, who, p.room, 100)
		p.must(err)
		if fresh == nil {
			fresh = v
		}
		if d := viewtest.Diff(v, fresh); d != "" {
			p.t.Fatalf("node %d reads something else: %s", i, d)
		}
	}
	if uint64(len(events)) != fresh.Seq {
		p.t.Fatalf("%d events, the last number is %d", len(events), fresh.Seq)
	}
	if len(p.copies) < 2 || fresh.Seq < 25 {
		p.t.Fatalf("a plan in which nothing happens: %d copies, %d changes", len(p.copies), fresh.Seq)
	}
	for _, old := range p.copies {
		fed := old.Clone()
		later := append(events[old.Seq/2:len(events):len(events)], events...)
		r.Shuffle(len(later), func(i, j int) { later[i], later[j] = later[j], later[i] })
		for _, e := range later {
			fed.Apply(e)
		}
		if d := viewtest.Diff(fed, fresh); d != "" || fed.Seq != fresh.Seq {
			p.t.Fatalf("by events from %d: %d of %d, %s", old.Seq, fed.Seq, fresh.Seq, d)
		}
		synced := old.Clone()
		if ok, err := synced.Sync(ctx, p.nodes[r.IntN(len(p.nodes))], who, p.room, 1+r.IntN(40)); !ok || err != nil {
			p.t.Fatal(ok, err)
		}
		if d := viewtest.Diff(synced, fresh); d != "" || synced.Seq != fresh.Seq {
			p.t.Fatalf("by Sync from %d: %d of %d, %s", old.Seq, synced.Seq, fresh.Seq, d)
		}
	}
}
