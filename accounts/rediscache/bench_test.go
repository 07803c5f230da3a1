package rediscache_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/accounts/sqlstore"
	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/internal/mail"
	"github.com/rondo-chat/rondo/internal/password"
	"github.com/rondo-chat/rondo/internal/testenv"
)

// BenchmarkName: what a handshake costs for a user with a picture, by PostgreSQL alone
// and with the cache before it. Both are asked in turns, whatever else the machine does.
func BenchmarkName(b *testing.B) {
	db, err := database.Open(b.Context(), database.Config{URL: testenv.Postgres(b), SlowQuery: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	store := sqlstore.New(db)
	if err := store.Migrate(context.WithoutCancel(b.Context())); err != nil {
		b.Fatal(err)
	}
	u := accounts.UserRow{EmailKey: "a@example.org", User: accounts.User{ID: "1", Identity: "u_a", Email: "a@example.org", Username: "a", Name: "Ann",
		Avatar: strings.Repeat("A", 60_000), Roles: []auth.Role{auth.RoleUser}, Active: true, Created: time.Now()}}
	if err := store.Write(b.Context(), "bench", func(tx accounts.Tx) error { return tx.InsertUser(u) }); err != nil {
		b.Fatal(err)
	}
	sealer, err := mail.NewSealer(make([]byte, mail.KeySize))
	if err != nil {
		b.Fatal(err)
	}
	hasher, err := password.New(password.Config{})
	if err != nil {
		b.Fatal(err)
	}
	open := func(c accounts.Cache) *accounts.Accounts {
		a, err := accounts.New(accounts.Config{Store: store, Passwords: hasher, Mail: sealer, Key: make([]byte, 32), Cache: c,
			Issue: func(accounts.User, string) (string, time.Time, error) { return "", time.Time{}, nil }})
		if err != nil {
			b.Fatal(err)
		}
		return a
	}
	ways := [2]*accounts.Accounts{open(nil), open(openCache(b))}
	var took [2]time.Duration
	for b.Loop() {
		for i, a := range ways {
			began := time.Now()
			if name, err := a.Name(b.Context(), "u_a"); err != nil || name != "Ann" {
				b.Fatal(name, err)
			}
			took[i] += time.Since(began)
		}
	}
	b.ReportMetric(float64(took[0].Microseconds())/float64(b.N), "µs/database")
	b.ReportMetric(float64(took[1].Microseconds())/float64(b.N), "µs/cache")
	b.ReportMetric(float64(took[0])/float64(took[1]), "ratio")
}

func openCache(b *testing.B) accounts.Cache { return open(b, testenv.Redis(b)) }
