// Package mail writes the service's mails and gets them to an SMTP server.
//
// What sends a mail seals it (Sealer) and puts the Row into the outbox in the
// transaction that is the mail's cause: both are there, or neither. A Worker on
// each node takes rows from the outbox and hands them to the server.
//
// # What it promises
//
//   - A mail is tried until the server took it, refused it for good, or it is no
//     longer worth sending (Row.Expires). Then the row is deleted; of a refused
//     or expired one the dead letter stays, without its text, for Config.KeepDead.
//   - Nodes share an outbox: a row is leased to one at a time. A node that dies
//     between the server's answer and its note of it leads to a second copy, with the same
//     Message-ID, which many mailboxes drop; nothing else does.
//   - Rows are encrypted with a key of the service: who reads the database learns
//     the kind of a mail and its times; no address, no code.
//   - Nothing that a person typed reaches a header unchecked.
//   - No address, code or text of a mail is in a log line, an error or a metric. Only
//     the driver Print, which is for development, logs what it should have sent.
package mail
