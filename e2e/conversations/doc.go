// Package conversations tests with real nodes, a real database and a real Redis that
// the chat that lasts does: what was acknowledged is there, once, in order, and what
// clients show in the end is the record, whatever was killed meanwhile.
package conversations
