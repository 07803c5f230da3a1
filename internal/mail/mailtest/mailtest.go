// Package mailtest is the conformance suite of mail's outboxes.
package mailtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/internal/mail"
)

// Outbox is a driver under test: the Store, and what puts rows into it as their
// cause does.
type Outbox interface {
	mail.Store
	Put(ctx context.Context, rows ...mail.Row) error
}

// Run tests a driver. Each call of open returns an empty outbox.
func Run(t *testing.T, open func(t *testing.T) Outbox) {
	tests := map[string]func(*testing.T, Outbox){
		"LeaseAndDone":   testDone,
		"Order":          testOrder,
		"LeaseRunsOut":   testRunsOut,
		"Retry":          testRetry,
		"Bury":           testBury,
		"Keys":           testKeys,
		"Lost":           testLost,
		"Backlog":        testBacklog,
		"ManyWorkers":    testMany,
		"BytesUnchanged": testBytes,
	}
	for name, f := range tests {
		t.Run(name, func(t *testing.T) { f(t, open(t)) })
	}
}

func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

func row(at time.Time) mail.Row {
	id := rand.Text()
	return mail.Row{
		ID: id, Key: "k" + id, Template: mail.Verify, Body: []byte("sealed " + id),
		Created: at, Due: at, Expires: at.Add(10 * time.Minute),
	}
}

func put(t *testing.T, o Outbox, rows ...mail.Row) {
	t.Helper()
	if err := o.Put(t.Context(), rows...); err != nil {
		t.Fatal(err)
	}
}

