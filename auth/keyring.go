package auth

import (
	"cmp"
	"context"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// Defaults of a Keyring.
const (
	DefaultKeyRotate = 30 * 24 * time.Hour
	DefaultKeyKeep   = time.Hour
	DefaultKeyPoll   = 30 * time.Second

	storeTimeout = 10 * time.Second
)

// KeyringConfig configures a Keyring. Zero fields have the defaults given.
type KeyringConfig struct {
	Store  KeyStore      // required
	Wrap   []byte        // required: the 32 bytes that seal private keys, as Signer.Key("jwt keys") gives them
	Alg    string        // of new keys: AlgEdDSA or AlgRS256; AlgEdDSA
	Rotate time.Duration // how long a key signs; DefaultKeyRotate
	Keep   time.Duration // how long its tokens verify after that, at least their TTL; DefaultKeyKeep
	Poll   time.Duration // how often the store is read; DefaultKeyPoll
	Logger *slog.Logger  // nil: discard
}

func (c *KeyringConfig) validate() error {
	c.Alg = cmp.Or(c.Alg, AlgEdDSA)
	c.Rotate, c.Keep, c.Poll = cmp.Or(c.Rotate, DefaultKeyRotate), cmp.Or(c.Keep, DefaultKeyKeep), cmp.Or(c.Poll, DefaultKeyPoll)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case c.Store == nil:
		return errors.New("auth: KeyringConfig.Store is missing")
	case c.Alg != AlgEdDSA && c.Alg != AlgRS256:
		return fmt.Errorf("auth: KeyringConfig.Alg is %q, want %s or %s", c.Alg, AlgEdDSA, AlgRS256)
	case c.Rotate < 0 || c.Keep < 0 || c.Poll < 0:
		return errors.New("auth: a time in KeyringConfig is negative")
	case c.Rotate < 8*c.Poll:
		return errors.New("auth: KeyringConfig.Rotate must be at least eight times Poll")
	}
	return nil
}

// Keyring holds the keys that sign access tokens. The next key is in the store,
// and in JWKS, for a while before it signs (a quarter of Rotate, a day at most),
// so that every node and every reader of JWKS knows it by then; when it begins,
// tokens of the one before verify for Keep longer. All nodes read one store and
// need no other agreement. It is safe for concurrent use.
type Keyring struct {
	cfg  KeyringConfig
	wrap cipher.AEAD
	keys atomic.Pointer[keySet]
	wake chan struct{} // a token named a key that is not known

	cancel context.CancelFunc
	done   sync.WaitGroup
}

// keySet is what the store held when it was last read. It is never changed.
type keySet struct {
	newest  int64         // generation, of keys that do not open too
	foreign bool          // there are keys and none opens
	keys    []*signingKey // newest first, without those that ended
	jwks    []byte
}

// NewKeyring makes a Keyring that knows no key until Start.
func NewKeyring(cfg KeyringConfig) (*Keyring, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	wrap, err := newWrap(cfg.Wrap)
	if err != nil {
		return nil, err
	}
	k := &Keyring{cfg: cfg, wrap: wrap, wake: make(chan struct{}, 1)}
	k.keys.Store(&keySet{jwks: []byte(`{"keys":[]}`)})
	return k, nil
}

// Start reads the keys, makes the first one if there is none, and then follows
// the store until Close. It fails if the store does. It is called once.
func (k *Keyring) Start(ctx context.Context) error {
	if err := k.refresh(ctx, time.Now()); err != nil {
		return err
	}
	var run context.Context
	run, k.cancel = context.WithCancel(context.WithoutCancel(ctx))
	k.done.Go(func() { k.follow(run) })
	return nil
}

// Close ends what Start began. The keys stay usable.
func (k *Keyring) Close() {
	if k.cancel != nil {
		k.cancel()
	}
	k.done.Wait()
}

func (k *Keyring) follow(ctx context.Context) {
	tick := time.NewTicker(k.cfg.Poll)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-k.wake: // anybody can send such tokens: not more than ten times as often
			if time.Since(last) < k.cfg.Poll/10 {
				continue
			}
		}
		last = time.Now()
		call, cancel := context.WithTimeout(ctx, storeTimeout)
		if err := k.refresh(call, last); err != nil && ctx.Err() == nil {
			k.cfg.Logger.Warn("signing keys: the store failed, going on with those known", "error", err)
		}
		cancel()
	}
}

// Rotate makes a new key that signs as soon as all nodes know it: after twice
// Poll. Tokens of the key before verify for Keep after that. Like Retire it may
// be called without Start, by a command. It refuses to add to keys of which none
// opens: the nodes have another secret and could not use the new one.
func (k *Keyring) Rotate(ctx context.Context) error {
	now := time.Now()
	if err := k.read(ctx, now); err != nil {
		return err
	}
	if k.keys.Load().foreign {
		return errors.New("auth: the signing keys that are there were made with another secret")
	}
	return k.add(ctx, now, 2*k.cfg.Poll)
}

