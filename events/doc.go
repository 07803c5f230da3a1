// Package events tells other systems what happens in conversations: it hands the
// outbox to sinks (webhook, MQTT, AMQP, Firebase), which have a cursor each.
//
// It promises:
//
//   - At least once: what is in the outbox reaches each sink that wants it, or
//     becomes a dead letter with its reason. A sink may be away for days.
//   - In order: a sink gets its events in the order of Event.Pos, each after the one before was
//     acknowledged (drivers that hold several at once say so). What it gets twice, after a
//     crash or a lost acknowledgement, it knows by Event.ID.
//   - One node at a time serves a sink, under a lease that the write of its cursor
//     checks. A node that died is followed by another after Config.Lease.
//   - A sink that is away or slow holds up no other. It is asked again, for ever, with
//     pauses that grow to Config.MaxPause. An event that it refuses for good is tried Config.Tries
//     times, then it is a dead letter, and the next one's turn.
//   - A sink gets public topics only, unless Subscription.Private says otherwise.
//   - Events are signed at each try (Signer), with a secret of the sink's own.
//   - Presence is mirrored at best effort, the latest wins; it is in no outbox.
//
// A process that stands still (SIGSTOP, a paused machine) in the middle of a handing
// over for longer than its lease, and then goes on, can hand over one event late, after another
// node's: those who receive go by Pos.
package events
