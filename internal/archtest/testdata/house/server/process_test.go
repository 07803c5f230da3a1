package server

import (
	"os"
	"testing"
	"testing/synctest"
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

func TestBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Second) // want sleep
	})
}

func Elapse() { time.Sleep(time.Second) } // want sleep
