// Package table measures Rondo beside what it is compared with, in one run, and says
// which goals hold.
//
// Ours and the reference are loaded by the same code (package wire) in turns, round after
// round, each in a process of its own; what counts is the CPU time of that process alone. Every figure is the
// median of the rounds with the smallest and the largest, and every ratio that of the same round.
package table
