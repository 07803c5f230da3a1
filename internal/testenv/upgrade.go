package testenv

import (
	"net/http"

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
