// Package password hashes passwords so that a stolen database is of little use,
// and checks that a new one is not among the first that anybody would guess.
//
// Hashes are Argon2id (RFC 9106) in PHC string form. Each costs about 20 MiB and
// some tens of milliseconds of a core; a Hasher computes as many at once as there
// are cores, lets a bounded number wait and sends the others away.
package password

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"github.com/rondo-chat/rondo/protocol"
)

const (
	saltBytes = 16
	keyBytes  = 32

	// Bounds of what a stored hash may ask for: a row that somebody changed must
	// not take the machine's memory.
	maxMemoryKiB = 256 << 10
	maxPasses    = 16
	maxThreads   = 16
)

// Config configures a Hasher. Zero fields have the defaults given; those of the
// costs are the least that OWASP's Password Storage Cheat Sheet names.
type Config struct {
	MemoryKiB uint32 // per hash; 19456 (19 MiB)
	Passes    uint32 // 2
	Threads   uint8  // per hash; 1
	Workers   int    // hashes at once; the number of cores (GOMAXPROCS)
	Queue     int    // callers that may wait; 16 for each worker
}

func (c *Config) validate() error {
	c.MemoryKiB, c.Passes, c.Threads = cmp.Or(c.MemoryKiB, 19456), cmp.Or(c.Passes, 2), cmp.Or(c.Threads, 1)
	c.Workers = cmp.Or(c.Workers, runtime.GOMAXPROCS(0))
	c.Queue = cmp.Or(c.Queue, 16*c.Workers)
	switch {
	case !c.bounded() || c.MemoryKiB < 8*uint32(c.Threads):
		return errors.New("password: the costs in Config are out of bounds")
	case c.Workers < 0 || c.Queue < 0:
		return errors.New("password: Config.Workers and Queue must not be negative")
	}
	return nil
}

func (c *Config) bounded() bool {
	return c.MemoryKiB > 0 && c.MemoryKiB <= maxMemoryKiB && c.Passes > 0 && c.Passes <= maxPasses && c.Threads > 0 && c.Threads <= maxThreads
}

// Hasher hashes and checks passwords. It is safe for concurrent use.
//
// Its methods wait for a free worker. They fail as rate_limited, with how long
// the queue is in time, when too many wait already, and with the context's error
// when it ends first; a hash that began is finished.
type Hasher struct {
	cfg    Config
	nobody string        // what CheckNobody compares with
	free   chan struct{} // a token for each worker in use

	waiting atomic.Int64
	took    atomic.Int64 // about how long a hash takes, ns
}

// New makes a Hasher.
func New(cfg Config) (*Hasher, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	h := &Hasher{cfg: cfg, free: make(chan struct{}, cfg.Workers)}
	h.took.Store(int64(100 * time.Millisecond))
	salt, key := make([]byte, saltBytes), make([]byte, keyBytes)
	rand.Read(salt) // never fails (crypto/rand)
	rand.Read(key)
	h.nobody = phc{cfg.cost(), salt, key}.String()
	return h, nil
}

// Hash returns the password's hash with a salt of its own, in PHC string form:
// "$argon2id$v=19$m=19456,t=2,p=1$salt$hash".
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	if len(password) > MaxBytes {
		return "", tooLong()
	}
	p := phc{cost: h.cfg.cost(), salt: make([]byte, saltBytes)}
	rand.Read(p.salt) // never fails (crypto/rand)
	key, err := h.derive(ctx, password, p)
	if err != nil {
		return "", err
	}
	p.key = key
	return p.String(), nil
}

// Check reports whether the password is the one that was hashed, and whether a
// right one should be hashed again because the costs have changed since. The
// error is for what says nothing about the password: a full queue, a context that
// ended, a hash that cannot be read.
func (h *Hasher) Check(ctx context.Context, hash, password string) (ok, rehash bool, err error) {
	p, err := parse(hash)
	if err != nil {
		return false, false, err
	}
	if len(password) > MaxBytes {
		return false, false, nil
	}
	key, err := h.derive(ctx, password, p)
	if err != nil {
		return false, false, err
	}
	ok = subtle.ConstantTimeCompare(key, p.key) == 1
	return ok, ok && (p.cost != h.cfg.cost() || len(p.salt) != saltBytes || len(p.key) != keyBytes), nil
}

// CheckNobody does the work of Check for a user who does not exist or has no
// password, so that time does not tell. Its errors are those of Check.
func (h *Hasher) CheckNobody(ctx context.Context, password string) error {
	_, _, err := h.Check(ctx, h.nobody, password)
	return err
}

// derive computes the key of a password when a worker is free. Equal texts in
// different Unicode forms are equal passwords (RFC 8265, 4.2.2: NFC).
func (h *Hasher) derive(ctx context.Context, password string, p phc) ([]byte, error) {
	if err := h.enter(ctx); err != nil {
		return nil, err
	}
	defer func() { <-h.free }()
	began := time.Now()
	key := argon2.IDKey([]byte(norm.NFC.String(password)), p.salt, p.passes, p.memory, p.threads, uint32(max(len(p.key), keyBytes)))
	h.took.Store((7*h.took.Load() + int64(time.Since(began))) / 8)
	return key, nil
}

func (h *Hasher) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case h.free <- struct{}{}:
		return nil
	default:
	}
	waiting := h.waiting.Add(1)
	defer h.waiting.Add(-1)
	if waiting > int64(h.cfg.Queue) {
		retry := time.Duration(h.took.Load()*waiting/int64(h.cfg.Workers)).Round(time.Millisecond) + time.Millisecond
		return &protocol.Error{Code: protocol.CodeRateLimited, Msg: "too many people sign in at the moment, try again soon", Retry: retry}
	}
	select {
	case h.free <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cost is what a hash costs.
type cost struct {
	memory, passes uint32
	threads        uint8
}

func (c *Config) cost() cost { return cost{c.MemoryKiB, c.Passes, c.Threads} }

// phc is a hash in parts (the PHC string format).
type phc struct {
	cost
	salt, key []byte
}

func (p phc) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.passes, p.threads, b64.EncodeToString(p.salt), b64.EncodeToString(p.key))
}

// parse reads what String wrote. There is one spelling of each hash.
func parse(s string) (phc, error) {
	bad := errors.New("password: the stored hash is not one of ours")
	parts := strings.Split(s, "$")
	if len(s) > 512 || len(parts) != 6 {
		return phc{}, bad
	}
	var p phc
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.passes, &p.threads); err != nil {
		return phc{}, bad
	}
	b64 := base64.RawStdEncoding.Strict()
	var err1, err2 error
	p.salt, err1 = b64.DecodeString(parts[4])
	p.key, err2 = b64.DecodeString(parts[5])
	costs := Config{MemoryKiB: p.memory, Passes: p.passes, Threads: p.threads}
	switch {
	case err1 != nil, err2 != nil, len(p.salt) < 8, len(p.key) < 16, !costs.bounded(), p.String() != s:
		return phc{}, bad
	}
	return p, nil
}
