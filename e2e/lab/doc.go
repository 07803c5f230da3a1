// Package lab builds and starts the real things that the end-to-end tests need:
// the rondo binary, certificates, networks with NATs, TCP connections that die in
// nasty ways, and a WebSocket client without manners. Everything ends with the
// test that asked for it.
package lab
