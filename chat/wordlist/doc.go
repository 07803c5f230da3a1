// Package wordlist is a conversations.Moderator with the operator's list of blocked words, and
// bounds for links.
//
// It promises:
//
//   - A blocked word is found through the common ways to hide it: case, accents, letters of other alphabets that look
//     alike, digits and signs for letters, invisible characters, repeated letters, and letters
//     set apart. It is found as a whole word, or where the list says so with *, as a part of one.
//   - A check takes time in proportion to the text, whatever the text and the list are (Aho and Corasick's
//     automaton; no regular expressions).
//   - The list is read again when its file changes; one that cannot be read changes nothing.
//
// It is a courtesy to readers, not a wall: who wants to be rude finds a way.
package wordlist
