// Package bench loads a running server with clients of the Go SDK and says how
// long things took and what they cost the server.
//
// It leaves nothing out that a user would notice (coordinated omission): what is due at
// an instant is begun at that instant whether or not what came before is done, and its time
// counts from when it was due.
package bench
