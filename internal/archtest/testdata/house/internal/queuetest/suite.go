// Package queuetest is a fixture: a suite is a test, too.
package queuetest

import (
	"testing"
	"time"

	_ "github.com/rondo-chat/rondo/matchmaking"
)

// Run runs.
func Run(t *testing.T) {
	time.Sleep(1) // want sleep
}
