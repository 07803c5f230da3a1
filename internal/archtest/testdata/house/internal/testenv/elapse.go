package testenv

import "time"

// Elapse may.
func Elapse() { time.Sleep(time.Second) }

func other() { time.Sleep(time.Second) } // want sleep
