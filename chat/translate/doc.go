// Package translate translates messages for who reads them, by a Provider outside.
//
// It promises:
//
//   - A text is sent to the provider once for all who want it in a language: results
//     are kept, in memory and with a Cache for all nodes, and who asks for what is under way waits for that.
//   - A provider that is slow, down or hostile costs its callers at most Config.Patience, and
//     nobody else anything: what takes longer goes on for who asks again; calls, those that wait, answers and what is kept are bounded, a circuit breaker
//     answers at once while it does not work.
//   - What can be given is given: texts that are known are answered also while the provider is down or
//     the quota is used up. An error is returned only if there is nothing to give.
//   - A user has so many characters a day, and all have so many. Known texts are free.
//
// Texts are neither logged nor in errors.
package translate
