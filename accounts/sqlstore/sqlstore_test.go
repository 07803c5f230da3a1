package sqlstore_test

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/accounts/sqlstore"
	"github.com/rondo-chat/rondo/accounts/storetest"
	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/internal/mail/mailtest"
	"github.com/rondo-chat/rondo/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func onEngines(t *testing.T, f func(t *testing.T, open func(testing.TB) *sqlstore.Store)) {
	testenv.Databases(t, func(t *testing.T, url func(testing.TB) string) {
		f(t, func(t testing.TB) *sqlstore.Store { return openURL(t, url(t)) })
	})
}

func openURL(t testing.TB, url string) *sqlstore.Store {
	t.Helper()
	db, err := database.Open(t.Context(), database.Config{URL: url, Timeout: 30 * time.Second, SlowQuery: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s := sqlstore.New(db)
	if err := s.Migrate(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	onEngines(t, func(t *testing.T, open func(testing.TB) *sqlstore.Store) {
		storetest.Run(t, func(t testing.TB) accounts.Store { return open(t) })
	})
}

func TestOutbox(t *testing.T) {
	onEngines(t, func(t *testing.T, open func(testing.TB) *sqlstore.Store) {
		mailtest.Run(t, func(t *testing.T) mailtest.Outbox { return open(t) })
	})
}

func at(minutes int) time.Time {
	return time.Date(2026, 5, 1, 12, 0, 0, 123456000, time.UTC).Add(time.Duration(minutes) * time.Minute)
}

func TestKeys(t *testing.T) {
	onEngines(t, func(t *testing.T, open func(testing.TB) *sqlstore.Store) {
		s, ctx := open(t), t.Context()
		key := func(n int64, kid string) auth.StoredKey {
			return auth.StoredKey{Generation: n, Kid: kid, Alg: "EdDSA", Created: at(0), Begins: at(1), Sealed: []byte{0, 255, 1, '\''}}
		}
		var wait sync.WaitGroup
		for i := range 8 { // nodes that make the next key at once
			wait.Go(func() {
				if err := s.Add(ctx, key(1, fmt.Sprint("kid", i))); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		keys, err := s.Keys(ctx)
		if err != nil || len(keys) != 1 {
			t.Fatalf("%+v, %v", keys, err)
		}
		first := keys[0]
		if err := s.Add(ctx, key(2, "two")); err != nil {
			t.Fatal(err)
		}
		for _, when := range []int{9, 5, 7} { // the earliest stays
			if err := s.Retire(ctx, first.Kid, at(when)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Retire(ctx, "none", at(1)); err != nil {
			t.Fatal(err)
		}
		first.Retired = at(5)
		if keys, err := s.Keys(ctx); err != nil || !reflect.DeepEqual(keys, []auth.StoredKey{first, key(2, "two")}) {
			t.Errorf("%+v, %v", keys, err)
		}
		if err := s.Remove(ctx, first.Kid); err != nil {
			t.Fatal(err)
		}
		if keys, err := s.Keys(ctx); err != nil || len(keys) != 1 || keys[0].Kid != "two" {
			t.Errorf("%+v, %v", keys, err)
		}
	})
}

// TestRevocations: pages of any size hold each once, in order.
func TestRevocations(t *testing.T) {
	onEngines(t, func(t *testing.T, open func(testing.TB) *sqlstore.Store) {
		s, ctx := open(t), t.Context()
		var sessions []string
		for i := range 200 {
			sessions = append(sessions, fmt.Sprint("s", i))
		}
		err := s.Write(ctx, "test", func(tx accounts.Tx) error { return tx.Revoke(sessions, at(0), at(60)) })
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]int{}
		for after := int64(0); ; {
			page, err := s.Revocations(ctx, after, 3)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page {
				if r.Sequence <= after || !r.Until.Equal(at(60)) {
					t.Errorf("%+v after %d", r, after)
				}
				after = r.Sequence
				seen[r.Session]++
			}
			if len(page) < 3 {
				break
			}
		}
		if len(seen) != 200 {
			t.Errorf("%d of 200 are found", len(seen))
		}
	})
}

func TestAnswers(t *testing.T) {
	onEngines(t, func(t *testing.T, open func(testing.TB) *sqlstore.Store) {
		s, ctx := open(t), t.Context()
		claim := func(request string, now int) *sqlstore.Answer {
			t.Helper()
			a, err := s.ClaimAnswer(ctx, "key", request, at(now), at(now+1))
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		if a := claim("r1", 0); a != nil {
			t.Fatalf("%+v", a)
		}
		if a := claim("r2", 0); a == nil || a.Request != "r1" || a.Status != 0 {
			t.Errorf("%+v", a)
		}
		if a := claim("r3", 2); a != nil { // the first claim ran out
			t.Errorf("%+v", a)
		}
		for _, body := range [][]byte{[]byte(`{"a":"ü"}`), nil} {
			want := sqlstore.Answer{Request: "r3", Status: 202, Body: body}
			if err := s.SaveAnswer(ctx, "key", want, at(60)); err != nil {
				t.Fatal(err)
			}
			if a := claim("r4", 3); a == nil || !reflect.DeepEqual(*a, want) {
				t.Errorf("%+v", a)
			}
		}
		if err := s.DropAnswer(ctx, "key"); err != nil {
			t.Fatal(err)
		}
		if a := claim("r5", 3); a != nil {
			t.Errorf("%+v", a)
		}
		var wait sync.WaitGroup
		won := make(chan bool, 8)
		for range 8 {
			wait.Go(func() {
				a, err := s.ClaimAnswer(ctx, "race", "r", at(0), at(1))
				if err != nil {
					t.Error(err)
				}
				won <- a == nil
			})
		}
		wait.Wait()
		close(won)
		winners := 0
		for w := range won {
			if w {
				winners++
			}
		}
		if winners != 1 {
			t.Errorf("%d have the key", winners)
		}
	})
}

// TestMigrateTwice: nodes that start at once, and again.
func TestMigrateTwice(t *testing.T) {
	onEngines(t, func(t *testing.T, open func(testing.TB) *sqlstore.Store) {
		s := open(t)
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
