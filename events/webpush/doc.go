// Package webpush tells people who are not there of new messages: a sink that sends a
// notification to their browsers by Web Push (RFC 8030), encrypted for each of them
// (RFC 8291) and signed with the service's key (RFC 8292).
//
// It promises:
//
//   - Who is told: of a direct conversation or a group its members, of a topic the members whom the
//     message mentions; never its author, and nobody who has read so far within Config.Delay. Edits, deletions,
//     replayed events and what is older than TTL tell nobody.
//   - The push service learns neither what is written nor who writes where: the length of what it carries is
//     a multiple of 256, and its Topic, by which only the newest notification of a room waits there, differs
//     from device to device.
//   - A device that takes nothing at present holds up no other: what it should have got waits in this process's memory,
//     of up to five rooms the newest each, is tried again with pauses that grow to MaxPause or as long as Retry-After asks for, and
//     is given up when it is older than TTL. The process's end loses it.
//   - A device that its push service does not know any more (404, 410) is forgotten, and so is one whose notifications were
//     refused maxFailed times, one after the other.
//   - Endpoints, keys and texts are in no error and in no log.
package webpush
