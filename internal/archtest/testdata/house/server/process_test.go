package server

import (
	"os"
	"testing"
	"time"
)

func TestMain(m *testing.M) { os.Exit(m.Run()) }

func TestExit(t *testing.T) {
	os.Exit(1)              // want process
	_ = os.Getenv("HOME")   // want process
	time.Sleep(time.Second) // want sleep
	pause := time.Sleep     // want sleep
	pause(1)
}
