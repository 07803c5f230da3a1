package turnstile

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rondo-chat/rondo/internal/testenv"
)

// TestHoldsNothing: who is through may block, and others pass.
func TestHoldsNothing(t *testing.T) {
	ts := New()
	stuck := make(chan struct{})
	var all sync.WaitGroup
	through := make(chan struct{}, 100)
	for range 100 {
		all.Go(func() {
			ts.Pass()
			through <- struct{}{}
			<-stuck
		})
	}
	for range 100 {
		<-through
	}
	close(stuck)
	all.Wait()
}

// TestInOrder: first come, first served, a few between two rests.
func TestInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := New()
		ts.pace.turn <- struct{}{} // nobody passes yet
		most := ts.pace.most
		var got []int
		var mu sync.Mutex
		for i := range 5 * most {
			go func() {
				ts.Pass()
				mu.Lock()
				defer mu.Unlock()
				got = append(got, i)
			}()
			synctest.Wait()
		}
		<-ts.pace.turn
		for stretch := range 5 {
			synctest.Wait()
			mu.Lock()
			want := (stretch+1)*most - 1 // the last one rests before it goes
			if stretch == 4 {
				want = 5 * most // nobody waits any more
			}
			if len(got) != want {
				t.Fatalf("%d passed in %d stretches, want %d", len(got), stretch+1, want)
			}
			mu.Unlock()
			testenv.Elapse(rest)
		}
		for at, i := range got {
			if max(at-i, i-at) > most+5 { // who are through race to tell
				t.Fatalf("out of order: %v", got)
			}
		}
	})
}

// TestAlone: where nobody else waits there are no rests, but in a loop that makes
// work, and not there either if it comes now and then.
func TestAlone(t *testing.T) {
	for _, tc := range []struct {
		name  string
		pass  func(*Turnstile)
		every time.Duration
		rests int
	}{
		{"pass", (*Turnstile).Pass, 0, 0},
		{"loop", (*Turnstile).Next, 0, 10},
		{"loop with pauses", (*Turnstile).Next, pause, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ts := New()
				var waited time.Duration
				for range 10 * ts.pace.most {
					began := time.Now()
					tc.pass(ts)
					waited += time.Since(began)
					testenv.Elapse(tc.every)
				}
				if want := time.Duration(tc.rests) * rest; waited != want {
					t.Errorf("waited for %v, want %v", waited, want)
				}
			})
		})
	}
}

// TestRestsAsLong: what takes long is followed by a rest as long; a rest that
// lasts long is followed by a stretch half as long.
func TestRestsAsLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tc := range []struct{ busy, rest time.Duration }{
			{0, 0}, {stretch - 1, 0}, {stretch, rest}, {3 * time.Millisecond, 3 * time.Millisecond}, {time.Second, longRest},
		} {
			p := New().pace
			p.since, p.last, p.allow = time.Now().Add(-tc.busy), time.Now(), stretch
			began := time.Now()
			p.pass(true)
			if took := time.Since(began); took != tc.rest {
				t.Errorf("after %v it rested %v, want %v", tc.busy, took, tc.rest)
			}
			if want := min(max(stretch, tc.rest/2), longStretch); p.allow != want {
				t.Errorf("after a rest of %v it allows %v, want %v", tc.rest, p.allow, want)
			}
		}
	})
}

// TestBeside: a crowd at one turnstile does not stop who comes to the other, and
// both rest together.
func TestBeside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := New()
		other := ts.Beside()
		began := time.Now()
		var crowd sync.WaitGroup
		n := 100 * ts.pace.most
		for range n {
			crowd.Go(ts.Pass)
		}
		for range 10 {
			other.Pass()
		}
		if took := time.Since(began); took > 30*rest {
			t.Errorf("10 of %d waited for %v", n, took)
		}
		crowd.Wait()
		if took := time.Since(began); took < 100*rest {
			t.Errorf("all were through after %v", took)
		}
	})
}

// TestLetsOthersGo: what becomes ready while a thousand wait comes to its
// turn long before they are through.
func TestLetsOthersGo(t *testing.T) {
	ts := New()
	start := make(chan struct{})
	var all sync.WaitGroup
	for range 2000 {
		all.Go(func() {
			<-start
			ts.Pass()
			for begin := time.Now(); time.Since(begin) < 100*time.Microsecond; { // work
			}
		})
	}
	ask, answer := make(chan struct{}), make(chan struct{})
	go func() {
		for range ask {
			answer <- struct{}{}
		}
	}()
	done := make(chan struct{})
	begin := time.Now()
	close(start)
	go func() { all.Wait(); close(done) }()
	var longest time.Duration
	for over := false; !over; {
		asked := time.Now()
		ask <- struct{}{}
		<-answer
		longest = max(longest, time.Since(asked))
		select {
		case <-done:
			over = true
		default:
		}
	}
	close(ask)
	if took := time.Since(begin); longest > took/4 {
		t.Errorf("waited %v of the %v that the others needed", longest, took)
	}
}
