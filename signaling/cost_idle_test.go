//go:build linux && !race

package signaling

import (
	"runtime"
	"strings"
	"testing"

	"github.com/rondo-chat/rondo/internal/testenv"
)

// TestCostIdleSession: what a session holds that does nothing: heap, stack and the kernel's
// handle, without a goroutine. The client's end is in it too, with some 400 bytes.
func TestCostIdleSession(t *testing.T) {
	const n, most = 400, 3000
	r := newRig(t, func(c *Config) { c.Limits.PerAddress = -1; c.Limits.Upgrades.PerSecond = -1; c.Logger = nil })
	addr := strings.TrimPrefix(r.srv.URL, "http://")
	connect := func() {
		c := dialBare(t, addr)
		c.send(t, helloFrame)
		c.skip(t)
		c.br = nil
	}
	memory := func() int {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc + m.StackInuse)
	}
	connect() // what is made at first use
	before, goroutines := memory(), runtime.NumGoroutine()
	for range n {
		connect()
	}
	testenv.Eventually(t, patience, func() bool {
		for _, s := range r.hub.all() {
			if connOf(t, s).state.Load() != parked {
				return false
			}
		}
		return runtime.NumGoroutine() < goroutines+n/20
	}, "all are parked")
	each := (memory() - before) / n
	t.Logf("%d bytes a session", each)
	if each > most {
		t.Errorf("an idle session holds %d bytes, want at most %d", each, most)
	}
}
