package testenv

import (
	"net/http"
	"slices"
	"sync"

	"github.com/gorilla/websocket"
)

// BareWebSocket is the least that a server of WebSockets does: it upgrades, reads one
// message, answers it with the given text, and waits for the end. Benchmarks
// compare with it.
func BareWebSocket(answer []byte) http.Handler {
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		if _, _, err := c.ReadMessage(); err != nil {
			return
		}
		if err := c.WriteMessage(websocket.TextMessage, answer); err != nil {
			return
		}
		_, _, _ = c.ReadMessage() // until the client is gone
	})
}

// BareBroadcast is the least that a server does that tells many the same: it upgrades, answers each client's first message, and writes
// one prepared text to all sockets in turn.
type BareBroadcast struct {
	mu    sync.Mutex
	conns []*websocket.Conn
}

// ServeHTTP implements http.Handler.
func (s *BareBroadcast) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	c, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	if _, _, err := c.ReadMessage(); err != nil || c.WriteMessage(websocket.TextMessage, []byte("{}")) != nil {
		return
	}
	s.mu.Lock()
	s.conns = append(s.conns, c)
	s.mu.Unlock()
	_, _, _ = c.ReadMessage() // until the client is gone
}

// Clients returns how many there are.
func (s *BareBroadcast) Clients() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Send sends to all who came.
func (s *BareBroadcast) Send(text []byte) error {
	m, err := websocket.NewPreparedMessage(websocket.TextMessage, text)
	if err != nil {
		return err
	}
	s.mu.Lock()
	all := slices.Clone(s.conns)
	s.mu.Unlock()
	for _, c := range all {
		if err := c.WritePreparedMessage(m); err != nil {
			return err
		}
	}
	return nil
}
