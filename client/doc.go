// Package client is the Go SDK of Rondo: it speaks docs/protocol.md to a server,
// for bots, load generators, tests and programs that hold calls (package
// client/rtc adds the media).
//
//	c, err := client.Dial(ctx, "wss://rondo.example/ws", client.Options{Name: "Ann"})
//	_, err = c.Find(ctx, protocol.Find{Tags: []string{"jazz"}})
//	for ev := range c.Events() {
//		switch ev := ev.(type) {
//		case client.Found: …
//		case client.Chat: …
//		}
//	}
//
// What it promises:
//
//   - Pushes arrive as typed events on one channel, in the server's order, each
//     once: what a resume replays is dropped by its number, a gap in the chat is
//     fetched. The channel is bounded. Nothing waits for its reader: when it is
//     full, Waiting and Typing are dropped, and anything else ends the client with
//     ErrSlow.
//   - A lost socket is replaced with jittered back-off and the session resumed
//     (Down, then Up). Requests that had no answer are sent again with the same
//     number; the server does not execute them twice. When the session itself is
//     gone a new one is opened (Up with New) and those requests fail with
//     ErrSessionLost.
//   - A View keeps a conversation up to date: whatever is pushed twice, late, out of order or not at all, it ends with what the server
//     has, also after a new socket or session.
//   - Heartbeats and acks need no help. A silent server is left and resumed.
//   - A client is one goroutine and, between events, no timer; thousands fit in a
//     process. All methods may be called from any goroutine.
package client
