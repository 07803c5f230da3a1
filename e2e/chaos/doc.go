// Package chaos runs the real server under faults and proves from what its users
// saw that it kept its promises.
//
// A run has nodes (processes of the built binary, e2e/lab), a Redis, and users:
// clients of the Go SDK that ask, signal, chat, skip, vanish and return, by a plan
// drawn from a seed. Meanwhile faults are made one after another. Every user
// writes down what it did and saw; package history judges the logs.
//
// The seed fixes what each user and each fault will do, not how the machine
// interleaves them: a failing run is repeated by its seed, and its logs are kept.
package chaos
