package main

import (
	"log"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rondo-chat/rondo/internal/testenv"
)

// TestHTTPLog: that nobody can be taken in is an error, said now and then; the
// rest is for debugging.
func TestHTTPLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		l := log.New(&httpLog{log: slog.New(slog.NewTextHandler(&out, nil))}, "", 0)
		for range 30 {
			l.Print("http: Accept error: accept tcp [::]:8080: accept4: too many open files; retrying in 1s")
			l.Print("http: TLS handshake error from 192.0.2.1:1: EOF")
			testenv.Elapse(time.Second)
		}
		if n := strings.Count(out.String(), "too many open files"); n != 3 || strings.Contains(out.String(), "192.0.2.1") {
			t.Errorf("said %d times in 30 s:\n%s", n, out.String())
		}
	})
}
