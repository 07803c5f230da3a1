// Package wire measures what a message costs on its way through a server: relayed from
// one client to another, and told to all who follow a conversation; beside servers that do
// nothing but that over bare TCP.
//
// Servers are processes of their own (this test binary, started again), so that their work can
// be told from that of the clients. All run through a benchmark and are asked in turns, so what
// else the machine does meanwhile hits them alike: a ratio says more than a time.
//
// Nothing is left out of the server that is compared: limits, seats, ring and metrics are those
// of the program.
package wire
