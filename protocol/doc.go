// Package protocol holds what Rondo and its clients say to each other: message
// types, payloads, error and close codes, limits and typed identifiers.
// docs/protocol.md is the specification; section numbers in comments are its.
//
// The package imports the standard library only, keeps no state and does no
// I/O, so that servers, SDKs, load generators and tests can share it.
package protocol
