package testenv

import (
	"testing/synctest"
	"time"
)

// Elapse lets d pass in a synctest bubble, where time is fake, and returns when all
// goroutines of the bubble have done what was due by then. Outside of one it panics:
// what happens in real time is awaited with Eventually.
func Elapse(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
