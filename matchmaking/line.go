package matchmaking

import "math/rand/v2"

// line holds the tickets that offer one term, oldest first: a skip list. All
// steps cost the logarithm of its length.
type line struct {
	head  [maxLevel]*place // first place of each level
	level int
	size  int
}

// place is a ticket's place in a line.
type place struct {
	ticket *memoryTicket
	next   []*place
}

const maxLevel = 16

// before orders tickets: by age, then by session, so that the order is total.
func (t *memoryTicket) before(o *memoryTicket) bool {
	if t.since != o.since {
		return t.since < o.since
	}
	return t.Session < o.Session
}

func (l *line) insert(t *memoryTicket) {
	var links [maxLevel]**place
	l.find(t, &links)
	level := 1
	for bits := rand.Uint32(); bits&3 == 0 && level < maxLevel; bits >>= 2 {
		level++
	}
	for l.level < level {
		links[l.level] = &l.head[l.level]
		l.level++
	}
	p := &place{ticket: t, next: make([]*place, level)}
	for i := range level {
		p.next[i] = *links[i]
		*links[i] = p
	}
	l.size++
}

// remove takes the ticket out and reports whether it was there.
func (l *line) remove(t *memoryTicket) bool {
	var links [maxLevel]**place
	p := l.find(t, &links)
	if p == nil || p.ticket != t {
		return false
	}
	for i := range p.next {
		*links[i] = p.next[i]
	}
	l.size--
	return true
}

// find returns the first place that is not before t, and at each level the link
// that leads to it or past it.
func (l *line) find(t *memoryTicket, links *[maxLevel]**place) *place {
	next := l.head[:]
	for i := l.level - 1; i >= 0; i-- {
		for next[i] != nil && next[i].ticket.before(t) {
			next = next[i].next
		}
		links[i] = &next[i]
	}
	if l.level == 0 {
		return nil
	}
	return *links[0]
}

// first returns the oldest place.
func (l *line) first() *place { return l.head[0] }
