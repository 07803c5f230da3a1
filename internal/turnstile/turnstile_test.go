package turnstile

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
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

// TestInOrder: first come, first served, with rests between.
func TestInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := New()
		ts.turn <- struct{}{} // nobody passes yet
		var got []int
		var mu sync.Mutex
		for i := range 5 * batch {
			go func() {
				ts.Pass()
				mu.Lock()
				defer mu.Unlock()
				got = append(got, i)
			}()
			synctest.Wait()
		}
		<-ts.turn
		time.Sleep(time.Second) // with its rests
		synctest.Wait()
		if len(got) != 5*batch || ts.here.Load() != 0 {
			t.Fatalf("%d passed, %d are here", len(got), ts.here.Load())
		}
		for at, i := range got {
			if max(at-i, i-at) > 5 { // two who are through race to tell
				t.Fatalf("out of order: %v", got)
			}
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
