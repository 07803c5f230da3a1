//go:build !chaosbug

package seeded

import "testing"

// TestNever: a build without the tag has no bugs, whatever the environment says.
// That the compiler leaves nothing of them is shown by e2e/chaos.TestNoSeeds.
func TestNever(t *testing.T) {
	t.Setenv("CHAOSBUG", string(PushTwice)+"/1")
	if PushTwice.Hit() {
		t.Error("a build without the tag chaosbug has a bug")
	}
}
