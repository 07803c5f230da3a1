package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

const (
	maxAnswers = 20_000
	// claimTime is how long a request may take before another one with its key may
	// try again: longer than a request lives.
	claimTime = requestTime + 10*time.Second
)

// SavedAnswer is an answer that was given to a request with an Idempotency-Key.
type SavedAnswer struct {
	Request string // a hash of the request's body
	Status  int    // 0: it is still being worked on
	Body    []byte // nil: none; it holds no secret
}

// Answers keeps answers by the hash of caller, route and key. It is safe for
// concurrent use, also by several nodes.
type Answers interface {
	// Claim returns the answer of the key if there is one; else nil, and the key is
	// the caller's until then.
	Claim(ctx context.Context, key, request string, until time.Time) (*SavedAnswer, error)
	// Save keeps the answer until then.
	Save(ctx context.Context, key string, a SavedAnswer, until time.Time) error
	// Drop forgets the key: the request failed and may be tried again.
	Drop(ctx context.Context, key string) error
}

// once runs the handler unless it ran for the same key.
func (a *API) once(c *call) (answer, error) {
	list := c.r.Header.Values("Idempotency-Key")
	if len(list) == 0 {
		return c.route.serve(c)
	}
	if len(list) > 1 || !plain(list[0], 16, 64) {
		return answer{}, protocol.Errorf(protocol.CodeBadRequest, "Idempotency-Key: 16 to 64 of A-Z, a-z, 0-9, _ and -")
	}
	key := sum(string(c.who.Identity), c.route.Name(), list[0])
	// Under the body's hash alone a password could be guessed.
	request := sum(hex.EncodeToString(a.cfg.Key), string(c.body))
	saved, err := a.cfg.Answers.Claim(c.r.Context(), key, request, c.now.Add(claimTime))
	switch {
	case err != nil:
		return answer{}, err
	case saved != nil && saved.Request != request:
		return answer{}, protocol.Errorf(protocol.CodeIdempotency, "that Idempotency-Key was used for another request")
	case saved != nil && saved.Status == 0:
		return answer{}, &protocol.Error{Code: protocol.CodeIdempotency, Msg: "the first request with that Idempotency-Key is still going on", Retry: time.Second}
	case saved != nil:
		return c.replay(saved)
	}
	return a.first(c, key, request)
}

// first runs the handler and keeps what came of it.
func (a *API) first(c *call, key, request string) (answer, error) {
	ctx := context.WithoutCancel(c.r.Context())
	kept := false
	defer func() {
		if !kept {
			_ = a.cfg.Answers.Drop(ctx, key) // else the claim runs out
		}
	}()
	out, err := c.route.serve(c)
	if err != nil {
		return out, err
	}
	save := SavedAnswer{Request: request, Status: out.status}
	if p, ok := out.body.(pendingAnswer); ok {
		save.Body, err = json.Marshal(pendingAnswer{ExpiresAt: p.ExpiresAt}) // without the device's secret name
	} else if out.kept != "" {
		save.Body = []byte(out.kept)
	}
	if err == nil {
		err = a.cfg.Answers.Save(ctx, key, save, c.now.Add(answerTTL))
	}
	if err != nil {
		a.cfg.Logger.Warn("api: an answer was not kept for its Idempotency-Key", "route", c.route.Name(), "err", err)
	}
	kept = err == nil
	return out, nil
}

// replay gives an answer again. The device's name is not in it: it is what it
// was, or made again from the key.
func (c *call) replay(s *SavedAnswer) (answer, error) {
	out := answer{status: s.Status, header: map[string]string{"Idempotency-Replayed": "true"}}
	if s.Body == nil {
		return out, nil
	}
	if c.route.again != nil {
		again, err := c.route.again(c, string(s.Body))
		again.header = out.header
		return again, err
	}
	var p pendingAnswer
	if err := json.Unmarshal(s.Body, &p); err != nil {
		return answer{}, err
	}
	var in struct {
		Bearer      bool   `json:"bearer"`
		DeviceToken string `json:"device_token"`
	}
	if err := json.Unmarshal(c.body, &in); err != nil {
		return answer{}, err
	}
	id := c.nameDevice(in.DeviceToken).ID
	if c.sealed {
		id = c.api.seal(id)
	}
	if in.Bearer {
		p.DeviceToken = id
	} else {
		c.keepDevice(id)
	}
	out.body = p
	return out, nil
}

func sum(parts ...string) string {
	s := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(s[:])
}

// MemoryAnswers is an Answers for one node. It forgets at random when it is full.
type MemoryAnswers struct {
	now func() time.Time

	mu  sync.Mutex
	all map[string]memoryAnswer
}

type memoryAnswer struct {
	SavedAnswer
	until time.Time
}

// NewMemoryAnswers makes an empty MemoryAnswers.
func NewMemoryAnswers(now func() time.Time) *MemoryAnswers {
	return &MemoryAnswers{now: now, all: map[string]memoryAnswer{}}
}

// Claim implements Answers.
func (m *MemoryAnswers) Claim(_ context.Context, key, request string, until time.Time) (*SavedAnswer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a, ok := m.all[key]; ok && m.now().Before(a.until) {
		return &a.SavedAnswer, nil
	}
	for k := range m.all {
		if len(m.all) < maxAnswers {
			break
		}
		delete(m.all, k)
	}
	m.all[key] = memoryAnswer{SavedAnswer{Request: request}, until}
	return nil, nil
}

// Save implements Answers.
func (m *MemoryAnswers) Save(_ context.Context, key string, a SavedAnswer, until time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all[key] = memoryAnswer{a, until}
	return nil
}

// Drop implements Answers.
func (m *MemoryAnswers) Drop(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, key)
	return nil
}
