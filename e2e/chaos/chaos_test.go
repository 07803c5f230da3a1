package chaos

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/e2e/lab"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

// number reads a setting of a run from the environment.
func number(t testing.TB, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestShort is every fault once, on each kind of Redis. RONDO_CHAOS_SEED repeats a
// run; with RONDO_CHAOS the seed is drawn, so that each run is another one.
func TestShort(t *testing.T) {
	otherwise := uint64(580929)
	if os.Getenv("RONDO_CHAOS") != "" {
		otherwise = rand.Uint64N(1_000_000)
	}
	seed := number(t, "RONDO_CHAOS_SEED", otherwise)
	for _, kind := range []struct {
		name   string
		store  func(testing.TB) store
		faults []fault
		run    time.Duration
	}{
		{"single", single, all(), 30 * time.Second},
		{"sentinel", sentinels, []fault{killNode(), restartRedis(), stallRedis()}, 17 * time.Second},
		{"cluster", clustered, []fault{killNode(), loseMaster(), restartRedis()}, 15 * time.Second},
	} {
		t.Run(kind.name, func(t *testing.T) {
			r := play(t, plan{seed: seed, nodes: 2, users: 60, store: kind.store, faults: kind.faults,
				run: kind.run, calm: 12 * time.Second, expect: promises()})
			if r.sum.Matches < 30 || r.sum.Chats < 100 || r.sum.Signals < 100 || r.sum.Resumed < 10 {
				t.Errorf("too little happened: %s", r.sum)
			}
		})
	}
}

// TestCalm is a run in which the users alone are the trouble.
func TestCalm(t *testing.T) {
	r := play(t, plan{seed: 1, nodes: 2, users: 30, run: 8 * time.Second, calm: 3 * time.Second, expect: promises()})
	if r.sum.Matches < 15 || r.sum.Chats < 50 || r.sum.Signals < 50 {
		t.Errorf("too little happened: %s", r.sum)
	}
	plant(t, &r.Run)
}
