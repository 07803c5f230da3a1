//go:build !chaosbug

package seeded

// Hit reports whether the bug strikes now: never.
func (Bug) Hit() bool { return false }
