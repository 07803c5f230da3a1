// Package deploytest checks what stands beside the code and nothing compiles:
// the dashboard and alert rules name only metrics that exist, compose sets only
// settings that the program has, docs/operations.md describes all of them, and
// nginx and HAProxy take their configurations.
package deploytest
