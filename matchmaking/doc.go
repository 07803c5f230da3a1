// Package matchmaking brings two people together who look for company.
//
// It promises: a search is matched at most once; two matched people share
// exactly one match, and both are told of it or neither stays in it; nobody
// waits for ever beside somebody who fits; nobody is matched with himself, with
// whom either has blocked, or with whom the pool's traits and wishes of either
// rule out; among those who fit, the one who waits longest comes first.
//
// # How
//
// A [Queue] proposes, the node that owns the session disposes. A search becomes
// a ticket in the queue, listed under the terms it offers. Who enters looks up
// the terms it seeks; two tickets fit exactly when one seeks a term that the
// other offers, and [Terms] is made so that this is the same seen from both
// sides. So entering is one atomic step that either finds the oldest fitting
// ticket or lists the own one, and no step ever looks through the queue.
//
// A match in the queue is a proposal with a deadline. The node of the one who
// waited takes it by a local compare-and-set on state and epoch, looks once
// more at blocks and whether that person is still there, and then acknowledges
// it: that makes it live. The local step, not the queue, is what keeps a person
// out of two matches even when the queue forgets acknowledged writes. Messages
// between nodes ([Notifier]) only make things fast: timers and questions to the
// queue heal every one that is lost.
//
// The queue never lists a ticket again by itself: a match that comes to nothing
// drops both, and their owners enter them again with their old place (since).
package matchmaking
