// Package files takes files that people put into conversations, keeps them, and gives them back to
// who may read them. Where the bytes are is a Blobs (a folder: Disk; S3-compatible storage: package
// s3); whose they are and which message has them is the record of conversations.
//
// It promises:
//
//   - What a file is, its bytes say: neither its name nor what the client calls it. Pictures (JPEG,
//     PNG, GIF, WebP) are decoded and encoded again (internal/picture): nothing but pixels
//     is kept. Everything else is kept as it came and is application/octet-stream: to be saved,
//     never to be shown.
//   - Names in the store are made by the program, of 26 letters and digits; the client's name is
//     a line of text in the record and in a header, and no path anywhere.
//   - Who may write in the conversation may upload, so many files and bytes a day; who may read the
//     message may read the file. It asks Conversations, each time.
//   - The row comes before the bytes: a process that dies in between leaves a row that the
//     orphans' job finds, and never bytes that nobody knows of.
//   - An upload costs a bounded amount: it is received into a file, not into memory; few pictures
//     are worked on at once, each for a bounded time; others wait for a moment, and are told to come
//     back later.
//
// Errors are *protocol.Error; those of Blobs are not.
package files