// lease takes rows for a minute.
func lease(t *testing.T, o Outbox, name string, at time.Time, n int) []mail.Row {
	t.Helper()
	rows, err := o.Lease(t.Context(), name, at, at.Add(time.Minute), n)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func ids(rows []mail.Row) []string {
	var list []string
	for _, r := range rows {
		list = append(list, r.ID)
	}
	return list
}

func same(t *testing.T, got, want mail.Row) {
	t.Helper()
	if got.ID != want.ID || got.Key != want.Key || got.Template != want.Template || string(got.Body) != string(want.Body) ||
		!got.Created.Equal(want.Created) || !got.Due.Equal(want.Due) || !got.Expires.Equal(want.Expires) || got.Attempts != want.Attempts {
		t.Fatalf("got %+v\nwant %+v", got, want)
	}
}

func testDone(t *testing.T, o Outbox) {
	at := now()
	r := row(at)
	put(t, o, r)
	if early := lease(t, o, "early", at.Add(-time.Microsecond), 9); len(early) != 0 {
		t.Fatal("leased before it was due")
	}
	taken := lease(t, o, "one", at, 9)
	if len(taken) != 1 {
		t.Fatalf("%d rows", len(taken))
	}
	r.Due = at.Add(time.Minute)
	same(t, taken[0], r)
	if again := lease(t, o, "two", at.Add(59*time.Second), 9); len(again) != 0 {
		t.Fatal("leased twice")
	}
	if err := o.Done(t.Context(), r.ID, "one"); err != nil {
		t.Fatal(err)
	}
	if again := lease(t, o, "three", at.Add(time.Hour), 9); len(again) != 0 {
		t.Fatal("still there after Done")
	}
}

func testOrder(t *testing.T, o Outbox) {
	at := now()
	var rows []mail.Row
	for i := range 5 {
		rows = append(rows, row(at.Add(time.Duration(i)*time.Second)))
	}
	put(t, o, rows[3], rows[1], rows[4], rows[0], rows[2])
	at = at.Add(3 * time.Second)
	if got := ids(lease(t, o, "a", at, 2)); !slices.Equal(got, ids(rows[:2])) {
		t.Fatalf("first two: %v of %v", got, ids(rows))
	}
	if got := ids(lease(t, o, "b", at, 9)); !slices.Equal(got, ids(rows[2:4])) {
		t.Fatalf("the others that are due: %v of %v", got, ids(rows))
	}
	if got := lease(t, o, "c", at, 0); len(got) != 0 {
		t.Fatal("n = 0 leased rows")
	}
}

func testRunsOut(t *testing.T, o Outbox) {
	at := now()
	r := row(at)
	put(t, o, r)
	lease(t, o, "dies", at, 1)
	at = at.Add(time.Minute)
	if got := lease(t, o, "heir", at, 1); len(got) != 1 || got[0].Attempts != 0 {
		t.Fatalf("after the lease ran out: %+v", got)
	}
	if err := o.Done(t.Context(), r.ID, "dies"); !errors.Is(err, mail.ErrLost) {
		t.Fatalf("Done with a lease that ran out: %v", err)
	}
	if err := o.Done(t.Context(), r.ID, "heir"); err != nil {
		t.Fatal(err)
	}
}

func testRetry(t *testing.T, o Outbox) {
	at := now()
	r := row(at)
	put(t, o, r)
	lease(t, o, "a", at, 1)
	due := at.Add(5 * time.Second)
	if err := o.Retry(t.Context(), r.ID, "a", due, 3); err != nil {
		t.Fatal(err)
	}
	if got := lease(t, o, "b", due.Add(-time.Microsecond), 1); len(got) != 0 {
		t.Fatal("leased before the retry is due")
	}
	got := lease(t, o, "c", due, 1)
	if len(got) != 1 {
		t.Fatal("not leased when the retry is due")
	}
	r.Due, r.Attempts = due.Add(time.Minute), 3
	same(t, got[0], r)
}

func testBury(t *testing.T, o Outbox) {
	at := now()
	r := row(at)
	put(t, o, r)
	lease(t, o, "a", at, 1)
	if err := o.Bury(t.Context(), r.ID, "a", at, "smtp 550"); err != nil {
		t.Fatal(err)
	}
	if got := lease(t, o, "b", at.Add(time.Hour), 1); len(got) != 0 {
		t.Fatal("a dead letter was leased")
	}
	next := row(at)
	next.Key = r.Key
	put(t, o, next)
	if got := ids(lease(t, o, "c", at, 9)); !slices.Equal(got, []string{next.ID}) {
		t.Fatalf("the key of a dead letter holds up a new row: %v", got)
	}
	for _, c := range []struct {
		before time.Time
		dead   int
	}{{at, 1}, {at.Add(time.Microsecond), 0}} {
		if err := o.Prune(t.Context(), c.before); err != nil {
			t.Fatal(err)
		}
		if b := backlog(t, o); b.Dead != c.dead || b.Waiting != 1 {
			t.Fatalf("pruned before %v: %+v", c.before, b)
		}
	}
}

func testKeys(t *testing.T, o Outbox) {
	at := now()
	first, second := row(at), row(at)
	second.Key = first.Key
	put(t, o, first)
	put(t, o, second)
	if got := ids(lease(t, o, "a", at, 9)); !slices.Equal(got, []string{first.ID}) {
		t.Fatalf("two rows with one key: %v", got)
	}
	if err := o.Done(t.Context(), first.ID, "a"); err != nil {
		t.Fatal(err)
	}
	put(t, o, second)
	if got := ids(lease(t, o, "b", at, 9)); !slices.Equal(got, []string{second.ID}) {
		t.Fatalf("the key of a mail that was sent: %v", got)
	}
}

func testLost(t *testing.T, o Outbox) {
	at := now()
	r := row(at)
	put(t, o, r)
	for _, name := range []string{"", "never"} {
		for id, when := range map[string]string{r.ID: "not leased", "nobody": "no such row"} {
			if err := o.Done(t.Context(), id, name); !errors.Is(err, mail.ErrLost) {
				t.Errorf("%s, lease %q: Done: %v", when, name, err)
			}
			if err := o.Retry(t.Context(), id, name, at, 1); !errors.Is(err, mail.ErrLost) {
				t.Errorf("%s, lease %q: Retry: %v", when, name, err)
			}
			if err := o.Bury(t.Context(), id, name, at, "why"); !errors.Is(err, mail.ErrLost) {
				t.Errorf("%s, lease %q: Bury: %v", when, name, err)
			}
		}
	}
	lease(t, o, "a", at, 1)
	if err := o.Retry(t.Context(), r.ID, "a", at, 1); err != nil {
		t.Fatal(err)
	}
	if err := o.Done(t.Context(), r.ID, "a"); !errors.Is(err, mail.ErrLost) {
		t.Errorf("Done after Retry: %v", err)
	}
	if got := lease(t, o, "b", at, 1); len(got) != 1 || got[0].Attempts != 1 {
		t.Errorf("the row changed: %+v", got)
	}
}

func backlog(t *testing.T, o Outbox) mail.Backlog {
	t.Helper()
	b, err := o.Backlog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func testBacklog(t *testing.T, o Outbox) {
	if b := backlog(t, o); b.Waiting != 0 || b.Dead != 0 || !b.Oldest.IsZero() {
		t.Fatalf("empty: %+v", b)
	}
	at := now()
	put(t, o, row(at.Add(time.Second)), row(at), row(at.Add(time.Hour)))
	lease(t, o, "a", at, 1) // leased ones wait too
	if b := backlog(t, o); b.Waiting != 3 || b.Dead != 0 || !b.Oldest.Equal(at) {
		t.Fatalf("three rows: %+v", b)
	}
}

// testMany: eight nodes that take what they can get take each row once.
func testMany(t *testing.T, o Outbox) {
	const nodes, rows = 8, 60
	at := now()
	for range rows {
		put(t, o, row(at))
	}
	var mu sync.Mutex
	taken := map[string]int{}
	var all sync.WaitGroup
	for node := range nodes {
		all.Go(func() {
			for round := 0; ; round++ {
				name := fmt.Sprintf("%d-%d", node, round)
				got, err := o.Lease(t.Context(), name, at, at.Add(time.Hour), 4)
				if err != nil {
					t.Error(err)
					return
				}
				if len(got) == 0 {
					return
				}
				for _, r := range got {
					mu.Lock()
					taken[r.ID]++
					mu.Unlock()
					if err := o.Done(t.Context(), r.ID, name); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	for id, n := range taken {
		if n != 1 {
			t.Errorf("%s taken %d times", id, n)
		}
	}
	// A node may find nothing while others have all that is left: nothing is lost.
	if b := backlog(t, o); len(taken) != rows || b.Waiting != 0 {
		t.Errorf("%d of %d taken, %d wait", len(taken), rows, b.Waiting)
	}
}

func testBytes(t *testing.T, o Outbox) {
	at := now()
	r := row(at)
	r.Body = make([]byte, 4096)
	for i := range r.Body {
		r.Body[i] = byte(i)
	}
	put(t, o, r)
	got := lease(t, o, "a", at, 1)
	r.Due = at.Add(time.Minute)
	same(t, got[0], r)
}
