package rooms

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/protocol"
)

// Memory is a Store in the memory of one process. Registries of several nodes in
// that process may share it. Each is a generation of its own.
type Memory struct {
	mu      sync.Mutex
	gen     string
	gens    map[protocol.RoomID]string // in which each record was written
	records map[protocol.RoomID]*Record
	seats   map[protocol.NodeID]map[Seat]bool
	leases  map[protocol.NodeID]time.Time
	due     map[protocol.RoomID]time.Time // every record with an Until
}

// NewMemory makes an empty Memory.
func NewMemory() *Memory {
	return &Memory{
		gen:     auth.Random(5),
		gens:    map[protocol.RoomID]string{},
		records: map[protocol.RoomID]*Record{},
		seats:   map[protocol.NodeID]map[Seat]bool{},
		leases:  map[protocol.NodeID]time.Time{},
		due:     map[protocol.RoomID]time.Time{},
	}
}

var _ Store = (*Memory)(nil)

// Load implements Store.
func (m *Memory) Load(_ context.Context, id protocol.RoomID) (*Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.records[id]
	if r != nil && r.Room.Ended && r.over(time.Now()) {
		return nil, nil
	}
	return r.Clone(), nil
}

// Swap implements Store.
func (m *Memory) Swap(_ context.Context, old, new *Record) (bool, error) {
	id := recordID(old, new)
	m.mu.Lock()
	defer m.mu.Unlock()
	stored := m.records[id]
	switch {
	case rev(stored) != rev(old):
		return false, nil
	case old != nil && new != nil && old.Epoch == new.Epoch && m.gens[id] != m.gen:
		return false, ErrMoved
	}
	for seat, node := range stored.Seats() {
		delete(m.seats[node], seat)
	}
	delete(m.records, id)
	delete(m.gens, id)
	delete(m.due, id)
	if new == nil {
		return true, nil
	}
	for seat, node := range new.Seats() {
		m.listLocked(node, seat)
	}
	m.records[id], m.gens[id] = new.Clone(), m.gen
	if !new.Until.IsZero() {
		m.due[id] = new.Until
	}
	return true, nil
}

func (m *Memory) listLocked(node protocol.NodeID, seat Seat) {
	if m.seats[node] == nil {
		m.seats[node] = map[Seat]bool{}
	}
	m.seats[node][seat] = true
}

func recordID(old, new *Record) protocol.RoomID {
	if new != nil {
		return new.Room.ID
	}
	return old.Room.ID
}

func rev(r *Record) uint64 {
	if r == nil {
		return 0
	}
	return r.Rev
}

// Renew implements Store.
func (m *Memory) Renew(_ context.Context, node protocol.NodeID, ttl time.Duration) (Renewed, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, known := m.leases[node]
	m.leases[node] = time.Now().Add(ttl)
	return Renewed{Seats: len(m.seats[node]), Known: known, Gen: m.gen}, nil
}

// Relist implements Store.
func (m *Memory) Relist(_ context.Context, node protocol.NodeID, seats []Seat, ttl time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, seat := range seats {
		m.listLocked(node, seat)
	}
	if _, known := m.leases[node]; !known {
		m.leases[node] = time.Now().Add(ttl)
	}
	return nil
}

// Dead implements Store.
func (m *Memory) Dead(context.Context) ([]protocol.NodeID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var dead []protocol.NodeID
	now := time.Now()
	for node, end := range m.leases {
		if !now.Before(end) {
			dead = append(dead, node)
		}
	}
	slices.Sort(dead)
	return dead, nil
}

// Seats implements Store. It returns all seats at once.
func (m *Memory) Seats(_ context.Context, node protocol.NodeID, _ string, _ int) ([]Seat, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	seats := make([]Seat, 0, len(m.seats[node]))
	for s := range m.seats[node] {
		seats = append(seats, s)
	}
	slices.SortFunc(seats, func(a, b Seat) int {
		return cmp.Or(strings.Compare(string(a.Room), string(b.Room)), strings.Compare(string(a.Member), string(b.Member)))
	})
	return seats, "", nil
}

// Forget implements Store.
func (m *Memory) Forget(_ context.Context, node protocol.NodeID, seats []Seat) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range seats {
		delete(m.seats[node], s)
	}
	if len(m.seats[node]) > 0 {
		return nil
	}
	delete(m.seats, node)
	if end, ok := m.leases[node]; ok && !time.Now().Before(end) {
		delete(m.leases, node)
	}
	return nil
}

// Due implements Store.
func (m *Memory) Due(_ context.Context, now time.Time, limit int) ([]protocol.RoomID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var over []protocol.RoomID
	for id, until := range m.due {
		if now.Before(until) {
			continue
		}
		if r := m.records[id]; r.Room.Ended {
			m.removeLocked(r)
		} else if len(over) < limit {
			over = append(over, id)
			delete(m.due, id)
		}
	}
	slices.Sort(over)
	return over, nil
}

func (m *Memory) removeLocked(r *Record) {
	for seat, node := range r.Seats() {
		delete(m.seats[node], seat)
	}
	delete(m.records, r.Room.ID)
	delete(m.gens, r.Room.ID)
	delete(m.due, r.Room.ID)
}

// Keep implements Store: memory keeps everything.
func (m *Memory) Keep(context.Context, []protocol.RoomID) error { return nil }
