// Package accounts is about people who want to be known: it registers them, logs
// them in on their devices, keeps their profile, and lets them go.
//
// # What it promises
//
//   - One call, one transaction: what a call changes, the mail that tells of it and
//     its line in the audit log are there together or not at all. A user exists from
//     the moment that the e-mail address is verified; before, there is only a
//     registration, which expires.
//   - Whether somebody has an account is nobody's business: Register, Resend, Verify, Login,
//     Forgot and Reset answer alike for known and unknown people, and do like work.
//   - Passwords, codes, refresh tokens and second factors are stored so that the
//     database alone is of no use: hashed, under the server's key, or sealed by it.
//   - A passkey serves at its origin only, verified, and an answer of it once, on all nodes; it
//     opens the account without the password and the second factor.
//   - A refresh token is good once. Who shows it again within Limits.Grace, such as a
//     second tab, goes on in the same session; later it is taken for stolen and the session ends.
//   - Ending a session is committed before the call returns, and Config.OnRevoked hears of it.
//   - Deletion leaves nothing of a person in the tables.
//
// Errors are *protocol.Error and safe to show. The package knows no SQL: a Store
// (accounts/sqlstore) keeps the rows, internal/mail delivers what is in the outbox.
package accounts
