package mail

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// Memory is an outbox in memory: lost with the process. The zero value is not
// ready: use NewMemory.
type Memory struct {
	mu   sync.Mutex
	rows map[string]*memoryRow // by id
}

type memoryRow struct {
	Row
	lease  string
	died   time.Time // zero: alive
	reason string
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty outbox.
func NewMemory() *Memory { return &Memory{rows: map[string]*memoryRow{}} }

// Put adds rows but those whose key is there.
func (m *Memory) Put(_ context.Context, rows ...Row) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range rows {
		if !m.hasLocked(r.Key) {
			r.Body = slices.Clone(r.Body)
			m.rows[r.ID] = &memoryRow{Row: r}
		}
	}
	return nil
}

func (m *Memory) hasLocked(key string) bool {
	for _, r := range m.rows {
		if r.Key == key {
			return true
		}
	}
	return false
}

// Lease implements Store.
func (m *Memory) Lease(_ context.Context, lease string, now, until time.Time, n int) ([]Row, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var due []*memoryRow
	for _, r := range m.rows {
		if r.died.IsZero() && !r.Due.After(now) {
			due = append(due, r)
		}
	}
	slices.SortFunc(due, func(a, b *memoryRow) int { return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.ID, b.ID)) })
	var taken []Row
	for _, r := range due[:min(n, len(due))] {
		r.Due, r.lease = until, lease
		taken = append(taken, r.Row)
	}
	return taken, nil
}

// Done implements Store.
func (m *Memory) Done(_ context.Context, id, lease string) error {
	return m.leased(id, lease, func(*memoryRow) { delete(m.rows, id) })
}

// Retry implements Store.
func (m *Memory) Retry(_ context.Context, id, lease string, due time.Time, attempts int) error {
	return m.leased(id, lease, func(r *memoryRow) { r.Due, r.Attempts, r.lease = due, attempts, "" })
}

// Bury implements Store.
func (m *Memory) Bury(_ context.Context, id, lease string, at time.Time, reason string) error {
	return m.leased(id, lease, func(r *memoryRow) {
		r.died, r.reason, r.lease, r.Body, r.Key = at, reason, "", nil, r.ID
	})
}

func (m *Memory) leased(id, lease string, f func(*memoryRow)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.rows[id]
	if r == nil || lease == "" || r.lease != lease {
		return ErrLost
	}
	f(r)
	return nil
}

// Prune implements Store.
func (m *Memory) Prune(_ context.Context, t time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, r := range m.rows {
		if !r.died.IsZero() && r.died.Before(t) {
			delete(m.rows, id)
		}
	}
	return nil
}

// Backlog implements Store.
func (m *Memory) Backlog(context.Context) (Backlog, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b Backlog
	for _, r := range m.rows {
		if !r.died.IsZero() {
			b.Dead++
			continue
		}
		b.Waiting++
		if b.Oldest.IsZero() || r.Created.Before(b.Oldest) {
			b.Oldest = r.Created
		}
	}
	return b, nil
}
