package main

import "testing"

// TestEbb: memory is given back once it is quiet after a storm, not in one, not for little, and
// not more often than the runtime would collect.
func TestEbb(t *testing.T) {
	const mb = 1 << 20
	var e ebb
	var allocated uint64
	for i, step := range []struct {
		more, live uint64
		due        bool
	}{
		{10 * mb, 5 * mb, false}, // a start
		{2 * mb, 5 * mb, false},
		{100 * mb, 60 * mb, false}, // a storm
		{100 * mb, 90 * mb, false},
		{3 * mb, 90 * mb, true}, // is over
		{3 * mb, 20 * mb, false},
		{60 * mb, 20 * mb, false},
		{1 * mb, 20 * mb, true},
		{90 * mb, 200 * mb, false},
		{1 * mb, 200 * mb, false}, // half of what is in use
		{8 * mb, 99 * mb, true},
		{0, 0, false},
	} {
		allocated += step.more
		if got := e.due(allocated, step.live); got != step.due {
			t.Fatalf("step %d: %v, want %v", i, got, step.due)
		}
	}
}
