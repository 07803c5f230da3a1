// Package spectest holds docs/asyncapi.yaml to what it describes: its tests
// check that the file is valid AsyncAPI 3.0, that its schemas say what the
// structs and constants of package protocol say, and that every example of
// docs/protocol.md is a message of it.
package spectest
