// Package overload attacks the real server with crowds and measures what people
// who behave notice of it.
//
// Two servers run: one is attacked, the other is idle. On both the same healthy
// pairs search, signal and chat all the time, from the same process. On a machine
// with few cores an attack slows everything down, the attackers and the kernel
// needing the cores too; what the people on the idle server measure at the same
// moment is what that costs, and the difference to it is what the server is to
// blame for. The attackers are a process of their own.
package overload
