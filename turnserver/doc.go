// Package turnserver is Rondo's STUN and TURN server (RFC 8489, RFC 8656) over
// UDP, TCP and TLS, for browsers that cannot reach each other directly.
//
// What it promises:
//
//   - It relays only for those to whom [Server.Mint] (or a service that shares
//     the secret) gave a credential, and only to where a call may go: never to
//     loopback, private, link-local or its own addresses unless configured.
//   - Two users of this server reach each other through their relays always,
//     also behind NAT and on a developer's machine, without leaving the process.
//   - Nobody makes it work, answer or remember much without a credential:
//     answers are rate limited, nothing is stored before authentication, every
//     connection has deadlines, every allocation has limits.
//   - Secrets, credentials and user names are neither logged nor made labels.
//
// # Parts
//
// A client's bytes come in by a listener (udp.go, stream.go; share.go on the port
// of a web server) to the guard
// (guard.go), which parses them strictly, authenticates, and answers or drops
// what is wrong. What is left of STUN goes to the control plane (control.go):
// one goroutine that checks the request against the client's allocation and
// has github.com/pion/turn, which owns the life of allocations, carry it out.
// Pion sees no client byte: it gets requests written anew, from an address made
// up for each allocation. Data (relay.go) goes from the listener to the relay
// socket and back without pion: one by one (direct.go) or, for UDP on Linux, as
// many at once as are there (dataplane_linux.go, gather_linux.go). See
// docs/decisions/002-turn.md and 027-turn-data-path.md.
package turnserver
