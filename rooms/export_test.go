package rooms

import (
	"maps"

	"github.com/rondo-chat/rondo/auth"
)

// Save returns a function that brings the store back to what it holds now, in a
// new generation if fresh.
func (m *Memory) Save() (lose func(fresh bool)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	saved := m.copyLocked()
	return func(fresh bool) {
		m.mu.Lock()
		defer m.mu.Unlock()
		c := saved.copyLocked()
		m.records, m.gens, m.seats, m.leases, m.due = c.records, c.gens, c.seats, c.leases, c.due
		if fresh {
			m.gen = auth.Random(5)
		}
	}
}

func (m *Memory) copyLocked() *Memory {
	c := NewMemory()
	for id, rec := range m.records {
		c.records[id] = rec.Clone()
	}
	for node, seats := range m.seats {
		c.seats[node] = maps.Clone(seats)
	}
	c.gens, c.leases, c.due = maps.Clone(m.gens), maps.Clone(m.leases), maps.Clone(m.due)
	return c
}