// Retire makes all tokens of a key be refused from now on, on other nodes within
// Poll; for a key that leaked. If no other key signs, one is made that does at
// once. Whoever shows such a token has to refresh it.
func (k *Keyring) Retire(ctx context.Context, kid string) error {
	now := time.Now()
	if err := k.cfg.Store.Retire(ctx, kid, now.UTC().Truncate(time.Microsecond)); err != nil {
		return fmt.Errorf("auth: retire key: %w", err)
	}
	return k.refresh(ctx, now)
}

// JWKS returns the public keys (RFC 7517), the next one included, as JSON. The
// caller must not change it.
func (k *Keyring) JWKS() []byte { return k.keys.Load().jwks }

// signer returns the key that signs now.
func (k *Keyring) signer(now time.Time) (*signingKey, error) {
	var next *signingKey
	for _, key := range k.keys.Load().keys {
		if !key.usable(now) {
			continue
		}
		next = key
		if !now.Before(key.begins) {
			break
		}
	}
	if next == nil {
		return nil, &protocol.Error{Code: protocol.CodeUnavailable, Msg: "the service is unavailable for the moment", Retry: time.Second}
	}
	return next, nil // one that did not begin, if by this node's clock none did
}

// verifier returns the key whose tokens have the header. It asks for a look at
// the store if there is none.
func (k *Keyring) verifier(header string, now time.Time) (*signingKey, bool) {
	for _, key := range k.keys.Load().keys {
		if key.header == header { // nothing in it is secret
			return key, !key.ended(now)
		}
	}
	select {
	case k.wake <- struct{}{}:
	default:
	}
	return nil, false
}

// refresh reads the store, and makes the next key when it is time.
func (k *Keyring) refresh(ctx context.Context, now time.Time) error {
	if err := k.read(ctx, now); err != nil {
		return err
	}
	newest, ok := k.newest(now)
	if !ok {
		return k.add(ctx, now, 0)
	}
	lead, ends := min(k.cfg.Rotate/4, 24*time.Hour), newest.begins.Add(k.cfg.Rotate)
	if now.Add(lead).Before(ends) {
		return nil
	}
	return k.add(ctx, now, max(ends.Sub(now), 2*k.cfg.Poll))
}

// newest returns the last key that signs or will.
func (k *Keyring) newest(now time.Time) (*signingKey, bool) {
	for _, key := range k.keys.Load().keys {
		if key.usable(now) {
			return key, true
		}
	}
	return nil, false
}

// add makes the key of the next generation unless another node was faster.
func (k *Keyring) add(ctx context.Context, now time.Time, in time.Duration) error {
	key, err := newStoredKey(k.wrap, k.cfg.Alg, k.keys.Load().newest+1, now, now.Add(in))
	if err != nil {
		return err
	}
	if err := k.cfg.Store.Add(ctx, key); err != nil {
		return fmt.Errorf("auth: new key: %w", err)
	}
	k.cfg.Logger.Info("signing key made", "kid", key.Kid, "alg", key.Alg, "begins", key.Begins)
	return k.read(ctx, now)
}

// read takes over what the store holds and removes from it what ended long ago.
func (k *Keyring) read(ctx context.Context, now time.Time) error {
	stored, err := k.cfg.Store.Keys(ctx)
	if err != nil {
		return fmt.Errorf("auth: signing keys: %w", err)
	}
	set := &keySet{foreign: len(stored) > 0}
	var next time.Time // when a key of a greater generation begins, at the earliest
	for _, s := range slices.Backward(stored) {
		set.newest = max(set.newest, s.Generation)
		key, err := s.open(k.wrap)
		if err != nil {
			k.cfg.Logger.Error("a signing key cannot be used: is the secret another one?", "kid", s.Kid, "error", err)
			continue
		}
		set.foreign = false
		retired := reached(key.ends, key.begins) // before it began
		if !next.IsZero() {
			key.succeeded(next, k.cfg.Keep)
		}
		if !retired && (next.IsZero() || key.begins.Before(next)) {
			next = key.begins
		}
		if !key.ended(now) {
			set.keys = append(set.keys, key)
		} else if key.ended(now.Add(-24 * time.Hour)) {
			if err := k.cfg.Store.Remove(ctx, s.Kid); err != nil {
				return fmt.Errorf("auth: remove key: %w", err)
			}
		}
	}
	if set.jwks, err = set.public(); err != nil {
		return err
	}
	k.keys.Store(set)
	return nil
}

func (s *keySet) public() ([]byte, error) {
	keys := make([]jwk, 0, len(s.keys))
	for _, key := range s.keys {
		keys = append(keys, key.jwk())
	}
	b, err := json.Marshal(map[string][]jwk{"keys": keys})
	if err != nil {
		return nil, fmt.Errorf("auth: JWKS: %w", err)
	}
	return b, nil
}
