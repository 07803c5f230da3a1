// Package conversations keeps the chat that lasts: direct conversations, groups and
// public topics, their members and messages. Section numbers in comments are those
// of docs/protocol.md.
//
// It promises:
//
//   - Every lasting change of a conversation (a message sent, edited, deleted, reacted
//     to, pinned; a member or a setting changed) draws the next number of the
//     conversation, 1, 2, 3 … without gaps, in the transaction that makes it. What has
//     a number is on disk, and is there for ever or until retention or deletion take it,
//     which draw numbers too.
//   - A change is one event that holds what changed as it is after it. A reader
//     who has all up to n and applies all events after n, in any order and any number of
//     times, keeping of each thing what has the highest Rev, has what a fresh read gives. Sync
//     gives all after n at once.
//   - A message that is sent again with its cid is not stored again: the first answer is given.
//   - In this order: is it allowed, is it too fast, is it acceptable (Moderator), commit, publish,
//     answer. What could not be published is published later, from the outbox.
//   - Marks (delivered, read) rise, never fall, and draw no number.
//   - Who may do what is decided by auth.Allowed, with the role that the caller has in the same
//     transaction. What a caller may not read is not_found.
//   - The record is the Store. A Cache may lose everything at any time, and never brings back old
//     data: see Cache.
//
// Errors are *protocol.Error.
package conversations
