// Package turnload loads TURN servers side by side and says what a relayed packet
// costs them: CPU time of their processes, loss, latency, memory per allocation.
// One server is ours, the other a reference such as coturn; rounds alternate, so
// that what else the machine does meets both, and ratios are of the same round.
//
// Clients and peers are sockets on 127.0.0.0/8, each client at an address that it
// shares with few others, for servers limit what one address may have. It needs
// Linux: all of 127.0.0.0/8 is local there, and /proc has the figures.
package turnload
