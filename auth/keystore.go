package auth

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// StoredKey is a signing key as a KeyStore holds it. It is never changed, except
// that it can be retired.
type StoredKey struct {
	// Generation counts the keys of an installation from 1 and is the store's
	// primary key: of several nodes that make the next key at once one wins.
	Generation int64
	Kid        string    // 26 characters of [a-z2-7], unique
	Alg        string    // "EdDSA" or "RS256"
	Created    time.Time // to the microsecond, like all times here
	Begins     time.Time // signs from then on, until a key of a greater generation begins
	Sealed     []byte    // the private key, encrypted and authenticated; below 4 KiB
	Retired    time.Time // zero unless retired: from then on its tokens are refused
}

// KeyStore keeps the signing keys of an installation for all of its nodes. What
// it holds needs no secrecy and is not trusted: keys are sealed under a secret
// that it does not have. It is safe for concurrent use.
type KeyStore interface {
	// Keys returns all keys in the order of their generations, as they are now:
	// no replica that lags.
	Keys(ctx context.Context) ([]StoredKey, error)
	// Add adds the key if there is none of its generation, else it changes nothing
	// and returns nil: the caller reads back who won.
	Add(ctx context.Context, k StoredKey) error
	// Retire sets when the key's tokens are refused, if it is not retired earlier
	// already. A kid that is not there is no error.
	Retire(ctx context.Context, kid string, at time.Time) error
	// Remove forgets the key. A kid that is not there is no error.
	Remove(ctx context.Context, kid string) error
}

// MemoryKeys is a KeyStore for one node, whose tokens end with it. The zero
// MemoryKeys is empty.
type MemoryKeys struct {
	mu   sync.Mutex
	keys []StoredKey
}

var _ KeyStore = (*MemoryKeys)(nil)

// Keys implements KeyStore.
func (m *MemoryKeys) Keys(context.Context) ([]StoredKey, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.keys), nil
}

// Add implements KeyStore.
func (m *MemoryKeys) Add(_ context.Context, k StoredKey) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, taken := slices.BinarySearchFunc(m.keys, k.Generation, func(k StoredKey, g int64) int { return cmp.Compare(k.Generation, g) })
	if !taken {
		m.keys = slices.Insert(m.keys, at, k)
	}
	return nil
}

// Retire implements KeyStore.
func (m *MemoryKeys) Retire(_ context.Context, kid string, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.keys {
		if k := &m.keys[i]; k.Kid == kid && (k.Retired.IsZero() || at.Before(k.Retired)) {
			k.Retired = at
		}
	}
	return nil
}

// Remove implements KeyStore.
func (m *MemoryKeys) Remove(_ context.Context, kid string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys = slices.DeleteFunc(m.keys, func(k StoredKey) bool { return k.Kid == kid })
	return nil
}
