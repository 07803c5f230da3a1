package matchmaking

import "math/rand/v2"

// line holds the tickets that offer one term, oldest first: a skip list. All
// steps cost the logarithm of its length.
type line struct {
	head []*place // first place of each level
	size int
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
	level := 1
	for bits := rand.Uint32(); bits&3 == 0 && level < maxLevel; bits >>= 2 {
		level++
	}
	for len(l.head) < level {
		l.head = append(l.head, nil)
	}
	var links [maxLevel]**place
	l.find(t, &links)
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
	next := l.head
	for i := len(l.head) - 1; i >= 0; i-- {
		for next[i] != nil && next[i].ticket.before(t) {
			next = next[i].next
		}
		links[i] = &next[i]
	}
	if len(l.head) == 0 {
		return nil
	}
	return *links[0]
}

// first returns the oldest place, nil in an empty line.
func (l *line) first() *place {
	if len(l.head) == 0 {
		return nil
	}
	return l.head[0]
}
