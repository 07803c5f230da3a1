package sqlstore

import (
	"context"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/database"
)

var (
	_ auth.KeyStore         = (*Store)(nil)
	_ auth.RevocationSource = (*Store)(nil)
)

// Keys implements auth.KeyStore.
func (s *Store) Keys(ctx context.Context) ([]auth.StoredKey, error) {
	var keys []auth.StoredKey
	err := s.db.Read(ctx, "keys", func(q database.Queryer) error {
		rows, err := q.Query("SELECT generation, kid, alg, created_at, begins_at, sealed, retired_at FROM signing_keys ORDER BY generation")
		keys, err = database.All(rows, err, func(row database.Scanner) (auth.StoredKey, error) {
			var k auth.StoredKey
			var created, begins, retired int64
			err := row.Scan(&k.Generation, &k.Kid, &k.Alg, &created, &begins, &k.Sealed, &retired)
			k.Created, k.Begins, k.Retired = instant(created), instant(begins), instant(retired)
			return k, err
		})
		return err
	})
	return keys, err
}

// Add implements auth.KeyStore.
func (s *Store) Add(ctx context.Context, k auth.StoredKey) error {
	return s.db.Write(ctx, "key_add", func(tx *database.Tx) error {
		_, err := tx.InsertNew("signing_keys", []string{"generation", "kid", "alg", "created_at", "begins_at", "sealed", "retired_at"},
			k.Generation, k.Kid, k.Alg, micros(k.Created), micros(k.Begins), k.Sealed, micros(k.Retired))
		return err
	})
}

// Retire implements auth.KeyStore.
func (s *Store) Retire(ctx context.Context, kid string, at time.Time) error {
	return s.db.Write(ctx, "key_retire", func(tx *database.Tx) error {
		_, err := tx.Exec("UPDATE signing_keys SET retired_at = ? WHERE kid = ? AND (retired_at = 0 OR retired_at > ?)", micros(at), kid, micros(at))
		return err
	})
}

// Remove implements auth.KeyStore.
func (s *Store) Remove(ctx context.Context, kid string) error {
	return s.db.Write(ctx, "key_remove", func(tx *database.Tx) error {
		_, err := tx.Exec("DELETE FROM signing_keys WHERE kid = ?", kid)
		return err
	})
}
