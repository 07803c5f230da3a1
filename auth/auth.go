// Package auth makes and checks what identifies somebody: signed tokens, guest
// identities and the origins that pages may come from.
//
// Everything hangs on one secret of the installation. Each use has a purpose,
// and each purpose a key of its own, so that a token made for one use is never
// accepted for another. Nodes with the same secret accept each other's tokens.
// Errors are *protocol.Error and safe to show: they say nothing about why a
// token did not verify beyond "not valid" and "expired".
package auth
