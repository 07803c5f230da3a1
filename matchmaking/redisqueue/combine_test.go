package redisqueue

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// calls records what a combiner runs; each call takes a second.
type calls struct {
	mu   sync.Mutex
	made [][]int
	now  int
	peak int
}

func (c *calls) run(ops []int) {
	c.mu.Lock()
	c.made = append(c.made, slices.Clone(ops))
	c.now++
	c.peak = max(c.peak, c.now)
	c.mu.Unlock()
	<-time.After(time.Second)
	c.mu.Lock()
	c.now--
	c.mu.Unlock()
}

func TestWhoComesMeanwhileGoesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var made calls
		c := &combiner[int]{lanes: 2, most: 3, run: made.run}
		var all sync.WaitGroup
		for i := range 9 {
			all.Go(func() {
				if err := c.do(t.Context(), i); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait() // they come in order
		}
		began := time.Now()
		all.Wait()
		// 0 and 1 go at once, then three and three, then the rest.
		want := [][]int{{0}, {1}, {2, 3, 4}, {5, 6, 7}, {8}}
		slices.SortFunc(made.made, func(a, b []int) int { return a[0] - b[0] })
		if !slices.EqualFunc(made.made, want, slices.Equal) || made.peak != 2 || time.Since(began) != 3*time.Second {
			t.Errorf("%v, %d at once, in %v", made.made, made.peak, time.Since(began))
		}
		if c.under != 0 || len(c.waiting) != 0 {
			t.Errorf("%+v is left", c)
		}
	})
}

func TestWhoGivesUpHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var made calls
		c := &combiner[int]{lanes: 1, most: 2, run: made.run}
		var all sync.WaitGroup
		errs := make([]error, 6)
		for i := range 6 {
			// 1 gives up before its turn, 2 while it leads a call, 3 while another has taken it along.
			ctx, cancel := context.WithTimeout(t.Context(), []time.Duration{time.Hour, time.Second / 2, 3 * time.Second / 2, 3 * time.Second / 2, time.Hour, time.Hour}[i])
			all.Go(func() {
				defer cancel()
				errs[i] = c.do(ctx, i)
			})
			synctest.Wait()
		}
		all.Wait()
		if want := [][]int{{0}, {2, 3}, {4, 5}}; !slices.EqualFunc(made.made, want, slices.Equal) {
			t.Errorf("%v", made.made)
		}
		for i, err := range errs {
			if gaveUp := i == 1 || i == 3; errors.Is(err, context.DeadlineExceeded) != gaveUp {
				t.Errorf("%d: %v", i, err)
			}
		}
	})
}

// Many come and give up at any time: each op runs at most once, those that are
// not given up run, and nothing is left.
func TestCombinerUnderStress(t *testing.T) {
	var mu sync.Mutex
	ran := map[int]int{}
	c := &combiner[int]{lanes: 3, most: 5, run: func(ops []int) {
		mu.Lock()
		defer mu.Unlock()
		for _, op := range ops {
			ran[op]++
		}
	}}
	var all sync.WaitGroup
	for i := range 2000 {
		all.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if i%3 == 0 {
				go cancel()
			}
			err := c.do(ctx, i)
			mu.Lock()
			defer mu.Unlock()
			if n := ran[i]; n > 1 || n == 0 && err == nil || err != nil && i%3 != 0 {
				t.Errorf("%d ran %d times: %v", i, n, err)
			}
		})
	}
	all.Wait()
	if c.under != 0 || len(c.waiting) != 0 {
		t.Errorf("%d calls, %d who wait are left", c.under, len(c.waiting))
	}
}
