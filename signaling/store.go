package signaling

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// Store keeps records of sessions where all nodes of one service find them, so
// that a session can go on at another node than the one that has it. It is safe
// for concurrent use, also by several nodes.
//
// Each record belongs to the node it names. Only that node may save or remove
// it; another one gets it by Take, and by nothing else: of any number that try,
// one does. Methods are atomic for each record. Their errors mean that the
// outcome is unknown; all may be repeated.
//
// A store may come back empty, or as it was a while ago. Then the nodes put back
// what they know: a record that was taken less often than a node's own is older.
type Store interface {
	// Save stores the records for ttl, each unless the one that is there belongs
	// to another node and has no lower Moves: then its result is false. A record with a lower Gen than
	// that of the same node, or the same Gen and no higher Rev, arrives late: it
	// changes nothing, which is no refusal.
	Save(ctx context.Context, ttl time.Duration, records []*Record) (saved []bool, err error)

	// Load returns the record, nil if there is none, and whether its node has
	// renewed its lease in time.
	Load(ctx context.Context, id protocol.SessionID) (r *Record, alive bool, err error)

	// Take gives the record to the node to, if it belongs to from and a token of
	// generation gen is good for it: its Gen is gen plus one, Moves rises by one, Spoken becomes false.
	// It returns the record as it is then, or nil if nothing was taken. What is
	// stored has no Rest any more, for who took it will push.
	Take(ctx context.Context, ttl time.Duration, id protocol.SessionID, gen uint64, from, to protocol.NodeID) (*Record, error)

	// Remove removes the record. It returns false if it belongs to another node and
	// has no lower Moves.
	Remove(ctx context.Context, id protocol.SessionID, node protocol.NodeID, moves uint64) (bool, error)

	// Renew renews the node's lease and prolongs those of the records that
	// belong to it.
	Renew(ctx context.Context, node protocol.NodeID, lease, ttl time.Duration, own []Holding) ([]Hold, error)
}

// Holding is what a node has stored of a session.
type Holding struct {
	ID    protocol.SessionID
	Moves uint64
	Rev   uint64
}

// Hold is what became of a record.
type Hold int8

// What Renew finds.
const (
	Held    Hold = iota // it belongs to the node
	Missing             // it is not there, or is older than it was
	Taken               // it belongs to another node
)

// Record is a session as it is stored.
type Record struct {
	ID     protocol.SessionID
	Node   protocol.NodeID
	Gen    uint64 // of the resume token that is good
	Spoken bool   // the client has shown that it has that token
	Moves  uint64 // counts how often it was taken
	Rev    uint64 // counts the states saved

	Base
	Rest *Rest // nil: what the client may have to be sent again is not known
}

// Base is what is always stored of a session.
type Base struct {
	User  protocol.User `json:"user"`
	Login Login         `json:"login,omitzero"`
	Seq   uint64        `json:"seq"`
	Note  []byte        `json:"note,omitempty"` // see Session.SetNote
}

// Rest is what is stored of a session without a socket, as long as nothing comes
// after it.
type Rest struct {
	Heals   uint64  `json:"heals,omitempty"`
	Ring    []Kept  `json:"ring,omitempty"`
	Replies []Reply `json:"replies,omitempty"`
}

// Kept is a push that the client may not have.
type Kept struct {
	Seq   uint64          `json:"seq"`
	Own   bool            `json:"own,omitempty"`
	Room  protocol.RoomID `json:"room,omitempty"`
	Frame []byte          `json:"frame"`
}

// Reply is a remembered answer.
type Reply struct {
	ID    uint32        `json:"id"`
	Type  protocol.Type `json:"t"`
	Frame []byte        `json:"frame"`
}

// Accepts reports whether a token of the generation is good for a record whose
// node has no say any more. It is for Stores.
func (r *Record) Accepts(gen uint64) bool {
	return gen == r.Gen || gen+1 == r.Gen && !r.Spoken
}

// MemoryStore is a Store in the memory of one process, for several hubs in it.
type MemoryStore struct {
	mu      sync.Mutex
	records map[protocol.SessionID]memoryRecord
	leases  map[protocol.NodeID]time.Time
}

type memoryRecord struct {
	Record
	until time.Time
}

// NewMemoryStore makes an empty MemoryStore.
func NewMemoryStore() *MemoryStore {
	return &MemoryStore{records: map[protocol.SessionID]memoryRecord{}, leases: map[protocol.NodeID]time.Time{}}
}

var _ Store = (*MemoryStore)(nil)

// getLocked returns what is stored and not over.
func (m *MemoryStore) getLocked(id protocol.SessionID) (memoryRecord, bool) {
	r, ok := m.records[id]
	if ok && !time.Now().Before(r.until) {
		delete(m.records, id)
		return memoryRecord{}, false
	}
	return r, ok
}

// Save implements Store.
func (m *MemoryStore) Save(_ context.Context, ttl time.Duration, records []*Record) ([]bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	saved := make([]bool, len(records))
	for i, r := range records {
		old, ok := m.getLocked(r.ID)
		if ok && old.Node != r.Node && old.Moves >= r.Moves {
			continue
		}
		saved[i] = true
		if !ok || old.Node != r.Node || r.Gen > old.Gen || r.Gen == old.Gen && r.Rev > old.Rev {
			m.records[r.ID] = memoryRecord{r.clone(), time.Now().Add(ttl)}
		}
	}
	return saved, nil
}

// clone returns a copy whose slices are its own; frames are never changed.
func (r *Record) clone() Record {
	c := *r
	c.Note = slices.Clone(r.Note)
	if r.Rest != nil {
		c.Rest = &Rest{r.Rest.Heals, slices.Clone(r.Rest.Ring), slices.Clone(r.Rest.Replies)}
	}
	return c
}

// Load implements Store.
func (m *MemoryStore) Load(_ context.Context, id protocol.SessionID) (*Record, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.getLocked(id)
	if !ok {
		return nil, false, nil
	}
	c := r.clone()
	return &c, time.Now().Before(m.leases[r.Node]), nil
}

// Take implements Store.
func (m *MemoryStore) Take(_ context.Context, ttl time.Duration, id protocol.SessionID, gen uint64, from, to protocol.NodeID) (*Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.getLocked(id)
	if !ok || r.Node != from || !r.Accepts(gen) {
		return nil, nil
	}
	r.Node, r.Gen, r.Spoken, r.Moves, r.Rev, r.until = to, gen+1, false, r.Moves+1, r.Rev+1, time.Now().Add(ttl)
	c := r.clone()
	r.Rest = nil
	m.records[id] = r
	return &c, nil
}

// Remove implements Store.
func (m *MemoryStore) Remove(_ context.Context, id protocol.SessionID, node protocol.NodeID, moves uint64) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.getLocked(id)
	if ok && r.Node != node && r.Moves >= moves {
		return false, nil
	}
	delete(m.records, id)
	return true, nil
}

// Renew implements Store.
func (m *MemoryStore) Renew(_ context.Context, node protocol.NodeID, lease, ttl time.Duration, own []Holding) ([]Hold, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.leases[node] = now.Add(lease)
	holds := make([]Hold, len(own))
	for i, h := range own {
		r, ok := m.getLocked(h.ID)
		switch {
		case ok && r.Node != node && r.Moves >= h.Moves:
			holds[i] = Taken
		case !ok || r.Node != node || r.Rev < h.Rev:
			holds[i] = Missing
		default:
			r.until = now.Add(ttl)
			m.records[h.ID] = r
		}
	}
	return holds, nil
}
