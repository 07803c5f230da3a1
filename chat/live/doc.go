// Package live brings what changes in conversations to the sessions that follow them, on
// all nodes: events, presence, typing and receipts. It knows sessions only by their ids.
//
// It promises:
//
//   - Who follows a conversation is given each of its events once on each node, in the order of Seq.
//     What was published and did not arrive, because a node, the bus or a queue had no room for it or died,
//     is read from the record within seconds: Heads tells that something is missing, SyncAll what.
//   - An event goes to the nodes that have followers of its conversation, and to no others. It is encoded
//     once for all followers of a node.
//   - Nobody waits for a reader: Publish puts an event into bounded queues, and what does not fit is
//     healed like what was lost.
//   - Who is no member any more follows no longer from that event on.
//   - Presence, typing and receipts are the latest word, no record: they may be lost, are told at most so
//     often, and cost a bounded number of pushes a second however many follow a conversation.
package live
