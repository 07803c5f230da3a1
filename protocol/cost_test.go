//go:build !race

package protocol

import "testing"

// TestCostEnvelope: to read a client's message and to write what its partner gets takes no
// memory, however long it is.
func TestCostEnvelope(t *testing.T) {
	for _, size := range []int{500, 12_000, 40_000} {
		text, buf := offer(size), make([]byte, 0, size+256)
		var d Decoder
		if n := testing.AllocsPerRun(100, func() {
			if _, err := relay(&d, buf, text); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%d bytes: %v allocations", size, n)
		}
	}
}
