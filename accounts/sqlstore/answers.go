package sqlstore

import (
	"context"
	"errors"
	"time"

	"github.com/rondo-chat/rondo/internal/database"
)

// Answer is what REST answered to a request that may come again.
type Answer struct {
	Request string // a hash of the request
	Status  int    // 0: it is still being worked on
	Body    []byte // nil: none
}

// ClaimAnswer returns the answer of the key if there is one; else nil, and the key, at most 64 letters
// and digits, is the caller's until then. now is the time.
func (s *Store) ClaimAnswer(ctx context.Context, key, request string, now, until time.Time) (*Answer, error) {
	var found *Answer
	err := s.db.Write(ctx, "answer_claim", func(tx *database.Tx) error {
		found = nil
		var a Answer
		err := tx.QueryRow("SELECT request, status, body FROM idempotency_keys WHERE id = ? AND expires_at > ?", key, micros(now)).
			Scan(&a.Request, &a.Status, &a.Body)
		if err == nil {
			found = &a
			return nil
		}
		if !errors.Is(err, database.ErrNotFound) {
			return err
		}
		return putAnswer(tx, key, Answer{Request: request}, until)
	})
	if found != nil && len(found.Body) == 0 {
		found.Body = nil
	}
	return found, err
}

// SaveAnswer keeps the answer of the key until then.
func (s *Store) SaveAnswer(ctx context.Context, key string, a Answer, until time.Time) error {
	return s.db.Write(ctx, "answer_save", func(tx *database.Tx) error { return putAnswer(tx, key, a, until) })
}

func putAnswer(tx *database.Tx, key string, a Answer, until time.Time) error {
	if a.Body == nil {
		a.Body = []byte{}
	}
	return tx.Upsert("idempotency_keys", []string{"id"}, []string{"id", "request", "status", "body", "expires_at"},
		key, a.Request, a.Status, a.Body, micros(until))
}

// DropAnswer forgets the key.
func (s *Store) DropAnswer(ctx context.Context, key string) error {
	return s.db.Write(ctx, "answer_drop", func(tx *database.Tx) error {
		_, err := tx.Exec("DELETE FROM idempotency_keys WHERE id = ?", key)
		return err
	})
}
