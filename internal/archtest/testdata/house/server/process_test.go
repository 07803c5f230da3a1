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
		time.Sleep(time.Second) // fake time
	})
	time.Sleep(time.Second) // want sleep
}

func step() {
	time.Sleep(time.Second) // for bubbles
	synctest.Wait()
}

func everywhere(t *testing.T, test func()) {
	synctest.Test(t, func(*testing.T) { test() })
}

func elsewhere(test func()) { test() }

func TestHelpers(t *testing.T) {
	everywhere(t, func() { time.Sleep(time.Second) })
	elsewhere(func() { time.Sleep(time.Second) }) // want sleep
}

func live() { time.Sleep(time.Second) } // only below

func mixed() { time.Sleep(time.Second) } // want sleep

func nobody() { time.Sleep(time.Second) } // want sleep

type walker struct{}

func (walker) walk() { live(); time.Sleep(time.Second) }

func TestLives(t *testing.T) {
	everywhere(t, func() { live(); mixed(); walker{}.walk() })
	everywhere(t, live)
	mixed()
}
