// Package signaling keeps the WebSocket sessions of one node: who is connected,
// what waits to be sent, and how a session outlives its socket. It is a
// switchboard: it knows message types only as keys of a table of handlers.
//
// It promises:
//
//   - What one session sends is handled one message after another, in order,
//     also across a resume.
//   - A push of class MustDeliver reaches the client in order, once, as long as
//     the session lives and its ring can hold what was not acknowledged; where
//     it cannot, the client is told to take the state as the truth.
//   - Nothing waits for a peer: pushing puts a frame into a bounded outbox, and
//     a client that reads too slowly loses its socket, not its session.
//   - No malformed, oversized or wrongly encoded text of one client reaches
//     another one.
//   - A session costs at most two goroutines, one of them only while a client does
//     not take what is written, and no timer of its own.
//
// Section numbers in comments are those of docs/protocol.md.
package signaling
