package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rondo-chat/rondo/internal/testenv"
)

// table is a RevocationSource as a database is: rows appear when they are
// committed, which is not always in the order of their sequence.
type table struct {
	mu    sync.Mutex
	rows  []Revocation
	fails bool
	reads int
}

func (s *table) Revocations(_ context.Context, after int64, limit int) ([]Revocation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	if s.fails {
		return nil, errors.New("the database is away")
	}
	var page []Revocation
	for _, r := range s.rows {
		if r.Sequence > after && len(page) < limit {
			page = append(page, r)
		}
	}
	return page, nil
}

func (s *table) commit(r Revocation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows = append(s.rows, r)
	slices.SortFunc(s.rows, func(a, b Revocation) int { return int(a.Sequence - b.Sequence) })
}

func (s *table) fail(fails bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = fails
}

// told collects what OnRevoke is called with.
type told struct {
	mu  sync.Mutex
	all []string
}

func (l *told) add(session string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, session)
}

func (l *told) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, " ")
}

func newRevocations(t testing.TB, cfg RevocationsConfig) (*Revocations, *told) {
	t.Helper()
	l := &told{}
	cfg.OnRevoke = l.add
	r, err := NewRevocations(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r, l
}

func TestRevoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a, b *Revocations
		var toldA, toldB *told
		a, toldA = newRevocations(t, RevocationsConfig{Publish: func(m []byte) error { a.Receive(m); b.Receive(m); return nil }})
		b, toldB = newRevocations(t, RevocationsConfig{})
		if a.Revoked("s1") {
			t.Error("revoked from the start")
		}
		for range 3 {
			a.Revoke("s1", time.Now().Add(10*time.Minute))
		}
		for _, node := range []*Revocations{a, b} {
			if !node.Revoked("s1") || node.Revoked("s2") || node.Revoked("") {
				t.Error("a node does not know it, or knows more")
			}
		}
		if toldA.String() != "s1" || toldB.String() != "s1" {
			t.Errorf("told %v and %v, want once each", toldA, toldB)
		}
		testenv.Elapse(10*time.Minute - time.Second)
		if !b.Revoked("s1") {
			t.Error("forgotten before the last token expired")
		}
		testenv.Elapse(time.Second + clockSkew)
		if b.Revoked("s1") {
			t.Error("kept for ever")
		}
		b.Revoke("s2", time.Now().Add(time.Minute))
		if n := len(b.until); n != 1 {
			t.Errorf("%d are held", n)
		}
	})
}

// TestRevokedWithinTwoSeconds: of a bus that loses everything.
func TestRevokedWithinTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &table{}
		db.commit(Revocation{1, "before", time.Now().Add(10 * time.Minute)})
		r, l := newRevocations(t, RevocationsConfig{Source: db})
		if l.String() != "before" || !r.Revoked("before") {
			t.Fatalf("at the start it knows %q", l)
		}
		for i := range int64(100) {
			session := fmt.Sprint("s", i)
			db.commit(Revocation{i + 2, session, time.Now().Add(10 * time.Minute)})
			testenv.Elapse(time.Second)
			if !r.Revoked(session) {
				t.Fatalf("%s not after a second", session)
			}
		}
		if n := len(strings.Fields(l.String())); n != 101 {
			t.Errorf("told %d times", n)
		}
	})
}

// TestRevokedByLateCommit: a transaction that took its sequence before others,
// and committed after them.
func TestRevokedByLateCommit(t *testing.T) {
	for _, late := range []time.Duration{0, time.Second, 30 * time.Second, 59 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			db := &table{}
			until := time.Now().Add(time.Hour)
			db.commit(Revocation{11, "already", until})
			r, _ := newRevocations(t, RevocationsConfig{Source: db})
			for i := range int64(40) { // others go on all the time
				db.commit(Revocation{20 + i, fmt.Sprint("o", i), until})
				testenv.Elapse(5 * time.Second)
			}
			missing := int64(60)
			db.commit(Revocation{missing + 1, "x", until})
			testenv.Elapse(late)
			db.commit(Revocation{missing, "late", until})
			db.commit(Revocation{10, "very late", until})
			testenv.Elapse(time.Second)
			if !r.Revoked("late") {
				t.Errorf("%v late: missed", late)
			}
			if r.Revoked("very late") {
				t.Error("old rows are read for ever")
			}
		})
	}
}

