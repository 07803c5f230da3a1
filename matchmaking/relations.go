package matchmaking

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// Relations remembers who must not meet whom: a driver. Both of its relations
// hold both ways. An error means that the outcome is unknown.
type Relations interface {
	// Block makes that the two never meet again. It returns when every later
	// Exclusions of either, on any node, holds it.
	Block(ctx context.Context, user, other protocol.UserID) error
	// Part notes that the two were together just now.
	Part(ctx context.Context, a, b protocol.UserID) error
	// Exclusions returns whom the user must not meet.
	Exclusions(ctx context.Context, user protocol.UserID) (Exclusions, error)
	// Forget removes the user from everybody's relations, for good. It looks at all
	// people and may take seconds.
	Forget(ctx context.Context, user protocol.UserID) error
}

// Exclusions are the people somebody does not meet.
type Exclusions struct {
	Hard   []protocol.UserID // blocked by either side; newest first
	Recent []protocol.UserID // recent partners, avoided while anybody else fits; newest first
}

// Bounds of what Relations keeps of one user; the newest stay.
const (
	BlockKeep  = 500
	BlockTTL   = 90 * 24 * time.Hour // since the user's last block
	RecentKeep = 5
	RecentTTL  = 10 * time.Minute
)

// MemoryRelations keeps relations in the memory of this process.
type MemoryRelations struct {
	mu     sync.Mutex
	people map[protocol.UserID]*acquaintances
	parted []parting // oldest first, for cleaning up
}

type acquaintances struct {
	hard   []protocol.UserID
	recent []parting
}

type parting struct {
	user  protocol.UserID
	other protocol.UserID
	at    time.Time
}

// NewMemoryRelations makes empty relations.
func NewMemoryRelations() *MemoryRelations {
	return &MemoryRelations{people: map[protocol.UserID]*acquaintances{}}
}

// Block implements Relations.
func (r *MemoryRelations) Block(_ context.Context, user, other protocol.UserID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blockLocked(user, other)
	r.blockLocked(other, user)
	return nil
}

func (r *MemoryRelations) blockLocked(user, other protocol.UserID) {
	p := r.personLocked(user)
	p.hard = slices.DeleteFunc(p.hard, func(u protocol.UserID) bool { return u == other })
	p.hard = slices.Insert(p.hard, 0, other)
	p.hard = p.hard[:min(len(p.hard), BlockKeep)]
}

// Part implements Relations.
func (r *MemoryRelations) Part(_ context.Context, a, b protocol.UserID) error {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.partLocked(parting{a, b, now})
	r.partLocked(parting{b, a, now})
	for len(r.parted) > 0 && now.Sub(r.parted[0].at) > RecentTTL {
		r.tidyLocked(r.parted[0].user, now)
		r.parted = r.parted[1:]
	}
	return nil
}

func (r *MemoryRelations) partLocked(p parting) {
	who := r.personLocked(p.user)
	who.recent = slices.DeleteFunc(who.recent, func(o parting) bool { return o.other == p.other })
	who.recent = slices.Insert(who.recent, 0, p)
	who.recent = who.recent[:min(len(who.recent), RecentKeep)]
	r.parted = append(r.parted, p)
}

func (r *MemoryRelations) personLocked(u protocol.UserID) *acquaintances {
	p := r.people[u]
	if p == nil {
		p = &acquaintances{}
		r.people[u] = p
	}
	return p
}

func (r *MemoryRelations) tidyLocked(u protocol.UserID, now time.Time) {
	p := r.people[u]
	if p == nil {
		return
	}
	p.recent = slices.DeleteFunc(p.recent, func(o parting) bool { return now.Sub(o.at) > RecentTTL })
	if len(p.hard)+len(p.recent) == 0 {
		delete(r.people, u)
	}
}

// Exclusions implements Relations.
func (r *MemoryRelations) Exclusions(_ context.Context, user protocol.UserID) (Exclusions, error) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.people[user]
	if p == nil {
		return Exclusions{}, nil
	}
	ex := Exclusions{Hard: slices.Clone(p.hard)}
	for _, o := range p.recent {
		if now.Sub(o.at) <= RecentTTL {
			ex.Recent = append(ex.Recent, o.other)
		}
	}
	return ex, nil
}

// Forget implements Relations.
func (r *MemoryRelations) Forget(_ context.Context, user protocol.UserID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.people, user)
	r.parted = slices.DeleteFunc(r.parted, func(p parting) bool { return p.user == user || p.other == user })
	for u, p := range r.people {
		p.hard = slices.DeleteFunc(p.hard, func(other protocol.UserID) bool { return other == user })
		p.recent = slices.DeleteFunc(p.recent, func(o parting) bool { return o.other == user })
		if len(p.hard)+len(p.recent) == 0 {
			delete(r.people, u)
		}
	}
	return nil
}
