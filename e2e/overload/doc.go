// Package overload attacks the real server with crowds and measures what people
// who behave notice of it.
//
// Two servers run: one is attacked, the other is idle. On both, equally many
// healthy pairs search, signal and chat all the time, from the same process and
// evenly over time. On a machine with few cores an attack slows everything down,
// the kernel needing the cores too; what the people on the idle server measure at
// the same moment is what that costs, and the difference to it is what the server
// is to blame for.
//
// The attackers are processes of their own. In the world they have cores of their
// own, so here they get only what the servers and the measuring leave
// (nice 19, one thread): what they cost the attacked server is the server's own
// work and the kernel's for their packets, which is what it would be there.
package overload
