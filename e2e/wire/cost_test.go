//go:build linux && !race

package wire

import (
	"fmt"
	"testing"
)

// TestCostRelay: what a relayed message of 500 bytes may allocate in the whole server, and
// how many writes it may take when 16 come at once.
func TestCostRelay(t *testing.T) {
	s := start(t, "rondo")
	all := rondoPairs(t, s.addr)
	for _, c := range []struct {
		bursts, burst         int
		allocs, bytes, writes float64
	}{
		{60, 1, 1.5, 700, 1.2},
		{4, 16, 1.5, 900, 0.3},
	} {
		turns(t, all, 2, c.burst, 500) // what is made once is there
		n := float64(pairs * c.bursts * c.burst)
		u := s.cost(func() { turns(t, all, c.bursts, c.burst, 500) })
		allocs, bytes, writes := float64(u.Mallocs)/n, float64(u.Bytes)/n, float64(u.Writes)/n
		t.Logf("bursts of %d: %.2f allocations, %.0f bytes, %.2f writes", c.burst, allocs, bytes, writes)
		if allocs > c.allocs || bytes > c.bytes || writes > c.writes {
			t.Errorf("a message in bursts of %d costs %.2f allocations, %.0f bytes, %.2f writes; at most %v, %v, %v",
				c.burst, allocs, bytes, writes, c.allocs, c.bytes, c.writes)
		}
	}
}

// TestCostFanOut: a delivery allocates nothing, whatever a message does; and of eight
// messages at once several go out in one write.
func TestCostFanOut(t *testing.T) {
	cost := func(members, senders int) (allocs, writes float64) {
		s := start(t, "topic")
		all := rondoAudience(t, s.addr, members)
		tell(t, all, 70/senders+1, senders) // rings are full
		const times = 20
		u := s.cost(func() { tell(t, all, times, senders) })
		n := float64(times * senders)
		return float64(u.Mallocs) / n, float64(u.Writes) / n
	}
	few, _ := cost(100, 1)
	many, writes := cost(500, 1)
	if per := (many - few) / 400; per > 0.02 || few > 40 {
		t.Errorf("a message allocates %.1f times, and %.3f for each delivery", few, per)
	}
	if writes > 1.1*500 {
		t.Errorf("%.0f writes for 500 deliveries", writes)
	}
	allocs, writes := cost(500, 8)
	msg := fmt.Sprintf("of eight at once each takes %.0f writes and %.1f allocations for 500 deliveries", writes, allocs)
	if t.Log(msg); writes > 0.5*500 || allocs > 0.1*500 {
		t.Error(msg)
	}
}
