package matchmaking

import (
	"container/heap"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// MemoryQueue is a Queue in the memory of this process. Entering costs the same
// however many others wait who do not fit.
type MemoryQueue struct {
	mu    sync.Mutex
	pools map[string]*memoryPool
}

// NewMemoryQueue makes an empty queue.
func NewMemoryQueue() *MemoryQueue { return &MemoryQueue{pools: map[string]*memoryPool{}} }

func (q *MemoryQueue) pool(name string) *memoryPool {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := q.pools[name]
	if p == nil {
		p = &memoryPool{
			name: name, tickets: map[protocol.SessionID]*memoryTicket{}, lines: map[Term]*line{},
			matches: map[protocol.RoomID]*memoryMatch{}, nodes: map[protocol.NodeID]*memoryNode{},
		}
		q.pools[name] = p
	}
	return p
}

// memoryPool is one pool; the mutex makes each step atomic.
type memoryPool struct {
	name string

	mu      sync.Mutex
	tickets map[protocol.SessionID]*memoryTicket // listed, or held by an undecided proposal
	lines   map[Term]*line                       // the listed ones, by what they offer
	matches map[protocol.RoomID]*memoryMatch
	due     deadlines // all matches, by when something is to be done with them
	nodes   map[protocol.NodeID]*memoryNode
	waits   []memoryWait // a ring
	wait    int
	last    int64 // the youngest place given
}

type memoryTicket struct {
	Entrant
	since  int64 // microseconds
	offers []Term
	held   *memoryMatch
}

type memoryMatch struct {
	pair  Pair
	state Verdict // Pending, Live or Gone
	at    int64   // what due is sorted by
	index int
}

type memoryNode struct {
	until   int64
	tickets map[*memoryTicket]struct{} // listed ones
}

type memoryWait struct{ at, waited int64 }

// nowLocked is the queue's time in microseconds.
func (p *memoryPool) nowLocked() int64 { return time.Now().UnixMicro() }

// Enter implements Queue.
func (q *MemoryQueue) Enter(_ context.Context, t Ticket, s Search) (Result, error) {
	if err := CheckEnter(t, s); err != nil {
		return Result{}, err
	}
	p := q.pool(t.Pool)
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.nowLocked()
	old := p.tickets[t.Session]
	if old != nil {
		if old.Epoch > t.Epoch {
			return Result{Outcome: Stale}, nil
		}
		if old.held != nil && old.Epoch == t.Epoch {
			return Result{Outcome: Proposed, Pair: old.held.pair}, nil
		}
	}
	mine := &memoryTicket{Entrant: t.Entrant, offers: t.Offers, since: p.sinceLocked(t, old, now)}
	mine.Since = time.UnixMicro(mine.since)
	other, rejected := p.searchLocked(t.Session, s)
	if other != nil && p.matches[s.Match] != nil {
		return Result{Outcome: Used}, nil
	}
	if old != nil {
		p.dropLocked(old, now)
	}
	if other == nil {
		p.listLocked(mine, now)
		return Result{Outcome: Listed, Since: mine.Since, Waiting: len(p.tickets), Rejected: rejected}, nil
	}
	p.unlistLocked(other)
	m := &memoryMatch{state: Pending, at: now + s.Hold.Microseconds(),
		pair: Pair{Match: s.Match, Pool: t.Pool, Entrants: [2]Entrant{other.Entrant, mine.Entrant}}}
	mine.held, other.held = m, m
	p.tickets[mine.Session] = mine
	p.matches[s.Match] = m
	heap.Push(&p.due, m)
	return Result{Outcome: Proposed, Rejected: rejected, Pair: m.pair}, nil
}

// sinceLocked is the place of a ticket: the one it says, within bounds; or the
// one it has; or the next.
func (p *memoryPool) sinceLocked(t Ticket, old *memoryTicket, now int64) int64 {
	switch {
	case !t.Since.IsZero():
		return min(max(t.Since.UnixMicro(), now-MaxWait.Microseconds()), now)
	case old != nil && old.Epoch == t.Epoch:
		return old.since
	}
	p.last = max(now, p.last+1) // two in one microsecond keep their order
	return p.last
}

// searchLocked returns the oldest listed ticket that fits, of the first s.Look
// of each term.
func (p *memoryPool) searchLocked(self protocol.SessionID, s Search) (best *memoryTicket, rejected int) {
	excluded := excluder(s.Exclude)
	for _, term := range s.Seeks {
		l := p.lines[term]
		if l == nil {
			continue
		}
		looked := 0
		for at := l.first(); at != nil && looked < s.Look; at = at.next[0] {
			if best != nil && !at.ticket.before(best) {
				break
			}
			looked++
			if at.ticket.Session == self {
				continue
			}
			if excluded(at.ticket.User) {
				rejected++
				continue
			}
			best = at.ticket
			break
		}
	}
	return best, rejected
}

// excluder tells who is on the list; a long one is looked through only once.
func excluder(list []protocol.UserID) func(protocol.UserID) bool {
	if len(list) <= 32 {
		return func(u protocol.UserID) bool { return slices.Contains(list, u) }
	}
	var set map[protocol.UserID]struct{}
	return func(u protocol.UserID) bool {
		if set == nil {
			set = make(map[protocol.UserID]struct{}, len(list))
			for _, e := range list {
				set[e] = struct{}{}
			}
		}
		_, ok := set[u]
		return ok
	}
}

func (p *memoryPool) listLocked(t *memoryTicket, now int64) {
	p.tickets[t.Session] = t
	for _, term := range t.offers {
		l := p.lines[term]
		if l == nil {
			l = &line{}
			p.lines[term] = l
		}
		l.insert(t)
	}
	n := p.nodes[t.Node]
	if n == nil {
		n = &memoryNode{until: now + NodeTTL.Microseconds(), tickets: map[*memoryTicket]struct{}{}}
		p.nodes[t.Node] = n
	}
	n.tickets[t] = struct{}{}
}

// unlistLocked takes a listed ticket out of the lines; it stays in tickets.
func (p *memoryPool) unlistLocked(t *memoryTicket) {
	for _, term := range t.offers {
		if l := p.lines[term]; l != nil && l.remove(t) && l.size == 0 {
			delete(p.lines, term)
		}
	}
	if n := p.nodes[t.Node]; n != nil {
		delete(n.tickets, t)
	}
}

// dropLocked takes a ticket out, and undoes its proposal.
func (p *memoryPool) dropLocked(t *memoryTicket, now int64) {
	if t.held != nil {
		p.undoLocked(t.held, now)
		return
	}
	p.unlistLocked(t)
	delete(p.tickets, t.Session)
}

// undoLocked ends an undecided proposal.
func (p *memoryPool) undoLocked(m *memoryMatch, now int64) { p.decideLocked(m, Gone, now) }

// decideLocked settles a match. What remains is remembered for a while, without
// what only a proposal needs.
func (p *memoryPool) decideLocked(m *memoryMatch, v Verdict, now int64) {
	for _, e := range m.pair.Entrants {
		if t := p.tickets[e.Session]; t != nil && t.held == m {
			delete(p.tickets, e.Session)
		}
	}
	m.state, m.at = v, now+RememberMatch.Microseconds()
	m.pair = Pair{Match: m.pair.Match}
	heap.Fix(&p.due, m.index)
}

// Ack implements Queue.
func (q *MemoryQueue) Ack(_ context.Context, c Claim) (Verdict, error) {
	p := q.pool(c.Pool)
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.matches[c.Match]
	if m == nil {
		return Gone, nil
	}
	if m.state != Pending {
		return m.state, nil
	}
	now := p.nowLocked()
	switch c.Ref {
	case m.pair.Entrants[0].Ref:
		p.waitedLocked(now, m.pair.Entrants[0].Since)
		p.decideLocked(m, Live, now)
	case m.pair.Entrants[1].Ref:
		if now >= m.at {
			p.undoLocked(m, now)
		}
	default:
		return Gone, nil
	}
	return m.state, nil
}

// Nack implements Queue.
func (q *MemoryQueue) Nack(_ context.Context, c Claim) (Verdict, error) {
	p := q.pool(c.Pool)
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.matches[c.Match]
	if m == nil {
		return Gone, nil
	}
	if m.state == Pending && (c.Ref == m.pair.Entrants[0].Ref || c.Ref == m.pair.Entrants[1].Ref) {
		p.undoLocked(m, p.nowLocked())
	}
	if m.state == Live {
		return Live, nil
	}
	return Gone, nil
}

// Leave implements Queue.
func (q *MemoryQueue) Leave(_ context.Context, pool string, r Ref) (*Pair, error) {
	p := q.pool(pool)
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.tickets[r.Session]
	if t == nil || t.Epoch > r.Epoch {
		return nil, nil
	}
	var undone *Pair
	if t.held != nil {
		pair := t.held.pair
		undone = &pair
	}
	p.dropLocked(t, p.nowLocked())
	return undone, nil
}

// Missing implements Queue.
func (q *MemoryQueue) Missing(_ context.Context, pool string, list []Ref) ([]int, error) {
	p := q.pool(pool)
	p.mu.Lock()
	defer p.mu.Unlock()
	var missing []int
	for i, r := range list {
		if t := p.tickets[r.Session]; t == nil || t.Epoch != r.Epoch {
			missing = append(missing, i)
		}
	}
	return missing, nil
}

// Renew implements Queue.
func (q *MemoryQueue) Renew(_ context.Context, pool string, node protocol.NodeID, ttl time.Duration) error {
	p := q.pool(pool)
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.nodes[node]
	if n == nil {
		n = &memoryNode{tickets: map[*memoryTicket]struct{}{}}
		p.nodes[node] = n
	}
	n.until = p.nowLocked() + ttl.Microseconds()
	return nil
}

// Sweep implements Queue.
func (q *MemoryQueue) Sweep(_ context.Context, pool string, limit int) (Swept, error) {
	p := q.pool(pool)
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.nowLocked()
	var s Swept
	for len(p.due) > 0 && p.due[0].at <= now && s.Expired+s.Forgotten < limit {
		m := p.due[0]
		if m.state == Pending {
			p.undoLocked(m, now)
			s.Expired++
			continue
		}
		heap.Pop(&p.due)
		delete(p.matches, m.pair.Match)
		s.Forgotten++
	}
	for id, n := range p.nodes { // as many as there are servers
		if n.until > now {
			continue
		}
		for t := range n.tickets {
			if s.Reaped >= limit {
				return s, nil
			}
			p.dropLocked(t, now)
			s.Reaped++
		}
		delete(p.nodes, id)
		s.Nodes++
	}
	return s, nil
}

// waitedLocked notes how long the one who was found had waited.
func (p *memoryPool) waitedLocked(now int64, since time.Time) {
	w := memoryWait{now, max(0, now-since.UnixMicro())}
	if len(p.waits) < WaitsKept {
		p.waits = append(p.waits, w)
		return
	}
	p.waits[p.wait] = w
	p.wait = (p.wait + 1) % WaitsKept
}

// Stats implements Queue.
func (q *MemoryQueue) Stats(_ context.Context, pool string) (Stats, error) {
	p := q.pool(pool)
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.nowLocked()
	s := Stats{Waiting: len(p.tickets)}
	lately, oldest := 0, time.Duration(0)
	for _, w := range p.waits {
		age := time.Duration(now-w.at) * time.Microsecond
		if age <= WaitsWindow {
			s.Waits = append(s.Waits, time.Duration(w.waited)*time.Microsecond)
		}
		if Lately(age) {
			lately, oldest = lately+1, max(oldest, age)
		}
	}
	s.Rate = MatchRate(lately, oldest)
	return s, nil
}

// deadlines is a heap of matches.
type deadlines []*memoryMatch

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].at < d[j].at }
func (d deadlines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].index, d[j].index = i, j
}

// Push implements heap.Interface.
func (d *deadlines) Push(x any) {
	m := x.(*memoryMatch)
	m.index = len(*d)
	*d = append(*d, m)
}

// Pop implements heap.Interface.
func (d *deadlines) Pop() any {
	old := *d
	m := old[len(old)-1]
	old[len(old)-1] = nil
	*d = old[:len(old)-1]
	return m
}
