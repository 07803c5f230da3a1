package matchmaking

import (
	"testing"

	"github.com/rondo-chat/rondo/protocol"
)

// Spread returns over how many parts the searches of a pool are spread.
func (m *Matcher) Spread(pool string) int { return int(m.pools[pool].spread.Load()) }

// Audit fails the test if the pool's lines, tickets, nodes and matches do not agree.
func (q *MemoryQueue) Audit(t testing.TB, pool string) {
	t.Helper()
	p := q.pool(pool)
	p.mu.Lock()
	defer p.mu.Unlock()
	want := 0
	listed := map[protocol.NodeID]int{}
	for id, ticket := range p.tickets {
		if id != ticket.Session {
			t.Errorf("%s is kept as %s", ticket.Session, id)
		}
		if ticket.held != nil {
			if ticket.held.state != Pending || p.matches[ticket.held.pair.Match] != ticket.held {
				t.Errorf("%s is held by no undecided match", id)
			}
			continue
		}
		listed[ticket.Node]++
		want += len(ticket.offers)
		if _, ok := p.nodes[ticket.Node].tickets[ticket]; !ok {
			t.Errorf("%s is not with its node", id)
		}
	}
	got := 0
	for term, l := range p.lines {
		n := 0
		for at := l.first(); at != nil; at = at.next[0] {
			if p.tickets[at.ticket.Session] != at.ticket || at.next[0] != nil && !at.ticket.before(at.next[0].ticket) {
				t.Errorf("line %q: wrong entry %s", term, at.ticket.Session)
			}
			n++
		}
		if n == 0 || n != l.size {
			t.Errorf("line %q: %d entries, size %d", term, n, l.size)
		}
		got += n
	}
	if got != want {
		t.Errorf("%d entries in lines, want %d", got, want)
	}
	for id, n := range p.nodes {
		if len(n.tickets) != listed[id] {
			t.Errorf("node %s has %d tickets, want %d", id, len(n.tickets), listed[id])
		}
	}
	if len(p.due) != len(p.matches) {
		t.Errorf("%d matches due, %d known", len(p.due), len(p.matches))
	}
}
