package main

import (
	"bytes"
	"log/slog"
	"sync"
	"time"
)

// acceptLogEvery is how often the log may say that connections cannot be taken.
const acceptLogEvery = 10 * time.Second

// httpLog sends what an HTTP server has to say to the program's log. Most of it
// is about single clients and kept for debugging; that no connection can be
// taken, usually for want of file descriptors, concerns everybody. The server
// tries again by itself, once a second at last.
type httpLog struct {
	log *slog.Logger

	mu   sync.Mutex
	next time.Time // when it may be said again
}

// Write takes one line.
func (w *httpLog) Write(line []byte) (int, error) {
	text := string(bytes.TrimSpace(line))
	if bytes.HasPrefix(line, []byte("http: Accept error")) && w.due(time.Now()) {
		w.log.Error("no connections can be taken", "error", text)
	} else {
		w.log.Debug(text)
	}
	return len(line), nil
}

func (w *httpLog) due(now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now.Before(w.next) {
		return false
	}
	w.next = now.Add(acceptLogEvery)
	return true
}