// TestRevokedWhileStarting: a transaction that is open when the node starts.
func TestRevokedWhileStarting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &table{}
		db.commit(Revocation{2, "x", time.Now().Add(time.Hour)})
		r, _ := newRevocations(t, RevocationsConfig{Source: db})
		testenv.Elapse(3 * time.Second)
		db.commit(Revocation{1, "late", time.Now().Add(time.Hour)})
		testenv.Elapse(time.Second)
		if !r.Revoked("late") {
			t.Error("missed")
		}
	})
}

func TestManyRevocationsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &table{}
		r, _ := newRevocations(t, RevocationsConfig{Source: db})
		for i := range int64(3*revocationPage + 7) {
			db.commit(Revocation{i + 1, fmt.Sprint("s", i), time.Now().Add(time.Hour)})
		}
		testenv.Elapse(time.Second)
		for i := range 3*revocationPage + 7 {
			if !r.Revoked(fmt.Sprint("s", i)) {
				t.Fatalf("s%d is missed", i)
			}
		}
	})
}

func TestRevocationsDatabaseAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &table{fails: true}
		r, err := NewRevocations(RevocationsConfig{Source: db})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Start(t.Context()); err == nil {
			t.Error("starts without knowing what is revoked")
		}
		r.Close()
		db.fail(false)
		r, _ = newRevocations(t, RevocationsConfig{Source: db, Publish: func([]byte) error { return errors.New("no bus") }})
		db.fail(true)
		testenv.Elapse(5 * time.Second)
		r.Revoke("own", time.Now().Add(time.Hour))
		db.commit(Revocation{1, "meanwhile", time.Now().Add(time.Hour)})
		testenv.Elapse(time.Minute)
		db.fail(false)
		testenv.Elapse(time.Second)
		if !r.Revoked("own") || !r.Revoked("meanwhile") {
			t.Errorf("own %v, meanwhile %v", r.Revoked("own"), r.Revoked("meanwhile"))
		}
	})
}

// TestReceiveIsHostile: what comes over the bus takes no memory for ever.
func TestReceiveIsHostile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, l := newRevocations(t, RevocationsConfig{})
		for _, m := range []string{
			"", "x", "null", "[]", `{"session":1,"until":9999999999}`, `{"session":"","until":9999999999}`, `{"session":"old","until":1}`, `{"session":"old","until":-9223372036854775808}`,
			`{"session":"` + strings.Repeat("s", 65) + `","until":9999999999}`, `{"session":"big","until":9999999999,"x":"` + strings.Repeat("x", 2000) + `"}`,
		} {
			r.Receive([]byte(m))
		}
		if l.String() != "" {
			t.Errorf("revoked %v", l)
		}
		r.Receive([]byte(`{"session":"far","until":9223372036854775807}`))
		r.Receive([]byte(`{"session":"far2","until":99999999999}`))
		testenv.Elapse(maxRevocation + time.Hour)
		r.Revoke("now", time.Now().Add(time.Hour))
		if n := len(r.until); n != 1 {
			t.Errorf("%d are held", n)
		}
	})
}

func TestRevocationsConfig(t *testing.T) {
	for _, poll := range []time.Duration{-1, time.Second + 1} {
		if _, err := NewRevocations(RevocationsConfig{Poll: poll}); err == nil {
			t.Errorf("poll %v is accepted", poll)
		}
	}
}

func BenchmarkRevoked(b *testing.B) {
	r, err := NewRevocations(RevocationsConfig{})
	if err != nil {
		b.Fatal(err)
	}
	for i := range 10_000 {
		r.Revoke(fmt.Sprint("s", i), time.Now().Add(time.Hour))
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if r.Revoked("another") {
				b.Error("revoked")
			}
		}
	})
}
